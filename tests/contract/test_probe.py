"""What every probe keeps to: ports.Probe, held against a real process that lives, hangs and dies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from healer.core.model import Health, Symptom
from healer.ports import Probe, Sight, Subject
from tests.plugged import build, every, fits
from tests.things import Thing, living_thing, state_of

SYMPTOMS = {
    Health.HEALTHY: {Symptom.OK},
    Health.UNHEALTHY: {
        Symptom.REFUSED,
        Symptom.TIMED_OUT,
        Symptom.CONNECTION_LOST,
        Symptom.BAD_STATUS,
        Symptom.BAD_BODY,
        Symptom.TOO_SLOW,
        Symptom.GONE,
    },
    Health.UNKNOWN: {Symptom.UNRESOLVED, Symptom.PROBE_BROKEN},
}
NASTY = [
    " ", "\x00", "a b", "{address}", "{", "http://x/", "x" * 70_000, "\ud800", "-1", "0", "65536", "::1%nope0",
    "\u0661\u0662\u0667.0.0.1", "a@b", "[::1]", "[", "127.0.0.1\r\nX: y", "999.999.999.999", ":", "::", "b:1:x",
]  # fmt: skip


@pytest.fixture
async def thing() -> AsyncIterator[Thing]:
    async with living_thing() as thing:
        yield thing


@pytest.fixture
def without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name has an address, and no test asks a real resolver."""

    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)


async def look(probe: Probe, subject: Subject) -> Sight:
    async with asyncio.timeout(10):
        sight = await probe.probe(subject)
    assert sight.symptom in SYMPTOMS[sight.health]
    assert sight.detail, "a person is told nothing"
    return sight


@every("probes")
def test_it_fits_its_socket(name: str) -> None:
    probe = build("probes", name)
    fits(probe, "probe")
    assert asyncio.iscoroutinefunction(probe.probe)


@every("probes")
async def test_a_thing_that_lives_is_healthy(name: str, thing: Thing) -> None:
    assert (await look(build("probes", name), thing.subject)).health is Health.HEALTHY


@every("probes")
async def test_a_thing_that_died_is_unhealthy_and_stays_so(name: str, thing: Thing) -> None:
    probe = build("probes", name)
    assert (await look(probe, thing.subject)).health is Health.HEALTHY
    await thing.kill()
    for _ in range(3):
        assert (await look(probe, thing.subject)).health is Health.UNHEALTHY


@every("probes")
async def test_a_thing_that_hangs_is_seen_or_waited_for_and_never_called_unknown(
    name: str, thing: Thing
) -> None:
    """The caller's patience ends the look: then it is cancelled, at once."""
    thing.freeze()
    async with asyncio.timeout(10):
        while state_of(thing.process.pid) != "T":
            await asyncio.sleep(0.005)
    out = asyncio.get_running_loop().create_task(build("probes", name).probe(thing.subject))
    done, _ = await asyncio.wait([out], timeout=0.3)
    if done:
        assert out.result().health is not Health.UNKNOWN
        return
    out.cancel()
    await asyncio.wait([out], timeout=5)
    assert out.cancelled()


@every("probes")
async def test_it_looks_at_the_incarnation_that_it_is_pointed_at(name: str, thing: Thing) -> None:
    async with living_thing() as successor:
        probe = build("probes", name)
        await thing.kill()
        sights = await asyncio.gather(*(look(probe, each.subject) for each in (thing, successor)))
    assert [sight.health for sight in sights] == [Health.UNHEALTHY, Health.HEALTHY]


@every("probes")
async def test_many_looks_at_once_do_not_meddle_with_one_another(name: str, thing: Thing) -> None:
    probe = build("probes", name)
    sights = await asyncio.gather(*(look(probe, thing.subject) for _ in range(50)))
    assert {sight.health for sight in sights} == {Health.HEALTHY}


@every("probes")
@pytest.mark.usefixtures("without_names")
@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
async def test_whatever_it_is_pointed_at_it_never_raises(name: str, nasty: str) -> None:
    good = {"address": "127.0.0.1", "port": "1", "name": "x", "path": "x", "stack": "x", "physical_id": "x"}
    probe = build("probes", name)
    for key in ("address", "port"):
        await look(probe, Subject("shop/x", "x", good | {key: nasty}))
    await look(probe, Subject("shop/x", nasty, good | {"physical_id": nasty}))


@every("probes")
async def test_what_it_knows_nothing_of_is_unknown(name: str) -> None:
    sight = await look(build("probes", name), Subject("shop/x", ""))
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.UNRESOLVED)


@every("probes")
async def test_it_leaves_nothing_behind(name: str, thing: Thing) -> None:
    probe = build("probes", name)
    before = asyncio.all_tasks()
    for _ in range(5):
        await look(probe, thing.subject)
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.005)
