from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from healer.core.model import Health, Symptom
from healer.ports import Sight, Subject
from healer.probes.process import Process
from tests.things import Thing, living_thing, physical_id_of, state_of


@pytest.fixture
async def thing() -> AsyncIterator[Thing]:
    async with living_thing() as thing:
        yield thing


async def look(physical_id: str) -> Sight:
    return await Process().probe(Subject("shop/web", physical_id))


async def in_state(pid: int, letters: str) -> None:
    async with asyncio.timeout(10):
        while state_of(pid) not in letters:
            await asyncio.sleep(0.005)


async def test_a_process_that_runs_is_healthy(thing: Thing) -> None:
    assert await look(thing.physical_id) == Sight(
        Health.HEALTHY, Symptom.OK, f"process {thing.process.pid} runs"
    )


async def test_a_killed_process_is_gone(thing: Thing) -> None:
    await thing.kill()
    sight = await look(thing.physical_id)
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.GONE)
    assert sight.detail == f"process {thing.process.pid} is gone: there is no such process"


async def test_a_zombie_is_gone_though_it_is_still_listed() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220 - asyncio would reap it at once
    try:
        physical_id = physical_id_of(child.pid)
        await in_state(child.pid, "Z")
        sight = await look(physical_id)
    finally:
        child.wait(10)
    assert sight == Sight(Health.UNHEALTHY, Symptom.GONE, f"process {child.pid} is gone: it has ended")


async def test_a_stopped_process_is_alive_and_unhealthy_until_it_goes_on(thing: Thing) -> None:
    thing.freeze()
    await in_state(thing.process.pid, "T")
    sight = await look(thing.physical_id)
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.TIMED_OUT)
    assert "stopped by a signal" in sight.detail
    thing.thaw()
    await in_state(thing.process.pid, "RS")
    assert (await look(thing.physical_id)).health is Health.HEALTHY


async def test_a_number_that_was_used_again_is_another_process(thing: Thing) -> None:
    boot, pid, started = thing.physical_id.split(":")
    sight = await look(f"{boot}:{pid}:{int(started) - 1}")
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.GONE)
    assert "belongs to another process" in sight.detail


async def test_a_process_of_an_earlier_boot_is_gone_whatever_has_its_number_now(thing: Thing) -> None:
    _, pid, started = thing.physical_id.split(":")
    sight = await look(f"00000000-0000-0000-0000-000000000000:{pid}:{started}")
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, Symptom.GONE)
    assert "started anew" in sight.detail


@pytest.mark.parametrize(
    "physical_id", ["", "7", "b:x:1", "b:1:x", "b:1", ":1:2", "b:1:2:3", "b:٣:1", "b:../1:2"]
)
async def test_what_names_no_process_is_unknown(physical_id: str) -> None:
    sight = await look(physical_id)
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert sight.detail.endswith("is no process of this machine")


async def test_a_number_beyond_all_processes_is_gone(thing: Thing) -> None:
    boot = thing.physical_id.partition(":")[0]
    assert (await look(f"{boot}:{10**30}:1")).symptom is Symptom.GONE


async def test_a_process_that_is_there_and_cannot_be_read_is_unknown(
    monkeypatch: pytest.MonkeyPatch, thing: Thing
) -> None:
    def hidden(path: str, *words: int) -> int:
        if path == f"/proc/{thing.process.pid}/stat":
            raise FileNotFoundError(2, "No such file or directory", path)
        return really(path, *words)

    really = os.open
    with monkeypatch.context() as hidepid:
        hidepid.setattr(os, "open", hidden)
        sight = await look(thing.physical_id)
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.PROBE_BROKEN)


async def test_an_observer_out_of_descriptors_says_nothing_of_the_process(
    monkeypatch: pytest.MonkeyPatch, thing: Thing
) -> None:
    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(os, "open", none_left)
        sight = await look(thing.physical_id)
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.PROBE_BROKEN)
    assert "Too many open files" in sight.detail


async def test_a_name_that_imitates_the_kernel_s_form_deceives_nobody() -> None:
    script = "import ctypes, time; ctypes.CDLL(None).prctl(15, b') Z 1 1 (x'); print(1, flush=True); time.sleep(60)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        await process.stdout.readline()
        assert (await look(physical_id_of(process.pid))).health is Health.HEALTHY
    finally:
        process.kill()
        await process.wait()


async def test_a_process_that_a_debugger_holds_is_unknown() -> None:
    """Somebody is looking at it, and stopping is part of looking."""
    script = "import ctypes, os, signal; ctypes.CDLL(None).ptrace(0, 0, 0, 0); os.kill(os.getpid(), signal.SIGSTOP)"
    held = subprocess.Popen([sys.executable, "-c", script])  # noqa: ASYNC220 - asyncio's watcher would take its stop
    try:
        await in_state(held.pid, "t")
        sight = await look(physical_id_of(held.pid))
    finally:
        held.kill()
        held.wait(10)
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.UNRESOLVED)
    assert sight.detail == f"a debugger holds process {held.pid}"
