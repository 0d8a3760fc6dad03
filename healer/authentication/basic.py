"""A user and a password, as `Authorization: Basic`: for a sender that can take them in its URL and nothing else."""

from __future__ import annotations

import binascii
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, PrivateAttr

from healer.authentication._headers import only, raw
from healer.authentication._secrets import Digest, line
from healer.plugins import Plugin
from healer.ports import Delivery


def _user(text: str) -> str:
    if not text or ":" in text or not text.isprintable():
        raise ValueError("is no name of a user; expected printable characters, and no ':' among them")
    return text


class Basic(Plugin):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "aodh", "password_file": "/etc/healer/aodh.password"}]}
    )

    user: Annotated[str, AfterValidator(_user)]
    """Who the sender says it is."""
    password_file: Path
    """File with the password in one line, in UTF-8."""

    needs_body: ClassVar[bool] = False

    _credentials: Digest = PrivateAttr()

    def model_post_init(self, _context: Any, /) -> None:
        self._credentials = Digest.of(self.user.encode() + b":" + line(self.password_file))

    async def admits(self, delivery: Delivery) -> bool:
        scheme, _, packed = (only(delivery.headers, "Authorization") or "").partition(" ")
        try:
            shown = b64decode(raw(packed.strip()), validate=True)
        except binascii.Error:
            return False
        return self._credentials.matches(shown) and scheme.lower() == "basic"
