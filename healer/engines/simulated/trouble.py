"""What goes wrong with a cloud: every misbehaviour, where it has been seen, and when the next one comes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from random import Random


class Call(StrEnum):
    """A method of the engine, as far as something can go wrong with it."""

    ROOTS = "roots"
    SNAPSHOT = "snapshot"
    MARK = "mark"
    UNMARK = "unmark"
    PREVIEW = "preview"
    POSITION = "position"
    CONVERGE = "converge"
    OPERATION = "operation"
    WIRES = "wires"
    POWER = "power"


class Misbehaviour(StrEnum):
    """One way in which a cloud, or somebody else in it, does not do what was asked for."""

    TIMED_OUT = "timed_out"
    """The call is not carried out, and all that is heard is silence."""
    ANSWER_LOST = "answer_lost"
    """The call is carried out, and all that is heard is silence."""
    FORBIDDEN = "forbidden"
    """403, also after a mark that was allowed."""
    LOST_MARK = "lost_mark"
    """200, and nothing is marked."""
    LATE_MARK = "late_mark"
    """The update passes the mark by: it ends COMPLETE, and the mark stands."""
    LOST_UPDATE = "lost_update"
    """202, and no update begins."""
    LYING_COMPLETE = "lying_complete"
    """The update ends COMPLETE, takes the marks away, and has replaced nothing."""
    HANGING_UPDATE = "hanging_update"
    """Its engine dies in the middle: it is in progress for ever, until somebody asks for an update."""
    FAILING_CREATE = "failing_create"
    """The replacement cannot be made, once to three times."""
    SPOILT_CREATE = "spoilt_create"
    """The replacement breaks while it is made: it has an id, and does not exist."""
    FAILING_UPDATE = "failing_update"
    """A dependent cannot be told of the successor."""
    UNDELETABLE = "undeletable"
    """The old one cannot be deleted: it is left over, a stray, until another update tries again."""
    FOREIGN_UPDATE = "foreign_update"
    """Somebody's update begins at this very moment; where ours comes after it, it supersedes it."""
    CROSSED_UPDATE = "crossed_update"
    """Two updates at once: both are answered 202, and it is the other's that is carried out."""
    FOREIGN_FAILURE = "foreign_failure"
    """Somebody's update begins, and fails."""
    FOREIGN_MARK = "foreign_mark"
    """Somebody marks a resource, and does nothing more."""
    FOREIGN_UNMARK = "foreign_unmark"
    """Somebody takes a mark back, whosever it is."""
    FOREIGN_REPLACEMENT = "foreign_replacement"
    """Somebody marks a resource and updates the stack."""
    FOREIGN_DELETION = "foreign_deletion"
    """Somebody deletes the stack."""


_RACE = (
    "Measured on Heat 27: of six updates at once all were answered 202 and one was carried out; a mark that came"
    " while an update ran was replaced, left over, lost, or wedged the stack."
)
SEEN: Mapping[Misbehaviour, tuple[str, str]] = {
    Misbehaviour.TIMED_OUT: (
        "engine_killed",
        "Where no engine answers, Heat's API says 500 MessagingTimeout after a minute.",
    ),
    Misbehaviour.ANSWER_LOST: (
        "engine_killed",
        "What the engine had begun when it was killed was there, and nobody had been told.",
    ),
    Misbehaviour.FORBIDDEN: (
        "",
        "Measured with Keystone 30: another member's application credential marks (200), and may not update (403).",
    ),
    Misbehaviour.LOST_MARK: ("", _RACE),
    Misbehaviour.LATE_MARK: ("marked_too_late", "api stays CHECK_FAILED under UPDATE_COMPLETE."),
    Misbehaviour.LOST_UPDATE: ("two_updates_at_once", _RACE),
    Misbehaviour.LYING_COMPLETE: (
        "unmarked",
        "A resource with an external_id, and OS::Heat::None, is CHECK_COMPLETE after the update and the same.",
    ),
    Misbehaviour.HANGING_UPDATE: ("engine_killed", "UPDATE_IN_PROGRESS until the next update."),
    Misbehaviour.FAILING_CREATE: ("replacement_fails", "CREATE_FAILED, without a physical id."),
    Misbehaviour.SPOILT_CREATE: (
        "",
        "Measured on Heat 27: a server that went to ERROR while it was made (ResourceInError) had an id.",
    ),
    Misbehaviour.FAILING_UPDATE: ("dependent_gone_too", "api is UPDATE_FAILED."),
    Misbehaviour.UNDELETABLE: ("old_one_cannot_be_deleted", "db#1 exists, and is not listed."),
    Misbehaviour.FOREIGN_UPDATE: ("update_during_update", "The second takes over."),
    Misbehaviour.CROSSED_UPDATE: ("two_updates_at_once", "Nobody can tell whose it was."),
    Misbehaviour.FOREIGN_FAILURE: ("replacement_fails", "UPDATE_FAILED, whoever asked for it."),
    Misbehaviour.FOREIGN_MARK: ("marked_while_acted_on", "Anybody may set a mark."),
    Misbehaviour.FOREIGN_UNMARK: ("unmarked", "Anybody may take a mark back."),
    Misbehaviour.FOREIGN_REPLACEMENT: (
        "leaf",
        "To the one that did not ask for it, this is somebody else's.",
    ),
    Misbehaviour.FOREIGN_DELETION: (
        "",
        "Measured on Heat 27: mark 404, update 400, and then 404 for everything.",
    ),
}
"""Each → the trace in tests/traces that shows it, if there is one, and what was seen of a real Heat."""

