"""The journal in words: one line for each entry, for a person who asks what happened and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

Entry = Mapping[str, Any]
"""As the API gives it: seq, at, kind, incident, repair, body."""
Body = Mapping[str, Any]
_Says = Callable[[Body, Body], str]

LONG = timedelta(minutes=1)
"""A look again that is nearer than this is no news to a person."""

_PROCESS = re.compile(r"[0-9a-f-]{36}:([0-9]+):[0-9]+")


class Teller:
    """Makes a line of each entry, as they come: when it was, how long after the one before, and what it says."""

    def __init__(self, zero: datetime | None = None) -> None:
        """Time is counted in seconds since `zero`; without one it is the time of day, UTC."""
        self._zero = zero
        self._before: datetime | None = None
        self.indent = 20 if zero else 25
        """Columns to the left of what a line says, and two for what belongs to a repair."""

    def line(self, entry: Entry) -> str:
        at = datetime.fromisoformat(entry["at"])
        before, self._before = self._before, at
        when = f"{(at - self._zero).total_seconds():6.2f}s" if self._zero else f"{at:%H:%M:%S.%f}"[:-3]
        passed = f"+{(at - before).total_seconds():.2f}s" if before else ""
        return f"{when} {passed:>8}  {sentence(entry)}"


def tell(entries: Iterable[Entry]) -> Iterator[str]:
    """All of them, with a line of its own for each day."""
    teller, day = Teller(), ""
    for entry in entries:
        if entry["at"][:10] != day:
            day = entry["at"][:10]
            yield f"{day} (UTC)"
        yield teller.line(entry)


def sentence(entry: Entry) -> str:
    """What one entry says. A kind that is not known here is shown as it is, never left out."""
    body = {**entry["body"], "at": entry["at"]}
    note = body.get("note", {})
    said = SENTENCES.get(entry["kind"])
    return said(body, note) if said else f"{entry['kind']}: {note or entry['body']}"


def short(physical_id: str | None) -> str:
    """What a person calls it: a process of the embedded engine by its pid, all else by the whole id."""
    process = _PROCESS.fullmatch(physical_id or "")
    return f"pid {process[1]}" if process else physical_id or "nothing"


def planned(replaced: Iterable[str], touched: Iterable[tuple[str, str, str]]) -> str:
    """`db is replaced; api is updated (wires refers to db)`. Touched: path, effect, why."""
    gives_up = [f"{path} is replaced" for path in replaced]
    return "; ".join(gives_up + [f"{path} is {effect} ({why})" for path, effect, why in touched])


def _plan(body: Body) -> str:
    plan = body.get("plan") or {"condemned": (), "touched": ()}
    touched = ((one["path"], one["effect"], one["via"]) for one in plan["touched"])
    return planned((one["path"] for one in plan["condemned"]), touched)


def _name(body: Body) -> str:
    target = body.get("target") or {}
    return f"{target.get('stack')}/{target.get('path')}"


def _opened(body: Body, note: Body) -> str:
    kind, _, name = note["source"].partition(":")
    if kind == "operator":
        return f"{name} asks for {_name(body)} to be healed: {note['detail']}"
    return f"{_name(body)} fails, {note['symptom']}: {note['detail']} [{note['source']}]"


def _held(body: Body, note: Body) -> str:
    return f"{_name(body)} is held, {note['reason']}: {note['sentence']}{_again(body)}"


def _again(body: Body) -> str:
    """When it is looked at again, where that is not soon."""
    moment = (body.get("refusal") or {}).get("look_again")
    if moment is None:
        return ""
    again, now = datetime.fromisoformat(moment), datetime.fromisoformat(body["at"])
    return f"; looked at again at {again:%H:%M:%S}" if again - now >= LONG else ""


def _would_heal(body: Body, note: Body) -> str:
    would = f"{note['action']} it: {_plan(body)}".rstrip(": ")
    return f"{_name(body)} is left alone, for policy {body['policy']} only observes; auto would {would}"


def _incident_admitted(body: Body, note: Body) -> str:
    whose = f"policy {body['policy']} says" if body["policy"] else "no policy owns it, so"
    return f"{_name(body)} passes every guardrail; {whose}: {note['action']}"


def _repair_admitted(body: Body, _: Body) -> str:
    return f"repair of {body['root']['stack']} begins: {_plan(body) or body['action']}"


_BEGUN = {
    "mark": "say that it is unhealthy, by its physical id",
    "preview": "see that nothing else would be replaced",
    "unmark": "take back what is still marked",
    "converge": "ask for one update of the root stack",
    "follow": "the update has begun",
    "prove": "the update has ended; read what came of it",
    "power": "restart it",
    "notify": "tell somebody",
}
_SUCCESSES = {
    "replace": "proven: it is replaced, and all that refers to it names the new one",
    "reboot": "done: the restart was carried out",
    "notify": "done: somebody was told",
}
"""By action."""


def _stepped(_: Body, note: Body) -> str:
    return f"  {note['step']}: {_BEGUN.get(note['step'], 'begun')}"


def _progressed(_: Body, note: Body) -> str:
    return f"  {note['step']}: {note['progress']}"


def _stumbled(_: Body, note: Body) -> str:
    return f"  {note['step']} did not succeed, {note['failure']}: {note['detail']}; it is tried again"


def _unwinding(_: Body, note: Body) -> str:
    return f"  {note['step']} failed, {note['failure']}: {note['detail']}; what is marked is un-marked"


def _ended(body: Body, note: Body) -> str:
    if note.get("failure"):
        return f"  the repair ended without success, {note['failure']}: {note['detail']}"
    return f"  {_SUCCESSES.get(body['action'], 'done: all steps succeeded')}"


def _remediated(body: Body, note: Body) -> str:
    return f"{_name(body)} is {short(note['successor'])} now; it is healed once it has been seen healthy"


def _climbed(body: Body, note: Body) -> str:
    why = note["why"] or "to tell somebody is no remedy"
    return f"{_name(body)} is not healed: {why}; next: {note['next']}"


def _exhausted(body: Body, note: Body) -> str:
    return f"{_name(body)} needs a person: {note['why'] or 'every remediation was tried'}"


def _demanded(body: Body, note: Body) -> str:
    return f"{note['who']} asks for {_name(body)} to be healed now: {note['why']}"


def _overridden(body: Body, note: Body) -> str:
    return f"for {note['who']}, {_name(body)} is healed in spite of {', '.join(note['gates'])}"


def _emptied(body: Body, note: Body) -> str:
    return f"{_name(body)} is gone, and what should take its place is {note['status']}: {note['reason']}"


def _freed(body: Body, note: Body) -> str:
    return f"{_name(body)} is looked at anew: the incident of {note['cause']}, which it requires, is over"


_ENDS = {
    "healed": "is healed: verified by {by}",
    "recovered": "came back by itself",
    "superseded": "was replaced by somebody else, and is {now} now",
    "gone": "is not there any more: {detail}",
    "cancelled": "is called off: what had asked for it was taken back",
    "released": "was let go of by {who}",
}


def _closed(body: Body, note: Body) -> str:
    words = {"by": "", "who": "", "detail": "", **note, "now": short(note.get("successor"))}
    return f"{_name(body)} {_ENDS[note['outcome']].format_map(words)}"


_MEANT = {
    "matched": "it means {detail}",
    "unmatched": "nobody knows what it means: {detail}",
    "ambiguous": "it is not clear what it means: {detail}",
    "stale": "it is about what is no more: {detail}",
    "unowned": "nobody looks after what it means: {detail}",
    "no_evidence": "it says nothing for or against: {detail}",
}


def _alarm(outcome: str) -> _Says:
    def said(body: Body, _: Body) -> str:
        source, _, rest = body["identity"].partition("|")
        key, _, status = rest.rpartition("|")
        meant = _MEANT[outcome].format_map({"detail": body["detail"]})
        if alike := body.get("alarms", 1) - 1:
            meant += f" (so did {alike} more)"
        return f"an alarm of {source} is {status} ({key.rpartition('|')[0]}), {outcome}: {meant}"

    return said


def _paused(body: Body, _: Body) -> str:
    until = f" until {datetime.fromisoformat(body['until']):%H:%M:%S}" if body.get("until") else ""
    return f"{body['who']} paused {body['scope']}{until}: {body['why']}"


SENTENCES: Mapping[str, _Says] = {
    "incident.opened": _opened,
    "incident.held": _held,
    "incident.would_heal": _would_heal,
    "incident.admitted": _incident_admitted,
    "incident.overridden": _overridden,
    "incident.adopted": lambda body, note: (
        f"{_name(body)} is policy {note['policy']}'s now; {note['before']} is gone"
    ),
    "incident.emptied": _emptied,
    "incident.freed": _freed,
    "incident.demanded": _demanded,
    "incident.remediated": _remediated,
    "incident.climbed": _climbed,
    "incident.exhausted": _exhausted,
    "incident.closed": _closed,
    "repair.admitted": _repair_admitted,
    "repair.stepped": _stepped,
    "repair.progressed": _progressed,
    "repair.stumbled": _stumbled,
    "repair.unwinding": _unwinding,
    "repair.reconverging": lambda _, note: f"  the update passed a mark by ({note['detail']}); once more",
    "repair.resuming": lambda _, note: (
        f"  the update did not end in time ({note['detail']}); it is asked for once more"
    ),
    "repair.surprised": lambda _, note: f"  more than planned: {'; '.join(note['what'])}",
    "repair.ended": _ended,
    **{f"alarm.{outcome}": _alarm(outcome) for outcome in _MEANT},
    "pause.set": _paused,
    "pause.lifted": lambda body, _: f"{body['lifted_by']} resumed {body['scope']}",
}
"""By kind of entry; a test holds it to the kinds that there are."""
