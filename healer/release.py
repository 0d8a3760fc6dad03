"""Takes back every mark of this installation, from the engine alone: for when the daemon is dead and stays so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from healer.assembly import engines
from healer.clock import BootClock
from healer.config.load import Config
from healer.ports import Engine, EngineError
from healer.stores.sqlite import locked


@dataclass(slots=True)
class Released:
    released: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def release(config: Config) -> Released:
    """Un-mark what bears our signature in every cloud. StoreError where a daemon of this state is running.

    Needs no state: the reason of each mark says whose it is. A running daemon would set them again.
    """
    with locked(config.settings.state.directory):
        return asyncio.run(
            _release(engines(config, BootClock(), creates=False), config.settings.installation)
        )


async def _release(clouds: Mapping[str, Engine], installation: str) -> Released:
    done = Released()
    for cloud, engine in clouds.items():
        try:
            await _release_cloud(engine, f"healer:{installation}/", done)
        except EngineError as error:
            done.failed.append(f"cloud {cloud}: {error.detail}")
        finally:
            await engine.close()
    return done


async def _release_cloud(engine: Engine, signature: str, done: Released) -> None:
    await engine.start()
    for root in await engine.roots():
        snapshot = await engine.snapshot(root)
        for resource in snapshot.resources.values():
            if not resource.marked or not resource.reason.startswith(signature):
                continue
            try:
                await engine.unmark(root, resource.incarnation)
            except EngineError as error:
                done.failed.append(f"{root}/{resource.path}: {error.detail}")
            else:
                done.released.append(f"{root}/{resource.path}")
