"""The words that need no daemon: check and release-all."""

from __future__ import annotations

import argparse
import json
import sys

from healer.cli.phrases import count
from healer.config.check import check as check_config
from healer.release import release


def check(options: argparse.Namespace) -> int:
    """0: it can be used. 2: it cannot, and every mistake is listed."""
    report = check_config(options.config)
    if options.json:
        said = {
            kind: [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems]
            for kind, problems in (("problems", report.problems), ("warnings", report.warnings))
        }
        print(json.dumps(said, indent=2))
        return report.exit_code
    for line in report.lines():
        print(line)
    if report.config is not None:
        clouds = count(len(report.config.clouds), "cloud")
        policies = count(len(report.config.policies), "policy", "policies")
        print(f"{options.config} can be used: {clouds}, {policies}.")
    else:
        print(f"{count(len(report.problems), 'mistake')}; the daemon would not start.", file=sys.stderr)
    return report.exit_code


def release_all(options: argparse.Namespace) -> int:
    """0: nothing of ours is marked any more. 1: something could not be un-marked. 2: a daemon runs, or bad config."""
    report = check_config(options.config)
    if report.config is None:
        for line in report.lines():
            print(line, file=sys.stderr)
        return report.exit_code
    released = release(report.config)
    if options.json:
        print(json.dumps({"released": list(released.released), "failed": list(released.failed)}, indent=2))
        return 1 if released.failed else 0
    for name in released.released:
        print(f"{name} is not marked any more.")
    for why in released.failed:
        print(f"healer: {why}", file=sys.stderr)
    marks = count(len(released.released), "mark")
    print(f"{marks} taken back" + (", and not all that there may be." if released.failed else "."))
    return 1 if released.failed else 0
