"""What a seed begins with: a few small stacks, and the policies that look after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any

from healer.core.policy import (
    Attempts,
    BlastRadius,
    Detect,
    Guardrails,
    Match,
    Mode,
    Policy,
    ProvedBy,
    Remediation,
    Verify,
    Watch,
)
from healer.declarative.declaration import Declaration
from healer.declarative.resource_types import FILE, GROUP, PROCESS
from healer.simulation.looks import PROBE

VERSION = "2018-08-31"
WATCHER = "watcher:engine"

_Resources = dict[str, Any]


def process(name: str, *wired: str) -> dict[str, Any]:
    """A process that is told where these listen, in place."""
    wires = {other: {"get_attr": [other, "port"]} for other in wired}
    return {"type": PROCESS, "properties": {"command": ["serve", name], "wires": wires}}


def rigid(name: str, *wired: str) -> dict[str, Any]:
    """A process whose very command says where these listen: it cannot be told anew, only be replaced."""
    ports = [{"get_attr": [other, "port"]} for other in wired]
    return {"type": PROCESS, "properties": {"command": ["serve", name, *ports], "wires": {}}}


def _template(resources: _Resources, **more: Any) -> dict[str, Any]:
    return {"heat_template_version": VERSION, "resources": resources, **more}


def chain(random: Random) -> Declaration:
    names = ["db", "api", "web", "edge"][: random.randint(2, 4)]
    below: list[str] = []
    resources: _Resources = {}
    for name in names:
        resources[name] = process(name, *below[-1:])
        below.append(name)
    return Declaration(_template(resources), {})


def fan(random: Random) -> Declaration:
    names = ["api", "jobs", "mail"][: random.randint(2, 3)]
    return Declaration(_template({"db": process("db"), **{name: process(name, "db") for name in names}}), {})


def diamond(random: Random) -> Declaration:
    del random
    resources = {
        "db": process("db"),
        "cache": process("cache"),
        "api": process("api", "db", "cache"),
        "web": process("web", "api", "cache"),
    }
    return Declaration(_template(resources), {})


def cascade(random: Random) -> Declaration:
    del random
    resources = {"db": process("db"), "api": rigid("api", "db"), "web": process("web", "api")}
    return Declaration(_template(resources), {})


def group(random: Random) -> Declaration:
    workers = {
        "type": GROUP,
        "properties": {"count": random.randint(2, 3), "resource_def": process("worker")},
    }
    front = process("front")
    front["properties"]["wires"] = {"workers": {"get_attr": ["workers", "port"]}}
    return Declaration(_template({"workers": workers, "front": front}), {})


def nested(random: Random) -> Declaration:
    del random
    inner = _template(
        {"db": process("db"), "rows": {"type": FILE, "properties": {"content": "rows"}}},
        outputs={"where": {"value": {"get_attr": ["db", "port"]}}},
    )
    api = process("api")
    api["properties"]["wires"] = {"db": {"get_attr": ["data", "where"]}}
    resources = {"data": {"type": "data.yaml", "properties": {}}, "api": api, "apart": process("apart")}
    return Declaration(_template(resources), {"data.yaml": inner})


SHAPES: tuple[Callable[[Random], Declaration], ...] = (chain, fan, diamond, cascade, group, nested)


def stacks(random: Random) -> Mapping[str, Declaration]:
    """One or two, by name."""
    names = ["shop", "blog"][: random.choice((1, 1, 2))]
    return {name: random.choice(SHAPES)(random) for name in names}


LADDERS = (
    ("replace", "notify"),
    ("replace", "notify"),
    ("reboot", "replace", "notify"),
    ("reboot", "replace", "notify"),
    ("replace", "replace", "notify"),
    ("reboot", "notify"),
    ("replace",),
)
TIMEOUT = {"reboot": timedelta(seconds=40), "replace": timedelta(seconds=90), "notify": timedelta(minutes=5)}


def policies(random: Random) -> tuple[Policy, ...]:
    """One for all processes, or one for each stack."""
    if random.random() < 0.3:
        return tuple(_policy(random, name, Match(stack=name, type=PROCESS)) for name in ("shop", "blog"))
    return (_policy(random, "all", Match(type=PROCESS)),)


def _policy(random: Random, name: str, match: Match) -> Policy:
    interval, timeout = timedelta(seconds=random.choice((4, 6, 10))), timedelta(seconds=2)
    sources = random.choice(((PROBE,), (PROBE,), (PROBE, WATCHER), (WATCHER,), ()))
    grace = timedelta(seconds=random.choice((16, 25)))
    stable_for = timedelta(seconds=random.choice((0, 5, 15)))
    return Policy(
        name=name,
        match=match,
        mode=Mode.AUTO if random.random() < 0.95 else Mode.OBSERVE,
        detect=Detect(
            watches=tuple(Watch(source, interval, timeout) for source in sources),
            fail_after=random.choice((1, 2, 3)),
            recover_after=random.choice((1, 2)),
            startup_grace=grace,
            settle_for=timedelta(seconds=random.choice((0, 2, 5))),
        ),
        remediations=tuple(Remediation(action, TIMEOUT[action]) for action in random.choice(LADDERS)),
        guardrails=Guardrails(
            attempts=Attempts(max=random.choice((2, 3, 5)), within=timedelta(minutes=10)),
            cooldown=timedelta(seconds=random.choice((5, 30, 120))),
            blast_radius=BlastRadius(
                may_replace=None if random.random() < 0.97 else frozenset({FILE}),
                collateral=random.choice((0, 2, 4)),
            ),
        ),
        verify=Verify(
            by=ProvedBy.CHECK if sources and random.random() < 0.8 else ProvedBy.ENGINE,
            within=grace + stable_for + timedelta(seconds=60),
            stable_for=stable_for,
        ),
    )
