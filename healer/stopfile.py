"""The stop file: whoever may write to the state directory stops every call that changes anything, at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "STOP"


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
