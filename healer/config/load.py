"""Everything that config.yaml names, read into plain values, with all that is wrong with it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

from healer.config.keys import Section
from healer.config.policies import LoadedPolicy
from healer.config.policies import read as read_policy
from healer.config.rules import Surroundings
from healer.config.salvage import Salvaged, salvage
from healer.config.settings import Settings
from healer.config.shelf import Named, Shelf, anchored
from healer.declarative.resource_types import TYPES
from healer.documents import Document, DocumentError, KeyPath, Problem, read, read_all
from healer.plugins import Plugin
from healer.ports import Pull

_STAND_INS = {"version": 1, "clouds": {"unnamed": {"engine": "local"}}}
"""For required keys that are missing: the rest, and the policies, can still be looked at."""

_SOCKET_PATH = 107
"""Bytes: the longest path of a unix socket, as the kernel has it."""

_ATTRIBUTES = {name: kind.attributes for name, kind in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Cloud:
    engine: str
    """Name of the plug-in."""
    plugin: Plugin
    refresh: timedelta

    @property
    def declared(self) -> Mapping[str, Path] | None:
        """Name of a stack → its template, for an engine whose stacks are declared in its options; else None."""
        stacks = getattr(self.plugin, "stacks", None)
        return stacks if isinstance(stacks, Mapping) else None


@dataclass(frozen=True, slots=True)
class AlarmReceiver:
    plugin: Plugin
    authentication: Mapping[str, Plugin]
    """None at all takes alarms from everybody who can connect."""
    watchdog: str
    watchdog_expected: bool
    """Whether that is written down: only then is a sender that never sent it known to be one that should."""
    only: Mapping[str, str]
    """Labels that each of its alarms carries, or is passed over."""
    confirm_at: str | None
    pulls: Mapping[str, Plugin]


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Every path in it can be used from any directory that the daemon is started in."""

    file: str
    settings: Settings
    """What belongs to no plug-in."""
    clouds: Mapping[str, Cloud]
    alarms: Mapping[str, AlarmReceiver]
    notifiers: Mapping[str, Plugin]
    policies: tuple[LoadedPolicy, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    document: Document | None
    config: Config | None
    """Without what is wrong; None where nothing can be said of the rest. Only one without problems may be run."""
    problems: tuple[Problem, ...]


def gather(path: str | PathLike[str]) -> Gathered:
    """Read the file and all that it names. Never raises for what a file holds."""
    try:
        document = read(path)
    except DocumentError as error:
        if not error.documents:
            return Gathered(None, None, error.problems)
        document, unread = error.documents[0], list(error.problems)
    else:
        unread = []
    salvaged = salvage(document, Settings, _STAND_INS)
    found = list(salvaged.problems)
    if salvaged.section is None:
        return Gathered(document, None, _without_echoes(unread, found))
    directory = Path(path).absolute().parent
    settings = _anchor(salvaged.section, directory)
    shelf = Shelf(directory)
    clouds, alarms, notifiers = _plugins(document, settings, shelf, found)
    found += _contradictions(document, settings)
    found += _shared_paths(document, alarms)
    found += _strangers(document, settings, alarms)
    around = _surroundings(settings, salvaged, clouds)
    loaded = tuple(_policies(document, settings, shelf, around, unread=unread, found=found))
    config = Config(document.file, settings, clouds, alarms, notifiers, loaded)
    return Gathered(document, config, _without_echoes(unread, found))


def _without_echoes(unread: list[Problem], found: list[Problem]) -> tuple[Problem, ...]:
    """What could not even be read, and all else; of a value that could not be read nothing else is said."""
    places = {(problem.file, problem.key) for problem in unread}
    return (*unread, *(problem for problem in found if (problem.file, problem.key) not in places))


def _anchor(settings: Settings, directory: Path) -> Settings:
    return settings.model_copy(
        update={
            "state": settings.state.model_copy(
                update={"directory": anchored(settings.state.directory, directory)}
            ),
            "api": settings.api.model_copy(update={"socket": anchored(settings.api.socket, directory)}),
        }
    )


def _plugins(
    document: Document, settings: Settings, shelf: Shelf, found: list[Problem]
) -> tuple[dict[str, Cloud], dict[str, AlarmReceiver], dict[str, Plugin]]:
    clouds: dict[str, Cloud] = {}
    alarms: dict[str, AlarmReceiver] = {}
    notifiers: dict[str, Plugin] = {}

    def build(at: KeyPath, section: Section, named: Named) -> Plugin | None:
        options = section.model_extra or {}
        built = shelf.build(document, at, named, options, also=type(section).model_fields)
        if isinstance(built, Plugin):
            return built
        found.extend(built)
        return None

    def several(
        at: KeyPath, key: str, folder: str, wanted: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[str, Plugin]]:
        for name, options in wanted.items():
            here = (*at, key, name)
            built = shelf.build(document, here, Named(folder, name, here), options)
            if isinstance(built, Plugin):
                yield name, built
            else:
                found.extend(built)

    for name, cloud in settings.clouds.items():
        at: KeyPath = ("clouds", name)
        if at not in document.lines:
            continue  # it stands in for one that is missing, which is reported already
        if plugin := build(at, cloud, Named("engines", cloud.engine, (*at, "engine"))):
            clouds[name] = Cloud(cloud.engine, plugin, cloud.refresh)
    for name, alarm in settings.alarms.items():
        at = ("alarms", name)
        kind = Named("alarms", alarm.source or name, (*at, "source") if alarm.source else at)
        if plugin := build(at, alarm, kind):
            alarms[name] = AlarmReceiver(
                plugin,
                dict(several(at, "auth", "authentication", alarm.auth)),
                alarm.watchdog,
                bool(alarm.watchdog) and "watchdog" in alarm.model_fields_set,
                alarm.only,
                alarm.confirm_at,
                dict(several(at, "pull", "pulls", alarm.pull)),
            )
    for name, notifier in settings.notifiers.items():
        at = ("notifiers", name)
        if plugin := build(at, notifier, Named("notifiers", notifier.notifier, (*at, "notifier"))):
            notifiers[name] = plugin
    return clouds, alarms, notifiers


def _contradictions(document: Document, settings: Settings) -> Iterator[Problem]:
    if not settings.listen.is_loopback:
        address = f"listen.address ({settings.listen.address}, line {document.line(('listen', 'address'))})"
        for name, alarm in settings.alarms.items():
            if not (alarm.auth or alarm.open):
                yield document.problem(
                    ("alarms", name),
                    f"has no auth, and {address} lets everybody who reaches this machine start heals;"
                    " expected auth, 127.0.0.1 to listen on, or `open: true`",
                )
    if len(bytes(settings.api.socket)) > _SOCKET_PATH:
        yield document.problem(
            ("api", "socket"),
            f"{settings.api.socket} is longer than the {_SOCKET_PATH} bytes of a unix socket",
        )


def _strangers(
    document: Document, settings: Settings, alarms: Mapping[str, AlarmReceiver]
) -> Iterator[Problem]:
    """An alarm that is sent under one name and read under another would be two, and end but once."""
    for name, receiver in alarms.items():
        kind = settings.alarms[name].source or name
        for way, plugin in receiver.pulls.items():
            if kind not in (reads := cast("Pull", plugin).reads):
                yield document.problem(
                    ("alarms", name, "pull", way),
                    f"does not read the alarms of {kind}; expected it beside {' or '.join(sorted(reads))}",
                )


def _shared_paths(document: Document, alarms: Mapping[str, AlarmReceiver]) -> Iterator[Problem]:
    """Two senders that cannot be told where to post cannot be told apart either."""
    taken: dict[str, str] = {}
    for name, receiver in alarms.items():
        for path in getattr(receiver.plugin, "paths", ()):
            if (other := taken.setdefault(path, name)) != name:
                yield document.problem(
                    ("alarms", name), f"is served at {path} as {other} is; expected one of a kind"
                )


def _surroundings(
    settings: Settings, salvaged: Salvaged[Settings], clouds: Mapping[str, Cloud]
) -> Surroundings:
    unsure = {path[0] for path in salvaged.doubtful if path and len(path) <= 2}
    return Surroundings(
        refresh={name: cloud.refresh for name, cloud in settings.clouds.items()},
        notifiers=frozenset(settings.notifiers),
        alarms=bool(settings.alarms) or "alarms" in unsure,
        certain=frozenset({"clouds", "notifiers"} - unsure),
        declared={name: _ATTRIBUTES for name, cloud in clouds.items() if cloud.declared is not None},
    )


def _policies(
    document: Document,
    settings: Settings,
    shelf: Shelf,
    around: Surroundings,
    *,
    unread: list[Problem],
    found: list[Problem],
) -> Iterator[LoadedPolicy]:
    places: dict[str, str] = {}
    for file in _files(document, settings, found):
        try:
            documents = read_all(file)
        except DocumentError as error:
            unread += error.problems
            documents = error.documents
        else:
            if not documents:
                found.append(Problem(file, 0, "", "holds no policy"))
        for each in documents:
            name, place = _name(each), f"{file}:{each.line(('policy',))}"
            policy = read_policy(each, shelf, around)
            found += policy.problems
            if name in places:
                found.append(
                    each.problem(("policy",), f"{name} is the name of another one already: {places[name]}")
                )
            elif name is not None:
                places[name] = place
            if policy.loaded is not None:
                yield policy.loaded


def _name(document: Document) -> str | None:
    name = document.data.get("policy") if isinstance(document.data, dict) else None
    return name if isinstance(name, str) else None


def _files(document: Document, settings: Settings, found: list[Problem]) -> Iterator[str]:
    """The files of policies, each once, as a person who reads a report would type them."""
    directory = Path(document.file).parent
    seen: set[Path] = set()
    for index, pattern in enumerate(settings.policies):
        whole = fspath(Path(glob.escape(fspath(directory))) / pattern)
        files = sorted(glob.glob(whole, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not files:
            found.append(
                document.problem(("policies", index), f"no file matches {pattern}, seen from {directory}")
            )
        for file in files:
            if Path(file).absolute() not in seen:
                seen.add(Path(file).absolute())
                yield file
