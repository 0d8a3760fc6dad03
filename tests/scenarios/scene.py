"""One stack of three tiers, db <- api <- web, with a daemon that looks after it, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

from healer.core.change import Change
from healer.core.event import Event
from healer.core.incident import Incident, IncidentState
from healer.core.kernel import Decision
from healer.core.model import Alarm, AlarmStatus, Incarnation, Root, Selector, Snapshot
from healer.core.policy import (
    Attempts,
    Detect,
    Guardrails,
    Match,
    Mode,
    Policy,
    Remediation,
    Verify,
    Watch,
)
from healer.core.step import Step
from healer.engines.simulated import Simulated
from healer.engines.simulated.clock import VirtualClock
from healer.engines.simulated.trouble import Call
from healer.engines.simulated.world import Ailment, World
from healer.ports import Place
from healer.simulation.agenda import Agenda
from healer.simulation.daemon import CLOUD, Daemon
from healer.simulation.looks import PROBE
from healer.simulation.surroundings import Point, Surroundings
from healer.story import sentence, tell
from tests.contract.harness_simulated import declaration

POLICY = Policy(
    name="tiers",
    match=Match(type="Local::Process"),
    mode=Mode.AUTO,
    detect=Detect(
        watches=(Watch(PROBE, timedelta(seconds=2), timedelta(seconds=1)),),
        fail_after=2,
        recover_after=2,
        startup_grace=timedelta(seconds=15),
        settle_for=timedelta(seconds=2),
    ),
    remediations=(Remediation("replace", timedelta(minutes=2)), Remediation("notify")),
    guardrails=Guardrails(Attempts(max=5), cooldown=timedelta(seconds=10)),
    verify=Verify(within=timedelta(seconds=60), stable_for=timedelta(seconds=5)),
)
REBOOT_FIRST = replace(
    POLICY, remediations=(Remediation("reboot", timedelta(minutes=1)), *POLICY.remediations)
)


class Scene:
    """Everything is well to begin with. What happens later is told in minutes and seconds of virtual time."""

    def __init__(self, policy: Policy = POLICY, *, seed: int = 0, tells: bool = True) -> None:
        clock = VirtualClock()
        self.engine = Simulated(seed=seed, tells=tells)
        self.engine.bind(Place(CLOUD, Path(), clock))
        self.root: Root = self.engine.cloud.create("shop", declaration("three_tier.yaml"))
        clock.pass_time(60)
        self.agenda = Agenda(clock)
        self.around = Surroundings(self.agenda, self.engine, Random(seed), (policy,), witness=self)
        self.around.dies = self._dies
        self.replaced: list[str] = []
        """Physical ids of what was marked, in order."""
        self.changes: list[Change] = []
        self.deaths: list[tuple[Point, Step | None]] = []
        self.dying: list[tuple[Point, Step]] = []
        """Where the daemon is still to die, each once."""
        self.daemon = Daemon(self.around)
        self.daemon.start()
        self.run(20)
        self.born = {path: self.standing(path) for path in ("db", "api", "web")}

    # What happens.

    def run(self, seconds: float) -> None:
        self.agenda.run(seconds)

    def until(self, state: IncidentState | None, path: str, within: float = 600) -> None:
        """Until the incident of this resource is so; None: until it has none."""

        def reached() -> bool:
            incident = self.incident(path)
            return (incident.state if incident else None) is state

        assert self.agenda.run_until(reached, within), self.story()

    def until_healed(self, path: str, within: float = 600) -> None:
        if self.incident(path) is None:
            assert self.agenda.run_until(lambda: self.incident(path) is not None, within), self.story()
        self.until(None, path, within)

    def until_step(self, step: Step, within: float = 600) -> None:
        """Until a repair is about to take this step."""

        def reached() -> bool:
            return any(repair.step is step for repair in self.daemon.kernel.state.repairs.values())

        assert self.agenda.run_until(reached, within), self.story()

    def kill(self, path: str) -> None:
        self.world.kill(self.standing(path).physical_id)

    def hang(self, path: str, *, for_s: float | None = None, rotten: bool = False) -> None:
        until = None if for_s is None else self.agenda.clock.at + timedelta(seconds=for_s)
        self.world.sicken(self.standing(path).physical_id, Ailment.ROTTEN if rotten else Ailment.HUNG, until)

    def alarm(self, path: str, status: AlarmStatus = AlarmStatus.FIRING, *, since_s: float = 0) -> None:
        """Somebody's, that began so many seconds ago."""
        now = self.agenda.clock.at
        selector = Selector(stack="shop", resource=path)
        began = now - timedelta(seconds=since_s)
        self.daemon.accept((Alarm("am", f"{path}-down", status, began, now, selector),))

    def restart(self, after_s: float = 3) -> None:
        """The daemon dies now, if it lives, and another one is started."""
        if self.daemon.alive:
            self.daemon.die()
        self.run(after_s)
        self.daemon = Daemon(self.around)
        self.daemon.start()

    # What there is.

    @property
    def world(self) -> World:
        return self.engine.cloud.world(self.root)

    def standing(self, path: str) -> Incarnation:
        return self.engine.cloud.resource_of(self.root, path)

    def is_new(self, path: str) -> bool:
        return self.standing(path) != self.born[path]

    def is_well(self, path: str) -> bool:
        return self.world.sight(self.standing(path).physical_id, self.agenda.clock.at).health == "healthy"

    def snapshot(self) -> Snapshot:
        """As the daemon knows it."""
        return self.daemon.kernel.state.snapshots[self.root]

    def incident(self, path: str) -> Incident | None:
        found = [i for i in self.daemon.kernel.state.incidents.values() if i.target.path == path]
        return found[0] if found else None

    def closed(self, path: str) -> list[str]:
        """How each incident of this resource ended, in order."""
        ended = [i for i in self.around.store.incidents() if i.target.path == path and i.outcome]
        return [str(incident.outcome) for incident in reversed(ended)]

    def kinds(self) -> list[str]:
        """The story so far: the kinds of its entries, in order."""
        return [entry.kind for entry in self.around.store.journal(limit=10_000)]

    def story(self) -> str:
        """For a person, where a test has failed."""
        entries = [
            {"at": entry.at.isoformat(), "kind": entry.kind, "body": entry.body}
            for entry in self.around.store.journal(limit=10_000)
        ]
        return "\n" + "\n".join(tell(entries))

    def marked(self) -> list[str]:
        resources = self.engine.cloud.resources(self.root)
        return [resource.path for resource in resources if resource.marked]

    def assert_at_peace(self, *, new: set[str]) -> None:
        """All is well, these were replaced, once each, and nothing else; and nothing is left behind."""
        assert {path for path in self.born if self.is_new(path)} == new, self.story()
        assert [path for path in self.born if not self.is_well(path)] == [], self.story()
        assert self.marked() == []
        assert len(self.world.items) == len(self.born), "there is a stray"
        assert len(self.replaced) == len(new), self.story()

    # As the daemon's witness.

    def decided(self, event: Event, decision: Decision) -> None:
        del event
        self.changes += decision.changes

    def called(self, call: Call, root: Root | None, which: Incarnation | None) -> None:
        del root
        if call is Call.MARK and which and which.physical_id not in self.replaced:
            self.replaced.append(which.physical_id)

    def _dies(self, point: Point, step: Step | None) -> bool:
        if step is not None and (point, step) in self.dying:
            self.dying.remove((point, step))
            self.deaths.append((point, step))
            return True
        return False


__all__ = ["POLICY", "REBOOT_FIRST", "Scene", "sentence"]
