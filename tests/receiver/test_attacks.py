"""Attacks on the door: each with what it is answered; and after each of them an alarm is taken as ever."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from healer.alarms.alertmanager import Alertmanager
from healer.alarms.aodh import Aodh
from healer.alarms.cloudevents import Cloudevents
from healer.alarms.generic import Generic
from healer.authentication.basic import Basic
from healer.authentication.bearer import Bearer
from healer.authentication.header import Header
from healer.authentication.signature import Signature
from healer.authentication.signed_url import SignedUrl
from healer.receiver import answers
from healer.receiver.alarms import Source
from tests.receiver.desk import BODY_LIMIT, NOW, Desk, opened, said

SECRET = "canary-that-only-senders-know"
STAMP = "X-Grafana-Alerting-Timestamp"
SIGNATURE = "X-Grafana-Alerting-Signature"
REFUSED_HTTP = ""
"""Instead of a reason: no HTTP of ours, and answered by aiohttp itself."""


@dataclass(frozen=True, slots=True)
class Attack:
    request: bytes
    status: int
    reason: str = REFUSED_HTTP
    """The word of the refusal. Of what is taken (202): how it names the alarms that it does not take."""


def head(
    *lines: bytes | str, path: str = "/v1/alarms/bearer", method: str = "POST", host: bool = True
) -> bytes:
    """Of one who knows the token, unless it says something else of that."""
    parts = [line.encode() if isinstance(line, str) else line for line in lines]
    if host:
        parts.insert(0, b"Host: healer")
    if not any(part.lower().startswith(b"authorization") for part in parts):
        parts.append(f"Authorization: Bearer {SECRET}".encode())
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *parts, b"Connection: close", b"", b""])


def posted(body: bytes, *lines: bytes | str, path: str = "/v1/alarms/bearer") -> bytes:
    return head(f"Content-Length: {len(body)}", *lines, path=path) + body


def chunked(body: bytes, size: int = 8192) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    packed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head("Transfer-Encoding: chunked") + packed + b"0\r\n\r\n"


def alert(**more: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "Down", "stack": "shop", "resource": "db"},
        "startsAt": "2030-05-06T08:01:30Z",
        "fingerprint": "0f5cb11605ba9a4b",
    } | more


def notification(**more: Any) -> bytes:
    return json.dumps({"version": "4", "alerts": [alert(**more)]}).encode()


def holding(raw: bytes, field: str) -> bytes:
    """A notification of which one field of one alert is written as these bytes."""
    return notification(**{field: "HERE"}).replace(b'"HERE"', raw)


def shown(header: bytes, path: str) -> bytes:
    return posted(notification(), header, path=f"/v1/alarms/{path}")


def overheard(age: timedelta) -> bytes:
    """Signed rightly, so long before or after the present of the daemon."""
    body, at = notification(), str(int((NOW - age).timestamp()))
    digest = hmac.new(SECRET.encode(), f"{at}:".encode() + body, hashlib.sha256).hexdigest()
    return posted(body, f"{STAMP}: {at}", f"{SIGNATURE}: {digest}", path="/v1/alarms/signature")


def timed(at: bytes) -> bytes:
    body = notification()
    digest = hmac.new(SECRET.encode(), at + b":" + body, hashlib.sha256).hexdigest()
    stamp = STAMP.encode() + b": " + at
    return posted(body, stamp, f"{SIGNATURE}: {digest}", path="/v1/alarms/signature")


def mapped(raw: bytes) -> bytes:
    """For the sender of any JSON, which has no schema to stop it."""
    return posted(b'{"check": "a", "state": "down", "since": %s}' % raw, path="/v1/alarms/generic")


NO_TEXT = ("\u00e4\u00f6".encode("latin-1"), "\u20ac\u00e4".encode(), b"\xff\xfe\xfd", b"\xed\xa0\x80")
"""Of Latin-1, UTF-8, nothing at all, and half a surrogate pair."""
DEEP = 100_000

HTTP: dict[str, Attack] = {
    "no HTTP": Attack(b"nonsense\r\n\r\n", 400),
    "a greeting of TLS": Attack(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a header of 9 kB": Attack(head(b"X: " + b"y" * 9000), 400),
    "a path of 9 kB": Attack(head(path="/" + "y" * 9000), 400),
    "a name of a header of 9 kB": Attack(head(b"y" * 9000 + b": x"), 400),
    "200 headers": Attack(head(*(b"X%d: y" % number for number in range(200))), 400),
    "a length and chunks": Attack(
        head("Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400
    ),
    "two lengths": Attack(head("Content-Length: 1", "Content-Length: 2") + b"{}", 400),
    "a length twice": Attack(head("Content-Length: 2", "Content-Length: 2") + b"{}", 400),
    "a length below nothing": Attack(head("Content-Length: -1"), 400),
    "a length with a sign": Attack(head("Content-Length: +2") + b"{}", 400),
    "a length in other digits": Attack(head("Content-Length: \u0662") + b"{}", 400),
    "a length beyond all bounds": Attack(head("Content-Length: " + "9" * 40), 400),
    "a length that no memory has": Attack(head("Content-Length: 99999999999999"), 413, "too_large"),
    "packed chunks": Attack(head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 400, "bad_body"),
    "chunks that are not the last coding": Attack(
        head("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400
    ),
    "chunks of another name": Attack(head("Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400),
    "no size of a chunk": Attack(head("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n", 400),
    "a size of a chunk below nothing": Attack(
        head("Transfer-Encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n", 400
    ),
    "a header that goes on in the next line": Attack(head("X: a\r\n b"), 400),
    "a blank before the colon": Attack(head("X : a"), 400),
    "no host": Attack(head(host=False), 400),
    "two hosts": Attack(head("Host: other"), 400),
    "a control character in the path": Attack(head(path="/v1/alarms/\x01"), 400),
    "a control character in a header": Attack(head("X: a\x01b"), 400),
    "a zero byte in a header": Attack(head("X: a\0b"), 400),
    "a line of its own in a header": Attack(head("X: a\rY: b"), 400),
    "bare line feeds": Attack(head().replace(b"\r\n", b"\n"), 400),
    "another protocol": Attack(head().replace(b"HTTP/1.1", b"HTTP/9.9"), 400),
}

SIZE: dict[str, Attack] = {
    "2 MiB": Attack(posted(b" " * (2 << 20)), 413, "too_large"),
    "2 MiB in chunks": Attack(chunked(b" " * (2 << 20)), 413, "too_large"),
    "a byte too much in chunks": Attack(chunked(b" " * (BODY_LIMIT + 1)), 413, "too_large"),
    "200 MiB in 200 kB of gzip": Attack(
        posted(gzip.compress(b" " * (200 << 20), 6), "Content-Encoding: gzip"), 415, "packed"
    ),
    "deflate": Attack(posted(b"x", "Content-Encoding: deflate"), 415, "packed"),
    "gzip twice": Attack(posted(b"x", "Content-Encoding: gzip, gzip"), 415, "packed"),
    "gzip in capitals": Attack(posted(b"x", "Content-Encoding: GZIP"), 415, "packed"),
    "gzip that is not said to be": Attack(posted(gzip.compress(notification())), 400, "bad_body"),
}

JSON: dict[str, Attack] = {
    "lists in lists": Attack(posted(b"[" * DEEP), 400, "bad_body"),
    "lists in lists, all closed": Attack(posted(b"[" * DEEP + b"]" * DEEP), 400, "bad_body"),
    "objects in objects": Attack(posted(b'{"a":' * (BODY_LIMIT // 6)), 400, "bad_body"),
    "lists in lists for any JSON": Attack(
        posted(b"[" * DEEP + b"]" * DEEP, path="/v1/alarms/generic"), 400, "bad_body"
    ),
    "lists in lists where a label is": Attack(
        posted(holding(b"[" * DEEP + b"]" * DEEP, "labels")), 400, "bad_body"
    ),
    "lists in lists as an event": Attack(
        posted(
            b"[" * DEEP + b"]" * DEEP,
            "Content-Type: application/cloudevents-batch+json",
            path="/v1/alarms/cloudevents",
        ),
        400,
        "bad_body",
    ),
    "NaN": Attack(posted(holding(b"NaN", "startsAt")), 400, "bad_body"),
    "Infinity": Attack(posted(holding(b"-Infinity", "startsAt")), 400, "bad_body"),
    "1e999": Attack(posted(holding(b"1e999", "startsAt")), 202, "startsAt"),
    "10,000 digits": Attack(posted(holding(b"9" * 10_000, "startsAt")), 202, "startsAt"),
    "10,000 digits as a text": Attack(posted(holding(b'"%s"' % (b"9" * 10_000), "startsAt")), 202, "no time"),
    "NaN for any JSON": Attack(mapped(b"NaN"), 400, "bad_body"),
    "1e999 for any JSON": Attack(mapped(b"1e999"), 400, "bad_body"),
    "10,000 digits for any JSON": Attack(mapped(b"9" * 10_000), 400, "bad_body"),
    "10,000 digits as a text for any JSON": Attack(mapped(b'"%s"' % (b"9" * 10_000)), 202, "too long"),
    "10,000 digits behind the point": Attack(mapped(b"0." + b"1" * 10_000), 202),
    "half a surrogate pair": Attack(posted(holding(rb'{"alertname": "\ud800"}', "labels")), 202),
    "half a surrogate pair as a status": Attack(posted(holding(rb'"\udfff"', "status")), 202, "status"),
    "half a surrogate pair for any JSON": Attack(mapped(rb'"\ud800"'), 202, "isoformat"),
    "no UTF-8": Attack(posted(holding(b'"\xff\xfe"', "fingerprint")), 202),
    "half a surrogate pair in UTF-8": Attack(posted(holding(b'"\xed\xa0\x80"', "fingerprint")), 202),
    "no UTF-8 at all": Attack(posted(b"\xff\xfe" * 1000), 400, "bad_body"),
    "a script for a person who reads it": Attack(
        posted(holding(b'{"alertname": "<script>alert(1)</script>"}', "labels")), 202
    ),
}

WRONG = (
    b"",
    b"Authorization: Bearer",
    b"Authorization: %s" % SECRET.encode(),
    b"Authorization: Bearer %sx" % SECRET.encode(),
)
STRANGERS: dict[str, Attack] = {
    f"{token!r} {where}": Attack(shown(header, path), 401, "unauthorized")
    for token in NO_TEXT
    for where, path, header in (
        ("as a bearer", "bearer", b"Authorization: Bearer " + token),
        ("as a scheme", "bearer", b"Authorization: " + token + b" x"),
        ("as a word", "header", b"X-API-Key: " + token),
        ("as a password", "basic", b"Authorization: Basic " + base64.b64encode(b"aodh:" + token)),
        ("as no base64", "basic", b"Authorization: Basic " + token),
        ("as a signature", "signature", STAMP.encode() + b": 1\r\n" + SIGNATURE.encode() + b": " + token),
        ("as a time", "signature", SIGNATURE.encode() + b": 0\r\n" + STAMP.encode() + b": " + token),
    )
} | {
    f"{text!r} in the address": Attack(posted(b"{}", path=f"/v1/alarms/signed?{text}"), 401, "unauthorized")
    for text in (
        "sig=%ff%fe",
        "sig=%e2%82%ac",
        "sig=%ed%a0%80",
        "expires=%d9%a2&sig=a",
        "sig=a&sig=b",
        "sig",
        "",
    )
}

REPLAYED: dict[str, Attack] = {
    "overheard six minutes ago": Attack(overheard(timedelta(minutes=6)), 401, "unauthorized"),
    "for in six minutes": Attack(overheard(-timedelta(minutes=6)), 401, "unauthorized"),
    "a time in other digits": Attack(timed("\u0661".encode()), 401, "unauthorized"),
    "a time of 10,000 digits": Attack(timed(b"9" * 8000), 401, "unauthorized"),
    "a time with a sign": Attack(timed(b"+1"), 401, "unauthorized"),
    "a time that is none": Attack(timed(b"NaN"), 401, "unauthorized"),
}

ATTACKS = HTTP | SIZE | JSON | STRANGERS | REPLAYED


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    """One for each way to show who one is; all with the same secret."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    webhook, bearer = Alertmanager(), Bearer(token_files=(secret,))
    return {
        "bearer": Source(webhook, (bearer,)),
        "generic": Source(Generic(id="check", status="state", started="since"), (bearer,)),
        "cloudevents": Source(Cloudevents(), (bearer,)),
        "header": Source(webhook, (Header(name="X-API-Key", token_files=(secret,)),)),
        "basic": Source(webhook, (Basic(user="aodh", password_file=secret),)),
        "signature": Source(webhook, (Signature(key_files=(secret,), timestamp_header=STAMP),)),
        "signed": Source(Aodh(), (SignedUrl(key_files=(secret,)),)),
    }


