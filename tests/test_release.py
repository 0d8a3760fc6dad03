"""Marks that a killed daemon has left are taken back with no daemon and no state; nobody else's are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from healer.assembly import engines
from healer.cli import main
from healer.clock import BootClock
from healer.config.check import load
from healer.core.model import Root, Snapshot
from healer.ports import Engine
from healer.release import release
from tests.daemon.houses import Hasty, kill, until

DIES = Path(__file__).parent / "daemon" / "dies.py"
CLOUDS_YAML = """\
clouds:
  closed:
    auth_type: admin_token
    auth: {endpoint: "http://127.0.0.1:9", token: any}
"""


class Doomed(Hasty):
    """Its daemon is killed once it has marked what failed, and before it does anything else."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(DIES), str(self.folder / "config.yaml"), "preview", "before"]


@pytest.fixture
def house() -> Iterator[Doomed]:
    """With a mark of ours on db, and no daemon and no state file."""
    with Doomed() as doomed:
        kill(until(doomed.healthy, "all to be healthy")["db"])
        until(lambda: doomed.died, "the daemon to be killed")
        for file in (doomed.folder / "state").glob("state.sqlite*"):
            file.unlink()
        yield doomed


def engine_of(house: Doomed) -> Engine:
    return engines(load(house.folder / "config.yaml"), BootClock())["here"]


async def read(engine: Engine) -> tuple[Root, Snapshot]:
    await engine.start()
    (root,) = await engine.roots()
    return root, await engine.snapshot(root)


def marks(house: Doomed) -> dict[str, str]:
    """Path → why it is marked, by the engine's own books."""
    _, snapshot = asyncio.run(read(engine_of(house)))
    return {one.path: one.reason for one in snapshot.resources.values() if one.marked}


def mark(house: Doomed, path: str, reason: str) -> None:
    async def marked(engine: Engine) -> None:
        root, snapshot = await read(engine)
        await engine.mark(root, snapshot.resources[path].incarnation, reason)

    asyncio.run(marked(engine_of(house)))


def test_our_marks_are_taken_back_and_nobody_elses(house: Doomed) -> None:
    assert marks(house)["db"].startswith("healer:demo/")
    mark(house, "api", "healer:another/01ABC: it fails")
    mark(house, "web", "anna looks at it")
    done = release(load(house.folder / "config.yaml"))
    assert (done.released, done.failed) == (["shop/db"], [])
    assert marks(house) == {"api": "healer:another/01ABC: it fails", "web": "anna looks at it"}
    assert release(load(house.folder / "config.yaml")).released == []


def test_a_cloud_that_cannot_be_reached_is_said_to_be_and_holds_up_no_other(
    house: Doomed, capsys: pytest.CaptureFixture[str]
) -> None:
    file = house.folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    first = {"mine": {"engine": "heat", "cloud": "closed", "clouds_yaml": "clouds.yaml"}}
    config["clouds"] = {**first, **config["clouds"]}
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    (house.folder / "clouds.yaml").write_text(CLOUDS_YAML)
    assert main(["release-all", "--config", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == "shop/db is not marked any more.\n1 mark taken back, and not all that there may be.\n"
    assert said.err.startswith("healer: cloud mine: ")
    assert marks(house) == {}
