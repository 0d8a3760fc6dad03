"""From the text of a policy to the core's policy, and to the probes and watchers that feed it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from healer.config.rules import Facts, Surroundings, defeats, timeout_of
from healer.config.salvage import salvage
from healer.config.sections import NOT_YET, NOT_YET_PLUGINS, PolicySection, ProbeSection
from healer.config.sentences import shown, unknown
from healer.config.shelf import Named, Shelf
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
from healer.documents import Document, KeyPath, Problem, did_you_mean
from healer.plugins import Plugin
from healer.ports import PluginError

_STAND_INS = {"version": 1, "policy": "unnamed", "match": {"stack": "*"}}
"""For required keys that are missing: what else there is can still be looked at."""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy and what looks for it."""

    policy: Policy
    probes: Mapping[str, Plugin]
    """By source: `probe:http`, and `probe:http:2` for the second of the same kind."""
    watchers: Mapping[str, Plugin]
    """By source: `watcher:engine`."""
    file: str
    line: int
    """Where the policy is named."""
    text: str
    """What it says, in the form whose SHA-256 is the policy's digest."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one document gave: a policy where there is no problem."""

    loaded: LoadedPolicy | None
    problems: tuple[Problem, ...] = ()


def read(document: Document, shelf: Shelf, around: Surroundings) -> Read:
    """All mistakes of one policy at once: of form, of plug-ins' options, and of settings that defeat each other."""
    salvaged = salvage(document, PolicySection, _STAND_INS, NOT_YET)
    section, found = salvaged.section, list(salvaged.problems)
    if section is None:
        return Read(None, tuple(found))
    attributes = around.attributes(section.match.cloud, section.match.type)
    probes = _Looks(document, shelf, "probes", attributes)
    watchers = _Looks(document, shelf, "watchers", attributes)
    for index, probe in enumerate(section.detect.probes):
        probes.probe(("detect", "probes", index), probe)
    for index, watcher in enumerate(section.detect.watchers):
        watchers.watcher(("detect", "watchers", index), watcher)
    found += probes.problems + watchers.problems
    found += _names(document, section, shelf, around)
    found += defeats(
        Facts(section, document, around, shelf.recipes(r.action for r in section.remediations)),
        salvaged.doubtful,
    )
    if found:
        return Read(None, tuple(found))
    policy = _policy(section, document, around, tuple(probes.plugins), tuple(watchers.plugins))
    return Read(
        LoadedPolicy(
            policy=policy,
            probes=probes.plugins,
            watchers=watchers.plugins,
            file=document.file,
            line=document.line(("policy",)),
            text=canonical(document.data),
        )
    )


class _Looks:
    """The probes, or the watchers, of one policy by the name of their observations' source."""

    def __init__(
        self, document: Document, shelf: Shelf, folder: str, attributes: frozenset[str] | None
    ) -> None:
        self._context = {} if attributes is None else {"placeholders": attributes}
        self._document = document
        self._shelf = shelf
        self._folder = folder
        self.plugins: dict[str, Plugin] = {}
        self.problems: list[Problem] = []

    def probe(self, at: KeyPath, section: ProbeSection) -> None:
        extra = section.model_extra or {}
        there = {*self._shelf.names("probes"), *NOT_YET_PLUGINS["probes"]}
        named = [name for name in extra if name in there]
        if not named and len(extra) == 1:
            named = list(extra)  # which will be told that it is none, and what there is
        for key in extra:
            if key not in named:
                self._complain((*at, key), unknown(ProbeSection, (key,), also=self._shelf.names("probes")))
        if len(named) == 1:
            self._build((*at, named[0]), named[0], extra[named[0]])
        elif named or not extra:
            says = f"names {', '.join(named) or 'no probe'}; expected exactly one probe for each entry"
            self._complain(at, says)

    def watcher(self, at: KeyPath, entry: Any) -> None:
        options: Any = None
        place = at
        match entry:
            case str(name):
                pass
            case dict() if len(entry) == 1:
                ((name, options),) = entry.items()
                place = (*at, name)
            case _:
                self._complain(at, f"is {shown(entry)}; expected the name of a watcher")
                return
        if f"watcher:{name}" in self.plugins:  # It would see the same, in what is read anyway.
            self._complain(at, "stands here twice")
        else:
            self._build(place, name, options)

    def _build(self, at: KeyPath, name: str, options: Any) -> None:
        if not isinstance(options, dict | None):
            self._complain(at, f"is {shown(options)}; expected a mapping of the options of {name}")
            return
        named = Named(self._folder, name, at, self._context)
        built = self._shelf.build(self._document, at, named, options or {})
        if isinstance(built, Plugin):
            self.plugins[self._source(name)] = built
        else:
            self.problems += built

    def _source(self, name: str) -> str:
        """`probe:http`, then `probe:http:2`: what a story and a metric call it."""
        first = f"{self._folder.removesuffix('s')}:{name}"
        same = sum(source == first or source.startswith(f"{first}:") for source in self.plugins)
        return f"{first}:{same + 1}" if same else first

    def _complain(self, at: KeyPath, message: str) -> None:
        self.problems.append(self._document.problem(at, message))


