from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from healer.core.model import Health, Symptom
from healer.ports import Sight, Subject
from healer.probes.http import BODY_LIMIT, Http
from tests.things import living_thing

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def subject(port: int | str, **values: str) -> Subject:
    return Subject("shop/web", "id-1", {"address": "127.0.0.1", "port": str(port)} | values)


def http(**options: Any) -> Http:
    return Http.model_validate({"url": "http://{address}:{port}/healthz"} | options)


@asynccontextmanager
async def answering(respond: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    async with TestServer(app) as server:
        assert server.port
        yield server.port


@asynccontextmanager
async def speaking(speak: Streams, **options: Any) -> AsyncIterator[int]:
    """A server that does to each connection what it is told, HTTP or not."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


def saying(text: bytes) -> Streams:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return speak


def with_status(status: int, body: str = "ok", **headers: str) -> Any:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return respond


def words(sight: Sight) -> tuple[Health, Symptom]:
    return sight.health, sight.symptom


async def test_a_thing_that_answers_is_healthy() -> None:
    async with answering(with_status(200)) as port:
        sight = await http().probe(subject(port))
    assert words(sight) == (Health.HEALTHY, Symptom.OK)
    assert sight.detail.startswith(f"GET http://127.0.0.1:{port}/healthz answered 200 within ")


@pytest.mark.parametrize(
    ("status", "expected", "healthy"),
    [
        (200, None, True),
        (302, None, True),
        (399, None, True),
        (400, None, False),
        (500, None, False),
        (503, None, False),
        (200, 204, False),
        (204, [200, 204], True),
        (401, ["200-299", 401], True),
        (302, "200-299", False),
    ],
)
async def test_the_status_is_judged_by_what_is_expected(status: int, expected: Any, healthy: bool) -> None:
    options = {} if expected is None else {"expect_status": expected}
    async with answering(with_status(status)) as port:
        sight = await http(**options).probe(subject(port))
    assert words(sight) == (
        (Health.HEALTHY, Symptom.OK) if healthy else (Health.UNHEALTHY, Symptom.BAD_STATUS)
    )
    assert f"answered {status}" in sight.detail


async def test_no_redirect_is_followed() -> None:
    async with (
        answering(with_status(500)) as elsewhere,
        answering(with_status(302, Location=f"http://127.0.0.1:{elsewhere}/")) as port,
    ):
        assert (await http().probe(subject(port))).health is Health.HEALTHY


async def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(with_status(500)) as proxy, answering(with_status(200)) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("no_proxy", "")
        assert (await http().probe(subject(port))).health is Health.HEALTHY


async def test_each_look_opens_a_connection_of_its_own_and_leaves_none_open() -> None:
    connections = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer.get_extra_info("peername"))
        await saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(reader, writer)
        assert await reader.read() == b""

    async with speaking(speak) as port:
        for _ in range(3):
            assert (await http().probe(subject(port))).health is Health.HEALTHY
    assert len(set(connections)) == 3


async def test_the_body_must_hold_what_is_expected() -> None:
    async with answering(with_status(200, "status: UP, naïve")) as port:
        assert words(await http(expect_body="UP, naïve").probe(subject(port)))[0] is Health.HEALTHY
        sight = await http(expect_body="DOWN").probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.BAD_BODY)
    assert sight.detail.endswith("answered 200, but the body did not hold 'DOWN'")


async def test_no_more_than_the_limit_of_a_body_is_read() -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:  # it never ends
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with answering(respond) as port:
        assert (await http().probe(subject(port))).health is Health.HEALTHY
        sight = await http(expect_body="y").probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.BAD_BODY)
    assert f"the first {BODY_LIMIT} bytes of the body did not hold 'y'" in sight.detail


async def test_nothing_is_unpacked() -> None:
    async with answering(with_status(200, "not gzip", **{"Content-Encoding": "gzip"})) as port:
        assert (await http(expect_body="not gzip").probe(subject(port))).health is Health.HEALTHY


async def test_an_answer_that_takes_too_long_is_too_slow() -> None:
    async def respond(_: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response()

    async with answering(respond) as port:
        assert (await http(max_latency="30s").probe(subject(port))).health is Health.HEALTHY
        sight = await http(max_latency="10ms").probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.TOO_SLOW)
    assert sight.detail.endswith("ms, expected 10ms")


async def test_method_and_headers_are_those_of_the_options() -> None:
    seen: list[tuple[str, str, str, str]] = []

    async def respond(request: web.Request) -> web.Response:
        headers = request.headers
        seen.append((request.method, headers["Host"], headers["User-Agent"], headers["Accept-Encoding"]))
        return web.Response(text="ok")

    async with answering(respond) as port:
        await http(method="HEAD", headers={"host": "shop.example", "user-agent": "me"}).probe(subject(port))
        await http().probe(subject(port))
    assert seen[0] == ("HEAD", "shop.example", "me", "identity")
    assert seen[1][:2] == ("GET", f"127.0.0.1:{port}")
    assert seen[1][2].startswith("healer/")


async def test_values_fill_one_place_of_the_url_and_no_more() -> None:
    seen = []

    async def respond(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.Response()

    async with answering(respond) as port:
        probe = http(url="http://{address}:{port}/{path}?is={physical_id}")
        sight = await probe.probe(subject(port, path="group/0/web", physical_id="a&b#c d"))
    assert seen == ["/group%2F0%2Fweb?is=a%26b%23c%20d"]
    assert "a%26b" not in sight.detail


async def test_an_address_of_ipv6_is_put_in_brackets() -> None:
    sight = await http(url="http://{address}:{port}/").probe(
        Subject("x", "y", {"address": "::1", "port": "1"})
    )
    assert sight.detail.startswith("GET http://[::1]:1/:")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"port": "80"}, "{address} has no value"),
        ({"address": "127.0.0.1", "port": "none"}, "http://127.0.0.1:none/healthz is no URL: "),
        ({"address": "a/b@c", "port": "80"}, ""),
        ({"address": "127.0.0.1", "port": "99999"}, ""),
    ],
)
async def test_a_subject_that_cannot_be_addressed_is_unknown(values: dict[str, str], said: str) -> None:
    sight = await http().probe(Subject("shop/web", "id-1", values))
    assert words(sight) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert said in sight.detail


async def test_nobody_who_listens_is_a_refusal() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sight = await http().probe(subject(port))
    assert sight == Sight(
        Health.UNHEALTHY, Symptom.REFUSED, f"GET http://127.0.0.1:{port}/healthz: Connection refused"
    )


async def test_a_frozen_process_keeps_it_waiting_until_it_is_cancelled() -> None:
    async with living_thing() as thing:
        thing.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await http().probe(thing.subject)
        thing.thaw()
        assert (await http(expect_body="all is well").probe(thing.subject)).health is Health.HEALTHY


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    "speak",
    [
        reset,
        saying(b""),
        saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    ],
    ids=["reset", "silence", "half a head", "half a body", "half a chunk"],
)
async def test_hanging_up_before_the_answer_is_whole_is_a_lost_connection(speak: Streams) -> None:
    async with speaking(speak) as port:
        sight = await http().probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.CONNECTION_LOST), sight.detail


@pytest.mark.parametrize(
    "text", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_a_bad_status(text: bytes) -> None:
    async with speaking(saying(text)) as port:
        sight = await http().probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.BAD_STATUS), sight.detail


async def test_a_name_without_an_address_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    sight = await http(url="http://web.example/").probe(subject(1))
    assert words(sight) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert "web.example has no address" in sight.detail


async def test_a_name_is_asked_for_by_itself_and_goes_into_the_host_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolver(host: str, *_: Any, **__: Any) -> Any:
        assert host == "web.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Host"])

    async with answering(respond) as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        probe = http(url="http://web.example:{port}/", expect_body=f"web.example:{port}")
        assert (await probe.probe(subject(port))).health is Health.HEALTHY


def certificate(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate for that address, and the file of whom to trust for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "ca.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, private)
    return context, trusted


OK = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def test_tls_is_verified_against_the_trusted_file(tmp_path: Path) -> None:
    context, trusted = await asyncio.to_thread(certificate, tmp_path, "127.0.0.1")
    async with speaking(OK, ssl=context) as port:
        https = {"url": "https://{address}:{port}/"}
        assert (await http(**https, ca_file=trusted).probe(subject(port))).health is Health.HEALTHY
        assert (await http(**https, verify_tls=False).probe(subject(port))).health is Health.HEALTHY
        sight = await http(**https).probe(subject(port))
    assert words(sight) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert "its certificate is not accepted" in sight.detail


async def test_a_certificate_for_another_address_proves_nothing(tmp_path: Path) -> None:
    context, trusted = await asyncio.to_thread(certificate, tmp_path, "127.0.0.9")
    async with speaking(OK, ssl=context) as port:
        sight = await http(url="https://{address}:{port}/", ca_file=trusted).probe(subject(port))
    assert words(sight) == (Health.UNKNOWN, Symptom.UNRESOLVED)


async def test_no_tls_where_tls_is_expected_is_a_lost_connection() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with speaking(speak) as port:
        sight = await http(url="https://{address}:{port}/").probe(subject(port))
    assert words(sight) == (Health.UNHEALTHY, Symptom.CONNECTION_LOST), sight.detail


async def test_a_look_that_is_cancelled_leaves_no_connection_behind() -> None:
    ended = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()

    asked = asyncio.Event()
    async with speaking(speak) as port, asyncio.TaskGroup() as group:
        look = group.create_task(http().probe(subject(port)))
        await asked.wait()
        look.cancel()
        async with asyncio.timeout(5):
            await ended.wait()
    assert look.cancelled()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "ftp://{address}/"}, "is no URL of a web server"),
        ({"url": "/healthz"}, "is no URL of a web server"),
        ({"url": "http://me:secret@{address}/"}, "holds a user or a password"),
        ({"url": "http://{address}:{port/"}, "brace without its other half"),
        ({"url": "http://{address.x}/"}, "is no placeholder"),
        ({"method": "POST"}, "'GET' or 'HEAD'"),
        ({"expect_status": []}, "at least 1 item"),
        ({"expect_status": 99}, "'99' is no status"),
        ({"expect_status": "300-200"}, "'300-200' is no status"),
        ({"expect_status": "2xx"}, "'2xx' is no status"),
        ({"expect_status": True}, "'True' is no status"),
        ({"expect_body": ""}, "at least 1 character"),
        ({"max_latency": "0s"}, "longer than 0s"),
        ({"max_latency": 2}, "without a unit"),
        ({"headers": {"X Y": "z"}}, "'X Y' is no header"),
        ({"headers": {"X": "y\r\nZ: 1"}}, "'X' is no header"),
        ({"method": "HEAD", "expect_body": "x"}, "cannot be used at the same time"),
        ({"verify_tls": False, "ca_file": "/etc/ca.pem"}, "cannot be used at the same time"),
        ({"ca_file": "/does/not/exist.pem"}, "exist.pem cannot be used"),
        ({"timout": "3s"}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_the_options_is_an_error_at_load(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        http(**options)
    assert said in str(caught.value)


def test_what_the_options_came_to_can_be_written_down_again() -> None:
    probe = http(expect_status=[200, "300-399"], max_latency="1500ms")
    written = probe.model_dump(mode="json", exclude_defaults=True)
    assert written == {
        "url": "http://{address}:{port}/healthz",
        "expect_status": ["200", "300-399"],
        "max_latency": "1s500ms",
    }
    assert Http.model_validate(written).model_dump() == probe.model_dump()
