"""How each recorded step is looked at and performed, through the ports alone; daemon and simulation share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from healer.core.incident import Incident
from healer.core.planner import Condemned, Plan
from healer.core.repair import Repair
from healer.core.step import (
    NATURE,
    Done,
    Failed,
    Failure,
    Inspected,
    Marked,
    Pending,
    Previewed,
    Read,
    Report,
    Step,
)
from healer.core.turn import Perform
from healer.ports import Engine, EngineError, Message, Notifier, OperationState

BEGINS_WITHIN = timedelta(seconds=2)
"""How long after an accepted update its first event may take: ten times the slowest seen on a real Heat."""

_LONGEST_WHY = 200
"""Characters of a sentence that goes into a mark or a title: a sender's annotation may be of any length."""


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs one step at a time and reports what came of it; what must not be lost is in the repair, not here."""

    engines: Mapping[str, Engine]
    """By cloud."""
    notifiers: Mapping[str, Notifier]
    installation: str
    """Names our marks, so that two healers never take each other's."""
    stopped: Callable[[], str | None]
    """Why nothing may be touched now (the stop file); looked at right before every mutating call but un-mark."""
    _told: dict[str, set[tuple[str, str]]] = field(default_factory=dict, init=False)
    """Repair → who was told of which incident already, so that one notifier that is down repeats no other."""

    async def perform(self, command: Perform) -> Report:
        """Look first where the step may be done already, then perform it. What an engine refuses is a report."""
        repair = command.repair
        try:
            if command.resumed and (done := await self._look(repair)):
                return done
            return command.objection or await self._perform(command)
        except EngineError as error:
            return _failed(repair.step, error)

    async def _look(self, repair: Repair) -> Done | None:
        """Whether the step was done by an earlier try whose answer was lost. Repeatable steps are simply repeated."""
        match repair.step:
            case Step.CONVERGE:
                operation = await self._engine(repair).operation(repair.root, repair.position)
                # One that was in progress already is asked for once more, which does no harm if it was before.
                again = repair.resumed and operation.state is OperationState.IN_PROGRESS
                return None if again or operation.state is OperationState.NOT_BEGUN else Done()
            case Step.POWER:
                # It may have been carried out, and a second one would be an outage of its own: what is seen decides.
                return Done()
            case _:
                return None

    async def _perform(self, command: Perform) -> Report:
        repair = command.repair
        match repair.step:
            case Step.INSPECT:
                return await self._inspect(command)
            case Step.MARK:
                return await self._mark(repair, command.incidents)
            case Step.PREVIEW:
                return Done(Previewed(await self._preview(repair, _stacks(_plan(repair)))))
            case Step.UNMARK:
                return await self._unmark(repair)
            case Step.CONVERGE:
                return await self._converge(repair)
            case Step.FOLLOW:
                return await self._follow(repair)
            case Step.PROVE:
                return await self._prove(repair)
            case Step.POWER:
                return await self._power(repair, command.incidents)
            case Step.NOTIFY:
                return await self._notify(command)

    def _engine(self, repair: Repair) -> Engine:
        engine = self.engines.get(repair.root.cloud)
        if engine is None:
            raise EngineError(
                Failure.UNREACHABLE, f"there is no cloud {repair.root.cloud} in the configuration"
            )
        return engine

    def _may_touch(self) -> None:
        """Raises where it may not; to be called right before each call that changes anything."""
        if why := self.stopped():
            raise EngineError(Failure.STOPPED, why)

    async def _inspect(self, command: Perform) -> Report:
        repair = command.repair
        snapshot = await self._engine(repair).snapshot(repair.root)
        baseline: Mapping[str, frozenset[str]] = {}
        if repair.recipe.replaces and not snapshot.busy:
            found = [snapshot.resources.get(incident.target.path) for incident in command.incidents]
            baseline = await self._preview(repair, {r.incarnation.stack for r in found if r is not None})
        return Done(Inspected(snapshot, baseline))

    async def _preview(self, repair: Repair, stacks: set[str]) -> Mapping[str, frozenset[str]]:
        return {stack: await self._engine(repair).preview(repair.root, stack) for stack in sorted(stacks)}

    async def _mark(self, repair: Repair, incidents: tuple[Incident, ...]) -> Report:
        engine = self._engine(repair)
        why = {incident.target.path: _brief(incident.detail) for incident in incidents}
        for condemned in _to_mark(repair):
            sentence = why.get(condemned.path) or "it fails"
            self._may_touch()
            await engine.mark(repair.root, condemned.incarnation, f"{self._signature(repair)} {sentence}")
        return Done(Marked(await engine.position(repair.root)))

    def _signature(self, repair: Repair) -> str:
        return f"healer:{self.installation}/{repair.id}:"

    async def _unmark(self, repair: Repair) -> Report:
        """Take back what is still marked by this repair, and nothing that anybody else marked."""
        engine = self._engine(repair)
        snapshot = await engine.snapshot(repair.root)
        for condemned in _to_mark(repair):
            resource = snapshot.resources.get(condemned.path)
            if resource and resource.marked and resource.reason.startswith(self._signature(repair)):
                try:
                    await engine.unmark(repair.root, resource.incarnation)
                except EngineError as error:
                    # It has just been replaced, and its mark with it; the others may still be marked.
                    if error.failure is not Failure.STALE:
                        raise
        return Done()

    async def _converge(self, repair: Repair) -> Report:
        engine = self._engine(repair)
        own = repair.position if repair.resumed else None
        if own is None or await self._is_under_way(repair):
            self._may_touch()
            await engine.converge(repair.root, own)
        operation = await engine.operation(repair.root, repair.position)
        if operation.state is OperationState.NOT_BEGUN:
            return Failed(Failure.NOT_BEGUN, "the update was accepted and has not begun", BEGINS_WITHIN)
        return Done()

    async def _is_under_way(self, repair: Repair) -> bool:
        operation = await self._engine(repair).operation(repair.root, repair.position)
        return operation.state is OperationState.IN_PROGRESS

    async def _follow(self, repair: Repair) -> Report:
        engine = self._engine(repair)
        operation = await engine.operation(repair.root, repair.position)
        match operation.state:
            case OperationState.COMPLETE:
                return Done()
            case OperationState.FAILED:
                return Failed(Failure.UPDATE_FAILED, operation.detail)
            case OperationState.IN_PROGRESS | OperationState.NOT_BEGUN:
                return Pending(engine.poll, operation.detail, operation.done, operation.total)

    async def _prove(self, repair: Repair) -> Report:
        engine, plan = self._engine(repair), _plan(repair)
        snapshot = await engine.snapshot(repair.root)
        wired = [path for path in plan.wired if path in snapshot.resources]
        return Done(Read(snapshot, await engine.wires(repair.root, wired)))

    async def _power(self, repair: Repair, incidents: tuple[Incident, ...]) -> Report:
        engine = self._engine(repair)
        for incident in incidents:
            self._may_touch()
            await engine.power(repair.root, incident.current)
        return Done()

    async def _notify(self, command: Perform) -> Report:
        """Tell everybody: one who cannot be reached keeps no other from being told, and is tried again."""
        names = [command.notifier] if command.notifier else sorted(self.notifiers)
        if not names:
            return Failed(Failure.REJECTED, "no notifier is configured, so nobody was told")
        told = self._told.setdefault(command.repair.id, set())
        failed: list[Failed] = []
        for incident in command.incidents:
            for name in names:
                if (incident.id, name) in told:
                    continue
                try:
                    await self._notifier(name).notify(message(incident))
                except EngineError as error:
                    failure = _failed(Step.NOTIFY, error)
                    failed.append(replace(failure, detail=f"{name}: {failure.detail}"))
                else:
                    told.add((incident.id, name))
        again = [failure for failure in failed if failure.failure is not Failure.REJECTED]
        if not again:
            del self._told[command.repair.id]
        return next(iter((*again, *failed)), Done())

    def _notifier(self, name: str) -> Notifier:
        if name not in self.notifiers:
            raise EngineError(Failure.REJECTED, "there is no such notifier in the configuration")
        return self.notifiers[name]


