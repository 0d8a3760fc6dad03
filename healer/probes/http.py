"""Does it answer as it should: one HTTP request on a fresh connection, judged by status, body and latency."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

import aiohttp
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from yarl import URL

from healer import __version__
from healer.core.model import Health, Symptom
from healer.durations import PositiveDuration, spelled
from healer.names import Names
from healer.plugins import Plugin
from healer.ports import Sight, Subject
from healer.probes._placeholders import MissingValueError, Template, fill
from healer.probes._sockets import failed

BODY_LIMIT = 1 << 20
"""Bytes of a body that are read at most."""

_STATUS = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HEADERS = {"User-Agent": f"healer/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


def _url(text: str) -> str:
    url = URL(_PLACEHOLDER.sub("1", text))
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no URL of a web server; expected something like http://{address}:{port}/healthz")
    if url.user is not None or url.password is not None:
        raise ValueError("holds a user or a password, which would be shown with the URL; use `headers`")
    return text


def _statuses(value: Any) -> tuple[str, ...]:
    statuses = tuple(str(each) for each in (value if isinstance(value, list | tuple) else [value]))
    for each in statuses:
        found = _STATUS.fullmatch(each)
        if not found or found[1] > (found[2] or found[1]):
            raise ValueError(f"{each!r} is no status; expected 200, a range like 200-399, or a list of those")
    return statuses


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise ValueError(f"{name!r} is no header; expected a name of one word and a value of one line")
    return headers


class Http(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "http://{address}:{port}/healthz"}]})

    url: Annotated[Template, AfterValidator(_url)]
    """With placeholders. No redirect is followed and no proxy is used: the answer is the thing's own."""
    method: Literal["GET", "HEAD"] = "GET"
    expect_status: Annotated[tuple[str, ...], BeforeValidator(_statuses), Field(min_length=1)] = ("200-399",)
    """A status, a range, or a list of those. The default is that of Kubernetes' probes, where too a failure has
    consequences: a thing that sends its clients elsewhere is not replaced for it."""
    expect_body: Annotated[str, Field(min_length=1)] | None = None
    """Plain text that must stand in the first MiB of the body."""
    max_latency: PositiveDuration | None = None
    """From the start of the connection to the end of the body. None leaves it to the timeout."""
    headers: Annotated[Mapping[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Sent besides, or instead of, User-Agent, Accept and Accept-Encoding."""
    verify_tls: bool = True
    """A certificate that is not accepted proves no failure: nobody knows who answered, so it is unknown."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust; None takes the system's."""

    _names: Names = PrivateAttr(default_factory=Names)
    _tls: ssl.SSLContext | bool = PrivateAttr(default=True)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method == "HEAD" and self.expect_body is not None:
            raise ValueError(
                "`method: HEAD` and `expect_body` cannot be used at the same time: it has no body"
            )
        if self.ca_file is not None and not self.verify_tls:
            raise ValueError("`verify_tls: false` and `ca_file` cannot be used at the same time")
        self._tls = self.verify_tls
        if self.ca_file is not None:
            try:
                self._tls = ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise ValueError(f"`ca_file` {self.ca_file} cannot be used: {error}") from error
        return self

    async def probe(self, subject: Subject) -> Sight:
        try:
            filled = fill(self.url, subject.values, _in_url)
        except MissingValueError as error:
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, str(error))
        try:
            url = URL(filled)
        except ValueError as error:
            detail = f"{filled.partition('?')[0]} is no URL: {error}"
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, detail)
        asked = f"{self.method} {url.with_query(None).with_fragment(None)}"
        began = asyncio.get_running_loop().time()
        try:
            status, body = await self._ask(url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _unanswered(error, asked)
        return self._judge(asked, status, body, asyncio.get_running_loop().time() - began)

    async def _ask(self, url: URL) -> tuple[int, bytes]:
        """A session for each look costs next to nothing, and nothing of one look can reach into another."""
        connector = aiohttp.TCPConnector(
            ssl=self._tls, force_close=True, limit=0, use_dns_cache=False, resolver=self._names
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the caller's is the only one
                auto_decompress=False,  # a megabyte on the wire may be a gigabyte
                headers=_HEADERS,
            ) as session,
            session.request(self.method, url, headers=self.headers, allow_redirects=False) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) >= BODY_LIMIT:
                    break
            return response.status, bytes(body[:BODY_LIMIT])

    def _judge(self, asked: str, status: int, body: bytes, took_s: float) -> Sight:
        if not any(_within(status, each) for each in self.expect_status):
            detail = f"{asked} answered {status}, expected {' or '.join(self.expect_status)}"
            return Sight(Health.UNHEALTHY, Symptom.BAD_STATUS, detail)
        if self.expect_body is not None and self.expect_body.encode() not in body:
            where = f"the first {BODY_LIMIT} bytes of the body" if len(body) == BODY_LIMIT else "the body"
            detail = f"{asked} answered {status}, but {where} did not hold {self.expect_body!r}"
            return Sight(Health.UNHEALTHY, Symptom.BAD_BODY, detail)
        detail = f"{asked} answered {status} within {took_s * 1000:.0f} ms"
        if self.max_latency is not None and took_s > self.max_latency.total_seconds():
            detail += f", expected {spelled(self.max_latency)}"
            return Sight(Health.UNHEALTHY, Symptom.TOO_SLOW, detail)
        return Sight(Health.HEALTHY, Symptom.OK, detail)


def _within(status: int, expected: str) -> bool:
    low, _, high = expected.partition("-")
    return int(low) <= status <= int(high or low)


def _in_url(value: str) -> str:
    """A value fills one place of the URL and no more; IPv6 addresses need brackets."""
    try:
        return f"[{IPv6Address(value)}]"
    except ValueError:
        return quote(value, safe="", errors="replace")


def _unanswered(error: Exception, asked: str) -> Sight:
    match error:
        case aiohttp.ClientConnectorDNSError():
            detail = f"{asked}: {error.host} has no address: {error.os_error}"
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, detail)
        case aiohttp.ClientConnectorCertificateError():
            detail = f"{asked}: its certificate is not accepted: {error.certificate_error}"
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, detail)
        case aiohttp.ClientSSLError():
            return Sight(Health.UNHEALTHY, Symptom.CONNECTION_LOST, f"{asked}: no TLS: {error}")
        case aiohttp.ClientConnectorError():
            return failed(error.os_error, asked)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            detail = f"{asked}: it hung up before its answer was whole"
            return Sight(Health.UNHEALTHY, Symptom.CONNECTION_LOST, detail)
        case aiohttp.ClientResponseError():
            return Sight(Health.UNHEALTHY, Symptom.BAD_STATUS, f"{asked}: what it answers is not HTTP")
        case OSError():
            return failed(error, asked)
        case _:
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, f"{asked}: cannot be asked: {error}")
