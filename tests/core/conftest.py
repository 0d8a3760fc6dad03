"""The play of a test, which ends well or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.playbook import Play


@pytest.fixture
def play() -> Iterator[Play]:
    """Everything stands; all invariants are looked at after every line, and once more at the end."""
    play = Play()
    yield play
    play.comes_to_rest()