@pytest.fixture
async def desk(sources: dict[str, Source]) -> AsyncIterator[Desk]:
    async with opened(sources=sources) as desk:
        yield desk


async def told(desk: Desk, request: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body; an answer that is not ours has an empty one."""
    first, _, body = (await said(desk.port, request)).partition(b"\r\n\r\n")
    assert first.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")), first
    return int(first[9:12]), json.loads(body) if b"application/json" in first else {}


async def well(desk: Desk) -> None:
    """An alarm is taken as if nothing had been."""
    status, body = await told(desk, posted(notification(fingerprint="after")))
    assert (status, body["accepted"] + body["duplicates"]) == (202, 1)
    assert 'code="500"' not in await desk.metrics()


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_answered_as_it_should_be_and_fills_no_log(
    desk: Desk, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    attack = ATTACKS[name]
    began = time.process_time()
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        status, body = await told(desk, attack.request)
    assert time.process_time() - began < 1, "nobody else was served meanwhile"
    assert status == attack.status, (body, logs)
    if status == 202:
        assert [attack.reason in one["reason"] for one in body["rejected"]] == [True] * bool(attack.reason)
    else:
        assert body.get("error", {}).get("reason", REFUSED_HTTP) == attack.reason
        assert logs == []
        assert await desk.filed() == ()
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
    await well(desk)


async def test_the_largest_body_is_taken(desk: Desk) -> None:
    body = notification()
    assert (await told(desk, posted(body + b" " * (BODY_LIMIT - len(body)))))[0] == 202


@pytest.mark.parametrize("limit", [4 << 10, 4 << 20])
async def test_how_large_a_body_may_be_can_be_chosen(sources: dict[str, Source], limit: int) -> None:
    body = notification()
    body += b" " * (limit - len(body))
    async with opened(sources=sources, body_limit=limit) as desk:
        assert (await told(desk, posted(body)))[0] == 202
        for larger in (posted(body + b" "), chunked(body + b" ")):
            status, refused = await told(desk, larger)
            assert (status, refused["error"]["message"]) == (413, f"at most {limit} bytes are taken")


async def test_what_was_overheard_and_is_sent_again_is_known(desk: Desk) -> None:
    """Within the window it cannot be told from the sender's own, and does no more than that did."""
    for accepted in (1, 0, 0):
        status, body = await told(desk, overheard(timedelta(minutes=4)))
        assert (status, body["accepted"]) == (202, accepted)
    assert len(await desk.filed()) == 1


async def until_closed(port: int, pieces: Iterable[bytes], pause: float) -> bytes:
    """What is answered to one who sends a piece now and then, until the other side has enough of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.gather(reader.read())
    for piece in pieces:
        writer.write(piece)
        if (await asyncio.wait([reading], timeout=pause))[0]:
            break
    writer.close()
    return (await reading)[0]


async def test_a_head_that_does_not_end_is_not_waited_for(sources: dict[str, Source]) -> None:
    """Who sends a byte now and then would otherwise hold a connection for an hour, and all of them in the end."""
    dribble = [bytes([byte]) for byte in head() * 9]
    async with opened(idle=0.3, sources=sources) as desk, asyncio.timeout(5):
        answered = await asyncio.gather(*(until_closed(desk.port, dribble[:400], 0.05) for _ in range(20)))
        assert answered == [b""] * 20
        await well(desk)


async def test_neither_is_a_second_one_on_the_same_connection(sources: dict[str, Source]) -> None:
    first = posted(notification()).replace(b"Connection: close\r\n", b"")
    dribble = [first, *(bytes([byte]) for byte in head()[:100])]
    async with opened(idle=0.3, sources=sources) as desk, asyncio.timeout(5):
        answered = await until_closed(desk.port, dribble, 0.05)
        assert answered.count(b"HTTP/1.1 ") == 1
        await well(desk)


@pytest.mark.parametrize("coding", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    monkeypatch.setattr(answers, "BODY_WITHIN", 0.2)
    byte = b"1\r\n \r\n" if "chunked" in coding else b" "
    async with asyncio.timeout(5):
        answered = await until_closed(desk.port, [head(coding), *[byte] * 90], 0.05)
    assert answered.startswith(b"HTTP/1.1 503 "), "its sender would not come again"
    assert b'"reason":"too_slow"' in answered
    await well(desk)


async def test_whoever_opens_more_connections_than_there_may_be_is_sent_away(
    sources: dict[str, Source], caplog: pytest.LogCaptureFixture
) -> None:
    """Each holds a file: without a bound the probes and the store would have none left."""
    async with opened(most=3, sources=sources) as desk, AsyncExitStack() as held:
        writers = []
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", desk.port)
            held.callback(writer.close)
            writers.append(writer)
        async with asyncio.timeout(5):
            while (await told(desk, b""))[0] != 503:
                pass
        for _ in range(5):
            status, body = await told(desk, b"")
            assert (status, body["error"]["reason"]) == (503, "too_many_connections")
        assert [record.getMessage() for record in caplog.records] == [
            "connections are refused: 3 are open already"
        ]
        writers[0].close()
        async with asyncio.timeout(5):
            while (await told(desk, head(method="GET")))[0] == 503:
                pass
        await well(desk)


FORGED = (
    'Referer: a" "200 b',
    "User-Agent: canary-agent",
    f"Authorization: Bearer {SECRET}x",
    f"X-API-Key: {SECRET}x",
    "X-Forwarded-For: canary-for",
    f"Cookie: session={SECRET}",
)


@pytest.mark.parametrize("body", [b"", b"{", notification(), notification(status="odd")])
@pytest.mark.parametrize(
    "path",
    [
        f"/v1/alarms/{SECRET}?token={SECRET}",
        f"/hook/{SECRET}?token={SECRET}",
        f"/v1/alarms/bearer?token={SECRET}",
        f"/v1/alarms/header?token={SECRET}&stack=canary-stack",
        f"/v1/alarms/signed?sig={SECRET}",
        f"/metrics?token={SECRET}",
    ],
)
async def test_what_stands_in_a_request_is_neither_logged_nor_told(
    desk: Desk, caplog: pytest.LogCaptureFixture, path: str, body: bytes
) -> None:
    """A token in an address, or a header that looks like the rest of a line of a log."""
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        answered = await said(desk.port, posted(body, *FORGED, path=path))
        # What is no HTTP is told to whoever sent it, and to nobody else.
        assert b" 400 " in await said(desk.port, posted(body, *FORGED, "X: \x1b[31m", path=path))
    everything = f"{logs}{caplog.text}{answered!r}{await desk.metrics()}"
    assert answered.startswith(b"HTTP/1.1 ")
    for word in (SECRET, "canary-", '"200 b', "session="):
        assert word not in everything
    await well(desk)


async def test_what_looks_like_a_template_stays_what_it_is(desk: Desk) -> None:
    labels = {
        "alertname": "{alarm.__init__.__globals__}",
        "a": "%(password)s",
        "b": "${HOME}",
        "c": "{{ 7*7 }}",
        "d": "{0}",
        "stack": "{}",
        "resource": "$(id)",
    }
    with capture_logs() as logs:
        assert (await told(desk, posted(notification(labels=labels))))[0] == 202
        [filed] = await desk.filed()
    assert filed.alarm.labels == labels
    assert filed.detail == "there is no stack '{}' here"
    assert [line["event"] for line in logs] == ["alarm.unmatched"]


async def test_a_script_is_never_shown_as_a_page(desk: Desk) -> None:
    """What comes back is JSON and says so: no browser takes it for anything else."""
    answered = await said(desk.port, posted(b'{"alerts": "<script>"}', path="/v1/alarms/bearer"))
    assert b"Content-Type: application/json" in answered
