from __future__ import annotations

import asyncio
import socket
import threading
from threading import Event
from typing import Any

import pytest

from healer.names import MOST_AT_ONCE, Names


class Resolver:
    """Stands in the place of the system's: it answers once it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = Event()

    def __call__(self, host: str, _: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        assert self.may_answer.wait(20)
        if host.startswith("no"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 2)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0)),
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "names":
            thread.join(20)


async def test_a_name_becomes_its_addresses_in_order(resolver: Resolver) -> None:
    resolver.may_answer.set()
    found = await Names().resolve("web.example", 80)
    assert [(each["host"], each["port"], each["hostname"]) for each in found] == [
        ("fe80::1%2", 80, "web.example"),
        ("192.0.2.7", 80, "web.example"),
    ]


async def test_only_addresses_of_the_kind_asked_for_are_given(resolver: Resolver) -> None:
    resolver.may_answer.set()
    found = await Names().resolve("web.example", family=socket.AF_INET)
    assert [each["host"] for each in found] == ["192.0.2.7"]
    with pytest.raises(OSError, match="no address of this kind"):
        await Names().resolve("web.example", family=socket.AF_UNIX)


async def test_a_name_without_an_address_is_an_error(resolver: Resolver) -> None:
    resolver.may_answer.set()
    with pytest.raises(OSError, match="Name or service not known"):
        await Names().resolve("no.example")


async def test_what_is_no_name_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(OSError, match="no name"):
        await Names(patience_s=5).resolve("x" * 64 + ".example")


async def test_a_resolver_that_hangs_holds_up_nothing_else(resolver: Resolver) -> None:
    names = Names(patience_s=0.05)
    hanging = [names.resolve(f"host{n}.example") for n in range(4 * MOST_AT_ONCE)]
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert {str(result) for result in results} == {"the resolver has not answered within 0.05 s"}
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(lambda: "done") == "done"
    assert len(resolver.asked) == MOST_AT_ONCE


async def test_a_late_answer_is_taken_by_whoever_asks_next(resolver: Resolver) -> None:
    names = Names(patience_s=0.05)
    for _ in range(3):
        with pytest.raises(OSError, match="has not answered"):
            await names.resolve("web.example")
    resolver.may_answer.set()
    found = await names.resolve("web.example")
    assert found[1]["host"] == "192.0.2.7"
    assert resolver.asked == ["web.example"]


async def test_names_that_wait_their_turn_get_it(resolver: Resolver) -> None:
    names = Names(patience_s=10)
    asking = [names.resolve(f"host{n}.example") for n in range(3 * MOST_AT_ONCE)]
    asyncio.get_running_loop().call_later(0.05, resolver.may_answer.set)
    assert len(await asyncio.gather(*asking)) == 3 * MOST_AT_ONCE
    assert len(resolver.asked) == 3 * MOST_AT_ONCE


async def test_one_that_is_cancelled_takes_the_answer_from_no_other(resolver: Resolver) -> None:
    names = Names(patience_s=10)
    impatient, patient = names.resolve("web.example"), names.resolve("web.example")
    async with asyncio.TaskGroup() as group:
        doomed, kept = group.create_task(impatient), group.create_task(patient)
        while not resolver.asked:
            await asyncio.sleep(0.005)
        doomed.cancel()
        resolver.may_answer.set()
    assert doomed.cancelled()
    assert kept.result()[1]["host"] == "192.0.2.7"


async def test_a_machine_without_a_thread_to_spare_says_so(
    monkeypatch: pytest.MonkeyPatch, resolver: Resolver
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    names = Names()
    with monkeypatch.context() as without:
        without.setattr("healer.names.Thread", none)
        with pytest.raises(OSError, match="can't start new thread"):
            await names.resolve("web.example")
    resolver.may_answer.set()
    assert await names.resolve("web.example")
