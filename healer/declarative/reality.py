"""What exists outside the books: how a thing is made, changed, unmade and looked at, in steps that never wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from healer.core.model import NOTHING, Health, Symptom


class RealityError(Exception):
    """It cannot be done; the text says why. The resource ends FAILED."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One incarnation of a real resource, as the books have it."""

    type: str
    name: str
    """Logical name, for people."""
    token: str
    """Unique for all time; it names this incarnation before there is a physical id."""
    properties: Mapping[str, Any]
    """As they are to be."""
    physical_id: str = ""
    data: Mapping[str, Any] = NOTHING
    """What `create` asked to be remembered."""


@dataclass(frozen=True, slots=True)
class Made:
    physical_id: str
    data: Mapping[str, Any] = NOTHING


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a thing shows. UNKNOWN where a look cannot tell."""

    condition: Health
    symptom: Symptom = Symptom.OK


class Reality(Protocol):
    """What both engines make their resources of: this machine, or a simulated world.

    `create`, `update` and `delete` begin, and return at once; `created`, `updated` and `deleted` tell whether
    that is through. Each may raise RealityError, and each may be called again after a crash with the same thing:
    what was done already is not done twice.
    """

    def create(self, thing: Thing) -> Made:
        """Make it. What an earlier call with the same token has made is adopted, not doubled."""
        ...

    def created(self, thing: Thing) -> bool: ...

    def update(self, thing: Thing, changed: frozenset[str]) -> None:
        """Change it in place to its new properties. RealityError where it is gone."""
        ...

    def updated(self, thing: Thing) -> bool: ...

    def delete(self, thing: Thing) -> None:
        """Ask it to go. Nothing happens where it is gone; without a physical id, what has the token is meant."""
        ...

    def deleted(self, thing: Thing) -> bool: ...

    def attributes(self, thing: Thing) -> Mapping[str, Any]:
        """What others may read of it now; None for what cannot be told."""
        ...

    def look(self, thing: Thing) -> Look: ...

    def properties(self, thing: Thing) -> Mapping[str, Any]:
        """What it really was made with, read from itself where it can be; what cannot be read is left out."""
        ...
