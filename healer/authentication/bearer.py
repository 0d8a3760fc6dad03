"""A word that only the sender knows, as `Authorization: Bearer`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, PrivateAttr

from healer.authentication._headers import Word, only, raw
from healer.authentication._secrets import Digest, Files, any_matches, tokens
from healer.plugins import Plugin
from healer.ports import Delivery


class Bearer(Plugin):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token_files": ["/etc/healer/alertmanager.token"]}]}
    )

    token_files: Files
    """File with the token, or two while it is changed for another: both are taken then."""
    scheme: Word = "Bearer"
    """The word before the token, for a sender that says another; its letter case does not matter."""

    needs_body: ClassVar[bool] = False

    _tokens: tuple[Digest, ...] = PrivateAttr(default=())

    def model_post_init(self, _context: Any, /) -> None:
        self._tokens = tokens(self.token_files)

    async def admits(self, delivery: Delivery) -> bool:
        scheme, _, token = (only(delivery.headers, "Authorization") or "").partition(" ")
        return any_matches(self._tokens, raw(token.strip())) and scheme.lower() == self.scheme.lower()
