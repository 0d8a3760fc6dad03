"""The daemon is killed at every instant of every step, on real processes: the stack ends healed, once, for good."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healer.client import NoDaemonError
from healer.core.step import Step
from healer.demo.house import House, pid_of

DIES = Path(__file__).parent / "dies.py"
HEALS = (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE)
"""The steps of a replacement on the embedded engine, which only then is one."""
UNWINDS = (Step.UNMARK,)
TELLS = (Step.NOTIFY,)
ELSEWHERE = {
    Step.POWER: "the embedded engine cannot restart a process and keep its identity: tests/scenarios"
}
WHEN = ("before", "in", "after")
WITHIN = 40.0


class Mortal(House):
    """The demonstration's house, with a daemon that dies at the chosen instant; the next one is the real one."""

    def __init__(self, step: Step, when: str) -> None:
        super().__init__()
        self._fate: list[str] | None = [str(step), when]

    def start(self) -> None:
        policy = self.folder / "policy.yaml"
        text = policy.read_text().replace("stable_for: 2s", "stable_for: 500ms")
        if self._fate and self._fate[0] == Step.NOTIFY:
            text = text.replace("  - {action: replace, timeout: 30s}\n", "")
        policy.write_text(text)
        super().start()

    @property
    def command(self) -> list[str]:
        if self._fate is None:
            return super().command
        return [sys.executable, str(DIES), str(self.folder / "config.yaml"), *self._fate]

    def dies(self) -> None:
        """Wait until it is dead; from then on it is started whole."""
        wait(lambda: self.died, "the daemon was not killed")
        self._fate = None


def wait(condition: Any, otherwise: str) -> Any:
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except NoDaemonError:
            pass  # It is dead, or not up yet.
        time.sleep(0.05)
    raise AssertionError(otherwise)


def healthy(house: House) -> dict[str, dict[str, Any]] | None:
    found = house.resources()
    return found if found and all(one["health"] == "healthy" for one in found.values()) else None


def at_rest(house: House) -> dict[str, dict[str, Any]] | None:
    idle = (
        not house.client.get("/v1/incidents", open=1)["incidents"]
        and not house.client.get("/v1/repairs")["repairs"]
    )
    return healthy(house) if idle else None


def started_here(house: House) -> set[int]:
    """Pids of all live processes that the stack of this house ever started, whoever lost sight of them."""
    tier = str(house.folder / "tier.py").encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if tier in words:
            found.add(int(entry.name))
    return found


@pytest.fixture
def mortal(request: pytest.FixtureRequest) -> Iterator[Mortal]:
    step, when = request.param
    with Mortal(step, when) as house:
        yield house
    assert not started_here(house), "a process was left behind"


def each(steps: tuple[Step, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "mortal",
        [(step, when) for step in steps for when in WHEN],
        ids=lambda p: f"{p[0]}-{p[1]}",
        indirect=True,
    )


def test_every_step_is_crashed_in_or_it_is_said_where() -> None:
    assert {*HEALS, *UNWINDS, *TELLS, *ELSEWHERE} == set(Step)


@each(HEALS)
def test_what_was_being_healed_is_healed_once_by_the_next_daemon(mortal: Mortal) -> None:
    before = wait(lambda: healthy(mortal), "the stack did not come up")
    os.kill(pid_of(before["db"]["physical_id"]), signal.SIGKILL)
    mortal.dies()
    mortal.start()
    after = wait(
        lambda: (
            (found := at_rest(mortal)) and found["db"]["physical_id"] != before["db"]["physical_id"] and found
        ),
        "db was not healed",
    )
    assert {name: after[name]["physical_id"] for name in ("api", "web")} == {
        name: before[name]["physical_id"] for name in ("api", "web")
    }
    assert all(one["status"].endswith("_COMPLETE") and "CHECK" not in one["status"] for one in after.values())
    assert started_here(mortal) == {pid_of(one["physical_id"]) for one in after.values()}
    closed = mortal.client.get("/v1/incidents")["incidents"]
    assert [one["outcome"] for one in closed if one["resource"] == "db"] == ["healed"]


@each(UNWINDS)
def test_what_was_being_unmarked_is_unmarked_by_the_next_daemon_and_healed_once_it_may(
    mortal: Mortal,
) -> None:
    before = wait(lambda: healthy(mortal), "the stack did not come up")
    os.kill(pid_of(before["db"]["physical_id"]), signal.SIGKILL)
    mortal.dies()
    mortal.start()
    wait(lambda: stopped(mortal), "the incident was not held")
    assert mortal.resources()["db"]["physical_id"] == before["db"]["physical_id"]
    (mortal.folder / "state" / "STOP").unlink()
    mortal.client.post("/v1/heals", {"stack": "shop", "resource": "db", "why": "the stop file is gone"})
    after = wait(
        lambda: (
            (found := at_rest(mortal)) and found["db"]["physical_id"] != before["db"]["physical_id"] and found
        ),
        "db was not healed",
    )
    assert started_here(mortal) == {pid_of(one["physical_id"]) for one in after.values()}


def stopped(house: House) -> dict[str, Any] | None:
    """The incident of db that is held by the stop file, once nothing is marked any more."""
    if marked(house) or house.client.get("/v1/repairs")["repairs"]:
        return None
    incidents: list[dict[str, Any]] = house.client.get("/v1/incidents", open=1)["incidents"]
    held = [one for one in incidents if one["refusal"] and one["refusal"]["reason"] == "stopped"]
    return next((one for one in held if one["resource"] == "db"), None)


def marked(house: House) -> list[str]:
    return [path for path, one in house.resources().items() if one["status"] == "CHECK_FAILED"]


@each(TELLS)
def test_what_was_being_told_is_told_by_the_next_daemon(mortal: Mortal) -> None:
    before = wait(lambda: healthy(mortal), "the stack did not come up")
    os.kill(pid_of(before["db"]["physical_id"]), signal.SIGKILL)
    mortal.dies()
    mortal.start()
    wait(
        lambda: [
            one
            for one in mortal.client.get("/v1/incidents", open=1)["incidents"]
            if one["resource"] == "db" and one["state"] == "exhausted"
        ],
        "nobody was told",
    )
    assert b"still fails" in mortal.log.read_bytes()
    assert mortal.resources()["db"]["physical_id"] == before["db"]["physical_id"]
