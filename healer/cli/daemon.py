"""`healer run`: the daemon itself."""

from __future__ import annotations

import argparse
import asyncio
import sys

from healer.app import App
from healer.config.check import check
from healer.logs import configure


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT. 2 for a configuration that cannot be used, or a state that another daemon holds."""
    report = check(options.config)
    for line in report.lines():
        print(f"healer: {line}", file=sys.stderr)
    if report.config is None:
        return report.exit_code
    configure(report.config.settings.log.level, report.config.settings.log.format)
    return asyncio.run(App(report.config).run())
