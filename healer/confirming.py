"""Calls back a sender that wants to be asked for what it sends: at the address that the configuration has for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import structlog
from yarl import URL

from healer import __version__
from healer.names import Names
from healer.ports import Confirmation

log = structlog.get_logger("healer")

WITHIN_S = 30.0
"""For the whole call; who asks in vain asks again, by hand or with its next subscription."""


Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


def caller(at: Mapping[str, str | None], spawn: Spawn) -> Callable[[str, Confirmation], None]:
    """What the receiver hands a confirmation to; the call is made in a task of its own. `at`: URL by sender."""

    def call(source: str, wanted: Confirmation) -> None:
        spawn(confirm(source, at[source], wanted), f"confirmation to {source}")

    return call


async def confirm(source: str, at: str | None, wanted: Confirmation) -> None:
    """One call, and one line of the log for what came of it. Never raises for what the sender does."""
    if at is None:
        log.warning("alarms.unconfirmed", source=source, why="`confirm_at` does not say where the sender is")
        return
    url = URL(at).joinpath(wanted.path.lstrip("/"), encoded=True)
    connector = aiohttp.TCPConnector(resolver=Names(patience_s=WITHIN_S), force_close=True)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(WITHIN_S),
                headers={"User-Agent": f"healer/{__version__}"},
            ) as session,
            session.request(
                wanted.method, url, data=wanted.body, headers=wanted.headers, allow_redirects=False
            ) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("alarms.unconfirmed", source=source, why=f"no answer: {type(error).__name__}")
        return
    if status // 100 == 2:
        log.info("alarms.confirmed", source=source)
    else:
        log.warning("alarms.unconfirmed", source=source, why=f"it was answered {status}")
