"""The JSON Schema that editors are given agrees with what is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healer.config.keys import keys
from healer.config.schema import policy_schema
from healer.config.sections import PolicySection
from healer.plugins import find, names

SCHEMA = policy_schema()


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def at(path: str) -> dict[str, Any]:
    """The schema of one key, `remediations[].timeout`."""
    node: dict[str, Any] = SCHEMA
    for part in path.split("."):
        name = part.removesuffix("[]")
        node = resolved(node)["properties"][name]
        if part.endswith("[]"):
            node = resolved(node)["items"]
    return node


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("key", list(keys(PolicySection)), ids=lambda key: key.path)
def test_every_key_is_in_it_with_its_default_and_its_words(key: Any) -> None:
    schema = at(key.path)
    assert schema["description"]
    assert schema.get("default") == key.default


def test_no_section_takes_a_key_that_is_not_in_it() -> None:
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(node["additionalProperties"] is False for node in objects if node.get("type") == "object")


def test_the_probes_that_there_are_can_be_completed_with_their_options() -> None:
    entry = resolved(SCHEMA["$defs"]["DetectSection"]["properties"]["probes"]["items"])
    assert {name for choice in entry["oneOf"] for name in choice["required"]} == set(names("probes"))
    for name in names("probes"):
        assert set(entry["properties"][name].get("properties", {})) == set(find("probes", name).model_fields)


def test_actions_and_watchers_are_named() -> None:
    assert at("remediations[].action")["enum"] == list(names("actions"))
    watchers = SCHEMA["$defs"]["DetectSection"]["properties"]["watchers"]["items"]["anyOf"]
    assert {choice["const"] for choice in watchers if "const" in choice} == set(names("watchers"))


def test_durations_are_text_with_a_unit() -> None:
    assert at("verify.within")["pattern"] == r"^([0-9]+(ms|s|m|h|d))+$"
    assert at("verify.within")["default"] == "15m"
