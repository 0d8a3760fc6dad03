"""The one door: events in, changes and commands out. All of healer's deciding happens behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from healer.core import admission, alarming, progress, sighting, verification
from healer.core import event as happened
from healer.core.change import Change, PauseChanged
from healer.core.event import Event
from healer.core.ids import Ids
from healer.core.incident import IncidentState, Outcome, Refusal
from healer.core.repair import Recipe
from healer.core.silence import Silence, Silences
from healer.core.state import State
from healer.core.turn import Command, Turn


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event led to. Changes are stored, in one commit, before any command is carried out."""

    changes: tuple[Change, ...]
    commands: tuple[Command, ...]
    wake_at: datetime | None
    """When the kernel wants to be woken, whatever else happens."""


class Kernel:
    """Decides. Reads no clock, does no input or output: equal histories give equal decisions."""

    def __init__(self, state: State, nonce: bytes) -> None:
        self.state = state
        self._left = frozenset(state.repairs)
        """Ids of the repairs that the last daemon left, until they are taken up."""
        self._ids = Ids(nonce)
        self._recipes: Mapping[str, Recipe] = {}

    def handle(self, event: Event, now: datetime) -> Decision:
        """Take one event in. `now` is aware UTC and never less than the one before."""
        turn = Turn(self.state, self._ids, now, self._recipes)
        self._dispatch(turn, event)
        # Considering one stack may close incidents, which is a reason to consider it again.
        while turn.to_consider:
            root, outdated = turn.to_consider.popitem()
            admission.consider(turn, root, outdated)
        return Decision(tuple(turn.changes), tuple(turn.commands), self._wake_at())

    def _dispatch(self, turn: Turn, event: Event) -> None:
        state = self.state
        match event:
            case happened.Observed(observations):
                for observation in observations:
                    sighting.observed(turn, observation)
            case happened.Woken():
                self._woken(turn)
            case happened.Reported(identifier, attempt, report):
                repair = state.repairs.get(identifier)
                if repair is not None and repair.attempt == attempt and repair.wake_at is None:
                    progress.reported(turn, repair, report)
            case happened.Snapped(snapshot):
                sighting.snapped(turn, snapshot)
                alarming.ask_again(turn, snapshot)
            case happened.Listed(cloud, roots):
                sighting.listed(turn, cloud, roots)
                alarming.ask_again(turn)
            case happened.Unreachable(cloud, why):
                state.unreachable[cloud] = why
            case happened.Alarmed(alarms):
                alarming.alarmed(turn, alarms)
            case happened.Renewed(alarms):
                alarming.renewed(turn, alarms)
            case happened.Requested(target, who, why):
                sighting.requested(turn, target, who, why)
            case happened.Paused(pause):
                state.pauses[pause.id] = pause
                turn.changes.append(PauseChanged(turn.now, pause))
            case happened.Unpaused(identifier, who):
                self._unpaused(turn, identifier, who)
            case happened.Stopped(why):
                self._stopped(turn, why)
            case happened.Awaited(source, until):
                state.awaited[source] = until
            case happened.Silenced(source, silences):
                self._silenced(turn, source, silences)
            case happened.Released(identifier, who):
                incident = state.incidents.get(identifier)
                if incident is not None and incident.state is not IncidentState.REMEDIATING:
                    turn.close(incident, Outcome.RELEASED, {"who": who})
            case happened.PoliciesLoaded(policies, recipes):
                self._load(turn, happened.PoliciesLoaded(policies, recipes))
            case happened.Resumed():
                sighting.resumed(turn)
            case happened.Started():
                self._started(turn)
            case _:
                assert_never(event)

    def _woken(self, turn: Turn) -> None:
        alarming.expire(turn)
        for repair in list(self.state.repairs.values()):
            if repair.wake_at is not None and repair.wake_at <= turn.now:
                progress.woken(turn, repair)
        for incident in list(self.state.incidents.values()):
            if incident.wake_at is None or incident.wake_at > turn.now:
                continue
            if incident.state is IncidentState.VERIFYING:
                verification.review(turn, incident)
            else:
                turn.reconsider(incident.target.root)

    def _stopped(self, turn: Turn, why: str | None) -> None:
        before, self.state.stopped = self.state.stopped, why
        if before is not None and why is None:
            self._go_on(turn, Refusal.STOPPED)

    def _go_on(self, turn: Turn, *refusals: Refusal) -> None:
        for root in {incident.target.root for incident in self.state.incidents.values()}:
            turn.reconsider(root, *refusals)

    def _unpaused(self, turn: Turn, identifier: str, who: str) -> None:
        pause = self.state.pauses.pop(identifier, None)
        if pause is None:
            return
        turn.changes.append(PauseChanged(turn.now, pause, lifted_by=who))
        self._go_on(turn, Refusal.PAUSED, Refusal.STOPPED)

    def _silenced(self, turn: Turn, source: str, silences: tuple[Silence, ...]) -> None:
        self.state.awaited.pop(source, None)
        self.state.silences[source] = Silences(silences)
        self._go_on(turn, Refusal.SILENCED, Refusal.STOPPED)

    def _load(self, turn: Turn, loaded: happened.PoliciesLoaded) -> None:
        self.state.policies = loaded.policies
        self._recipes = turn.recipes = loaded.recipes
        sighting.reassign(turn)
        self._go_on(turn, *Refusal)

    def _started(self, turn: Turn) -> None:
        """What was out when the last daemon ended is looked at before anything else is done."""
        left, self._left = self._left, frozenset()
        for repair in list(self.state.repairs.values()):
            if repair.wake_at is None and repair.id in left:
                # A try whose answer is lost: from now on no failure proves that nothing was done.
                progress.resume(turn, replace(repair, tries=repair.tries + 1))
        verification.begin_anew(turn)
        alarming.remember(turn)

    def _wake_at(self) -> datetime | None:
        """What a repair has in hand, if only to inspect it, goes on with the repair: its own time may be long over."""
        in_hand = {identifier for repair in self.state.repairs.values() for identifier in repair.members}
        waiting = (i for i in self.state.incidents.values() if i.id not in in_hand)
        times = [incident.wake_at for incident in waiting if incident.wake_at is not None]
        times += [at for standing in self.state.expiries.values() for at in standing.values()]
        times += [r.wake_at for r in self.state.repairs.values() if r.wake_at is not None]
        return min(times, default=None)
