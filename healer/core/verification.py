"""After the remediation: a heal is done when it is seen, not when a call returned."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from healer.core.detector import Standing, Track, is_alarm, stable_since, standing
from healer.core.guardrails import is_gone
from healer.core.incident import Climbed, Exhausted, Incident, IncidentState, Outcome, Remediated
from healer.core.model import Symptom
from healer.core.policy import ProvedBy
from healer.core.step import Step
from healer.core.turn import Turn


def verify(turn: Turn, incident: Incident) -> None:
    """The remediation was carried out; from here only looks made from now on count, or what the engine has proven."""
    case = turn.case(incident)
    resource = case.snapshot.resources.get(incident.target.path) if case.snapshot else None
    successor = resource.incarnation if resource else None
    turn.reset_tracks(incident.target)
    incident = turn.advance(
        incident,
        Remediated(successor, turn.now + case.settings.verify.within),
        "remediated",
        {"successor": (successor or incident.current).physical_id},
    )
    # What nobody looks at and no sender will clear has no other witness than the engine.
    unwatched = not case.settings.detect.watches and not is_alarm(incident.source)
    # Of a restart the engine knows only that it was asked for, and after a crash not even that.
    proven = Step.PROVE in case.recipe.steps
    if not ((case.settings.verify.by is ProvedBy.ENGINE and proven) or unwatched):
        review(turn, incident)
    elif is_gone(resource):
        climb(turn, incident, "it is gone again")
    else:
        _healed(turn, incident, by="engine")


def review(turn: Turn, incident: Incident) -> None:
    """Close what has been healthy long enough, climb where the time is over, and say when to look again."""
    settings = turn.case(incident).settings
    since = _healthy_since(turn, incident)
    if since is not None and turn.now >= since + settings.verify.stable_for:
        _healed(turn, incident, by="check")
        return
    deadline = incident.deadline or turn.now
    if turn.now >= deadline:
        climb(turn, incident, f"it was not seen healthy within {settings.verify.within.total_seconds():g} s")
        return
    wake = min(deadline, since + settings.verify.stable_for) if since else deadline
    turn.wake_incident(incident, wake)


def begin_anew(turn: Turn) -> None:
    """Nobody could look for a while: what is being verified has all of its time again."""
    for incident in list(turn.state.incidents.values()):
        if incident.state is IncidentState.VERIFYING:
            until = turn.now + turn.case(incident).settings.verify.within
            turn.state.incidents[incident.id] = replace(incident, deadline=until, wake_at=until)


def _healthy_since(turn: Turn, incident: Incident) -> datetime | None:
    """Since when all whose word counts find it healthy; None while one of them does not, or has yet to look.

    Those are the policy's own checks where a probe is among them; else also whoever raised the alarm, for what the
    engine says of its books is no answer to that.
    """
    tracks = turn.state.tracks.get(incident.target, {})
    needed = {watch.source for watch in turn.case(incident).settings.detect.watches}
    if any(source.startswith("probe:") for source in needed):
        tracks = {source: track for source, track in tracks.items() if source in needed}
    elif is_alarm(incident.source):
        needed.add(incident.source)
    if any(tracks.get(source, Track()).good_since is None for source in needed):
        return None
    return stable_since(tracks)


def _healed(turn: Turn, incident: Incident, *, by: str) -> None:
    """Close it. An alarm that still stands is about what was replaced, and so is a failure that nobody saw since."""
    tracks = turn.state.tracks.get(incident.target, {})
    turn.state.tracks[incident.target] = {
        source: Track(since=track.since) if track.failing else track
        for source, track in tracks.items()
        if not is_alarm(source)
    }
    turn.close(incident, Outcome.HEALED, {"by": by})


def is_over(turn: Turn, incident: Incident) -> bool:
    """Whether nothing fails, and whoever raised it has taken it back.

    A demand is over only once it was tried in vain: until then it is not about what was seen.
    """
    tracks = turn.state.tracks.get(incident.target, {})
    if standing(tracks) is not Standing.CALM:
        return False
    if incident.request is not None and incident.state is not IncidentState.EXHAUSTED:
        return False
    detect, source = turn.case(incident).settings.detect, incident.source
    if is_alarm(source):
        return tracks.get(source, Track()).good >= 1
    if all(watch.source != source for watch in detect.watches):
        # A person raised it, or a check that the policy does not have any more.
        return stable_since(tracks) is not None
    return tracks.get(source, Track()).good >= detect.recover_after


def climb(turn: Turn, incident: Incident, why: str) -> None:
    """This rung is used up: the next one, or a person."""
    if incident.successor is not None and incident.successor != incident.incarnation:
        # What was seen of its predecessor says nothing of this one, least of all that no cause explains it.
        seen = [track for track in turn.state.tracks.get(incident.target, {}).values() if track.bad]
        incident = replace(incident, symptom=seen[0].symptom if seen else Symptom.UNRESOLVED, detail=why)
    ladder = turn.case(incident).settings.remediations
    if incident.rung + 1 < len(ladder):
        note = {"why": why, "next": ladder[incident.rung + 1].action}
        turn.advance(incident, Climbed(turn.now), "climbed", note)
        turn.reconsider(incident.target.root)
    else:
        turn.reset_tracks(incident.target)  # It may come back by itself: looks from now on tell.
        turn.advance(incident, Exhausted(), "exhausted", {"why": why})
