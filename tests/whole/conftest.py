"""A folder whose name is short enough for a socket, and the stacks that the daemon is shown."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.heat.stacks import Stack, Stacks

TEMPLATES = Path(__file__).parents[1] / "templates"
_numbers = count(1)

Make = Callable[[str], Awaitable[Stack]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="healer-") as name:
        yield Path(name)


@pytest.fixture
def make(heat: Stacks) -> Make:
    """Makes a stack of tests/templates/<name>.yaml, complete, under a name that no other has had."""

    async def made(template: str) -> Stack:
        text = (TEMPLATES / f"{template}.yaml").read_text()
        parameters = {"python": sys.executable, "tier": str(TEMPLATES / "tier.py")}
        name = f"{template.replace('_', '-')}-{next(_numbers)}"
        return await heat.create(name, text, parameters=parameters, files=dict(nested(text)))

    return made


def nested(text: str) -> Iterator[tuple[str, str]]:
    """The templates that a template names as types, and those that they name."""
    resources: dict[str, Any] = yaml.safe_load(text)["resources"]
    for resource in resources.values():
        if resource["type"].endswith(".yaml"):
            inner = (TEMPLATES / resource["type"]).read_text()
            yield resource["type"], inner
            yield from nested(inner)
