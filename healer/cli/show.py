"""`healer show`: the whole story of one incident, from what was seen to what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from healer.cli.phrases import moment, since
from healer.client import Client, RefusedError
from healer.paper import say
from healer.story import Teller, planned, short, tell

LABEL = 10
"""Columns of the words on the left."""


def show(client: Client, options: argparse.Namespace) -> int:
    answer = client.get(f"/v1/incidents/{find(client, options.incident)}")
    if options.json:
        print(json.dumps(answer, indent=2))
        return 0
    one = answer["incident"]
    say(f"{one['stack']}/{one['resource']} on {one['cloud']}: {outcome(one)}")
    for label, text in _facts(one, answer["repair"]):
        say(f"{label:<{LABEL}}{text}", LABEL)
    say()
    for line in tell(answer["story"]):
        say(line, Teller().indent)
    return 0


def find(client: Client, name: str) -> str:
    """The incident's id, or what may be the beginning of one.

    `STACK/RESOURCE` means its latest: one that is open, else the last that was closed. RefusedError where none is.
    """
    if "/" not in name:
        return quote(name, safe="")
    for query in ({"open": 1}, {}):
        for one in client.get("/v1/incidents", limit=1000, **query)["incidents"]:
            if name in {
                f"{one['stack']}/{one['resource']}",
                f"{one['cloud']}/{one['stack']}/{one['resource']}",
            }:
                return str(one["id"])
    raise RefusedError(404, "unknown_incident", f"{name} has had no incident")


def outcome(one: Mapping[str, Any]) -> str:
    """What became of it, or is becoming of it."""
    return str(one["outcome"] or one["state"])


def _facts(one: Mapping[str, Any], repair: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    yield "incident", f"{one['id']}, policy {one['policy'] or 'none'}"
    yield "resource", f"{one['type']}, {_whole(one['physical_id'])}"
    took = since(one["opened_at"], one["closed_at"])
    if one["closed_at"]:
        yield "open", f"from {moment(one['opened_at'])} to {moment(one['closed_at'])} UTC, {took}"
    else:
        yield "open", f"since {moment(one['opened_at'])} UTC, {took}"
    yield "evidence", f"{one['symptom']}: {one['detail']} [{one['source']}]"
    if request := one["requested_by"]:
        passed = f"; passed over for that: {', '.join(request['overrides'])}" if request["overrides"] else ""
        yield "asked for", f"by {request['who']}: {request['why']}{passed}"
    if refusal := one["refusal"]:
        yield "held", f"{refusal['reason']}: {refusal['sentence']}"
        yield "", f"looked at again at {moment(refusal['look_again'])} UTC, or as soon as that changes"
    if plan := one["plan"]:
        touched = ((t["resource"], t["effect"], t["why"]) for t in plan["touches"])
        yield "plan", planned((r["resource"] for r in plan["replaces"]), touched)
    if repair:
        progress = f", {repair['progress']}" if repair["progress"] else ""
        yield "under way", f"{repair['action']}, at {repair['step']}{progress}"
        yield "", f"it may take until {moment(repair['deadline'])} UTC"
    if one["successor"] and one["successor"] != one["physical_id"]:
        yield "now", _whole(one["successor"])


def _whole(physical_id: str) -> str:
    """As a person calls it and, where that is not the same, as the engine does."""
    called = short(physical_id)
    return called if called == physical_id or not physical_id else f"{called} ({physical_id})"
