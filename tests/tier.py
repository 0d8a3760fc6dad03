"""The program that every tier of a test's stack runs: it is the demonstration's own."""

from __future__ import annotations

from pathlib import Path

import healer

TIER = Path(healer.__path__[0]) / "demo" / "stack" / "tier.py"
