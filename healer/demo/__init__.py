"""The demonstration: breaks a small stack of real processes, and prints the daemon's own journal as it heals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from healer.client import NoDaemonError
from healer.clock import BootClock
from healer.demo.house import DemoError, House, pid_of
from healer.story import sentence

READY_WITHIN = 30.0
HEALS_WITHIN = 60.0
"""Seconds; both take about five."""


def play(fault: str, *, keep: bool) -> int:
    """Break it, watch, and say what was healed and in how long. 0 if it was, 1 if it was not."""
    try:
        with House() as house:
            return _Play(house).run(fault, keep=keep)
    except DemoError as error:
        print(f"healer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnded; everything that was started has been stopped.")
        return 130


class _Play:
    def __init__(self, house: House) -> None:
        self._house = house
        self._seq = 0
        self._clock = BootClock()
        self._broken_at = self._clock.now()
        self._before: datetime | None = None

    def run(self, fault: str, *, keep: bool) -> int:
        house = self._house
        print(
            f"The daemon runs (pid {house.pid}), on the embedded engine, with a stack of three real processes."
        )
        before = self._ready()
        _show(before)
        print(f"web answers through all three: {_chain(before['web'])}")
        self._seq = self._last()
        target, said, act = self._fault(fault, before)
        print(f"\nNow {said}.\n")
        self._broken_at = self._clock.now()
        act()
        closed = self._watch(target)
        after = house.resources()
        took = (self._clock.now() - self._broken_at).total_seconds()
        healed = closed == "healed" and _show_change(before, after)
        chain = _chain(after["web"])
        print(f"web answers through all three: {chain}" if chain else "web does not answer.")
        if healed and chain:
            others = [name for name in before if _same(before, after, name)]
            print(
                f"\nHealed shop/{target} in {took:.1f} s: replaced and verified; "
                f"{' and '.join(others) or 'no other'} kept running."
            )
        else:
            print(f"\nNot healed: shop/{target} ended as {closed}.")
        if keep:
            self._keep()
        return 0 if healed and chain else 1

    def _ready(self) -> Mapping[str, Any]:
        """The stack once all of it has been seen healthy."""
        deadline = time.monotonic() + READY_WITHIN
        print("Waiting until all of it is seen healthy ", end="", flush=True)
        while time.monotonic() < deadline:
            found = self._house.resources()
            if found and all(one["health"] == "healthy" for one in found.values()):
                print()
                return found
            print(".", end="", flush=True)
            time.sleep(0.25)
        print()
        raise DemoError(f"the stack did not become healthy; see {self._house.log}")

    def _fault(self, fault: str, found: Mapping[str, Any]) -> tuple[str, str, Callable[[], None]]:
        db = pid_of(found["db"]["physical_id"])

        def sicken() -> None:
            _ask(found["web"], "POST", "/status", "500")

        match fault:
            case "hang":
                return (
                    "db",
                    f"db is stopped (SIGSTOP to pid {db}): it hangs",
                    lambda: os.kill(db, signal.SIGSTOP),
                )
            case "sick":
                return (
                    "web",
                    "web answers 500 from now on",
                    sicken,
                )
            case _:
                return "db", f"db is killed (SIGKILL to pid {db})", lambda: os.kill(db, signal.SIGKILL)

    def _last(self) -> int:
        entries = self._house.client.get("/v1/journal", after=self._seq)["entries"]
        return entries[-1]["seq"] if entries else self._seq

    def _watch(self, target: str) -> str:
        """Print the journal until nothing fails any more; how the target's incident ended."""
        outcome, still = "not noticed", set[str]()
        deadline = time.monotonic() + HEALS_WITHIN
        while time.monotonic() < deadline:
            for entry in self._news():
                self._print(entry)
                if entry["kind"] == "incident.opened":
                    still.add(entry["incident"])
                if entry["kind"] in {"incident.closed", "incident.exhausted"}:
                    still.discard(entry["incident"])
                    if entry["body"]["target"]["path"] == target:
                        outcome = entry["body"]["note"].get("outcome", "exhausted")
            if outcome != "not noticed" and not still:
                return outcome
        return f"{outcome} within {HEALS_WITHIN:.0f} s"

    def _news(self) -> list[dict[str, Any]]:
        try:
            entries: list[dict[str, Any]] = self._house.client.get("/v1/journal", after=self._seq, wait=1)[
                "entries"
            ]
        except NoDaemonError:
            if not self._house.died:
                return []
            print("          the daemon is dead; it is started again, as systemd would")
            self._house.start()
            return []
        if entries:
            self._seq = entries[-1]["seq"]
        return entries

    def _print(self, entry: Mapping[str, Any]) -> None:
        """When it was, since the break; how long after what came before it; and what it says."""
        at = datetime.fromisoformat(entry["at"])
        passed = (at - self._before).total_seconds() if self._before else 0.0
        self._before = at
        print(
            f"{(at - self._broken_at).total_seconds():6.2f}s {passed:+6.2f}s  {sentence(entry)}", flush=True
        )

    def _keep(self) -> None:
        socket = self._house.folder / "api.sock"
        print(
            f"\nIt goes on until Ctrl-C. Break things yourself (kill -9 a pid), and look, in another terminal:\n"
            f"  export HEALER_SOCKET={socket}\n  healer stacks; healer incidents --all; healer show INCIDENT\n"
            f"The daemon may be killed too (kill -9 {self._house.pid}).\n"
        )
        self._broken_at = self._clock.now()
        while True:
            for entry in self._news():
                self._print(entry)


def _show(resources: Mapping[str, Any]) -> None:
    for name in ("db", "api", "web"):
        one = resources[name]
        pid, port = pid_of(one["physical_id"]), one["attributes"]["port"]
        requires = f"requires {', '.join(one['requires'])}" if one["requires"] else "requires nothing"
        print(f"  {name:4} pid {pid:<8} port {port:<6} {one['health']:9} {requires}")


def _same(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    return bool(before[name]["physical_id"] == after[name]["physical_id"])


def _show_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """What became of each; whether anything was replaced at all."""
    print()
    for name in ("db", "api", "web"):
        old, new = before[name], after[name]
        pid, port = pid_of(new["physical_id"]), new["attributes"]["port"]
        if _same(before, after, name):
            wires = " (told of the new address)" if name == "api" and not _same(before, after, "db") else ""
            print(f"  {name:4} pid {pid}, port {port}: the same{wires}")
        else:
            was = f"pid {pid_of(old['physical_id'])}, port {old['attributes']['port']}"
            print(f"  {name:4} pid {pid}, port {port}: replaced, was {was}")
    return any(not _same(before, after, name) for name in before)


def _chain(resource: Mapping[str, Any]) -> str:
    """`web <- api <- db` as web's own answer tells it; empty where it does not answer 200."""
    status, body = _ask(resource, "GET", "/")
    if status != 200:
        return ""
    names, here = [], json.loads(body)
    while here:
        names.append(f"{here['name']} (pid {here['pid']})")
        here = next(iter(here["below"].values()), None)
    return " <- ".join(names)


def _ask(resource: Mapping[str, Any], method: str, path: str, body: str = "") -> tuple[int, bytes]:
    where = resource["attributes"]
    connection = http.client.HTTPConnection(where["address"], int(where["port"]), timeout=5)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()
