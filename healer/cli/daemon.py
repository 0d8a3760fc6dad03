"""`healer run`: the daemon itself."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys

from healer.app import App
from healer.config.check import check
from healer.logs import configure

_ALLOCATIONS = 20_000
"""Between two collections of the youngest: some 5 MB."""


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT. 2 for a configuration that cannot be used, or a state that another daemon holds."""
    report = check(options.config)
    for line in report.lines():
        print(f"healer: {line}", file=sys.stderr)
    if report.config is None:
        return report.exit_code
    _collect_seldom()
    configure(report.config.settings.log.level, report.config.settings.log.format)
    return asyncio.run(App(report.config).run())


def _collect_seldom() -> None:
    """What is loaded by now stays, and need not be looked through again and again.

    With Python's own thresholds every fourth microsecond of a flood of alarms goes into looking for cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)
