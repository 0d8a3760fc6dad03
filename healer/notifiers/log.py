"""Tells whoever reads the log: one line, at the level of a warning."""

from __future__ import annotations

import structlog
from pydantic import ConfigDict

from healer.plugins import Plugin
from healer.ports import Message


class Log(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    async def notify(self, message: Message) -> None:
        structlog.get_logger().warning(
            "healer.notified",
            incident=message.incident,
            title=message.title,
            text=message.text,
            fields=dict(message.fields),
        )
