from __future__ import annotations

import asyncio
from pathlib import Path

from healer.core.event import Stopped
from healer.stopfile import NAME, StopFile
from tests.virtual_time import virtually


def test_that_it_comes_and_goes_is_told_once_each(tmp_path: Path) -> None:
    told: list[Stopped] = []
    file = tmp_path / NAME

    async def scenario() -> None:
        task = asyncio.get_running_loop().create_task(StopFile(tmp_path).watch(told.append))
        await asyncio.sleep(3)
        assert told == []
        file.touch()
        await asyncio.sleep(3)
        assert told == [Stopped(f"{file} is there")]
        file.unlink()
        await asyncio.sleep(3)
        assert told[1:] == [Stopped(None)]
        task.cancel()
        await asyncio.wait([task])

    virtually(scenario())


def test_what_cannot_be_looked_for_stops_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    why = StopFile(tmp_path / "file").why()
    assert why is not None
    assert why.endswith("cannot be looked for: Not a directory")
