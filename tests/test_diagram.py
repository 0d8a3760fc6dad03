"""The drawing of an incident's life in the documentation is the table that the code follows."""

from __future__ import annotations

from pathlib import Path

from healer.core.incident import diagram

ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


def test_the_diagram_in_the_documentation_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in ARCHITECTURE.read_text()
