"""Plays the demonstration's kill once, and keeps its journal for the README: `python -m tests.demo.record`.

README.md shows the story of that journal, as the story module tells it today; a test holds it to that.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from healer.clock import BootClock
from healer.demo.house import House, pid_of
from healer.story import Teller

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
JOURNAL = Path(__file__).with_name("journal.json")
LOOK_S = 0.1


def lines() -> list[str]:
    """The kept journal as the demonstration would print it."""
    kept = json.loads(JOURNAL.read_text())
    broken_at = datetime.fromisoformat(kept["broken_at"])
    teller = Teller(broken_at)
    took = datetime.fromisoformat(kept["entries"][-1]["at"]) - broken_at
    healed = (
        f"Healed shop/db in {took.total_seconds():.1f} s: replaced and verified; api and web kept running."
    )
    return [*(teller.line(entry) for entry in kept["entries"]), "", healed]


def shown() -> list[str]:
    """The lines of the README's first fenced block."""
    return README.read_text().split("\n```\n")[1].splitlines()


def play() -> dict[str, Any]:
    with House() as house:
        while not (found := house.resources()) or any(one["health"] != "healthy" for one in found.values()):
            time.sleep(LOOK_S)
        broken_at = BootClock().now()
        os.kill(pid_of(found["db"]["physical_id"]), signal.SIGKILL)
        while not (entries := house.client.get("/v1/journal")["entries"]) or not over(entries):
            time.sleep(LOOK_S)
        return {"broken_at": broken_at.isoformat(), "entries": entries}


def over(entries: list[dict[str, Any]]) -> bool:
    opened, closed = (
        {entry["incident"] for entry in entries if entry["kind"] == f"incident.{kind}"}
        for kind in ("opened", "closed")
    )
    return len(opened) == len(closed) == 3


def main() -> None:
    JOURNAL.write_text(json.dumps(play(), indent=1) + "\n")
    text = README.read_text()
    before, _, after = text.split("\n```\n", 2)
    README.write_text("\n```\n".join([before, "\n".join(lines()), after]))


if __name__ == "__main__":
    main()
