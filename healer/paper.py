"""How lines and tables fit the terminal; elsewhere a line stays whole, for other programs to read."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

NARROWEST = 24
"""Columns that the last cell of a row needs, so that it is worth folding beside the others."""
GAP = "  "


def say(line: str = "", indent: int = 0) -> None:
    """Print one line; on a terminal it is folded where it is too long, what follows indented by so many columns."""
    text, width = plain(line), _width()
    if width is None or len(text) <= width:
        print(text)
        return
    indent = min(indent, width // 2)
    for part in textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_on_hyphens=False, drop_whitespace=True
    ):
        print(part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be; the last one is folded into what is left of the line, or put below."""
    cells = [[plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head) - 1)]
    indent = sum(widths) + len(GAP) * len(widths)
    width = _width()
    for row in cells:
        start = GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=False))
        if width is None or indent + NARROWEST <= width or indent + len(row[-1]) <= width:
            say(f"{start}{GAP}{row[-1]}".rstrip(), indent)
        else:
            print(start.rstrip())
            say(f"{GAP * 2}{row[-1]}".rstrip(), len(GAP) * 2)


def plain(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey: a sender's text may hold anything."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else f"\\x{ord(character):02x}"
        for character in text
    )


def _width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere, which wants whole lines."""
    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
