"""Every plug-in that there is, by the example that its own schema gives: what the contract suites are run over.

A new plug-in is found, and tried, without an edit here. An example is what an editor offers and the docs show.
"""

from __future__ import annotations

from typing import Any

import pytest

from healer import plugins
from healer.plugins import Plugin


def example(folder: str, name: str) -> dict[str, Any]:
    """The options of the first example in the schema."""
    kind = plugins.find(folder, name)
    examples = kind.model_json_schema().get("examples")
    assert examples, f"{folder}/{name}.py: model_config needs json_schema_extra={{'examples': [{{…}}]}}"
    options: dict[str, Any] = examples[0]
    return options


def build(folder: str, name: str) -> Any:
    return plugins.find(folder, name).model_validate(example(folder, name))


def every(folder: str) -> pytest.MarkDecorator:
    """Runs a test once for each plug-in of a folder, with the plug-in's `name`."""
    return pytest.mark.parametrize("name", plugins.names(folder))


def fits(plugin: Any, method: str) -> None:
    """What holds for every plug-in, whatever it does."""
    assert isinstance(plugin, Plugin)
    assert callable(getattr(plugin, method))
    written = plugin.model_dump(mode="json", exclude_defaults=True)
    assert type(plugin).model_validate(written).model_dump() == plugin.model_dump(), (
        "it cannot be written down"
    )
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        type(plugin).model_validate(written | {"no_such_option": 1})
