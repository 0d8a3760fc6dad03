"""All that one history is made of: a cloud with its stacks, a daemon that lives and dies, senders, and a witness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from healer.core.model import Alarm, Health, Resource, Root
from healer.core.state import State
from healer.core.step import Step
from healer.declarative.resource_types import PROCESS
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import VirtualClock
from healer.engines.simulated.cloud import Cloud
from healer.ports import Place
from healer.simulation import cast
from healer.simulation.agenda import Agenda
from healer.simulation.daemon import CLOUD, Daemon
from healer.simulation.invariants import Invariants
from healer.simulation.senders import Monitor
from healer.simulation.surroundings import Point, Surroundings


@dataclass(frozen=True, slots=True)
class Mood:
    """How bad it gets in one history; each is a probability."""

    trouble: float
    """That a call to the engine which only reads goes wrong."""
    trouble_of_changes: float
    """That one which changes something does."""
    death: float
    """That the daemon dies at one of its points."""
    company: float
    """That somebody else does something, too, while an incident lasts."""

    @classmethod
    def drawn(cls, random: Random) -> Mood:
        return cls(
            trouble=random.choice((0.0, 0.01, 0.05)),
            trouble_of_changes=random.choice((0.0, 0.1, 0.3, 0.6)),
            death=random.choice((0.0, 0.0, 0.005, 0.03)),
            company=random.choice((0.0, 0.2, 0.6)),
        )


@dataclass(slots=True)
class Tally:
    """What a history, or many of them, came to."""

    seeds: int = 0
    incidents: int = 0
    deaths: int = 0
    healed: int = 0
    updates: int = 0
    """That the daemon has asked for, one for each incident that it served."""
    finished: int = 0
    """Updates that a person had to ask for at the end: of stacks that were left FAILED, or hung."""
    virtual: timedelta = timedelta(0)

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.incidents += other.incidents
        self.deaths += other.deaths
        self.healed += other.healed
        self.updates += other.updates
        self.finished += other.finished
        self.virtual += other.virtual


class House:
    """What happens in it is drawn by the seed alone."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.mood = Mood.drawn(self.random)
        self.clock = VirtualClock()
        self.agenda = Agenda(self.clock)
        self.engine = Simulated(seed=seed, tells=self.random.random() < 0.5)
        self.engine.bind(Place(CLOUD, Path(), self.clock))
        self.roots: list[Root] = []
        self.tally = Tally(seeds=1)
        self.notes: list[tuple[datetime, str]] = []
        """What was done to the daemon and its world, for whoever reads the story."""
        self.deadly = False
        """Whether the daemon may die."""
        self.create_stacks()
        self.monitor = Monitor(self.agenda, self._accept, self.answers)
        self.invariants = Invariants(self.monitor)
        self.around = Surroundings(
            self.agenda,
            self.engine,
            Random(self.random.random()),
            cast.policies(self.random),
            witness=self.invariants,
            dies=self._dies,
        )
        self.invariants.around = self.around
        self.daemon = Daemon(self.around)

    @property
    def cloud(self) -> Cloud:
        return self.engine.cloud

    @property
    def state(self) -> State:
        """As the daemon knows it, or knew it when it died."""
        return self.daemon.kernel.state

    def note(self, text: str) -> None:
        self.notes.append((self.clock.at, text))

    # The stacks.

    def create_stacks(self) -> None:
        self.roots = [self.cloud.create(*each) for each in cast.stacks(self.random).items()]
        self.note(f"new stacks: {', '.join(root.id for root in self.roots)}")
        self.agenda.run(90)

    def there(self) -> list[Root]:
        """Stacks that nobody has deleted, or is deleting."""
        return [root for root in self.roots if self.cloud.has(root)]

    def processes(self, root: Root) -> list[Resource]:
        """What the policies look after: places, too, where nothing stands."""
        return [resource for resource in self.cloud.resources(root) if resource.type == PROCESS]

    def answers(self, root: Root, path: str) -> bool | None:
        """Whether it does, through all that it requires; None where there is no such stack."""
        if not self.cloud.has(root):
            return None
        here = [resource for resource in self.cloud.resources(root) if resource.path == path]
        sights = [
            self.cloud.world(root).sight(each.incarnation.physical_id, self.clock.at).health for each in here
        ]
        return Health.HEALTHY in sights

    # The daemon.

    def start(self) -> None:
        """Another daemon, where the last one is dead."""
        if not self.daemon.alive:
            self.daemon = Daemon(self.around)
            self.daemon.start()

    def mourn(self) -> None:
        """It has died: in a while somebody starts another one."""
        self.tally.deaths += 1
        self.agenda.after(self.random.uniform(0.1, 20), self.start)

    def _dies(self, point: Point, step: Step | None) -> bool:
        if not self.deadly or self.random.random() >= self.mood.death:
            return False
        self.note(f"the daemon dies: {point} {step or ''}")
        self.mourn()
        return True

    def _accept(self, alarms: tuple[Alarm, ...]) -> bool:
        return self.daemon.accept(alarms)
