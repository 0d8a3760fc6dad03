"""What a sender's body would mean, without a daemon: it is read as the daemon reads it, and nothing is kept or done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

from healer import assembly
from healer.clock import BootClock
from healer.config.load import AlarmReceiver, Config
from healer.core.inventory import Found, Resolution, resolve
from healer.core.model import Alarm, Root, Snapshot, Target
from healer.core.policy import Contested, Owned, owner
from healer.ports import AlarmSource, Batch, Delivery, Engine, EngineError
from healer.stores.sqlite import locked


@dataclass(frozen=True, slots=True)
class Meant:
    """One alarm, what it means, and who looks after that."""

    alarm: Alarm
    resolution: Resolution
    owners: Mapping[Target, Owned | Contested | None]
    """For each resource that it means."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    batch: Batch
    signs: int
    """How many are the alarm that always fires: signs of life, and no alarms."""
    meant: tuple[Meant, ...]
    unreachable: Mapping[str, str]
    """Cloud → why it could not be read: its stacks count as if they were not there."""


def rehearse(config: Config, receiver: AlarmReceiver, delivery: Delivery) -> Rehearsal:
    """AlarmError where the body is not this sender's. The clouds are read, and nothing in them is changed.

    StoreError where a daemon runs that holds stacks itself: two cannot keep the same books.
    """
    batch = cast("AlarmSource", receiver.plugin).parse(delivery)
    signs = len(batch.named(receiver.watchdog))
    batch = batch.without(receiver.watchdog).only(receiver.only)
    keeps_books = any(cloud.declared is not None for cloud in config.clouds.values())
    with locked(config.settings.state.directory) if keeps_books else nullcontext():
        engines = assembly.engines(config, BootClock(), creates=False)
        snapshots, unreachable = asyncio.run(_read(engines))
    meant = tuple(_meant(config, snapshots, alarm) for alarm in batch.alarms)
    return Rehearsal(batch, signs, meant, unreachable)


async def _read(clouds: Mapping[str, Engine]) -> tuple[dict[Root, Snapshot], dict[str, str]]:
    snapshots: dict[Root, Snapshot] = {}
    unreachable: dict[str, str] = {}
    for cloud, engine in clouds.items():
        try:
            await engine.start()
            for root in await engine.roots():
                snapshots[root] = await engine.snapshot(root)
        except EngineError as error:
            unreachable[cloud] = error.detail
        finally:
            await engine.close()
    return snapshots, unreachable


def _meant(config: Config, snapshots: Mapping[Root, Snapshot], alarm: Alarm) -> Meant:
    found = resolve(snapshots, alarm.selector, {})
    targets = found.targets if isinstance(found, Found) else ()
    policies = tuple(loaded.policy for loaded in config.policies)
    owners = {}
    for target in targets:
        snapshot = snapshots[target.root]
        owners[target] = owner(policies, snapshot, snapshot.resources[target.path])
    return Meant(alarm, found, owners)
