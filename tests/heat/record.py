"""Records tests/traces anew from the real Heat: `python -m tests.heat.record [NAME …]`."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.heat import install
from tests.heat.play import Play
from tests.heat.scenarios import SCENARIOS
from tests.heat.stacks import Stacks
from tests.real_heat import RealHeat
from tests.trace import TRACES, written


async def record(heat: RealHeat, name: str, directory: Path) -> dict[str, Any]:
    """Play one scenario, and return its trace."""
    scenario = SCENARIOS[name]
    async with Stacks(heat.url) as stacks:
        play = Play(heat, stacks, directory)
        await scenario(play)
    version = next(line for line in install.CONSTRAINTS.read_text().splitlines() if "openstack-heat" in line)
    return {
        "shows": inspect.getdoc(scenario),
        "recorded": f"python -m tests.heat.record {name}, on {version} (tests/heat/rig)",
        "template": play.template,
        "requires": play.requires,
        "steps": play.steps,
    }


def main() -> None:
    names = sys.argv[1:] or list(SCENARIOS)
    directory = Path(tempfile.mkdtemp(prefix="heat-"))
    heat = RealHeat(directory / "heat")
    try:
        heat.start()
        TRACES.mkdir(exist_ok=True)
        for name in names:
            place = directory / name
            place.mkdir()
            (TRACES / f"{name}.json").write_text(written(asyncio.run(record(heat, name, place))) + "\n")
            sys.stdout.write(f"{name}\n")
    finally:
        heat.stop()
        heat.clear()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
