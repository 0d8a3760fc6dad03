"""What a test types, what it gets for it, and how it waits for a heal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.daemon.houses import Hasty, until

NOBODY = 65534
"""A user who may look."""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Type = Callable[..., Answer]


@contextmanager
def healing(house: Hasty, resource: str) -> Iterator[list[str]]:
    """On leaving, waits until a new incident of this resource is closed as healed; then its id is in the list."""

    def of_it() -> dict[str, str]:
        found = house.client.get("/v1/incidents", limit=1000)["incidents"]
        return {one["id"]: one["outcome"] for one in found if one["resource"] == resource}

    def new() -> str:
        return next(
            (one for one, outcome in of_it().items() if one not in before and outcome == "healed"), ""
        )

    before, healed = of_it(), list[str]()
    yield healed
    healed.append(until(new, f"a new incident of {resource} to be healed"))
