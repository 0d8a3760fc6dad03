"""One seed's history: stacks are looked after while everything goes wrong, and then all comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from healer.core.change import Pause
from healer.core.event import Paused, Released, Requested, Unpaused
from healer.core.incident import Refusal
from healer.core.model import Alarm, Health, Resource, Root, StackState, Target
from healer.core.step import Step
from healer.declarative.resource_types import PROCESS
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import START, VirtualClock
from healer.engines.simulated.trouble import Misbehaviour
from healer.engines.simulated.world import Ailment
from healer.ports import Place
from healer.simulation import cast
from healer.simulation.agenda import Agenda
from healer.simulation.daemon import CLOUD, Daemon
from healer.simulation.invariants import BrokenInvariantError, Invariants
from healer.simulation.rest import assert_at_rest, is_stuck, unfinished
from healer.simulation.senders import Monitor
from healer.simulation.surroundings import Point, Surroundings

BY_OTHERS = (
    Misbehaviour.FOREIGN_UPDATE,
    Misbehaviour.FOREIGN_UPDATE,
    Misbehaviour.FOREIGN_REPLACEMENT,
    Misbehaviour.FOREIGN_UNMARK,
    Misbehaviour.FOREIGN_MARK,
    Misbehaviour.FOREIGN_DELETION,
)
AT_REST_WITHIN_S = 4 * 3600.0
QUIET_S = 45.0
QUIET_TWICE = 2
RECENTLY_S = 120.0


@dataclass(slots=True)
class Tally:
    """What a history, or many of them, came to."""

    seeds: int = 0
    incidents: int = 0
    deaths: int = 0
    healed: int = 0
    finished: int = 0
    """Updates that somebody had to ask for at the end: of stacks that were left FAILED, or hung."""
    replacements: int = 0
    virtual: timedelta = timedelta(0)

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.incidents += other.incidents
        self.deaths += other.deaths
        self.healed += other.healed
        self.finished += other.finished
        self.replacements += other.replacements
        self.virtual += other.virtual


@dataclass(slots=True)
class Mood:
    """How bad it gets in one history."""

    trouble: float
    """That a call to the engine which only reads goes wrong."""
    trouble_of_changes: float
    """That one which changes something does."""
    death: float
    """That the daemon dies at one of its points."""
    interference: float
    """That one of the other things (other hands, pauses, gaps, …) comes with an incident."""

    @classmethod
    def drawn(cls, random: Random) -> Mood:
        return cls(
            trouble=random.choice((0.0, 0.01, 0.05)),
            trouble_of_changes=random.choice((0.0, 0.1, 0.3, 0.6)),
            death=random.choice((0.0, 0.0, 0.005, 0.03)),
            interference=random.choice((0.0, 0.2, 0.6)),
        )


class History:
    def __init__(self, seed: int, incidents: int) -> None:
        self.seed = seed
        self.tally = Tally(seeds=1, incidents=incidents)
        self.notes: list[tuple[datetime, str]] = []
        """What was done to the daemon and its world, for whoever reads the story."""
        self._random = Random(seed)
        self._mood = Mood.drawn(self._random)
        self._clock = VirtualClock()
        self._agenda = Agenda(self._clock)
        self.engine = Simulated(seed=seed, tells=self._random.random() < 0.5)
        self.engine.bind(Place(CLOUD, Path(), self._clock))
        self._roots = [self.engine.cloud.create(*each) for each in cast.stacks(self._random).items()]
        self._clock.pass_time(90)
        self.invariants = Invariants()
        self.around = Surroundings(
            self._agenda,
            self.engine,
            Random(self._random.random()),
            cast.policies(self._random),
            witness=self.invariants,
            dies=self._dies,
        )
        self._daemon = Daemon(self.around)
        self._monitor = Monitor(self._agenda, self._accept, self._is_well)
        self.invariants.around, self.invariants.monitor = self.around, self._monitor
        self._deadly = False

    def run(self) -> Tally:
        """Play it to its end. Raises BrokenInvariantError, or whatever else is wrong, at once."""
        self._daemon.start()
        self._agenda.run(30)
        self.engine.cloud.trouble.come(self._mood.trouble, self._mood.trouble_of_changes)
        self._deadly = True
        for _ in range(self.tally.incidents):
            self._incident()
            while self._random.random() < self._mood.interference:
                self._agenda.after(self._random.uniform(0, 60), self._random.choice(self._interferences()))
            self._agenda.run(self._random.uniform(5, 40))
            if self._random.random() < 0.6:
                self._agenda.run_until(lambda: not self._daemon.alive or self._is_quiet(), 240)
            self._help()
        self._calm()
        self._come_to_rest()
        self.tally.virtual = self._clock.at - START
        self.tally.healed = self.invariants.healed
        self.tally.replacements = self.invariants.replacements
        return self.tally

    # What breaks.

    def _incident(self) -> None:
        things = [
            each for root in self._roots for each in self._things(root) if each[1].incarnation.physical_id
        ]
        if not things:
            self._restore()
            return
        for root, resource in self._random.sample(
            things, k=min(len(things), self._random.choice((1, 1, 1, 2, 3)))
        ):
            self._damage(root, resource)

    def _damage(self, root: Root, resource: Resource) -> None:
        physical_id, world, now = (
            resource.incarnation.physical_id,
            self.engine.cloud.world(root),
            self._clock.at,
        )
        kind = self._random.choice(
            ("dies", "dies", "hangs", "hangs", "rots", "passes", "cursed", "wrongly accused")
        )
        self._note(f"{resource.path} of {root} ({physical_id}) {kind}")
        if kind == "wrongly accused":
            until = now + timedelta(seconds=self._random.uniform(5, 120))
            self._monitor.fire(root, resource.path, self._random.uniform(0, 5), until)
            return
        self.invariants.damaged[physical_id] = now
        ailment = Ailment.HUNG if kind == "hangs" else Ailment.ROTTEN
        passes_at = now + timedelta(seconds=self._random.uniform(2, 60)) if kind == "passes" else None
        if kind in {"dies", "cursed"}:
            world.kill(physical_id)
            world.cursed[resource.incarnation.name] = self._random.randint(1, 2) if kind == "cursed" else 0
        else:
            world.sicken(physical_id, ailment, passes_at)
        if not self._is_watched(resource) or self._random.random() < 0.4:
            late = self._random.random() < 0.3
            self._monitor.fire(root, resource.path, self._random.uniform(0, 240 if late else 30))

    def _things(self, root: Root) -> list[tuple[Root, Resource]]:
        if not self.engine.cloud.has(root):
            return []
        listed = self.engine.cloud.resources(root)
        return [(root, resource) for resource in listed if resource.type == PROCESS]

    def _is_watched(self, resource: Resource) -> bool:
        """Whether whatever ails it can be noticed without an alarm."""
        del resource
        return all(
            any(watch.source.startswith("probe:") for watch in policy.detect.watches)
            for policy in self.around.policies
        )

    def _restore(self) -> None:
        """Everything was deleted: somebody makes new stacks."""
        self._roots = [self.engine.cloud.create(*each) for each in cast.stacks(self._random).items()]
        self._note(f"new stacks: {', '.join(root.id for root in self._roots)}")
        self._agenda.run(90)

    def _help(self) -> None:
        """A person sees to some of what needs one, in one way or another."""
        for incident in list(self._daemon.kernel.state.incidents.values()):
            if not is_stuck(incident) or self._random.random() < 0.3:
                continue
            target, how = incident.target, self._random.choice(("asks", "lets go", "replaces", "mends"))
            self._note(f"a person {how}: {target}")
            match how:
                case "asks":
                    self._daemon.feed(Requested(target, "alice", "try again"))
                case "lets go":
                    self._daemon.feed(Released(incident.id, "alice"))
                case "replaces" if self.engine.cloud.has(target.root):
                    self.engine.cloud.replace_by_another(target.root, target.path)
                case "mends" if self.engine.cloud.has(target.root):
                    self.engine.cloud.world(target.root).cure(incident.current.physical_id)
                case _:
                    continue

    # What else comes between.

    def _interferences(self) -> list[Callable[[], None]]:
        return [
            self._other_hand,
            self._other_hand,
            self._pause,
            self._stop,
            self._lose_time,
            self._cut_off,
            self._kill,
        ]

    def _other_hand(self) -> None:
        roots = [root for root in self._roots if self.engine.cloud.has(root)]
        if not roots:
            return
        root, what = self._random.choice(roots), self._random.choice(BY_OTHERS)
        if what is Misbehaviour.FOREIGN_DELETION and self._random.random() < 0.8:
            return
        self._note(f"{what} of {root}")
        self.engine.cloud.interfere(root, what)

    def _pause(self) -> None:
        seconds = self._random.uniform(10, 90)
        until = self._clock.at + timedelta(seconds=seconds) if self._random.random() < 0.5 else None
        scope = self._random.choice(("all", f"cloud:{CLOUD}", "stack:shop", "policy:all"))
        identity = f"pause-{len(self.notes)}"
        self._note(f"{scope} is paused for {seconds:.0f} s")
        self._daemon.feed(Paused(Pause(identity, scope, "alice", "to look at it", self._clock.at, until)))
        self._agenda.after(seconds, lambda: self._daemon.feed(Unpaused(identity, "alice")))

    def _stop(self) -> None:
        seconds = self._random.uniform(5, 60)
        self._note(f"the stop file is there for {seconds:.0f} s")
        self.around.stop_file = "STOP is there"
        self.invariants.stopped_since = self.invariants.stopped_since or self._clock.at
        self._agenda.after(seconds, self._go)

    def _go(self) -> None:
        self.around.stop_file = self.invariants.stopped_since = None

    def _lose_time(self) -> None:
        seconds = self._random.uniform(10, 200)
        self._note(f"{seconds:.0f} s are lost")
        self._daemon.lose_time(seconds)
        self.invariants.awake_since = self._clock.at

    def _cut_off(self) -> None:
        self._note("the cloud is out of reach")
        self._daemon.cloud.away = True
        self._agenda.after(self._random.uniform(5, 90), self._reach_again)

    def _reach_again(self) -> None:
        self._daemon.cloud.away = False

    def _kill(self) -> None:
        if self._deadly and self._daemon.alive:
            self._note("the daemon is killed")
            self._daemon.die()
            self._after_death()

    # Life and death of the daemon.

    def _dies(self, point: Point, step: Step | None) -> bool:
        if not self._deadly or self._random.random() >= self._mood.death:
            return False
        self._note(f"the daemon dies: {point} {step or ''}")
        self._after_death()
        return True

    def _after_death(self) -> None:
        self.tally.deaths += 1
        self._agenda.after(self._random.uniform(0.1, 20), self._be_born)

    def _be_born(self) -> None:
        if not self._daemon.alive:
            self._daemon = Daemon(self.around)
            self._daemon.start()

    def _accept(self, alarms: tuple[Alarm, ...]) -> bool:
        return self._daemon.accept(alarms)

    def _is_well(self, root: Root, path: str) -> bool | None:
        if not self.engine.cloud.has(root):
            return None
        found = [resource for resource in self.engine.cloud.resources(root) if resource.path == path]
        if not found:
            return False
        physical_id = found[0].incarnation.physical_id
        return self.engine.cloud.world(root).sight(physical_id, self._clock.at).health is Health.HEALTHY

    def _is_quiet(self) -> bool:
        return not self._daemon.kernel.state.repairs and not self._daemon.kernel.state.incidents

    # The end.

    def _calm(self) -> None:
        """From here on nothing goes wrong any more, and whoever has stopped or paused it lets it go."""
        self._note("calm")
        self._deadly = False
        self.engine.cloud.trouble.come(0)
        self._go()
        self._be_born()
        self._reach_again()
        for identity in list(self._daemon.kernel.state.pauses):
            self._daemon.feed(Unpaused(identity, "alice"))
        for root in self._roots:
            if self.engine.cloud.has(root):
                world = self.engine.cloud.world(root)
                world.fails.clear()
                world.cursed.clear()

    def _come_to_rest(self) -> None:
        """Until nothing has been going on for a while; somebody tells the daemon of whatever it cannot see."""
        latest = self._clock.at + timedelta(seconds=AT_REST_WITHIN_S)
        quiet = 0
        while quiet < QUIET_TWICE:
            self._agenda.run(QUIET_S)
            going_on = list(unfinished(self._daemon.kernel.state)) + self._busy() + self._tell()
            quiet = 0 if going_on else quiet + 1
            if self._clock.at > latest:
                raise BrokenInvariantError(f"it does not come to rest: {'; '.join(going_on)}")
        for root in self._roots:
            if self.engine.cloud.has(root):
                assert_at_rest(self.engine, root, self._daemon.kernel.state)
        for filed in self.around.store.alarms(limit=10_000):
            if filed.outcome is None:
                raise BrokenInvariantError(f"alarm {filed.alarm.identity} was accepted, and is not settled")

    def _busy(self) -> list[str]:
        """Stacks in progress, or left by somebody as no healer may touch them: a person's update ends that."""
        found = []
        state = self._daemon.kernel.state
        for root in self._roots:
            if not self.engine.cloud.has(root):
                continue
            refused = [i.refusal.reason for i in state.incidents_of(root) if i.refusal]
            repair = state.repair_of(root)
            hangs = self.engine.cloud.hangs(root) and (repair is None or repair.step is Step.UNMARK)
            idle = repair is None and not self.engine.cloud.busy(root)
            failed = idle and self.engine.cloud.state(root) is StackState.FAILED
            # Whoever looks after a stack sees that it is FAILED, though nothing in it fails.
            if hangs or (failed and (Refusal.FOREIGN_CHANGES in refused or not state.incidents_of(root))):
                self._note(f"a person updates {root}, which {'hangs' if hangs else 'was left FAILED'}")
                self.tally.finished += 1
                self.engine.cloud.update_by_another(root)
            if self.engine.cloud.busy(root):
                found.append(f"{root} is in progress")
        return found

    def _tell(self) -> list[str]:
        """An alarm for whatever is broken and has no incident, which a daemon without probes cannot know."""
        found = []
        for root in self._roots:
            for _, resource in self._things(root):
                target = Target(root, resource.path)
                if not self._is_broken(root, resource) or self._daemon.kernel.state.incident_of(target):
                    continue
                found.append(f"{target} is broken")
                if not self._is_told(root, resource.path):
                    self.invariants.damaged[resource.incarnation.physical_id] = self._clock.at
                    self._monitor.fire(root, resource.path, 0)
        return found

    def _is_broken(self, root: Root, resource: Resource) -> bool:
        """Itself, or in what it was told; not so what is only just coming up, or requires what is broken."""
        physical_id, cloud = resource.incarnation.physical_id, self.engine.cloud
        return not cloud.world(root).is_well(physical_id, self._clock.at) or cloud.is_lost(root, physical_id)

    def _is_told(self, root: Root, path: str) -> bool:
        newest = [each for each in self._monitor.senders if (each.root, each.path) == (root, path)][-1:]
        recent = self._clock.at - timedelta(seconds=RECENTLY_S)
        return any(sender.started_at > recent and not sender.over for sender in newest)

    def _note(self, text: str) -> None:
        self.notes.append((self._clock.at, text))
