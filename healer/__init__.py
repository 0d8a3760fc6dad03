"""healer notices what died in an orchestrated stack, has it replaced, and makes sure that it was."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
