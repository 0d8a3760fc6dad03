"""Which comes first: order and cycles in who requires whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def in_order(requires: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """All names, each after everything that it requires; reversed, it is an order to delete in.

    Names that do not depend on each other keep the order in which they were given. What is required but not
    given is left out. Raises ValueError where there is a cycle.
    """
    given = {name: [need for need in needs if need in requires] for name, needs in requires.items()}
    ordered: dict[str, None] = {}
    while len(ordered) < len(given):
        ready = [
            name
            for name, needs in given.items()
            if name not in ordered and all(need in ordered for need in needs)
        ]
        if not ready:
            raise ValueError(" → ".join(cycle(requires)))
        ordered.update(dict.fromkeys(ready))
    return tuple(ordered)


def cycle(requires: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """One cycle, from a name back to itself; empty where there is none."""
    settled: set[str] = set()
    for start in requires:
        trail: dict[str, None] = {}
        pending = [iter((start,))]
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                if trail:
                    settled.add(trail.popitem()[0])
            elif name in trail:
                way = tuple(trail)
                return (*way[way.index(name) :], name)
            elif name in requires and name not in settled:
                trail[name] = None
                pending.append(iter(tuple(requires[name])))
    return ()
