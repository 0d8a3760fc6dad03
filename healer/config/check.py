"""Whether a configuration is fit to run with: every mistake of its files, policies and declared stacks at once."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

from healer.config.load import Config, gather
from healer.config.stacks import stack_problems
from healer.documents import Document, DocumentError, KeyPath, Problem
from healer.plugins import Plugin
from healer.ports import Checkable


@dataclass(frozen=True, slots=True)
class Report:
    problems: tuple[Problem, ...]
    """What must be mended before the daemon can run; by file and line."""
    warnings: tuple[Problem, ...]
    """What a person should look at; the daemon runs nevertheless."""
    config: Config | None
    """Only where there is no problem."""

    @property
    def exit_code(self) -> int:
        return 2 if self.problems else 0

    def lines(self) -> tuple[str, ...]:
        """`file:line: key: what is wrong; what was expected`, the warnings last."""
        return (
            *(str(problem) for problem in self.problems),
            *(f"{warning} (warning)" for warning in self.warnings),
        )


def check(path: str | PathLike[str]) -> Report:
    """Read the configuration and all that it names. Changes nothing, calls no cloud, and never raises."""
    gathered = gather(path)
    found, warnings = list(gathered.problems), list[Problem]()
    if gathered.document is not None and gathered.config is not None:
        found += _objections(gathered.document, gathered.config)
        found += stack_problems(gathered.config)
        warnings += _doubts(gathered.document, gathered.config)
    return Report(_sorted(found), _sorted(warnings), None if found else gathered.config)


def load(path: str | PathLike[str]) -> Config:
    """The configuration to run with. Raises DocumentError with every mistake in it."""
    report = check(path)
    if report.config is None:
        raise DocumentError(report.problems)
    return report.config


def _objections(document: Document, config: Config) -> Iterator[Problem]:
    """What a plug-in knows to be wrong with its own options."""
    plugins: list[tuple[KeyPath, Plugin]] = [
        (("clouds", name), cloud.plugin) for name, cloud in config.clouds.items()
    ]
    for name, receiver in config.alarms.items():
        plugins += [
            (("alarms", name, "auth", way), plugin) for way, plugin in receiver.authentication.items()
        ]
        plugins += [(("alarms", name, "pull", way), plugin) for way, plugin in receiver.pulls.items()]
    for at, plugin in plugins:
        if isinstance(plugin, Checkable):
            for option, why in plugin.objections().items():
                yield document.problem((*at, option), why)


def _doubts(document: Document, config: Config) -> Iterator[Problem]:
    if not document.data.get("policies"):
        yield document.problem(
            ("policies",), "names no policy: every stack is read, and nothing is watched or healed"
        )
    for kind in ("operators", "readers"):
        for index, user in enumerate(getattr(config.settings.api, kind)):
            if not _exists(user):
                yield document.problem(("api", kind, index), f"there is no user {user} on this machine")


def _exists(user: str | int) -> bool:
    if isinstance(user, int):
        return True  # A number needs no entry: it is what the kernel names.
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(
        sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.key))
    )
