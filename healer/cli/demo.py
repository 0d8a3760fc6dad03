"""`healer demo`: the demonstration; apart from the other words, for it needs next to nothing of healer."""

from __future__ import annotations

import argparse

from healer.demo import play


def demo(options: argparse.Namespace) -> int:
    """0: it was healed. 1: it was not. 130: Ctrl-C came first."""
    return play(options.fault, keep=options.keep, observe=options.observe)
