"""Tells a program: the message as JSON, in one POST; any answer of 2xx means that it was taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import aiohttp
from pydantic import AfterValidator, ConfigDict
from yarl import URL

from healer import __version__
from healer.core.step import Failure
from healer.durations import PositiveDuration, spelled
from healer.names import Names
from healer.plugins import Plugin
from healer.ports import EngineError, Message

_TRY_AGAIN = frozenset({408, 425, 429})
"""Of the answers 4xx, those that say nothing against the message itself."""
_LONGEST_WAIT_S = 3600


def _url(text: str) -> str:
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(
            "is no URL of a web server; expected something like https://hooks.example.org/healer"
        )
    return text


class Webhook(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://hooks.example.org/healer"}]})

    url: Annotated[str, AfterValidator(_url)]
    """Where to. No redirect is followed: it would arrive as a GET, without the message."""
    token_file: Path | None = None
    """File with a token that is sent as `Authorization: Bearer`; read each time, so that it can be renewed."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """For the whole exchange."""

    async def notify(self, message: Message) -> None:
        headers = {"User-Agent": f"healer/{__version__}"}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {await asyncio.to_thread(_token, self.token_file)}"
        body = {
            "incident": message.incident,
            "title": message.title,
            "text": message.text,
            "fields": dict(message.fields),
        }
        seconds = self.timeout.total_seconds()
        connector = aiohttp.TCPConnector(resolver=Names(patience_s=seconds), force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(seconds)) as session,
                session.post(self.url, json=body, headers=headers, allow_redirects=False) as response,
            ):
                _judge(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError as error:
            raise EngineError(Failure.UNREACHABLE, f"no answer within {spelled(self.timeout)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(Failure.UNREACHABLE, f"cannot be reached: {error}") from error


def _judge(status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    if status < 500 and status not in _TRY_AGAIN:
        raise EngineError(Failure.REJECTED, f"answered {status}")
    wait = int(retry_after[:9]) if retry_after.isascii() and retry_after.isdigit() else None
    raise EngineError(
        Failure.UNREACHABLE,
        f"answered {status}",
        None if wait is None else timedelta(seconds=min(wait, _LONGEST_WAIT_S)),
    )


def _token(path: Path) -> str:
    """A file that cannot be read is tried again: it may just be being renewed."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise EngineError(Failure.UNREACHABLE, f"its token cannot be read: {error}") from error
    if not token.isprintable() or not token:
        raise EngineError(Failure.UNREACHABLE, f"its token cannot be read: {path} holds no token of one line")
    return token
