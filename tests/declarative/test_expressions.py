"""What the functions of the template language read, refuse and come to."""

from __future__ import annotations

from typing import Any

import pytest

from healer.declarative.expressions import (
    EvaluationError,
    GetAttr,
    GetParam,
    GetResource,
    Reader,
    Use,
    evaluate,
    is_worked_out,
    select,
)
from healer.documents import KeyPath, spelled


class Scope:
    def resource(self, name: str) -> str:
        return f"id-of-{name}"

    def attribute(self, name: str, keys: tuple[str | int, ...]) -> Any:
        assert name == "db"
        return select({"port": 5432, "tags": ["a", "b"], "none": None}, keys)

    def parameter(self, name: str) -> Any:
        return {"size": 3, "map": {"key": "value"}}[name]


def read(raw: Any) -> tuple[Any, list[str], list[Use]]:
    complaints: list[str] = []

    def complain(path: KeyPath, message: str) -> None:
        complaints.append(f"{spelled(path)}: {message}")

    reader = Reader(complain)
    return reader.read(raw, ("v",)), complaints, reader.uses


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ({"get_resource": "db"}, "id-of-db"),
        ({"get_attr": ["db", "port"]}, 5432),
        ({"get_attr": ["db", "tags", 1]}, "b"),
        ({"get_attr": ["db", "tags", 5]}, None),
        ({"get_attr": ["db", "port", "deeper"]}, None),
        ({"get_param": "size"}, 3),
        ({"get_param": ["map", "key"]}, "value"),
        ({"a": [{"get_param": "size"}, 1], "b": {"c": {"get_resource": "x"}}}, {"a": [3, 1], "b": {"c": "id-of-x"}}),
        ({"list_join": [",", ["a", {"get_resource": "x"}], ["b"]]}, "a,id-of-x,b"),
        ({"list_join": [":", {"get_attr": ["db", "tags"]}]}, "a:b"),
        ({"list_join": [":", ["h", {"get_attr": ["db", "port"]}]]}, "h:5432"),
        ({"list_join": [":", {"get_attr": ["db", "none"]}]}, ""),
        ({"str_replace": {"template": "h:P", "params": {"P": {"get_attr": ["db", "port"]}}}}, "h:5432"),
        ({"str_replace": {"template": "a", "params": {}}}, "a"),
        ({"str_replace": {"template": "P PORT", "params": {"P": "PORT", "PORT": 1}}}, "PORT 1"),
        ({"str_replace": {"template": "x", "params": {"x": {"get_param": "map"}}}}, '{"key": "value"}'),
        ({"str_replace": {"template": "x", "params": {"x": {"get_attr": ["db", "none"]}}}}, ""),
    ],
)  # fmt: skip
def test_a_value_is_worked_out(raw: Any, expected: Any) -> None:
    expression, complaints, _ = read(raw)
    assert not complaints
    assert evaluate(expression, Scope()) == expected


def test_what_is_read_is_known_with_its_place() -> None:
    _, _, uses = read({"a": [{"get_resource": "x"}], "b": {"str_replace": {"template": "t", "params": {
        "p": {"get_attr": ["y", "port", 0]}, "q": {"get_param": "z"}}}}})  # fmt: skip
    assert uses == [
        Use(("v", "a", 0, "get_resource"), GetResource("x")),
        Use(("v", "b", "str_replace", "params", "p", "get_attr"), GetAttr("y", ("port", 0))),
        Use(("v", "b", "str_replace", "params", "q", "get_param"), GetParam("z")),
    ]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"get_atr": ["db", "port"]}, "v: unknown function 'get_atr': did you mean 'get_attr'?"),
        ({"str_split": [",", "a"]}, "v: unknown function 'str_split': "),
        ({"Fn::GetAtt": ["db", "port"]}, "v: unknown function 'Fn::GetAtt': "),
        ({"if": ["c", 1, 2]}, "v: unknown function 'if': known are get_attr, "),
        ({"get_attr": ["db", "port"], "x": 1}, "v.get_attr: get_attr stands beside other keys"),
        ({"get_attr": "db"}, "v.get_attr: expected [resource, attribute, key, …]"),
        ({"get_attr": ["db"]}, "v.get_attr: expected [resource, attribute, key, …]"),
        ({"get_attr": ["db", {"get_param": "p"}]}, "v.get_attr: expected [resource, attribute"),
        ({"get_attr": ["db", "port", True]}, "v.get_attr: expected [resource, attribute"),
        ({"get_resource": ["db"]}, "v.get_resource: expected the name of a resource"),
        ({"get_param": 5}, "v.get_param: expected the name of a parameter"),
        ({"str_replace": {"template": "t"}}, "v.str_replace: expected {template: text, params: {"),
        ({"str_replace": {"template": "t", "params": {}, "x": 1}}, "v.str_replace: expected {template"),
        ({"str_replace": {"template": "t", "params": {"": 1}}}, "v.str_replace.params: nothing cannot be replaced"),
        ({"list_join": [","]}, "v.list_join: expected [delimiter, list, …]"),
    ],
)  # fmt: skip
def test_what_is_no_function_as_it_stands_is_told(raw: Any, complaint: str) -> None:
    _, complaints, _ = read(raw)
    assert len(complaints) == 1
    assert complaints[0].startswith(complaint)


def test_a_mapping_of_one_key_is_data_where_the_key_is_far_from_any_function() -> None:
    expression, complaints, _ = read({"port": 1})
    assert expression == {"port": 1}
    assert not complaints
    assert not is_worked_out(expression)
    assert is_worked_out({"a": [GetParam("x")]})


def test_what_is_no_list_cannot_be_joined() -> None:
    expression, _, _ = read({"list_join": [",", {"get_attr": ["db", "port"]}]})
    with pytest.raises(EvaluationError, match="list_join needs lists, and was given '5432'"):
        evaluate(expression, Scope())
