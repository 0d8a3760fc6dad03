"""When looks add up to a failure, and when to a recovery: consecutive counts, with unknown in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from healer.core.model import Health, Observation, Symptom
from healer.core.policy import Detect


@dataclass(frozen=True, slots=True)
class Track:
    """What one source has been seeing of one target's present incarnation.

    Counts stop at their threshold, so that a look that says nothing new returns the very same value.
    """

    failing: bool = False
    bad: int = 0
    good: int = 0
    bad_since: datetime | None = None
    good_since: datetime | None = None
    symptom: Symptom = Symptom.OK
    detail: str = ""
    was_healthy: bool = False
    """It has been healthy once since it was created: its time of grace is over."""
    since: datetime | None = None
    """Looks that began before this moment say nothing: they may have seen what was there before a heal."""


def observe(track: Track, seen: Observation, detect: Detect) -> Track:
    """The track after one more look. Unknown changes nothing: what was not seen is evidence of nothing."""
    if track.since is not None and seen.at < track.since:
        return track
    match seen.health:
        case Health.UNKNOWN:
            return track
        case Health.UNHEALTHY:
            return _unhealthy(track, seen, detect)
        case Health.HEALTHY:
            return _healthy(track, seen, detect)
        case _:
            assert_never(seen.health)


def _unhealthy(track: Track, seen: Observation, detect: Detect) -> Track:
    enough = detect.fail_after
    bad = enough if seen.judged else min(track.bad + 1, enough)
    since = track.bad_since or seen.at
    failing = track.failing or (bad >= enough and (seen.judged or seen.at - since >= detect.unhealthy_for))
    if track.bad == bad and track.failing == failing and track.symptom is seen.symptom and not track.good:
        return track
    return replace(
        track,
        failing=failing,
        bad=bad,
        good=0,
        bad_since=since,
        good_since=None,
        symptom=seen.symptom,
        detail=seen.detail,
    )


def _healthy(track: Track, seen: Observation, detect: Detect) -> Track:
    enough = 1 if seen.judged else detect.recover_after
    good = min(track.good + 1, enough)
    failing = track.failing and good < enough
    if track.good == good and track.failing == failing and not track.bad:
        return track
    return replace(
        track,
        failing=failing,
        good=good,
        bad=0,
        bad_since=None,
        good_since=track.good_since or seen.at,
        symptom=Symptom.OK if not failing else track.symptom,
        detail="" if not failing else track.detail,
        was_healthy=True,
    )


def forget(track: Track, now: datetime, *, judged: bool = False) -> Track:
    """The failure without its counts: only looks that begin from now on decide whether it is one still.

    What somebody has judged to be over stays over: whoever has taken an alarm back says nothing more.
    """
    if judged and track.good and not track.failing:
        return replace(track, good_since=now)
    return Track(failing=track.failing, symptom=track.symptom, detail=track.detail, since=now)


class Standing(StrEnum):
    """What all sources together say of one target."""

    CALM = "calm"
    SUSPECT = "suspect"
    """Some looks failed, not yet enough of them."""
    FAILING = "failing"


def standing(tracks: Mapping[str, Track]) -> Standing:
    if any(track.failing for track in tracks.values()):
        return Standing.FAILING
    if any(track.bad for track in tracks.values()):
        return Standing.SUSPECT
    return Standing.CALM


def is_alarm(source: str) -> bool:
    """Whether somebody else has judged what comes from this source."""
    return source.startswith("alarm:")


def confirmed(tracks: Mapping[str, Track], fail_after: int) -> bool:
    """Whether one source has seen enough since its counts began; an alarm is enough by itself."""
    return any(
        track.failing and track.bad >= (1 if is_alarm(source) else fail_after)
        for source, track in tracks.items()
    )


def stable_since(tracks: Mapping[str, Track]) -> datetime | None:
    """Since when every source that has looked at the target finds it healthy; None while one does not, or none has."""
    if standing(tracks) is not Standing.CALM:
        return None
    seen = [track.good_since for track in tracks.values() if track.good_since is not None]
    return max(seen) if seen else None


def in_grace(tracks: Mapping[str, Track], began: datetime | None, grace: timedelta, now: datetime) -> bool:
    """Whether the target may still be coming up: it has not been healthy once, and its grace is not over.

    A check that fails must have found it healthy itself: that the engine is through with it says nothing of whether
    it answers. Whoever sends an alarm cannot have, and takes the word of any check.
    """
    failing = [track for source, track in tracks.items() if track.failing and not is_alarm(source)]
    if began is None or any(track.was_healthy for track in failing or tracks.values()):
        return False
    return now < began + grace
