"""Who else does something while incidents last: other hands in the cloud, people, the machine, and death."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from healer.core.change import Pause
from healer.core.event import Paused, Silenced, Stopped, Unpaused
from healer.core.model import Selector
from healer.core.silence import Silence
from healer.engines.simulated.trouble import Misbehaviour
from healer.simulation.daemon import CLOUD
from healer.simulation.house import House

BY_OTHERS = (
    Misbehaviour.FOREIGN_UPDATE,
    Misbehaviour.FOREIGN_UPDATE,
    Misbehaviour.FOREIGN_REPLACEMENT,
    Misbehaviour.FOREIGN_UNMARK,
    Misbehaviour.FOREIGN_MARK,
    Misbehaviour.FOREIGN_DELETION,
)


def come(house: House) -> None:
    """As many as the mood brings, each within the next minute."""
    while house.random.random() < house.mood.company:
        what = house.random.choice(COMPANY)
        house.agenda.after(house.random.uniform(0, 60), lambda what=what: what(house))  # type: ignore[misc]


def leave(house: House) -> None:
    """Whoever has stopped, paused or cut off something lets it go."""
    go(house)
    reach_again(house)
    for identity in list(house.state.pauses):
        house.daemon.feed(Unpaused(identity, "alice"))
    speak(house)


def other_hand(house: House) -> None:
    roots, what = house.there(), house.random.choice(BY_OTHERS)
    rare = what is Misbehaviour.FOREIGN_DELETION and house.random.random() < 0.8
    if roots and not rare:
        root = house.random.choice(roots)
        house.note(f"{what} of {root}")
        house.cloud.interfere(root, what)


def pause(house: House) -> None:
    now, seconds = house.clock.at, house.random.uniform(10, 90)
    until = now + timedelta(seconds=seconds) if house.random.random() < 0.5 else None
    scope = house.random.choice(("all", f"cloud:{CLOUD}", "stack:shop", "policy:all"))
    identity = f"pause-{len(house.notes)}"
    house.note(f"{scope} is paused for {seconds:.0f} s")
    house.daemon.feed(Paused(Pause(identity, scope, "alice", "to look at it", now, until)))
    house.agenda.after(seconds, lambda: house.daemon.feed(Unpaused(identity, "alice")))


def silence(house: House) -> None:
    """Somebody is at work on what fails. It ends by itself or is deleted; the daemon hears that when it reads."""
    now, seconds = house.clock.at, house.random.uniform(10, 90)
    failing = [incident.target for incident in house.state.incidents.values()]
    if failing:
        target = house.random.choice(failing)
        means = Selector(stack=target.root.id, resource=target.path)
        until = now + timedelta(seconds=seconds * house.random.choice((1, 2)))
        house.note(f"{target} is silenced for {seconds:.0f} s")
        one = Silence(f"silence-{len(house.notes)}", means, until, "alice", "to look at it", now)
        speak(house, one)
        house.agenda.after(seconds, lambda: speak(house))


def speak(house: House, *silences: Silence) -> None:
    house.around.silences = silences
    house.daemon.feed(Silenced("alertmanager", silences))


def stop(house: House) -> None:
    seconds = house.random.uniform(5, 60)
    house.note(f"the stop file is there for {seconds:.0f} s")
    house.around.stop_file = "STOP is there"
    house.agenda.after(house.random.uniform(0, 1), lambda: tell(house))
    house.invariants.stopped_since = house.invariants.stopped_since or house.clock.at
    house.agenda.after(seconds, lambda: go(house))


def go(house: House) -> None:
    house.around.stop_file = house.invariants.stopped_since = None
    house.agenda.after(house.random.uniform(0, 1), lambda: tell(house))


def tell(house: House) -> None:
    """The daemon looks for it every second."""
    house.daemon.feed(Stopped(house.around.stop_file))


def suspend(house: House) -> None:
    seconds = house.random.uniform(10, 200)
    house.note(f"{seconds:.0f} s are lost")
    house.daemon.lose_time(seconds)
    house.invariants.awake_since = house.clock.at


def cut_off(house: House) -> None:
    house.note("the cloud is out of reach")
    house.daemon.cloud.away = True
    house.agenda.after(house.random.uniform(5, 90), lambda: reach_again(house))


def reach_again(house: House) -> None:
    house.daemon.cloud.away = False


def kill(house: House) -> None:
    if house.deadly and house.daemon.alive:
        house.note("the daemon is killed")
        house.daemon.die()
        house.mourn()


COMPANY: tuple[Callable[[House], None], ...] = (
    other_hand,
    other_hand,
    pause,
    silence,
    stop,
    suspend,
    cut_off,
    kill,
)
