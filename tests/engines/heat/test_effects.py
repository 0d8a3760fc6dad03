"""Tests of what a new value of a property does to a resource."""

from __future__ import annotations

from typing import Any

import pytest

from healer.core.model import Effect
from healer.engines.heat.effects import SERVER, effect_of, names, placeholders

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


SHOWN: dict[str, Any] = {
    "id": "b0f6c2a4",
    "name": "shop-web-x5k3",
    "first_address": "10.0.0.13",
    "addresses": {
        "inner": [
            {"version": 4, "addr": "10.0.0.13", "OS-EXT-IPS:type": "fixed"},
            {"version": 4, "addr": "203.0.113.9", "OS-EXT-IPS:type": "floating"},
            {"version": 6, "addr": "fd00::13", "OS-EXT-IPS:type": "fixed"},
        ],
        "storage": [{"version": 4, "addr": "10.1.0.13", "OS-EXT-IPS:type": "fixed"}],
    },
}


def test_a_server_is_known_by_its_name_and_by_each_address_of_its_own() -> None:
    """A floating IP goes to another server, and what is known of this one would still name it."""
    assert names(SERVER, SHOWN) == {"name": "shop-web-x5k3", "further_addresses": "fd00::13 10.1.0.13"}
    administrators = SHOWN | {"OS-EXT-SRV-ATTR:hostname": "shop-web", "OS-EXT-SRV-ATTR:host": "compute-1"}
    assert names(SERVER, administrators)["hostname"] == "shop-web"
    assert "compute-1" not in names(SERVER, administrators).values()


def test_a_server_that_is_told_as_heat_has_it_has_each_address_once() -> None:
    """Where Nova does not answer as a whole, Heat lists its networks twice: by their names and by their ids."""
    twice = {network: [{"addr": "10.1.0.13", "port": "p"}] for network in ("storage", "8d1c")}
    assert names(SERVER, {"addresses": twice}) == {"further_addresses": "10.1.0.13"}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"name": None, "addresses": None},
        {"name": "", "addresses": ""},
        {"name": 7, "addresses": {"inner": {}, "outer": [None, {}, {"addr": 7}]}},
        {"addresses": {"inner": [{"addr": "10.0.0.13"}]}, "first_address": "10.0.0.13"},
    ],
)
def test_a_server_of_which_little_is_told_has_no_more_names(said: dict[str, Any]) -> None:
    assert names(SERVER, said) == {}


def test_nothing_but_a_server_is_known_by_its_name() -> None:
    """A volume may be called as a server is."""
    assert names("OS::Cinder::Volume", SHOWN) == {}
