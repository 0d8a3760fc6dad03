"""The stop file: whoever may write to the state directory stops every call that changes anything, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from healer.core.event import Stopped

NAME = "STOP"
LOOK_S = 1.0
"""Seconds between two looks for those that wait for it to go: before each call it is looked for in any case."""


@dataclass(frozen=True, slots=True)
class StopFile:
    """Looked for right before every such call; what is in it does not matter."""

    directory: Path
    """The state directory."""

    def why(self) -> str | None:
        """Why nothing may be touched; None where it may. A file that cannot be looked for stops too."""
        file = self.directory / NAME
        try:
            file.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{file} cannot be looked for: {error.strerror}"
        return f"{file} is there"

    async def watch(self, tell: Callable[[Stopped], None]) -> None:
        """Until it is cancelled: says when it comes and when it goes."""
        told: str | None = None
        while True:
            why = self.why()
            if why != told:
                tell(Stopped(why))
                told = why
            await asyncio.sleep(LOOK_S)
