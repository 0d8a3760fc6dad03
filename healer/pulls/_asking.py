"""Questions to a sender's own API: bounded in time and in size, and never sent on to somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from healer import __version__
from healer.alarms import _bodies
from healer.core.model import NOTHING
from healer.core.step import Failure
from healer.durations import spelled
from healer.names import Names
from healer.ports import AlarmError, EngineError

_T = TypeVar("_T")

ANSWER_LIMIT = 32 << 20
"""Bytes. 10,000 alerts of Alertmanager have about 9 MB."""
Query = Mapping[str, str | Sequence[str]]
_Judge = Callable[[URL, aiohttp.ClientResponse], None]

_TRY_AGAIN = frozenset({408, 425, 429})
"""Of the answers 4xx, those that say nothing against the question."""


def base_url(text: str, whose: str, like: str, below: str) -> str:
    """An `http(s)` URL without its last slash; ValueError, in the words of a configuration, for any other."""
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"is no URL of {whose}; expected something like {like}")
    if url.user is not None or url.password is not None:
        raise ValueError("holds a user or a password, which would be shown with the URL")
    if url.query_string or url.fragment:
        raise ValueError(f"has a query or a fragment; expected what stands before {below}")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Asking:
    """Several questions in a row. Each raises EngineError: UNREACHABLE (try again) or REJECTED (do not)."""

    session: aiohttp.ClientSession
    patience: timedelta

    async def ask(self, url: str, params: Query = NOTHING) -> bytes:
        """The body of the answer 200. A redirect is an error: a token would go with it."""
        return (await self._send("GET", URL(url), _judge, params=params))[1]

    async def send(self, method: str, url: str, body: Any = None) -> tuple[int, bytes]:
        """The status of an answer that is none to try again after, and its body; `body` is sent as JSON."""
        return await self._send(method, URL(url, encoded=True), _judge_lost, json=body)

    async def _send(self, method: str, to: URL, judge: _Judge, **sent: Any) -> tuple[int, bytes]:
        try:
            async with self.session.request(method, to, allow_redirects=False, **sent) as response:
                judge(to, response)
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_LIMIT:
                        detail = f"{to} answered with more than {ANSWER_LIMIT} bytes"
                        raise EngineError(Failure.REJECTED, detail)
                return response.status, bytes(body)
        except TimeoutError as error:
            said = f"{to} has not answered within {spelled(self.patience)}"
            raise EngineError(Failure.UNREACHABLE, said) from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(Failure.UNREACHABLE, f"{to} cannot be reached: {error}") from error


@asynccontextmanager
async def asking(patience: timedelta, headers: Mapping[str, str] = NOTHING) -> AsyncIterator[Asking]:
    """`patience` is for one question and its whole answer."""
    connector = aiohttp.TCPConnector(resolver=Names(patience_s=patience.total_seconds()), force_close=True)
    own = {"User-Agent": f"healer/{__version__}", "Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(patience.total_seconds()),
        auto_decompress=False,  # a megabyte on the wire may be a gigabyte
        headers=own | dict(headers),
    ) as session:
        yield Asking(session, patience)


def read(body: bytes, kind: type[_T], what: str) -> _T:
    """The body as this type. EngineError REJECTED where it is none."""
    try:
        return _bodies.decode(body, kind, what)
    except AlarmError as error:
        raise EngineError(Failure.REJECTED, str(error)) from error


def _judge(url: URL, response: aiohttp.ClientResponse) -> None:
    """Raises for anything but 200."""
    _judge_lost(url, response)
    if response.status != 200:
        raise EngineError(Failure.REJECTED, f"{url} answered {response.status}")


def _judge_lost(url: URL, response: aiohttp.ClientResponse) -> None:
    """Raises for what says nothing of the question, or is not readable."""
    status, encoding = response.status, response.headers.get("Content-Encoding", "identity")
    if status >= 500 or status in _TRY_AGAIN:
        raise EngineError(Failure.UNREACHABLE, f"{url} answered {status}")
    if encoding != "identity":
        raise EngineError(Failure.REJECTED, f"{url} answered {status} in {encoding}")