CHANGING = frozenset({Call.MARK, Call.UNMARK, Call.CONVERGE, Call.POWER})
_READING = frozenset({Call.SNAPSHOT, Call.PREVIEW, Call.OPERATION, Call.MARK, Call.UNMARK, Call.POWER})
STRIKES: Mapping[Misbehaviour, frozenset[Call]] = {
    Misbehaviour.TIMED_OUT: frozenset(Call),
    Misbehaviour.ANSWER_LOST: frozenset({Call.MARK, Call.UNMARK, Call.CONVERGE, Call.POWER}),
    Misbehaviour.FORBIDDEN: frozenset({Call.CONVERGE, Call.MARK, Call.UNMARK, Call.POWER}),
    Misbehaviour.LOST_MARK: frozenset({Call.MARK}),
    **{
        each: frozenset({Call.CONVERGE})
        for each in (
            Misbehaviour.LATE_MARK,
            Misbehaviour.LOST_UPDATE,
            Misbehaviour.LYING_COMPLETE,
            Misbehaviour.HANGING_UPDATE,
            Misbehaviour.FAILING_CREATE,
            Misbehaviour.SPOILT_CREATE,
            Misbehaviour.FAILING_UPDATE,
            Misbehaviour.UNDELETABLE,
            Misbehaviour.CROSSED_UPDATE,
        )
    },
    Misbehaviour.FOREIGN_UPDATE: _READING | {Call.CONVERGE},
    Misbehaviour.FOREIGN_FAILURE: _READING,
    Misbehaviour.FOREIGN_MARK: _READING,
    Misbehaviour.FOREIGN_UNMARK: _READING | {Call.CONVERGE},
    Misbehaviour.FOREIGN_REPLACEMENT: _READING,
    Misbehaviour.FOREIGN_DELETION: frozenset({Call.SNAPSHOT, Call.PREVIEW, Call.OPERATION}),
}
"""Each → the calls that it can come in the way of."""

RARE = frozenset({Misbehaviour.FOREIGN_DELETION, Misbehaviour.FOREIGN_FAILURE, Misbehaviour.FOREIGN_MARK})
"""What ends a story rather than thickening it: one in ten of the others."""


class Trouble:
    """What comes next: first what was asked for, in that order, and then whatever the seed has in store."""

    def __init__(self, random: Random) -> None:
        self._chance = self._chance_of_changes = 0.0
        self._random = random
        self._asked: list[tuple[Misbehaviour, Call | None]] = []

    def ask(self, misbehaviour: Misbehaviour, at: Call | None = None) -> None:
        """Let it come at the next call that it can come in the way of, or at the next one of these."""
        self._asked.append((misbehaviour, at))

    def come(self, chance: float, chance_of_changes: float | None = None) -> None:
        """From now on each call goes wrong with this probability, and one that changes something with the other.

        What was asked for is forgotten.
        """
        self._asked.clear()
        self._chance = chance
        self._chance_of_changes = chance if chance_of_changes is None else chance_of_changes

    def next(self, call: Call) -> Misbehaviour | None:
        for asked in self._asked:
            misbehaviour, at = asked
            if call in STRIKES[misbehaviour] and at in {None, call}:
                self._asked.remove(asked)
                return misbehaviour
        chance = self._chance_of_changes if call in CHANGING else self._chance
        if chance and self._random.random() < chance:
            misbehaviour = self._random.choice(_AT[call])
            if misbehaviour not in RARE or self._random.random() < 0.1:
                return misbehaviour
        return None


_AT: Mapping[Call, tuple[Misbehaviour, ...]] = {
    call: tuple(each for each in Misbehaviour if call in STRIKES[each]) for call in Call
}
