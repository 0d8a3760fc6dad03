"""What the contract suite needs of an engine besides the port: a stack of a template, and hands to break it with."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from healer.core.model import Incarnation, Root
from healer.ports import Engine, Event, Operation, OperationState

TEMPLATES = Path(__file__).parents[1] / "templates"
WITHIN_S = 60.0
"""Seconds until whatever is waited for has happened; a real Heat takes one or two."""


class Harness(Protocol):
    """One engine with one cloud, in which a test makes its stacks. Paths are those of `healer.core.model`."""

    engine: Engine

    async def create(self, template: str) -> Root:
        """A stack of tests/templates/<template>, complete. Its parameters are `python` and `tier`."""
        ...

    async def delete(self, root: Root) -> None:
        """Delete the stack and wait until it is gone."""
        ...

    async def break_behind(self, root: Root, path: str) -> None:
        """Kill the process, delete the file: the engine is not told."""
        ...

    async def exists(self, physical_id: str) -> bool:
        """Whether the thing really exists (lives), whatever the engine's books say."""
        ...

    def fails(self, name: str) -> AbstractAsyncContextManager[None]:
        """While it is entered, nothing with this logical name can be created, in any stack."""
        ...

    def holds(self, name: str, *, delete: bool = False) -> AbstractAsyncContextManager[None]:
        """While it is entered, the creation (or deletion) of what has this logical name begins and does not end."""
        ...

    async def mark_unasked(self, root: Root, incarnation: Incarnation) -> None:
        """What somebody else may do: mark it though the stack is in progress."""
        ...

    async def history(self, root: Root) -> Sequence[Event]:
        """All that happened, oldest first."""
        ...

    async def a_moment(self) -> None:
        """Let a little time pass, so that what is under way goes on."""
        ...


def harnesses() -> list[object]:
    """One parameter for each file harness_<engine>.py beside this one."""
    names = sorted(path.stem.removeprefix("harness_") for path in Path(__file__).parent.glob("harness_*.py"))
    # One that takes long to start pays for it in whichever test comes first.
    return [pytest.param(name, id=name, marks=getattr(_module(name), "MARKS", ())) for name in names]


def opened(
    name: str, request: pytest.FixtureRequest, directory: Path
) -> AbstractAsyncContextManager[Harness]:
    """The harness of this engine; on leaving, all its stacks are gone. `directory` is empty, and it may use it."""
    found: AbstractAsyncContextManager[Harness] = _module(name).opened(request, directory)
    return found


async def until_ended(harness: Harness, root: Root, since: str) -> Operation:
    """How the update that begins after `since` ends; the runner's own way to follow one."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            operation = await harness.engine.operation(root, since)
            if operation.state in (OperationState.COMPLETE, OperationState.FAILED):
                await until_idle(harness, root)
                return operation
            await harness.a_moment()


async def until_idle(harness: Harness, root: Root) -> None:
    """Nothing of it is in progress: a failed update may leave resources behind that are still being worked on."""
    async with asyncio.timeout(WITHIN_S):
        while (await harness.engine.snapshot(root)).busy:
            await harness.a_moment()


async def until_happened(harness: Harness, root: Root, path: str, status: str, after: int) -> None:
    """The history, from its entry number `after` on, says so."""
    async with asyncio.timeout(WITHIN_S):
        while not any(
            (event.path, event.status) == (path, status) for event in (await harness.history(root))[after:]
        ):
            await harness.engine.operation(root, await harness.engine.position(root))
            await harness.a_moment()


def _module(name: str) -> Any:
    return importlib.import_module(f"tests.contract.harness_{name}")
