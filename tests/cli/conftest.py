"""A daemon of its own for all words, and a way to type them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from healer.cli import main
from tests.cli.typist import NOBODY, Answer, Type
from tests.daemon.houses import Hasty, until


@pytest.fixture(scope="session")
def running() -> Iterator[Hasty]:
    with Hasty(config={"alarms": {"alertmanager": {}}, "api": {"readers": [NOBODY]}}) as house:
        yield house


@pytest.fixture
def house(running: Hasty) -> Hasty:
    """The daemon, with nothing wrong in its shop and nothing paused."""
    for pause in running.client.get("/v1/pauses")["pauses"]:
        running.client.delete(f"/v1/pauses/{pause['id']}")
    until(running.healthy, "all to be healthy")
    return running


@pytest.fixture
def types(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, running: Hasty) -> Type:
    """What a person gets who types these words."""
    monkeypatch.setenv("HEALER_SOCKET", str(running.folder / "api.sock"))

    def typed(*words: str) -> Answer:
        capsys.readouterr()
        try:
            code: Any = main(words)
        except SystemExit as end:  # argparse's way
            code = end.code
        return Answer(code, *capsys.readouterr())

    return typed
