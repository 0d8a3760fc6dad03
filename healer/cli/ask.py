"""The words that ask the running daemon, and print its answer for a person or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from healer.client import Client
from healer.story import tell


def status(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/status")
    if options.json:
        return _json(answer)
    print(f"healer {answer['version']}, pid {answer['pid']}, up since {_clock(answer['started_at'])}")
    for cloud in answer["clouds"]:
        print(f"  cloud {cloud['name']}: " + (f"cannot be read: {cloud['why']}" if cloud["why"] else "read"))
    if answer["stopped"]:
        print(f"  stopped: {answer['stopped']}")
    for pause in answer["pauses"]:
        print(f"  paused: {pause['scope']} by {pause['who']}: {pause['why']}")
    print(f"  {answer['incidents']} open incidents, {answer['repairs']} repairs under way")
    return 0


def stacks(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/stacks")
    if options.json:
        return _json(answer)
    for stack in answer["stacks"]:
        print(f"{stack['cloud']}/{stack['name']}  {stack['status']}")
        rows = [
            (
                f"  {r['path']}",
                r["type"],
                r["health"],
                r["physical_id"],
                r["policy"] or (f"contested by {', '.join(r['contested_by'])}" if r["contested_by"] else "-"),
                r["incident"] or "-",
            )
            for r in stack["resources"]
            if not r["is_stack"]
        ]
        _table(("  RESOURCE", "TYPE", "HEALTH", "PHYSICAL ID", "POLICY", "INCIDENT"), rows)
    for cloud in answer["unreachable"]:
        print(f"{cloud['cloud']}: cannot be read: {cloud['why']}")
    if not answer["stacks"] and not answer["unreachable"]:
        print("There are no stacks.")
    return 0


def incidents(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/incidents", open=None if options.all else 1)
    if options.json:
        return _json(answer)
    rows = [
        (
            one["id"],
            f"{one['stack']}/{one['resource']}",
            one["outcome"] or one["state"],
            _clock(one["opened_at"]),
            f"{one['refusal']['reason']}: {one['refusal']['sentence']}"
            if one["refusal"]
            else one["detail"] or one["symptom"],
        )
        for one in answer["incidents"]
    ]
    if rows:
        _table(("INCIDENT", "RESOURCE", "STATE", "OPENED (UTC)", "WHY"), rows)
    else:
        print("There are none." if options.all else "Nothing fails. (--all shows closed incidents.)")
    return 0


def show(client: Client, options: argparse.Namespace) -> int:
    answer = client.get(f"/v1/incidents/{quote(options.incident, safe='')}")
    if options.json:
        return _json(answer)
    one = answer["incident"]
    print(f"Incident {one['id']}: {one['stack']}/{one['resource']} ({one['type']}) on {one['cloud']}")
    print(f"State    {one['outcome'] or one['state']}, policy {one['policy'] or 'none'}")
    print(f"Failed   {one['physical_id']}")
    if one["successor"]:
        print(f"Now      {one['successor']}")
    if one["refusal"]:
        refusal = one["refusal"]
        print(f"Held     {refusal['reason']}: {refusal['sentence']}")
        print(f"         looked at again {_clock(refusal['look_again'])}")
    if one["requested_by"]:
        request = one["requested_by"]
        overrides = f", overriding {', '.join(request['overrides'])}" if request["overrides"] else ""
        print(f"Asked    by {request['who']}: {request['why']}{overrides}")
    for replaced in (one["plan"] or {}).get("replaces", ()):
        print(f"Plan     replace {replaced['resource']} ({replaced['physical_id']})")
    for touched in (one["plan"] or {}).get("touches", ()):
        print(f"         {touched['resource']} is {touched['effect']}: {touched['why']}")
    print()
    for line in tell(answer["story"]):
        print(line)
    return 0


def alarms(client: Client, options: argparse.Namespace) -> int:
    answer = client.get("/v1/alarms")
    if options.json:
        return _json(answer)
    rows = [
        (
            _clock(one["received_at"]),
            one["source"],
            one["labels"].get("alertname", one["key"]),
            one["status"],
            one["outcome"] or "waiting",
            one["detail"] or "",
        )
        for one in answer["alarms"]
    ]
    if rows:
        _table(("RECEIVED (UTC)", "SOURCE", "ALARM", "STATUS", "BECAME", "WHY"), rows)
    else:
        print("No alarm came.")
    return 0


def heal(client: Client, options: argparse.Namespace) -> int:
    body = {"stack": options.stack, "resource": options.resource, "why": options.why}
    answer = client.post("/v1/heals", body | ({"cloud": options.cloud} if options.cloud else {}))
    if options.json:
        return _json(answer)
    one = answer["incident"]
    if answer["already"]:
        print(f"It is being healed already: healer show {one['id']}")
    elif one is None:
        print("It was dealt with at once: healer incidents --all")
    elif one["refusal"]:
        print(f"Held: {one['refusal']['sentence']}. See: healer show {one['id']}")
    else:
        print(f"Asked for. See: healer show {one['id']}")
    return 0


def pause(client: Client, options: argparse.Namespace) -> int:
    seconds = options.until.total_seconds() if options.until else None
    answer = client.post("/v1/pauses", {"scope": options.scope, "why": options.why, "seconds": seconds})
    if options.json:
        return _json(answer)
    one = answer["pause"]
    print(
        f"Paused {one['scope']} "
        + (f"until {_clock(one['until'])} UTC." if one["until"] else "until resumed.")
    )
    return 0


def resume(client: Client, options: argparse.Namespace) -> int:
    answer = client.delete(f"/v1/pauses/{quote(options.scope, safe='')}")
    if options.json:
        return _json(answer)
    for one in answer["resumed"]:
        print(f"Resumed {one['scope']}, which {one['who']} had paused: {one['why']}")
    return 0


def release(client: Client, options: argparse.Namespace) -> int:
    answer = client.post(f"/v1/incidents/{quote(options.incident, safe='')}/release")
    if options.json:
        return _json(answer)
    print(f"Let go of {answer['released']}.")
    return 0


def _json(answer: Any) -> int:
    print(json.dumps(answer, indent=2))
    return 0


def _clock(moment: str | None) -> str:
    """`2026-01-31 12:00:00` of an ISO moment in UTC."""
    return moment[:19].replace("T", " ") if moment else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
