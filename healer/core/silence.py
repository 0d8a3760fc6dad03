"""What people have silenced at a sender of alarms, and whether that is one resource: it is read as maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from healer.core.inventory import Ambiguous, Found, Snapshots, addresses, resolve
from healer.core.model import NOTHING, Incarnation, Selector, Target


class Facet(StrEnum):
    """What a resource is known by, as the fields of a Selector."""

    CLOUD = "cloud"
    STACK = "stack"
    RESOURCE = "resource"
    PHYSICAL_ID = "physical_id"
    ADDRESS = "address"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Known:
    """A target, and by what it is known: what stands there now; after it is gone, what stood there."""

    target: Target
    incarnation: Incarnation
    attributes: Mapping[str, str]

    def values(self, facet: Facet) -> tuple[str, ...]:
        """All by which it is known in this way; without a port of its own: of an address, only the bare one."""
        root = self.target.root
        match facet:
            case Facet.CLOUD:
                values: tuple[str | None, ...] = (root.cloud,)
            case Facet.STACK:
                values = (root.name, root.id)
            case Facet.RESOURCE:
                values = (self.target.path, self.incarnation.name)
            case Facet.PHYSICAL_ID:
                values = (self.incarnation.physical_id,)
            case Facet.HOST:
                values = (self.attributes.get("host"),)
            case Facet.ADDRESS:
                values = tuple(addresses(self.attributes))
            case _:
                assert_never(facet)
        return tuple(value for value in values if value)

    def addresses(self, ports: Iterable[str]) -> Iterator[str]:
        """Bare, and with its port; one of these ports where it has none: whatever is scraped there may be meant."""
        own = self.attributes.get("port")
        for address in self.values(Facet.ADDRESS):
            yield address
            host = f"[{address}]" if ":" in address else address
            yield from (f"{host}:{port}" for port in ([own] if own else ports))


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on what a resource is known by; what it is not known by at all is empty."""

    facet: Facet
    test: Callable[[str], bool]
    """Whether one value is meant. Pure; equal to what tests alike."""
    negative: bool = False
    ports: tuple[str, ...] = ()
    """Those that are meant where an address is, for what has no port of its own."""

    def holds(self, known: Known) -> bool:
        address = self.facet is Facet.ADDRESS
        values = known.addresses(self.ports) if address else known.values(self.facet)
        return any(self.test(value) for value in tuple(values) or ("",)) is not self.negative


@dataclass(frozen=True, slots=True)
class Silence:
    """While it lasts nothing is begun on what it means."""

    id: str
    """The sender's own; of what it withholds by itself: the key of the alarm."""
    means: Selector | tuple[Matcher, ...]
    """The resource of an alarm that is withheld; or what every resource is for which all of these hold."""
    until: datetime
    who: str | None
    """None: nobody, the sender withholds an alarm by itself, because of another one or of the hour."""
    why: str
    since: datetime | None = None

    def lasts(self, now: datetime) -> bool:
        return (self.since is None or self.since <= now) and now < self.until

    def sentence(self, source: str) -> str:
        """For a person. An end that moves on with every reading is not in it: it would be news each time."""
        if self.who is None:
            return f"{source} withholds {self.why}"
        until = f"{self.until:%d %b %H:%M:%S} UTC"
        return f"silence {self.id} of {source}, by {self.who or 'nobody'} until {until}: {self.why}"


@dataclass(frozen=True, slots=True)
class Silences:
    """All that one sender silences. Thousands of alarms may be withheld at once, of which few are about one thing."""

    of_all: tuple[Silence, ...] = ()
    _by_matchers: tuple[tuple[Silence, tuple[Matcher, ...]], ...] = field(init=False, compare=False)
    _by_name: Mapping[str, list[tuple[Silence, Selector]]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        by_matchers: list[tuple[Silence, tuple[Matcher, ...]]] = []
        by_name: dict[str, list[tuple[Silence, Selector]]] = {}
        for one in self.of_all:
            if isinstance(one.means, Selector):
                for name in _names(one.means):
                    by_name.setdefault(name, []).append((one, one.means))
            else:
                by_matchers.append((one, one.means))
        object.__setattr__(self, "_by_matchers", tuple(by_matchers))
        object.__setattr__(self, "_by_name", by_name)

    def lasting(self, now: datetime) -> tuple[Silence, ...]:
        """What holds now, each once, however many alarms it withholds."""
        return tuple({one.id: one for one in self.of_all if one.lasts(now)}.values())

    def on(self, known: Known, snapshots: Snapshots, now: datetime) -> Silence | None:
        """One that lasts, of several the one that lasts longest. What may be meant by an alarm is."""
        found = [
            one
            for one, matchers in self._by_matchers
            if one.lasts(now) and all(matcher.holds(known) for matcher in matchers)
        ]
        own = (value for facet in _NAMING for value in known.values(facet))
        for one, selector in (each for name in dict.fromkeys(own) for each in self._by_name.get(name, ())):
            if one.lasts(now) and _means(selector, known, snapshots):
                found.append(one)
        return max(found, key=lambda one: one.until, default=None)


def _means(selector: Selector, known: Known, snapshots: Snapshots) -> bool:
    root = known.target.root
    if selector.cloud not in {None, root.cloud} or selector.stack not in {None, root.name, root.id}:
        return False
    if root not in snapshots:
        return True  # After a start: what was under way goes on before its stack has been read.
    said = {facet: name for facet in _NAMING if (name := getattr(selector, facet)) is not None}
    surest = next(iter(said))
    if not {Facet.PHYSICAL_ID, Facet.RESOURCE} <= said.keys() and _is_called(known, surest, said[surest]):
        return True  # Nothing that is said could mean another: everything there is need not be looked at.
    match resolve(snapshots, selector, NOTHING):
        case Found(targets) | Ambiguous(targets):
            return known.target in targets
        case _:
            return False


def _is_called(known: Known, facet: Facet, name: str) -> bool:
    if facet is Facet.ADDRESS:
        return name in known.addresses((name.rpartition(":")[2],))
    return name in known.values(facet)


_NAMING = (Facet.PHYSICAL_ID, Facet.RESOURCE, Facet.ADDRESS, Facet.HOST)


def _names(selector: Selector) -> set[str]:
    """By which of its own names a resource may be meant: an index, which only spares the asking."""
    names = {selector.physical_id, selector.resource, selector.address, selector.host}
    bare, colon, _ = (selector.address or "").rpartition(":")
    if colon:
        names.add(bare.strip("[]"))
    return {name for name in names if name}
