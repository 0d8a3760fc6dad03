"""A program that commits to a state directory until it is stopped, and prints what was acknowledged.

    python -m tests.stores.committing DIRECTORY [FIRST]

One line for each commit, its number, once `commit` has returned; before that, `open`. Each commit brings one incident
and one alarm, and ends the repair of the one before while it begins its own.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

from healer.ports import Store, Write
from healer.stores.sqlite import Sqlite
from tests.stores.samples import alarm, at, incident, repair, stepped, told, ulid


def one(number: int) -> Write:
    members = (ulid(number),)
    ended = replace(repair(number - 1, members=(ulid(number - 1),)), closed_at=at(number))
    changes = (
        told(incident(number), seconds=number),
        stepped(ended, "ended", number),
        stepped(repair(number, members=members), "admitted", number),
    )
    return Write(changes, (alarm(number),))


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def commit_for_ever(store: Store, first: int) -> None:
    for number in itertools.count(first):
        assert store.commit([one(number)]) == ((True,),)
        say(number)


if __name__ == "__main__":
    state = Sqlite(directory=Path(sys.argv[1]))
    state.acquire()
    say("open")
    commit_for_ever(state, int(sys.argv[2]))
