"""The demonstration: breaks a small stack of real processes, and prints the daemon's own journal as it heals."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from healer.client import NoDaemonError
from healer.clock import BootClock
from healer.demo.house import DemoError, House, pid_of
from healer.paper import say
from healer.ports import HealerError
from healer.story import Teller

READY_WITHIN = 30.0
HEALS_WITHIN = 60.0
"""Seconds; both take about five."""
TIERS = ("db", "api", "web")

Resources = Mapping[str, Mapping[str, Any]]


def play(fault: str, *, keep: bool = False, observe: bool = False) -> int:
    """Break it, watch, and say what was healed and in how long. 0 if it was, 1 if it was not.

    `observe`: under a policy that does not act. `keep`: go on until Ctrl-C.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # Also where it goes through a pipe, it is to be watched.
    try:
        with House(observe=observe) as house:
            return _Play(house).run(fault, keep=keep)
    except HealerError as error:
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
        self._teller = Teller()

    def run(self, fault: str, *, keep: bool) -> int:
        say(
            f"The daemon runs (pid {self._house.pid}), on the embedded engine, with a stack of three processes."
        )
        before = self._ready()
        _show(before)
        say(f"web answers through all three: {_chain(before['web'])}")
        self._seq = self._last()
        target, said, act = _fault(fault, before)
        print(f"\nNow {said}.\n")
        broken_at = self._clock.now()
        self._teller = Teller(broken_at)
        act()
        outcome = self._watch(target)
        after = self._standing()
        took = (self._clock.now() - broken_at).total_seconds()
        healed = self._tell(target, outcome, before, after, took)
        if keep:
            self._keep(after)
        return 0 if healed else 1

    def _ready(self) -> Resources:
        """The stack once all of it has been seen healthy."""
        deadline = time.monotonic() + READY_WITHIN
        print("Waiting until all of it is seen healthy ", end="", flush=True)
        while time.monotonic() < deadline:
            found = self._resources()
            if found and all(one["health"] == "healthy" for one in found.values()):
                print()
                return found
            print(".", end="", flush=True)
            time.sleep(0.25)
        print()
        raise DemoError(f"the stack did not become healthy; see {self._house.log}")

    def _standing(self) -> Resources:
        """What stands there, once it is read; a daemon that was just started has not done so."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if found := self._resources():
                return found
            time.sleep(0.25)
        raise DemoError(f"the stack was not read again; see {self._house.log}")

    def _resources(self) -> Resources:
        stacks = self._get("/v1/stacks")["stacks"]
        return {one["path"]: one for stack in stacks for one in stack["resources"]}

    def _get(self, path: str, **query: Any) -> Any:
        """Ask the daemon; one that has died, which is what somebody may want to try here, is started again."""
        while True:
            try:
                return self._house.client.get(path, **query)
            except NoDaemonError:
                died = self._house.pid
                if not self._house.revive():
                    raise
                say(
                    f"The daemon (pid {died}) was killed; as systemd would, it is started again: pid {self._house.pid}."
                )

    def _last(self) -> int:
        entries = self._get("/v1/journal", after=self._seq)["entries"]
        return entries[-1]["seq"] if entries else self._seq

    def _watch(self, target: str) -> str:
        """Print the journal until nothing fails any more, or the target is given up; how its incident ended."""
        outcome, still = "", set[str]()
        deadline = time.monotonic() + HEALS_WITHIN
        while time.monotonic() < deadline:
            for entry in self._news():
                kind = entry["kind"].removeprefix("incident.")
                if kind == "opened":
                    still.add(entry["incident"])
                if kind == "closed":
                    still.discard(entry["incident"])
                if (
                    kind in {"closed", "exhausted", "would_heal"}
                    and entry["body"]["target"]["path"] == target
                ):
                    outcome = entry["body"]["note"].get("outcome", kind)
            if outcome and (not still or outcome in {"exhausted", "would_heal"}):
                return outcome
        return outcome or "late"

    def _news(self) -> list[dict[str, Any]]:
        """What the journal has that was not printed yet; printed now."""
        entries: list[dict[str, Any]] = self._get("/v1/journal", after=self._seq, wait=1)["entries"]
        for entry in entries:
            say(self._teller.line(entry), self._teller.indent)
            self._seq = entry["seq"]
        return entries

    def _tell(self, target: str, outcome: str, before: Resources, after: Resources, took: float) -> bool:
        """What became of each, and in one line whether that is a heal."""
        say()
        for name in TIERS:
            say(_change(name, before, after))
        chain = _chain(after["web"])
        say(f"web answers through all three: {chain}" if chain else "web does not answer.")
        if outcome == "healed" and (_same(before, after, target) or not chain):
            outcome = "unproven"
        healed = outcome == "healed"
        others = " and ".join(name for name in TIERS if _same(before, after, name)) or "nothing else"
        if healed:
            print(f"\nHealed shop/{target} in {took:.1f} s: replaced and verified; {others} kept running.")
        else:
            print(f"\nNot healed: {_ENDS.get(outcome, f'shop/{target} is {outcome}')}.")
        return healed

    def _keep(self, after: Resources) -> None:
        """Until Ctrl-C, which is then no failure."""
        healer = _command()
        print(
            f"\nIt goes on until Ctrl-C. Break something yourself, and look, in another terminal:\n\n"
            f"  kill -9 {pid_of(after['api']['physical_id'])}   # api\n"
            f"  kill -9 {self._house.pid}   # the daemon itself\n"
            f"  export HEALER_SOCKET={self._house.folder / 'api.sock'}\n"
            f"  {healer} stacks\n"
            f"  {healer} incidents --all\n"
            f"  {healer} show shop/api\n"
        )
        self._teller = Teller()
        try:
            while True:
                self._news()
        except KeyboardInterrupt:
            print("\nEnded; everything that was started is being stopped.")


_ENDS = {
    "unproven": "the daemon says healed, and what is seen here does not agree",
    "would_heal": "nothing was touched, for the policy only observes; what auto would do is above",
    "late": f"it was not over within {HEALS_WITHIN:.0f} s",
}


def _fault(fault: str, found: Resources) -> tuple[str, str, Callable[[], object]]:
    """What it is about, what is said of it, and how it is done."""
    db = pid_of(found["db"]["physical_id"])
    match fault:
        case "hang":
            return "db", f"db is stopped (SIGSTOP to pid {db}): it hangs", lambda: os.kill(db, signal.SIGSTOP)
        case "sick":
            return "web", "web answers 500 from now on", lambda: _ask(found["web"], "POST", "/status", "500")
        case _:
            return "db", f"db is killed (SIGKILL to pid {db})", lambda: os.kill(db, signal.SIGKILL)


def _show(resources: Resources) -> None:
    for name in TIERS:
        one = resources[name]
        requires = f"requires {', '.join(one['requires'])}" if one["requires"] else "requires nothing"
        pid, port = pid_of(one["physical_id"]), one["attributes"]["port"]
        say(f"  {name:4} pid {pid:<8} port {port:<6} {one['health']:9} {requires}")


def _same(before: Resources, after: Resources, name: str) -> bool:
    return bool(before[name]["physical_id"] == after[name]["physical_id"])


def _change(name: str, before: Resources, after: Resources) -> str:
    old, new = before[name], after[name]
    pid, port = pid_of(new["physical_id"]), new["attributes"]["port"]
    if not _same(before, after, name):
        was = f"pid {pid_of(old['physical_id'])}, port {old['attributes']['port']}"
        return f"  {name:4} pid {pid}, port {port}: replaced, was {was}"
    if new["health"] != "healthy":
        return f"  {name:4} pid {pid}, port {port}: the same, and {new['health']}"
    told = [other for other in new["requires"] if not _same(before, after, other)]
    rewired = f", and told where {' and '.join(told)} is now" if told else ""
    return f"  {name:4} pid {pid}, port {port}: the same{rewired}"


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


def _command() -> str:
    """How healer is called from where this was."""
    script = Path(sys.executable).with_name("healer")
    if not script.exists():
        return f"{sys.executable} -m healer"
    near = os.path.relpath(script)
    return str(script) if near.startswith("..") else near
