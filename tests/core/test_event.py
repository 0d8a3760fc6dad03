"""Every event is a value, and the union that the kernel matches on lists them all."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import get_args

from healer.core import event

KINDS: tuple[type, ...] = get_args(event.Event)


def test_every_event_of_the_module_is_in_the_union() -> None:
    defined = {
        value for _, value in inspect.getmembers(event, inspect.isclass) if value.__module__ == event.__name__
    }
    assert defined == set(KINDS)


def test_events_are_frozen_past_participles() -> None:
    for kind in KINDS:
        assert is_dataclass(kind)
        assert kind.__hash__ is not object.__hash__
        assert kind.__name__.endswith(("ed", "en")) or kind is event.Unreachable
