from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from healer.core.model import Health, Symptom
from healer.ports import Sight, Subject
from healer.probes.tcp import Tcp
from tests.things import Thing, living_thing


@pytest.fixture
async def thing() -> AsyncIterator[Thing]:
    async with living_thing() as thing:
        yield thing


def subject(**values: str) -> Subject:
    return Subject("shop/web", "id-1", values)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_what_listens_is_healthy(thing: Thing) -> None:
    assert await Tcp().probe(thing.subject) == Sight(
        Health.HEALTHY, Symptom.OK, f"127.0.0.1 port {thing.port} accepts connections"
    )


async def test_a_port_that_nobody_listens_on_refuses() -> None:
    with closed_port() as port:
        sight = await Tcp(host="127.0.0.1", port=port).probe(subject())
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.REFUSED)
    assert sight.detail == f"127.0.0.1 port {port}: Connection refused"


async def test_a_killed_process_refuses(thing: Thing) -> None:
    await thing.kill()
    assert (await Tcp().probe(thing.subject)).symptom is Symptom.REFUSED


async def test_a_listener_whose_queue_is_full_keeps_it_waiting_until_it_is_cancelled() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await Tcp(host="127.0.0.1", port=listener.getsockname()[1]).probe(subject())


async def test_host_and_port_may_be_given_or_filled() -> None:
    with closed_port() as port:
        probe = Tcp.model_validate({"host": "127.0.0.1", "port": "{admin_port}"})
        assert (await probe.probe(subject(admin_port=str(port)))).symptom is Symptom.REFUSED


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"port": "80"}, "{address} has no value"),
        ({"address": "127.0.0.1"}, "{port} has no value"),
        ({"address": "127.0.0.1", "port": "http"}, "'http' is no port"),
        ({"address": "127.0.0.1", "port": "0"}, "'0' is no port"),
        ({"address": "127.0.0.1", "port": "65536"}, "'65536' is no port"),
        ({"address": "127.0.0.1", "port": "٨٠"}, "is no port"),
        ({"address": "127.0.0.1", "port": "9" * 5000}, "is no port"),
    ],
)
async def test_a_subject_that_cannot_be_addressed_is_unknown(values: dict[str, str], said: str) -> None:
    sight = await Tcp().probe(subject(**values))
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert said in sight.detail


def resolver(*addresses: tuple[socket.AddressFamily, str]) -> Any:
    def getaddrinfo(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]

    return getaddrinfo


async def test_a_name_without_an_address_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver())
    sight = await Tcp(host="db.example", port=5432).probe(subject())
    assert sight == Sight(
        Health.UNKNOWN,
        Symptom.UNRESOLVED,
        f"db.example has no address: [Errno {socket.EAI_NONAME}] Name or service not known",
    )


async def test_of_several_addresses_one_that_accepts_is_enough(
    monkeypatch: pytest.MonkeyPatch, thing: Thing
) -> None:
    monkeypatch.setattr(
        socket, "getaddrinfo", resolver((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1"))
    )
    sight = await Tcp(host="web.example", port=thing.port).probe(subject())
    assert sight.detail == f"127.0.0.1 port {thing.port} accepts connections"


async def test_an_address_that_this_machine_cannot_reach_hides_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        socket, "getaddrinfo", resolver((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "255.255.255.255"))
    )
    with closed_port() as port:
        sight = await Tcp(host="web.example", port=port).probe(subject())
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.REFUSED)


async def test_an_observer_that_may_not_connect_says_nothing_of_the_thing() -> None:
    sight = await Tcp(host="255.255.255.255", port=80).probe(subject())
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.PROBE_BROKEN)
    assert "this machine cannot look" in sight.detail


async def test_an_observer_out_of_descriptors_says_nothing_of_the_thing(thing: Thing) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        with contextlib.suppress(OSError):
            while len(taken) < 100:
                taken.append(socket.socket())
        sight = await Tcp().probe(thing.subject)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in taken:
            each.close()
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.PROBE_BROKEN)
    assert "Too many open files" in sight.detail


@pytest.mark.parametrize("port", [0, 65536, "x", "", True, 80.5])
def test_a_port_that_is_none_is_an_error_at_load(port: object) -> None:
    with pytest.raises(ValidationError):
        Tcp.model_validate({"port": port})


def test_a_key_that_does_not_exist_is_an_error_at_load() -> None:
    with pytest.raises(ValidationError, match="prot"):
        Tcp.model_validate({"prot": 80})
