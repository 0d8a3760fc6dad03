"""Traces of what an orchestrator did, and what of them must be the same whoever did it.

A trace is JSON (tests/traces; tests/heat/play.py says what is in it). Two are equal in essence if the same was
done and answered, the same came of it, and what happened is in the same order along each edge: between a
resource and what it requires, and between a stack and what is in it. In which order two resources happen that
have nothing to do with each other is chance, and so is the word for why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TRACES = Path(__file__).parent / "traces"


def load(name: str) -> dict[str, Any]:
    """The recorded trace of this name."""
    trace: dict[str, Any] = json.loads((TRACES / f"{name}.json").read_text())
    return trace


def essence(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of a trace without what is chance. Equal essences, the same behaviour."""
    return [
        step | {"events": along_edges(step["events"], trace["requires"])} if "events" in step else dict(step)
        for step in trace["steps"]
    ]


def along_edges(
    events: Sequence[Mapping[str, Any]], requires: Iterable[Sequence[str]]
) -> dict[str, list[dict[str, Any]]]:
    """Name of an edge, or path of a resource → what happened to both of its ends, or to it, in order."""
    # What was begun and came to nothing has no id, and is cleared away whenever there is time.
    counted = [event for event in events if "id" in event or not event["status"].startswith("DELETE_")]
    paths = {event["path"] for event in counted}
    edges = {f"{dependent} requires {required}": {dependent, required} for dependent, required in requires}
    for path in paths - {""}:
        for stack in {path.rpartition("/")[0], path.rpartition("/")[0] + "/"} - {"/", path}:
            edges[f"{path} is in {stack or 'the root'}"] = {path, stack}
    edges |= {path: {path} for path in paths}
    ordered = {
        name: [
            {key: event[key] for key in ("path", "status", "id") if key in event}
            for event in counted
            if event["path"] in ends
        ]
        for name, ends in edges.items()
    }
    return {name: found for name, found in ordered.items() if found}


def written(value: Any, indent: int = 0, prefix: str = "") -> str:
    """As JSON that a person can read: what fits on a line is one."""
    line = prefix + json.dumps(value, ensure_ascii=False)
    if indent + len(line) < 110 or not isinstance(value, dict | list) or not value:
        return " " * indent + line
    if isinstance(value, dict):
        parts = [written(each, indent + 1, f"{json.dumps(key)}: ") for key, each in value.items()]
        brackets = "{}"
    else:
        parts = [written(each, indent + 1) for each in value]
        brackets = "[]"
    return f"{' ' * indent}{prefix}{brackets[0]}\n" + ",\n".join(parts) + f"\n{' ' * indent}{brackets[1]}"
