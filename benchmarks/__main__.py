"""Runs every benchmark of this folder and says in its exit code whether all reach their targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from benchmarks.results import Result, report


def measured() -> Iterator[Result]:
    """Of every module here that can `measure`, in the order of their names."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem.startswith("__"):
            continue
        measure = getattr(import_module(f"benchmarks.{path.stem}"), "measure", None)
        if measure is not None:
            yield from measure()


if __name__ == "__main__":
    sys.exit(report(measured(), sys.stdout))
