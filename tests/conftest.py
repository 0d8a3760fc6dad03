"""What every test may ask for by name, and what holds in every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

pytest_plugins = ("tests.debian.programs", "tests.real_heat", "tests.clouds.known")

BY_HAND = ("healer.engines.local.machine", "healer.documents", "healer.plugins")
"""What tests also call themselves, and may. Whoever in healer calls it on a loop is found all the same."""
MAY_BLOCK = {
    # Removes the socket of a daemon that is dead, once, before it listens.
    "asyncio/unix_events.py": {"create_unix_server"},
    # One look at one name, right before each call that changes anything: whatever comes between would be too late.
    "healer/stopfile.py": {"why"},
    # The simulated engine, and who stands in for it, read their templates before anything is simulated.
    "healer/engines/simulated/__init__.py": {"start"},
}
"""Where a call may block the loop: functions, by the end of their file's name."""


@pytest.fixture(scope="session", autouse=True)
def _no_blocking() -> Iterator[None]:
    """A call of healer's own that blocks an event loop raises, in whichever test it is made."""
    with blockbuster_ctx(scanned_modules="healer", excluded_modules=list(BY_HAND)) as watch:
        for file, functions in MAY_BLOCK.items():
            for call in watch.functions.values():
                call.can_block_in(file, functions)
        yield
