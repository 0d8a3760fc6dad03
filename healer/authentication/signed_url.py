"""A signature in the URL itself: for a sender that can be given a URL and nothing else, as Aodh.

It covers the path and the query, so that the scope of an alarm that stands in them (`?stack=shop&resource=web`) can
be changed by nobody who lacks the key. What is signed is the path, `?`, and the query without `sig`, by name, all
percent-encoded:

    printf %s '/v1/alarms/aodh?resource=web&stack=shop' | openssl dgst -sha256 -hmac "$key"
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import ConfigDict, PrivateAttr
from yarl import URL

from healer.authentication._headers import instant, only, raw
from healer.authentication._secrets import Files, Key, any_signed, keys
from healer.plugins import Plugin
from healer.ports import Delivery

SIGNATURE, EXPIRES = "sig", "expires"
SHORTEST = 16
"""Bytes of a key. Whoever has seen one URL can try keys on it at leisure."""


class SignedUrl(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"key_files": ["/etc/healer/aodh.key"]}]})

    key_files: Files
    """File with the key in one line, 16 bytes at least (`openssl rand -hex 32`), or two while it is changed for
    another: URLs signed with either are taken then."""

    needs_body: ClassVar[bool] = False

    _keys: tuple[Key, ...] = PrivateAttr(default=())

    def model_post_init(self, _context: Any, /) -> None:
        self._keys = keys(self.key_files, SHORTEST)

    async def admits(self, delivery: Delivery) -> bool:
        query = delivery.query
        if EXPIRES in query:
            expires_at = instant(only(query, EXPIRES) or "")
            if expires_at is None or expires_at <= delivery.received_at:
                return False
        shown = raw(only(query, SIGNATURE) or "")
        return any_signed(self._keys, _text(delivery.path, query.items()), [shown])

    def sign(self, url: str, expires_at: datetime | None = None) -> str:
        """The URL that admits, by the first key; `expires_at` is rounded to seconds, and None is never.

        The path must be the one that healer sees: a proxy that changes it makes the signature a wrong one.
        """
        unsigned = URL(url).without_query_params(SIGNATURE, EXPIRES).with_fragment(None)
        if expires_at is not None:
            unsigned = unsigned.extend_query({EXPIRES: str(int(expires_at.timestamp()))})
        signature = self._keys[0].signature(_text(unsigned.path, unsigned.query.items()))
        return str(unsigned.extend_query({SIGNATURE: signature.decode()}))


def _text(path: str, query: Iterable[tuple[str, str]]) -> bytes:
    """What is signed. Values of one name keep their order, in which they may have a meaning."""
    pairs = sorted(((name, value) for name, value in query if name != SIGNATURE), key=itemgetter(0))
    encoded = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)
    return f"{_encoded(path, '/')}?{encoded}".encode()


def _encoded(text: str, safe: str = "") -> str:
    return quote(raw(text), safe=safe)