def message(incident: Incident) -> Message:
    """What a person is told of an incident that healing did not end."""
    return Message(
        incident=incident.id,
        title=f"{incident.target} still fails: {_brief(incident.detail) or incident.symptom}",
        text=f"{incident.target} has been failing since {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC "
        f"({incident.symptom}). See: healer show {incident.id}",
        fields={
            "cloud": incident.target.root.cloud,
            "stack": str(incident.target.root),
            "resource": incident.target.path,
            "type": incident.type,
            "policy": incident.policy,
            "symptom": incident.symptom,
        },
    )


def _failed(step: Step, error: EngineError) -> Failed:
    """A failure that the step cannot end in is a plug-in's mistake, and proves nothing: it is UNREACHABLE."""
    if error.failure in NATURE[step].failures:
        return Failed(error.failure, error.detail, error.retry_after)
    detail = f"{error.failure} is no end of {step}: {error.detail}"
    return Failed(Failure.UNREACHABLE, detail, error.retry_after)


def _brief(sentence: str) -> str:
    """One line of it."""
    line = " ".join(sentence.split())
    return line if len(line) <= _LONGEST_WHY else line[: _LONGEST_WHY - 1] + "…"


def _plan(repair: Repair) -> Plan:
    return repair.plan or Plan(repair.root, ())


def _to_mark(repair: Repair) -> tuple[Condemned, ...]:
    return tuple(condemned for condemned in _plan(repair).condemned if condemned.needs_mark)


def _stacks(plan: Plan) -> set[str]:
    return {condemned.incarnation.stack for condemned in plan.condemned}
