"""A word that only the sender knows, in a header of its own: for a sender that cannot set `Authorization`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, PrivateAttr

from healer.authentication._headers import Word, only, raw
from healer.authentication._secrets import Digest, Files, any_matches, tokens
from healer.plugins import Plugin
from healer.ports import Delivery


class Header(Plugin):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "X-API-Key", "token_files": ["/etc/healer/zabbix.token"]}]}
    )

    name: Word
    """Name of the header; its letter case does not matter. The header holds the token and nothing else."""
    token_files: Files
    """File with the token, or two while it is changed for another: both are taken then."""

    needs_body: ClassVar[bool] = False

    _tokens: tuple[Digest, ...] = PrivateAttr(default=())

    def model_post_init(self, _context: Any, /) -> None:
        self._tokens = tokens(self.token_files)

    async def admits(self, delivery: Delivery) -> bool:
        return any_matches(self._tokens, raw((only(delivery.headers, self.name) or "").strip()))
