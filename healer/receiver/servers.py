"""Opens the two listeners, and closes what aiohttp leaves open by default to whoever would hold them up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

IDLE = 15.0
"""Seconds that a connection may be silent, or take over the head of a request. aiohttp's own is an hour."""
MOST_HEADERS = 64
LINGER = 2.0
"""Seconds for which the rest of a refused body is read, so that its sender sees the refusal."""
DRAIN = 2.0
"""Seconds that a request under way may take to end when the daemon does."""
MOST_OPEN = 500
"""Connections at a time. Each may hold a body of `listen.body_limit`, and a file that probes and the store need too.
Senders keep one or two open, and come again where they are told that it is full."""
_FULL = b'{"error":{"reason":"too_many_connections","message":"come again in a few seconds"}}\n'
_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)
_TOLD_EVERY = 60.0
"""Seconds between two lines of the log that say that it is full."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    close: Callable[[], Awaitable[None]]
    port: int = 0
    """Only of one on TCP."""


async def on_tcp(
    application: web.Application, address: str, port: int, idle: float = IDLE, most: int = MOST_OPEN
) -> Server:
    """Raises OSError where it cannot listen there. Port 0 takes any that is free; `most`: as MOST_OPEN."""
    runner = await _runner(application, idle)
    door = _Door(cast("web.Server", runner.server), most)
    try:
        listener = await asyncio.get_running_loop().create_server(door.protocol, address, port)
    except BaseException:
        await runner.cleanup()
        raise

    async def close() -> None:
        listener.close()
        await runner.cleanup()

    return Server(close, listener.sockets[0].getsockname()[1])


async def on_unix(application: web.Application, path: Path) -> Server:
    """Everybody may connect, and who may do what is decided by peer credentials. Raises OSError as above.

    A socket that a dead daemon left behind is replaced; one that somebody answers at is not.
    """
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    if await _answers(path):
        raise FileExistsError(f"another daemon answers at {path}")
    runner = await _runner(application, IDLE)
    await _started(runner, web.UnixSite(runner, path))
    await asyncio.to_thread(path.chmod, 0o666)
    return Server(runner.cleanup)


class _Door:
    """Lets so many in at a time, and sends the rest away with an answer."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most
        self._told_at = -_TOLD_EVERY

    def protocol(self) -> asyncio.Protocol:
        if len(self._server.connections) < self._most:
            return self._server()
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            log.warning("connections are refused: %s are open already", self._most)
        return _Away()


class _Away(asyncio.Protocol):
    """503 to whoever connects, whatever they want: nothing of it is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast("asyncio.Transport", transport)
        writing.write(_AWAY)
        writing.close()


async def _runner(application: web.Application, idle: float) -> web.AppRunner:
    runner = web.AppRunner(
        application,
        # The path and the query of a request may hold a secret, and telemetry counts requests.
        access_log=None,
        logger=log,
        keepalive_timeout=idle,
        lingering_time=LINGER,
        shutdown_timeout=DRAIN,
        max_headers=MOST_HEADERS,
        auto_decompress=False,
    )
    await runner.setup()
    return runner


async def _started(runner: web.AppRunner, site: web.BaseSite) -> None:
    try:
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def _is_ours(record: logging.LogRecord) -> bool:
    """Whoever sends what is no HTTP is answered 400; a traceback for each would let them fill the disk."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


log.addFilter(_is_ours)
