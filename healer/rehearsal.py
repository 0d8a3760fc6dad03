"""What a sender's body would mean, without a daemon: it is read as the daemon reads it, and nothing is kept or done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

from healer import assembly
from healer.clock import BootClock
from healer.config.load import AlarmReceiver, Config
from healer.core.inventory import Found, Resolution, Unmatched, resolve
from healer.core.model import Alarm, Root, Selector, Snapshot, Target
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
    there = {(root.cloud, root.name) for root in snapshots}
    uncreated = [
        (name, stack)
        for name, cloud in config.clouds.items()
        if name not in unreachable
        for stack in cloud.declared or ()
        if (name, stack) not in there
    ]
    meant = tuple(_meant(config, snapshots, uncreated, alarm) for alarm in batch.alarms)
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


def _meant(
    config: Config, snapshots: Mapping[Root, Snapshot], uncreated: Iterable[tuple[str, str]], alarm: Alarm
) -> Meant:
    found = resolve(snapshots, alarm.selector, {})
    if isinstance(found, Unmatched) and (to_come := _to_come(snapshots, uncreated, alarm.selector)):
        found = Unmatched(to_come)
    targets = found.targets if isinstance(found, Found) else ()
    policies = tuple(loaded.policy for loaded in config.policies)
    owners = {}
    for target in targets:
        snapshot = snapshots[target.root]
        owners[target] = owner(policies, snapshot, snapshot.resources[target.path])
    return Meant(alarm, found, owners)


def _to_come(
    snapshots: Mapping[Root, Snapshot], uncreated: Iterable[tuple[str, str]], selector: Selector
) -> str:
    """Where nothing but stacks that were never created could be meant, their names, in a sentence; else nothing."""

    def may_mean(cloud: str, *stack: str) -> bool:
        return selector.cloud in {None, cloud} and selector.stack in {None, *stack}

    if not any((selector.physical_id, selector.resource, selector.address, selector.host)):
        return ""  # It names no resource, of whatever stack.
    if any(may_mean(root.cloud, root.name, root.id) for root in snapshots):
        return ""
    names = ", ".join(repr(stack) for cloud, stack in uncreated if may_mean(cloud, stack))
    return f"nothing of {names} was created yet: the daemon does that when it starts" if names else ""
