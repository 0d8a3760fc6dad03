"""Tests of what a new value of a property does to a resource."""

from __future__ import annotations

from typing import Any

import pytest

from healer.core.model import Effect
from healer.engines.heat.effects import SERVER, effect_of, placeholders

SCHEMA = {"properties": {"soft": {"update_allowed": True}, "hard": {"update_allowed": False}}}
SERVER_SCHEMA = {
    "properties": {
        name: {"update_allowed": True} for name in ("user_data", "image", "flavor", "metadata", "networks")
    }
}


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("Known", "soft", Effect.UPDATED),
        ("Known", "hard", Effect.REPLACED),
        ("Known", "odd", Effect.REPLACED),
        ("Unavailable", "soft", Effect.REPLACED),
        ("Unasked", "soft", Effect.REPLACED),
    ],
)
def test_what_heat_does_not_promise_to_do_in_place_replaces(kind: str, name: str, expected: Effect) -> None:
    assert effect_of({"Known": SCHEMA, "Unavailable": None})(kind, {}, name) is expected


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("metadata", {}, Effect.UPDATED),
        ("networks", {}, Effect.UPDATED),
        ("user_data", {}, Effect.REPLACED),
        ("user_data", {"user_data_update_policy": "REPLACE"}, Effect.REPLACED),
        ("user_data", {"user_data_update_policy": "REBUILD"}, Effect.REPLACED),
        ("user_data", {"user_data_update_policy": {"get_param": "policy"}}, Effect.REPLACED),
        ("user_data", {"user_data_update_policy": "IGNORE"}, Effect.UPDATED),
        ("flavor", {}, Effect.UPDATED),
        ("flavor", {"flavor_update_policy": "RESIZE"}, Effect.UPDATED),
        ("flavor", {"flavor_update_policy": "REPLACE"}, Effect.REPLACED),
        ("flavor", {"flavor_update_policy": {"get_param": "policy"}}, Effect.REPLACED),
        # A rebuild keeps the id and loses the disk.
        ("image", {}, Effect.REPLACED),
        ("image", {"image_update_policy": "REBUILD"}, Effect.REPLACED),
    ],
)
def test_a_server_replaces_itself_for_what_its_schema_says_can_change(
    name: str, properties: dict[str, Any], expected: Effect
) -> None:
    assert effect_of({SERVER: SERVER_SCHEMA})(SERVER, properties, name) is expected


@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        (SERVER, {"networks": {}}, {"address": "first_address"}),  # hidden, and it answers
        ("OS::Neutron::FloatingIP", {}, {"address": "floating_ip_address"}),
        ("Local::Process", {"address": {}, "port": {}, "show": {}}, {"address": "address", "port": "port"}),
        ("OS::Heat::Value", {"value": {}}, {}),
    ],
)
def test_only_types_that_have_what_placeholders_need_are_asked(
    kind: str, attributes: dict[str, Any], expected: dict[str, str]
) -> None:
    assert placeholders(kind, {"attributes": attributes}) == expected


def test_a_type_that_heat_tells_nothing_of_has_no_placeholders() -> None:
    assert placeholders("Unavailable", None) == {}
