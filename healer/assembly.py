"""From a configuration to the parts that it names: engines, notifiers, recipes, senders, what looks for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from healer.config.load import Config
from healer.core.event import Event, Unreachable
from healer.core.inventory import Watched
from healer.core.repair import Recipe
from healer.plugins import find, names
from healer.ports import (
    Action,
    AlarmSource,
    Authentication,
    Clock,
    Closing,
    Engine,
    Notifier,
    Place,
    Probe,
    Pull,
    Watcher,
)
from healer.pulling import Pulling
from healer.receiver.alarms import Source
from healer.runner import Runner
from healer.scheduler import Assignment, subject_of
from healer.telemetry import Telemetry


def engines(config: Config, clock: Clock, *, creates: bool = True) -> Mapping[str, Engine]:
    """By cloud; each is told where it works, and whether it creates what was never there. None is started."""
    found = {name: cast("Engine", cloud.plugin) for name, cloud in config.clouds.items()}
    for name, engine in found.items():
        engine.bind(Place(name, config.settings.state.directory, clock, creates))
    return found


def notifiers(config: Config) -> Mapping[str, Notifier]:
    return {name: cast("Notifier", plugin) for name, plugin in config.notifiers.items()}


def recipes() -> Mapping[str, Recipe]:
    """Of every action that there is, by its name."""
    return {name: cast("Action", find("actions", name)).recipe for name in names("actions")}


def sources(config: Config) -> Mapping[str, Source]:
    """What may send alarms."""
    return {
        name: Source(
            cast("AlarmSource", receiver.plugin),
            cast("tuple[Authentication, ...]", tuple(receiver.authentication.values())),
            receiver.watchdog,
            receiver.only,
        )
        for name, receiver in config.alarms.items()
    }


async def let_go(config: Config) -> None:
    """Of all that senders' ways to show who they are hold open."""
    for receiver in config.alarms.values():
        for way in receiver.authentication.values():
            if isinstance(way, Closing):
                await way.close()


def confirmed_at(config: Config) -> Mapping[str, str | None]:
    """By sender: where it is called back."""
    return {name: receiver.confirm_at for name, receiver in config.alarms.items()}


def pullings(config: Config, runner: Runner, clock: Clock, telemetry: Telemetry) -> list[Pulling]:
    """What reads alarms at their sender; none is begun."""
    return [
        Pulling(
            name,
            cast("Pull", plugin),
            runner.accept,
            clock.now,
            telemetry.received,
            receiver.watchdog,
            receiver.only,
            runner.feed,
        )
        for name, receiver in config.alarms.items()
        for plugin in receiver.pulls.values()
    ]


def telemetry(config: Config, clock: Clock) -> Telemetry:
    """What is counted from nothing, and which senders are waited for from now on."""
    expected = [name for name, receiver in config.alarms.items() if receiver.watchdog_expected]
    return Telemetry(clock, config.clouds, config.alarms, expected)


def unknown(config: Config, pullings: Iterable[Pulling]) -> list[Event]:
    """What a daemon that starts must say that it does not know yet: each holds up what is begun, and nothing else."""
    clouds = (Unreachable(name, f"cloud {name} has not been read yet") for name in config.clouds)
    return [*clouds, *(awaited for one in pullings for awaited in one.awaited())]


def watchers(config: Config) -> Mapping[str, Watcher]:
    """Every watcher that some policy asks for, by its observations' source."""
    return {
        source: cast("Watcher", plugin)
        for loaded in config.policies
        for source, plugin in loaded.watchers.items()
    }


def assignments(config: Config, watched: Iterable[Watched]) -> list[Assignment]:
    """The looks of all probes; what a watcher sees is read with the stack and needs none."""
    probes = {
        (loaded.policy.name, source): cast("Probe", plugin)
        for loaded in config.policies
        for source, plugin in loaded.probes.items()
    }
    found: list[Assignment] = []
    for one in watched:
        probe = probes.get((one.policy.name, one.watch.source))
        if probe is not None:
            found.append(
                Assignment(
                    target=one.target,
                    physical_id=one.resource.incarnation.physical_id,
                    source=one.watch.source,
                    probe=probe,
                    interval=one.watch.interval,
                    timeout=one.watch.timeout,
                    subject=subject_of(one.target, one.resource),
                )
            )
    return found
