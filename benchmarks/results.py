"""One line for each thing that was measured, and whether all of them are good enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Result:
    """`ours` and `peers`: one cost a round, in `unit`, the rounds interleaved; less is better. `target`: a ratio."""

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: str
    peers: tuple[float, ...]
    target: float

    @property
    def ratio(self) -> float:
        """How many times less ours is, by the medians of both."""
        return median(self.peers) / median(self.ours)

    @property
    def reached(self) -> bool:
        return self.ratio >= self.target

    def __str__(self) -> str:
        return (
            f"{self.what}: ours {median(self.ours):.1f} {self.unit}, {self.peer} {median(self.peers):.1f} {self.unit},"
            f" ratio {self.ratio:.2f}, target {self.target:.2f}{'' if self.reached else ', FALLS SHORT'}"
        )


def report(results: Iterable[Result], out: TextIO) -> int:
    """Print each as it comes. 1 where one falls short, or where nothing at all was measured; else 0."""
    reached: list[bool] = []
    for result in results:
        print(result, file=out, flush=True)
        reached.append(result.reached)
    return 0 if reached and all(reached) else 1
