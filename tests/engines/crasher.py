"""A program that creates the shop, kills its db and heals it, and itself dies of SIGKILL at the n-th call of reality.

    python -m tests.engines.crasher STATE TEMPLATE N before|after

Exit 0 where there were fewer than N calls. Its clock and its engine are those of the daemon.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

from healer.declarative.reality import Made, Thing
from healer.engines.local import Local
from healer.engines.local.things import Things
from tests.engines.shop import heal, kill, local

_Answer = TypeVar("_Answer")


class Mortal(Things):
    count: ClassVar[int] = 0
    death: ClassVar[tuple[int, str]] = (0, "before")

    def _at_risk(self, call: Callable[[], _Answer]) -> _Answer:
        type(self).count += 1
        if self.death == (self.count, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call()
        if self.death == (self.count, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def create(self, thing: Thing) -> Made:
        return self._at_risk(lambda: super(Mortal, self).create(thing))

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        self._at_risk(lambda: super(Mortal, self).update(thing, changed))

    def delete(self, thing: Thing) -> None:
        self._at_risk(lambda: super(Mortal, self).delete(thing))

    def deleted(self, thing: Thing) -> bool:
        return self._at_risk(lambda: super(Mortal, self).deleted(thing))

    def attributes(self, thing: Thing) -> Mapping[str, object]:
        return self._at_risk(lambda: super(Mortal, self).attributes(thing))


class Doomed(Local):
    made_of: ClassVar[type[Things]] = Mortal


async def main(state: Path, template: Path) -> None:
    engine = local(state, {"shop": template}, Doomed)
    await engine.start()
    (root,) = await engine.roots()
    await kill(engine, root, "db")
    await heal(engine, root, "db")


if __name__ == "__main__":
    Mortal.death = (int(sys.argv[3]), sys.argv[4])
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
