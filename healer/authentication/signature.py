"""A signature of the body, HMAC-SHA256 in hexadecimal digits: the secret itself never travels.

Grafana signs so, GitHub and PagerDuty with a word before the digits. Without a time in it (`timestamp_header`) a
request that somebody has overheard can be sent again for ever. An alarm that is known is not taken for another, but one
that is long over counts again for whoever says it again, as a sender may that was cut off.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from pydantic import ConfigDict, PrivateAttr

from healer.authentication._headers import Word, instant, only, raw
from healer.authentication._secrets import Files, Key, any_signed, keys
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import Delivery


class Signature(Plugin):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key_files": ["/etc/healer/grafana.key"],
                    "timestamp_header": "X-Grafana-Alerting-Timestamp",
                }
            ]
        }
    )

    key_files: Files
    """File with the secret in one line, or two while it is changed for another: both are taken then."""
    header: Word = "X-Grafana-Alerting-Signature"
    """Where the signature stands. The default is Grafana's own."""
    prefix: str = ""
    """What stands before the digits, `sha256=` or `v1=`. A header may hold several signatures, parted by commas."""
    timestamp_header: Word | None = None
    """Where the time stands, in seconds since 1970, that is signed before the body, with a `:` between them. Grafana
    sends it where it is told a name for it. None: the body is signed alone."""
    window: PositiveDuration = timedelta(minutes=5)
    """How far that time may be from healer's own, before or after."""

    needs_body: ClassVar[bool] = True

    _keys: tuple[Key, ...] = PrivateAttr(default=())

    def model_post_init(self, _context: Any, /) -> None:
        self._keys = keys(self.key_files)

    async def admits(self, delivery: Delivery) -> bool:
        text = delivery.body
        if self.timestamp_header is not None:
            at = only(delivery.headers, self.timestamp_header) or ""
            sent_at = instant(at)
            if sent_at is None or abs(delivery.received_at - sent_at) > self.window:
                return False
            text = raw(at) + b":" + text
        shown = [part.strip() for part in (only(delivery.headers, self.header) or "").split(",")]
        signatures = [raw(part.removeprefix(self.prefix)) for part in shown if part.startswith(self.prefix)]
        return any_signed(self._keys, text, signatures)
