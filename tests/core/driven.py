"""A kernel on a stack of three tiers, driven by hand: what happens goes in, and what it wants done is answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from healer.core.change import Change
from healer.core.event import (
    Alarmed,
    Event,
    Listed,
    Observed,
    PoliciesLoaded,
    Reported,
    Snapped,
    Started,
    Woken,
)
from healer.core.incident import Incident
from healer.core.kernel import Kernel
from healer.core.model import (
    Alarm,
    AlarmStatus,
    Effect,
    Health,
    Incarnation,
    Observation,
    Reference,
    Resource,
    Root,
    Selector,
    Snapshot,
    StackState,
    Symptom,
    Target,
)
from healer.core.policy import (
    Detect,
    Guardrails,
    Match,
    Mode,
    Policy,
    Remediation,
    Verify,
    Watch,
)
from healer.core.repair import Recipe, Repair
from healer.core.state import State
from healer.core.step import Done, Finished, Inspected, Marked, Previewed, Read, Report, Step
from healer.core.turn import Perform

START = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
SHOP = Root("here", "local", "shop-id", "shop")
PROBE = "probe:http"
REPLACE = Recipe(
    "replace",
    (Step.INSPECT, Step.MARK, Step.PREVIEW, Step.CONVERGE, Step.FOLLOW, Step.PROVE),
    replaces=True,
)
NOTIFY = Recipe("notify", (Step.NOTIFY,), heals=False)
POLICY = Policy(
    name="tiers",
    match=Match(type="Local::Process"),
    mode=Mode.AUTO,
    detect=Detect(
        watches=(Watch(PROBE, timedelta(seconds=1), timedelta(seconds=1)),),
        fail_after=2,
        recover_after=2,
        startup_grace=timedelta(seconds=10),
        settle_for=timedelta(seconds=1),
    ),
    remediations=(Remediation("replace", timedelta(minutes=5)), Remediation("notify")),
    guardrails=Guardrails(cooldown=timedelta(seconds=30)),
    verify=Verify(within=timedelta(seconds=60), stable_for=timedelta(seconds=2)),
)


def tier(name: str, physical_id: str, *requires: str) -> Resource:
    return Resource(
        path=name,
        type="Local::Process",
        incarnation=Incarnation(SHOP.id, name, physical_id),
        action="CREATE",
        state=StackState.COMPLETE,
        requires=requires,
        created_at=START - timedelta(days=1),
    )


def shop(**resources: Resource) -> Snapshot:
    """db <- api <- web, whose wires refer to the one below; these put in the places of their names."""
    tiers = {"db": tier("db", "db-1"), "api": tier("api", "api-1", "db"), "web": tier("web", "web-1", "api")}
    return Snapshot(
        root=SHOP,
        taken_at=START,
        action="CREATE",
        state=StackState.COMPLETE,
        resources={**tiers, **resources},
        references=tuple(
            Reference(above, "wires", below, "port", Effect.UPDATED)
            for above, below in (("api", "db"), ("web", "api"))
        ),
        created_at=START - timedelta(days=1),
        rebuildable=frozenset({"Local::Process"}),
    )


@dataclass
class Driven:
    policy: Policy = POLICY
    now: datetime = START
    state: State = field(default_factory=State)
    changes: list[Change] = field(default_factory=list)
    out: list[Perform] = field(default_factory=list)
    """Commands that nobody has answered yet."""
    begun: int = 0
    """How often a daemon was started: each has a nonce of its own."""
    recipes: dict[str, Recipe] = field(default_factory=lambda: {"replace": REPLACE, "notify": NOTIFY})

    def __post_init__(self) -> None:
        self.there = shop()
        self.begin()

    def begin(self) -> None:
        """As a daemon begins: from what is kept alone, and then it looks."""
        kept = self.state
        self.state = State(kept.incidents, kept.repairs, kept.attempts, kept.pauses, kept.alarms)
        self.begun += 1
        self.kernel = Kernel(self.state, b"for a test, start %d" % self.begun)
        self.out.clear()
        for event in (
            PoliciesLoaded((self.policy,), dict(self.recipes)),
            Started(),
            Snapped(self.there),
            Listed("here", frozenset({SHOP})),
        ):
            self.happen(event)

    def happen(self, event: Event) -> None:
        decision = self.kernel.handle(event, self.now)
        self.changes += decision.changes
        self.out += decision.commands

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.happen(Woken())

    def look(self, healthy: bool, *paths: str, times: int = 2) -> None:
        """The probe's, one a second."""
        health, symptom = (Health.HEALTHY, Symptom.OK) if healthy else (Health.UNHEALTHY, Symptom.REFUSED)
        for _ in range(times):
            self.now += timedelta(seconds=1)
            seen = tuple(Observation(Target(SHOP, path), PROBE, health, symptom, self.now) for path in paths)
            self.happen(Observed(seen))

    def alarm(self, *paths: str, status: AlarmStatus = AlarmStatus.FIRING, since: datetime = START) -> None:
        alarms = tuple(
            Alarm("am", f"{path}-down", status, since, self.now, Selector(stack="shop", resource=path))
            for path in paths
        )
        self.happen(Alarmed(alarms))

    def read(self, snapshot: Snapshot) -> None:
        self.there = snapshot
        self.happen(Snapped(snapshot))

    def report(self, report: Report) -> None:
        """Answer the oldest command that is out."""
        command = self.out.pop(0)
        self.happen(Reported(command.repair.id, command.repair.attempt, report))

    def carry_out(self, until: Step | None = None) -> None:
        """Let what is out succeed, step by step, until this one is out, or nothing is."""
        while self.out and self.out[0].repair.step is not until:
            self.carry_out_one()

    def carry_out_one(self) -> None:
        """Let the oldest command that is out succeed."""
        self.report(Done(self._facts(self.out[0].repair)))

    def _facts(self, repair: Repair) -> Inspected | Marked | Previewed | Read | Finished:
        match repair.step:
            case Step.INSPECT:
                return Inspected(self.there, {SHOP.id: frozenset()})
            case Step.MARK:
                return Marked("7")
            case Step.PREVIEW:
                return Previewed({})
            case Step.PROVE:
                assert repair.plan is not None
                self.there = replaced(self.there, *(c.path for c in repair.plan.condemned))
                return Read(self.there, {})
            case _:
                return Finished()

    def incident(self, path: str) -> Incident | None:
        return self.state.incident_of(Target(SHOP, path))

    def held(self, path: str) -> str:
        """For which reason; empty where nothing is held."""
        incident = self.incident(path)
        return str(incident.refusal.reason) if incident and incident.refusal else ""

    def heal(self, path: str) -> None:
        """It fails by the probe, is replaced, and seen healthy for long enough."""
        self.look(False, path)
        self.pass_time(1)
        self.carry_out()
        self.look(True, path, times=4)
        self.pass_time(1)
        assert self.incident(path) is None


def replaced(snapshot: Snapshot, *paths: str) -> Snapshot:
    """The stack after an update that gave these a new incarnation."""
    resources = dict(snapshot.resources)
    for path in paths:
        old = resources[path].incarnation
        new = f"{old.physical_id.partition('-')[0]}-{int(old.physical_id.partition('-')[2]) + 1}"
        resources[path] = replace(resources[path], incarnation=replace(old, physical_id=new))
    return replace(snapshot, resources=resources, action="UPDATE")
