"""The words that ask the running daemon, and print its answer for a person or as JSON."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from healer.cli.phrases import count, moment, since
from healer.cli.show import find, outcome
from healer.client import Client
from healer.paper import say, table
from healer.story import planned, short

DECIDED_WITHIN = 5.0
"""Seconds that `heal` waits to see whether a guardrail refuses; reading the stack takes most of it."""


_SHOWN = 10
"""Silences: a host that is down may have a thousand alarms withheld."""


def status(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/status")
    if options.json:
        return _json(answer)
    say(f"healer {answer['version']}, pid {answer['pid']}, up {since(answer['started_at'])}")
    facts = [("port", f"{answer['port']}, for alarms and metrics")]
    facts += [
        (f"cloud {cloud['name']}", f"cannot be read: {cloud['why']}" if cloud["why"] else "is read")
        for cloud in answer["clouds"]
    ]
    if answer["stopped"]:
        facts.append(("stopped", f"{answer['stopped']}: nothing is touched"))
    if answer["unstored"]:
        facts.append(("not stored", f"{answer['unstored']}: nothing is done until it can be"))
    facts += [(f"paused {pause['scope']}", _paused(pause)) for pause in answer["pauses"]]
    facts += [("silenced", one["sentence"]) for one in answer["silences"][:_SHOWN]]
    if more := answer["silences"][_SHOWN:]:
        facts.append(("silenced", f"and by {len(more)} more"))
    facts.append(("open", count(answer["incidents"], "incident")))
    facts.append(("under way", count(answer["repairs"], "repair")))
    width = max(len(label) for label, _ in facts)
    for label, text in facts:
        say(f"  {label:<{width}}  {text}", width + 4)
    return 0


def _paused(pause: Mapping[str, Any]) -> str:
    until = f"until {moment(pause['until'])} UTC" if pause["until"] else "until resumed"
    return f"by {pause['who']} {until}: {pause['why']}"


def stacks(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/stacks")
    if options.json:
        return _json(answer)
    for stack in answer["stacks"]:
        say(f"{stack['cloud']}/{stack['name']}  {stack['status']}")
        rows = [_standing(one) for one in stack["resources"] if not one["is_stack"]]
        table(("  RESOURCE", "TYPE", "HEALTH", "POLICY", "ID"), rows)
    for cloud in answer["unreachable"]:
        say(f"{cloud['cloud']}  cannot be read: {cloud['why']}")
    if not answer["stacks"] and not answer["unreachable"]:
        say("There are no stacks.")
    return 0


def _standing(one: Mapping[str, Any]) -> tuple[str, ...]:
    """A status is told where it is not what everybody expects of it; so is an owner that is not the only one."""
    health = one["health"] if one["status"].endswith("_COMPLETE") else f"{one['health']}, {one['status']}"
    owner = f"contested: {', '.join(one['contested_by'])}" if one["contested_by"] else one["policy"] or "-"
    return (f"  {one['path']}", one["type"], health, owner, short(one["physical_id"]))


def incidents(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/incidents", open=None if options.all else 1)
    if options.json:
        return _json(answer)
    repairs = {one["id"]: one for one in client.get("/v1/repairs")["repairs"]}
    rows = [
        (
            f"{one['stack']}/{one['resource']}",
            outcome(one),
            moment(one["opened_at"])[5:],  # The journal does not go back a year.
            since(one["opened_at"], one["closed_at"]),
            one["id"],
            _why(one, repairs.get(one["repair"])),
        )
        for one in answer["incidents"]
    ]
    if rows:
        table(("RESOURCE", "STATE", "SINCE (UTC)", "FOR", "INCIDENT", "WHY"), rows)
    else:
        say("There was none." if options.all else "Nothing fails. (--all shows what is over.)")
    return 0


def _why(one: Mapping[str, Any], repair: Mapping[str, Any] | None) -> str:
    """What a person wants to know first: why nothing is done, or else what is done, or else what failed."""
    failed = f"{one['symptom']}: {one['detail']}"
    match one["state"]:
        case "would_heal" if one["plan"]:
            return f"its policy only observes; auto would do this: {_planned(one['plan'])}"
        case "held" | "would_heal" if one["refusal"]:
            return f"{one['refusal']['reason']}: {one['refusal']['sentence']}"
        case "remediating" if repair:
            return f"{repair['action']}, at {repair['step']} {repair['progress'] or ''}".rstrip()
        case "verifying":
            return f"{short(one['successor'])} must be seen healthy for a while"
        case "exhausted":
            return f"it needs a person; {failed}"
        case _:
            return failed


def _planned(plan: Mapping[str, Any]) -> str:
    touched = ((one["resource"], one["effect"], one["why"]) for one in plan["touches"])
    return planned((one["resource"] for one in plan["replaces"]), touched)


def alarms(client: Client, options: argparse.Namespace) -> int:
    within = None if options.since is None else max(1, round(options.since.total_seconds()))
    asked = {"source": options.sources, "outcome": options.outcomes, "within": within, "limit": options.limit}
    answer = client.get("/v1/alarms", **asked)
    if options.json:
        return _json(answer)
    rows = [
        (
            moment(one["received_at"]),
            one["source"],
            one["labels"].get("alertname", one["key"]),
            one["status"],
            one["outcome"] or "pending",
            _became(one),
        )
        for one in answer["alarms"]
    ]
    if rows:
        table(("RECEIVED (UTC)", "SOURCE", "ALARM", "STATUS", "BECAME", "WHY"), rows)
    else:
        say("No such alarm came." if options.sources or options.outcomes or within else "No alarm came.")
    return 0


def _became(one: Mapping[str, Any]) -> str:
    """Of what nobody understood, the labels show what is missing, or what is called otherwise here."""
    if not one["outcome"]:
        return "until its cloud can be read"
    if one["outcome"] != "unmatched":
        return one["detail"] or ""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(one["labels"].items()))
    return f"{one['detail']}; its labels: {labels or 'none'}"


def heal(client: Client, options: argparse.Namespace) -> int:
    """1 where a guardrail refuses: it was tried, and nothing is done for now."""
    body = {"stack": options.stack, "resource": options.resource, "why": options.why}
    answer = client.post("/v1/heals", body | ({"cloud": options.cloud} if options.cloud else {}))
    if answer["incident"] is None:
        say("It was dealt with at once. See: healer incidents --all")
        return 0
    one = _decided(client, answer["incident"])
    if options.json:
        _json({**answer, "incident": one})
    elif answer["already"]:
        say(f"It is being healed already. See: healer show {one['id']}")
    elif one["refusal"]:
        say(
            f"Not now, {one['refusal']['reason']}: {one['refusal']['sentence']}. See: healer show {one['id']}"
        )
    else:
        say(f"{_BEGUN.get(one['state'], f'It is {outcome(one)}')}. See: healer show {one['id']}")
    return 1 if one["refusal"] else 0


_BEGUN = {
    "open": "It is being looked at",
    "remediating": "It is being healed",
    "verifying": "It is dealt with, and must be seen healthy for a while",
}


def _decided(client: Client, one: Mapping[str, Any]) -> Mapping[str, Any]:
    """The incident once a guardrail has refused or all have let it pass; as it is where that takes too long."""
    until = time.monotonic() + DECIDED_WITHIN
    while one["state"] == "open" and time.monotonic() < until:
        time.sleep(0.1)
        one = client.get(f"/v1/incidents/{one['id']}")["incident"]
    return one


def pause(client: Client, options: argparse.Namespace) -> int:
    seconds = options.until.total_seconds() if options.until else None
    answer = client.post("/v1/pauses", {"scope": options.scope, "why": options.why, "seconds": seconds})
    if options.json:
        return _json(answer)
    one = answer["pause"]
    until = f"until {moment(one['until'])} UTC" if one["until"] else "until resumed"
    say(f"Paused {one['scope']} {until}: {count(answer['covers'], 'resource')} that a policy owns.")
    if not answer["covers"]:
        say("Nothing is called so at the moment: healer stacks shows what there is.")
    return 0


def resume(client: Client, options: argparse.Namespace) -> int:
    answer = client.delete(f"/v1/pauses/{quote(options.scope, safe='')}")
    if options.json:
        return _json(answer)
    for one in answer["resumed"]:
        say(f"Resumed {one['scope']}, which {one['who']} had paused: {one['why']}")
    return 0


def release(client: Client, options: argparse.Namespace) -> int:
    answer = client.post(f"/v1/incidents/{find(client, options.incident)}/release")
    if options.json:
        return _json(answer)
    say(f"Let go of {answer['released']}.")
    return 0


def _json(answer: Any) -> int:
    print(json.dumps(answer, indent=2))
    return 0
