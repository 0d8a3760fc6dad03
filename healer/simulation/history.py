"""One seed's history: things break and much else goes wrong, people help, and then all comes to rest."""

from __future__ import annotations

from datetime import timedelta

from healer.core.event import Released, Requested
from healer.core.incident import Incident
from healer.core.model import Resource, Root
from healer.engines.simulated.clock import START
from healer.engines.simulated.world import Ailment
from healer.simulation import company
from healer.simulation.house import House, Tally
from healer.simulation.looks import PROBE
from healer.simulation.rest import come_to_rest, is_stuck

KINDS = ("dies", "dies", "hangs", "hangs", "rots", "passes", "cursed", "wrongly accused")


class History(House):
    def __init__(self, seed: int, incidents: int) -> None:
        super().__init__(seed)
        self.seed = seed
        self.tally.incidents = incidents

    def run(self) -> Tally:
        """Play it to its end. Raises BrokenInvariantError, or whatever else is wrong, at once."""
        self.daemon.start()
        self.agenda.run(30)
        self.cloud.trouble.come(self.mood.trouble, self.mood.trouble_of_changes)
        self.deadly = True
        for _ in range(self.tally.incidents):
            self._incident()
            company.come(self)
            self.agenda.run(self.random.uniform(5, 40))
            if self.random.random() < 0.6:
                self.agenda.run_until(self._is_quiet, 240)
            self._help()
        self._calm()
        come_to_rest(self)
        self.tally.virtual = self.clock.at - START
        self.tally.healed = self.invariants.healed
        self.tally.updates = self.invariants.updates
        return self.tally

    def _is_quiet(self) -> bool:
        return not self.daemon.alive or not (self.state.repairs or self.state.incidents)

    def _calm(self) -> None:
        """From here on nothing goes wrong any more."""
        self.note("calm")
        self.deadly = False
        self.cloud.trouble.come(0)
        self.start()
        company.leave(self)
        for root in self.there():
            self.cloud.world(root).fails.clear()
            self.cloud.world(root).cursed.clear()

    # What breaks.

    def _incident(self) -> None:
        things = [
            (root, each)
            for root in self.there()
            for each in self.processes(root)
            if each.incarnation.physical_id
        ]
        if not things:
            self.create_stacks()
            return
        several = min(len(things), self.random.choice((1, 1, 1, 2, 3)))
        for root, resource in self.random.sample(things, k=several):
            self._damage(root, resource)

    def _damage(self, root: Root, resource: Resource) -> None:
        physical_id, path, now = resource.incarnation.physical_id, resource.path, self.clock.at
        kind = self.random.choice(KINDS)
        self.note(f"{path} of {root} ({physical_id}) {kind}")
        if kind == "wrongly accused":
            until = now + timedelta(seconds=self.random.uniform(5, 120))
            self.monitor.fire(root, path, self.random.uniform(0, 5), until)
            return
        self.invariants.damaged[physical_id] = now
        self._do(root, resource, kind)
        if not self._is_watched() or self.random.random() < 0.4:
            late = self.random.random() < 0.3
            self.monitor.fire(root, path, self.random.uniform(0, 240 if late else 30))

    def _do(self, root: Root, resource: Resource, kind: str) -> None:
        physical_id, world = resource.incarnation.physical_id, self.cloud.world(root)
        match kind:
            case "dies" | "cursed":
                world.kill(physical_id)
                world.cursed[resource.incarnation.name] = self.random.randint(1, 2) * (kind == "cursed")
            case "passes":
                until = self.clock.at + timedelta(seconds=self.random.uniform(2, 60))
                world.sicken(physical_id, Ailment.ROTTEN, until)
            case _:
                world.sicken(physical_id, Ailment.HUNG if kind == "hangs" else Ailment.ROTTEN)

    def _is_watched(self) -> bool:
        """Whether whatever ails a thing can be noticed without an alarm."""
        watches = [policy.detect.watches for policy in self.around.policies]
        return all(any(watch.source == PROBE for watch in each) for each in watches)

    # Who helps.

    def _help(self) -> None:
        """A person sees to some of what needs one, in one way or another."""
        for incident in list(self.state.incidents.values()):
            if is_stuck(incident) and self.random.random() < 0.7:
                self._see_to(incident)

    def _see_to(self, incident: Incident) -> None:
        target, how = incident.target, self.random.choice(("asks", "lets go", "replaces", "mends"))
        self.note(f"a person {how}: {target}")
        match how:
            case "asks":
                self.daemon.feed(Requested(target, "alice", "try again"))
            case "lets go":
                self.daemon.feed(Released(incident.id, "alice"))
            case "replaces" if self.cloud.has(target.root):
                self.cloud.replace_by_another(target.root, target.path)
            case "mends" if self.cloud.has(target.root):
                self.cloud.world(target.root).cure(incident.current.physical_id)
            case _:
                return