def _names(
    document: Document, section: PolicySection, shelf: Shelf, around: Surroundings
) -> Iterator[Problem]:
    """What the policy calls by name must be there: clouds, actions, notifiers."""
    cloud = section.match.cloud
    if "clouds" in around.certain and not any(fnmatchcase(name, cloud) for name in around.refresh):
        yield document.problem(
            ("match", "cloud"), f"no cloud's name is {shown(cloud)}; {did_you_mean(cloud, around.refresh)}"
        )
    for index, rung in enumerate(section.remediations):
        at: KeyPath = ("remediations", index)
        try:
            shelf.find("actions", rung.action)
        except PluginError as error:
            yield document.problem((*at, "action"), str(error))
        if rung.notifier and rung.action != "notify":
            yield document.problem(
                (*at, "notifier"),
                f"belongs to notify, and the action (line {document.line((*at, 'action'))}) is {rung.action}",
            )
        elif rung.notifier and "notifiers" in around.certain and rung.notifier not in around.notifiers:
            hint = did_you_mean(rung.notifier, around.notifiers)
            yield document.problem((*at, "notifier"), f"there is no notifier {shown(rung.notifier)}; {hint}")


def _policy(
    section: PolicySection,
    document: Document,
    around: Surroundings,
    probes: tuple[str, ...],
    watchers: tuple[str, ...],
) -> Policy:
    detect, guardrails, verify = section.detect, section.guardrails, section.verify
    refresh = around.slowest_refresh(section.match.cloud)
    watches = [
        Watch(source, probe.interval, timeout_of(probe))
        for source, probe in zip(probes, detect.probes, strict=True)
    ]
    watches += [Watch(source, refresh, refresh) for source in watchers]
    return Policy(
        name=section.policy,
        match=Match(**dict(section.match)),
        mode=Mode(section.mode),
        detect=Detect(
            watches=tuple(watches),
            fail_after=detect.fail_after,
            recover_after=detect.recover_after,
            unhealthy_for=detect.unhealthy_for,
            startup_grace=detect.startup_grace,
            settle_for=detect.settle_for,
        ),
        remediations=tuple(Remediation(r.action, r.timeout, r.notifier) for r in section.remediations),
        guardrails=Guardrails(
            attempts=Attempts(guardrails.attempts.max, guardrails.attempts.within),
            cooldown=guardrails.cooldown,
            blast_radius=BlastRadius(guardrails.blast_radius.may_replace, guardrails.blast_radius.max),
        ),
        verify=Verify(ProvedBy(verify.by), verify.within, verify.stable_for),
        digest=hashlib.sha256(canonical(document.data).encode()).hexdigest(),
    )


def canonical(data: Any) -> str:
    """What a policy says, whatever its comments, order of keys and layout: JSON on one line."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
