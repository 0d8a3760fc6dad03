"""The tables of docs/policies.md, made from the models themselves: `python -m tests.config.reference` writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from healer import plugins
from healer.config.keys import Key, keys
from healer.config.sections import NOT_YET, NOT_YET_PLUGINS, PolicySection

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
BEGINS = "<!-- The tables below are made from the code; tests/config/reference.py writes them. -->"


def tables() -> str:
    """Everything of the page below its marker."""
    return "\n".join([BEGINS, "", *_keys(), *_plugins(), *_not_yet()]) + "\n"


def _keys() -> Iterator[str]:
    yield from ("## Every key", "", *_table(keys(PolicySection)), "")


def _plugins() -> Iterator[str]:
    for folder in ("probes", "watchers", "actions"):
        yield from (f"## {folder.capitalize()}", "")
        for name in plugins.names(folder):
            kind = plugins.find(folder, name)
            said = (sys.modules[kind.__module__].__doc__ or "").strip().splitlines()[0]
            yield from (f"### `{name}`", "", said, "")
            if kind.model_fields:
                yield from (*_table(keys(kind)), "")


def _not_yet() -> Iterator[str]:
    yield from (
        "## Not yet supported",
        "",
        "Refused by name, so that nobody relies on what is not there.",
        "",
    )
    yield from ("| key | why, or what instead |", "|---|---|")
    yield from (f"| `{key.replace('=', ': ')}` | {why} |" for key, why in NOT_YET.items())
    for folder in ("probes", "watchers", "actions"):
        names = ", ".join(f"`{name}`" for name in sorted(NOT_YET_PLUGINS[folder]))
        yield f"| {folder} {names} | planned |"


def _table(rows: Iterator[Key]) -> Iterator[str]:
    yield from ("| key | default | |", "|---|---|---|")
    for key in rows:
        if not isinstance(key.default, dict) or not key.default or isinstance(key.default, BaseModel):
            default = "*required*" if key.required else f"`{written(key.default)}`"
            if key.default is None and not key.required:
                default = "*none*"
        else:
            default = ""  # its own keys say it
        yield f"| `{key.path}` | {default} | {' '.join(key.description.split())} |"


def written(value: Any) -> str:
    """As it stands in YAML, on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("...\n").strip()


if __name__ == "__main__":
    above, _, _ = PAGE.read_text().partition(BEGINS)
    PAGE.write_text(above + tables())
