"""What cannot be worked out until it is there fails the resource that needs it, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from healer.declarative.declaration import Declaration
from tests.declarative.world import Stage

HEAD = {"heat_template_version": "2018-08-31"}
WORDS = {"type": "Local::File", "properties": {"content": "words"}}
READ = {"get_attr": ["words", "content"]}


def created(resources: dict[str, Any], parameters: dict[str, Any] | None = None, **files: Any) -> Stage:
    nested = {f"{name}.yaml": {**HEAD, **body} for name, body in files.items()}
    stage = Stage()
    stage.start(Declaration({**HEAD, "parameters": parameters or {}, "resources": resources}, nested))
    stage.run()
    return stage


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            {"type": "OS::Heat::TestResource", "properties": {"wait_secs": READ}},
            'property wait_secs must be a number, and is "words"',
        ),
        (
            {
                "type": "OS::Heat::Value",
                "properties": {"value": {"get_attr": ["words", "content", "deeper"]}},
            },
            "property value is required, and came to nothing",
        ),
        (
            {"type": "OS::Heat::Value", "properties": {"value": {"list_join": ["", READ]}}},
            "list_join needs lists, and was given 'words'",
        ),
        (
            {
                "type": "OS::Heat::ResourceGroup",
                "properties": {"count": {"get_param": "many"}, "resource_def": WORDS},
            },
            "count must be between 0 and 1000, and is 2000",
        ),
        (
            {"type": "inner.yaml", "properties": {"size": READ}},
            'property size must be a number, and is "words"',
        ),
        (
            {"type": "inner.yaml", "properties": {"size": 1, "table": READ}},
            'resources.broken: Resource CREATE failed: broken/v: parameter table must be a mapping, and is "words"',
        ),
    ],
)
def test_it_fails_with_the_reason_and_what_depends_on_it_is_not_begun(
    broken: dict[str, Any], reason: str
) -> None:
    inner = {
        "parameters": {"size": {"type": "number"}, "table": {"type": "json", "default": {}}},
        "resources": {"v": {"type": "OS::Heat::Value", "properties": {"value": {"get_param": "table"}}}},
    }
    stage = created(
        {"words": WORDS, "broken": broken, "after": {**WORDS, "depends_on": "broken"}},
        {"many": {"type": "number", "default": 2000}},
        inner=inner,
    )
    assert stage.book.root.status == "CREATE_FAILED"
    assert (stage.row("broken").status, stage.row("broken").reason) == ("CREATE_FAILED", reason)
    assert stage.row("words").status == "CREATE_COMPLETE"
    assert stage.row("after").status == "INIT_COMPLETE"


def test_every_kind_of_parameter_gives_what_it_is_declared_to_be() -> None:
    parameters = {
        "text": {"type": "string", "default": 5},
        "number": {"type": "number", "default": "5"},
        "half": {"type": "number", "default": "0.5"},
        "yes": {"type": "boolean", "default": "true"},
        "map": {"type": "json", "default": {"a": [1]}},
        "list": {"type": "json", "default": [1]},
        "words": {"type": "comma_delimited_list", "default": "a, b,c"},
        "none": {"type": "comma_delimited_list", "default": ""},
    }
    read = {name: {"get_param": name} for name in [*parameters, "OS::stack_name", "OS::project_id"]}
    stage = created({"v": {"type": "OS::Heat::Value", "properties": {"value": read}}}, parameters)
    assert stage.row("v").attributes["value"] == {
        "text": "5",
        "number": 5,
        "half": 0.5,
        "yes": True,
        "map": {"a": [1]},
        "list": [1],
        "words": ["a", "b", "c"],
        "none": [],
        "OS::stack_name": "shop",
        "OS::project_id": "local",
    }


def test_a_replacement_that_cannot_be_worked_out_keeps_the_old_one() -> None:
    """The wait reads what the file holds; somebody writes nonsense into it."""
    stage = created({
        "words": {"type": "Local::File", "properties": {"content": "0"}},
        "t": {"type": "OS::Heat::TestResource", "properties": {"wait_secs": READ}},
    })  # fmt: skip
    before = stage.row("t").physical_id
    assert stage.row("t").status == "CREATE_COMPLETE"
    stage.world.things[stage.row("words").physical_id]["content"] = "nonsense"
    stage.convergence.update(stage.book, stage.now)
    stage.run()
    assert stage.row("t").status == "UPDATE_FAILED"
    assert stage.row("t").physical_id == before
