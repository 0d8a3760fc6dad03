"""The scene of every test of the whole: a real Heat, and a folder whose name is short enough for a socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.heat.stacks import Stacks
from tests.real_heat import RealHeat
from tests.whole.scene import Scene


@pytest.fixture
def scene(real_heat: RealHeat, heat: Stacks) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="healer-") as folder:
        yield Scene(real_heat, heat, Path(folder))
