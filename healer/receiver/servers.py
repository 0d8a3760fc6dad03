"""Opens the two listeners, and closes what aiohttp leaves open by default to whoever would hold them up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

IDLE = 15.0
"""Seconds that a connection may be silent, or take over the head of a request. aiohttp's own is an hour."""
MOST_HEADERS = 64
LINGER = 2.0
"""Seconds for which the rest of a refused body is read, so that its sender sees the refusal."""
DRAIN = 2.0
"""Seconds that a request under way may take to end when the daemon does."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    close: Callable[[], Awaitable[None]]
    port: int = 0
    """Only of one on TCP."""


async def on_tcp(application: web.Application, address: str, port: int, idle: float = IDLE) -> Server:
    """Raises OSError where it cannot listen there. Port 0 takes any that is free."""
    runner = await _runner(application, idle)
    await _started(runner, web.TCPSite(runner, address, port))
    return Server(runner.cleanup, runner.addresses[0][1])


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
