"""`python -m healer.simulation`: many seeds, all invariants after everything that happens, and what it cost."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from itertools import count

from healer.simulation.history import History
from healer.simulation.house import Tally
from healer.story import sentence

PROGRESS_S = 5.0
"""CPU seconds between two lines that say how far it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where no invariant was broken, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m healer.simulation",
        description="Play incidents in virtual time, and look for what must never be.",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories (default: 1000)")
    parser.add_argument("--first", type=int, default=1, help="the seed of the first one (default: 1)")
    parser.add_argument("--incidents", type=int, default=10, help="how many in each history (default: 10)")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--verbose", action="store_true", help="tell the story of each history")
    asked = parser.parse_args(arguments)
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    return play(seeds, asked.incidents, verbose=asked.verbose)


def play(seeds: Sequence[int], incidents: int, *, verbose: bool = False) -> int:
    """Play these histories, until one is broken."""
    whole = Tally()
    said = time.process_time()
    for number, seed in zip(count(1), seeds, strict=False):
        history = History(seed, incidents)
        try:
            whole.add(history.run())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            say(story(history))
            say("".join(traceback.format_exception(error)))
            say(f"seed {seed} is broken: {error}")
            say(f"again: python -m healer.simulation --seed {seed} --incidents {incidents} --verbose")
            return 1
        if verbose:
            say(story(history))
        if time.process_time() - said > PROGRESS_S:
            said = time.process_time()
            say(f"  {number} of {len(seeds)} seeds, {whole.deaths} crashes, CPU {said:.0f} s")
    say(summary(whole))
    return 0


def summary(whole: Tally) -> str:
    hours = whole.virtual.total_seconds() / 3600
    return (
        f"{whole.seeds} seeds, {whole.incidents} incidents, {whole.updates} updates asked for,"
        f" {whole.finished} finished by a person, {whole.healed} healed, {whole.deaths} crashes,"
        f" {hours:.0f} virtual hours:"
        f" no invariant broken. CPU {time.process_time():.0f} s"
    )


def story(history: History) -> str:
    """The daemon's journal, and what was done to it and its world, in order."""
    entries = history.around.store.journal(limit=100_000)
    told = [
        (each.at, sentence({"at": each.at.isoformat(), "kind": each.kind, "body": each.body}))
        for each in entries
    ]
    noted = [(at, f"* {note}") for at, note in history.notes]
    both = sorted([*noted, *told], key=lambda each: each[0])
    lines = [f"{at:%H:%M:%S.%f}"[:-3] + f"  {line}" for at, line in both]
    policies = [f"  {policy}" for policy in history.around.policies]
    return "\n".join([f"seed {history.seed}", *policies, *lines])


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
