"""The journal in words: one line for each entry, for a person who asks what happened and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Entry = Mapping[str, Any]
"""As the API gives it: seq, at, kind, incident, repair, body."""


def tell(entries: Iterable[Entry]) -> Iterator[str]:
    """`12:00:01.250  +0.8s  what happened`; the second column is the time since the entry before."""
    before: datetime | None = None
    for entry in entries:
        at = datetime.fromisoformat(entry["at"])
        passed = f"+{(at - before).total_seconds():.1f}s" if before else ""
        before = at
        yield f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}  {passed:>8}  {sentence(entry)}"


def sentence(entry: Entry) -> str:
    """What one entry says. A kind that is not known here is shown as it is, never left out."""
    body = entry["body"]
    note = body.get("note", {})
    said = _SENTENCES.get(entry["kind"])
    return said(body, note) if said else f"{entry['kind']} {note or body}"


def _name(body: Mapping[str, Any]) -> str:
    target = body.get("target") or {}
    return f"{target.get('stack')}/{target.get('path')}"


def _opened(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} fails ({note['symptom']}): {note['detail']} [{note['source']}]"


def _held(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} is held, {note['reason']}: {note['sentence']}"


def _would_heal(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} would be healed by {note['action']}: {_planned(body)}"


def _incident_admitted(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} passes every gate: {note['action']}"


def _repair_admitted(body: Mapping[str, Any], _: Mapping[str, Any]) -> str:
    return f"repair of {body['root']['stack']} begins: {_planned(body)}"


def _planned(body: Mapping[str, Any]) -> str:
    plan = body.get("plan")
    if not plan:
        return "no plan is needed"
    gives_up = ", ".join(one["path"] for one in plan["condemned"])
    follows = "".join(f"; {one['path']} is {one['effect']} ({one['via']})" for one in plan["touched"])
    return f"replace {gives_up}{follows}"


_BEGUN = {
    "mark": "mark it unhealthy, by its physical id",
    "preview": "preview the update: nothing else may move",
    "unmark": "take back what is still marked",
    "converge": "ask the engine for one update of the root stack",
    "follow": "the update has begun",
    "prove": "the update is over; read what came of it",
    "power": "restart it",
    "notify": "tell somebody",
}


def _stepped(_: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"  {note['step']}: {_BEGUN.get(note['step'], note['step'])}"


def _progressed(_: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"  {note['step']}: {note['progress']}"


def _stumbled(_: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"  {note['step']} did not succeed ({note['failure']}): {note['detail']}; again soon"


def _unwinding(_: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"  {note['step']} failed ({note['failure']}): {note['detail']}; what is marked is un-marked"


def _ended(_: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    if not note.get("failure"):
        return "  the repair is over, and proven"
    return f"  the repair ended without success ({note['failure']}): {note['detail']}"


def _remediated(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} is {note['successor']} now; it is done when it is seen healthy"


def _climbed(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)}: {note['why'] or 'that is all of this rung'}; next: {note['next']}"


def _exhausted(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{_name(body)} needs a person: {note['why'] or 'every remediation was tried'}"


def _demanded(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{note['who']} asks for {_name(body)} to be healed now: {note['why']}"


def _overridden(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    return f"{note['who']} overrides for {_name(body)}: {', '.join(note['gates'])}"


_ENDS = {
    "healed": "is healed: verified by {by}",
    "recovered": "came back by itself",
    "superseded": "was replaced by somebody else",
    "gone": "is not there any more",
    "cancelled": "is called off: what had asked for it was taken back",
    "released": "was let go of by {who}",
}


def _closed(body: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    end = _ENDS[note["outcome"]]
    return f"{_name(body)} {end.format_map({'by': note.get('by', ''), 'who': note.get('who', '')})}"


def _alarm(word: str) -> Any:
    return lambda body, _: f"an alarm was {word}: {body['detail']}"


_SENTENCES: Mapping[str, Any] = {
    "incident.opened": _opened,
    "incident.held": _held,
    "incident.would_heal": _would_heal,
    "incident.admitted": _incident_admitted,
    "incident.overridden": _overridden,
    "incident.emptied": lambda body, note: (
        f"{_name(body)} is gone, and what should take its place is {note['status']}: {note['reason']}"
    ),
    "incident.freed": lambda body, note: (
        f"{_name(body)} is looked at again: {note['cause']}, which it requires, is over"
    ),
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
    "alarm.matched": _alarm("matched"),
    "alarm.unmatched": _alarm("unmatched"),
    "alarm.ambiguous": _alarm("ambiguous"),
    "alarm.stale": _alarm("stale"),
    "alarm.unowned": _alarm("unowned"),
    "pause.set": lambda body, _: f"{body['who']} paused {body['scope']}: {body['why']}",
    "pause.lifted": lambda body, _: f"{body['lifted_by']} resumed {body['scope']}",
}
