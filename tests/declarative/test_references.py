"""Tests of who refers to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from healer.core.model import Effect, Reference
from healer.declarative.references import WHOLE, Tree, references, requires

if TYPE_CHECKING:
    from collections.abc import Mapping


def tree(text: str, **children: Tree) -> Tree:
    return Tree(yaml.safe_load(text), children)


def effect(kind: str, properties: Mapping[str, Any], name: str) -> Effect:
    """Of the test's own types: what begins with `fixed` replaces."""
    assert kind in {"Thing", "OS::Heat::ResourceGroup", "OS::Heat::AutoScalingGroup"}
    assert properties is not None
    return Effect.REPLACED if name.startswith("fixed") else Effect.UPDATED


def wires(root: Tree) -> set[tuple[str, str, str, str | None]]:
    return {(r.source, r.property, r.target, r.attribute) for r in references(root, effect)}


THREE_TIERS = """
resources:
  db: {type: Thing, properties: {value: 1}}
  api: {type: Thing, properties: {value: {get_attr: [db, port]}, fixed: {get_resource: db}}}
  web: {type: Thing, depends_on: db, properties: {value: {list_join: [",", [{get_attr: [api, port]}, x]]}}}
"""


def test_each_property_that_is_filled_from_a_resource_refers_to_it() -> None:
    assert references(tree(THREE_TIERS), effect) == (
        Reference("api", "value", "db", "port", Effect.UPDATED),
        Reference("api", "fixed", "db", None, Effect.REPLACED),
        Reference("web", "", "db", None, Effect.UNCHANGED),
        Reference("web", "value", "api", "port", Effect.UPDATED),
    )


def test_what_is_required_is_direct_and_by_path() -> None:
    assert requires(tree(THREE_TIERS)) == {"db": (), "api": ("db",), "web": ("db", "api")}


@pytest.mark.parametrize(
    "expression",
    [
        "{str_replace: {template: a X, params: {X: {get_attr: [a, port]}}}}",
        "{if: [big, {get_attr: [a, port]}, 5]}",
        "{if: [big, 5, {get_attr: [a, port]}]}",
        "[{nested: [{deep: {get_attr: [a, port]}}]}]",
        "{repeat: {for_each: {<%x%>: {get_attr: [a, port]}}, template: <%x%>}}",
        "{yaql: {expression: $.data, data: {get_attr: [a, port, {get_param: which}]}}}",
        "{'Fn::GetAtt': [a, port]}",
        "{'Fn::GetAtt': a.port}",
    ],
)
def test_functions_are_looked_through(expression: str) -> None:
    text = f"resources: {{a: {{type: Thing}}, b: {{type: Thing, properties: {{value: {expression}}}}}}}"
    assert wires(tree(text)) == {("b", "value", "a", "port")}
    assert requires(tree(text))["b"] == ("a",)


@pytest.mark.parametrize(
    ("expression", "attribute"),
    [("{get_attr: [a]}", WHOLE), ("{get_attr: [a, {get_param: which}]}", WHOLE), ("{Ref: a}", None)],
)
def test_an_attribute_that_cannot_be_told_is_the_whole(expression: str, attribute: str | None) -> None:
    text = f"resources: {{a: {{type: Thing}}, b: {{type: Thing, properties: {{value: {expression}}}}}}}"
    assert wires(tree(text)) == {("b", "value", "a", attribute)}


def test_an_index_that_is_itself_a_reference_counts() -> None:
    text = """
    resources:
      a: {type: Thing}
      i: {type: Thing}
      b: {type: Thing, properties: {value: {get_attr: [a, list, {get_attr: [i, value]}]}}}
    """
    assert wires(tree(text)) == {("b", "value", "a", "list"), ("b", "value", "i", "value")}


def test_data_that_looks_like_a_function_and_names_nothing_is_data() -> None:
    text = """
    resources:
      a: {type: Thing, properties: {value: [{Ref: {no: name}}, {get_resource: no}, {get_attr: []}, {Ref: q}]}}
    """
    assert wires(tree(text)) == set()
    assert requires(tree(text)) == {"a": ()}


def test_metadata_of_a_resource_refers_and_is_changed_in_place() -> None:
    text = "resources: {a: {type: Thing}, b: {type: Thing, metadata: {peer: {get_resource: a}}}}"
    assert references(tree(text), effect) == (Reference("b", "metadata", "a", None, Effect.UPDATED),)


def test_the_older_template_language_is_read_too() -> None:
    text = """
    Resources:
      a: {Type: Thing}
      b: {Type: Thing, DependsOn: a, Properties: {value: {Ref: a}}}
    """
    assert wires(tree(text)) == {("b", "", "a", None), ("b", "value", "a", None)}


# --------------------------------------------------------------------------------------------- nested stacks

INNER = """
parameters: {p: {type: string}, unused: {type: string}}
resources:
  vm: {type: Thing, properties: {fixed: {get_param: p}}}
  vip: {type: Thing, properties: {value: {get_resource: vm}}}
outputs:
  vm: {value: {get_resource: vm}}
  vip: {value: {get_attr: [vip, port]}}
  passed: {value: {get_param: p}}
  constant: {value: 7}
"""
MIDDLE = """
parameters: {p: {type: string}}
resources:
  inner: {type: inner.yaml, properties: {p: {get_param: p}, unused: {get_param: "OS::stack_id"}}}
  after: {type: Thing, properties: {value: {get_attr: [inner, vm]}}}
outputs:
  vm: {value: {get_attr: [inner, vm]}}
  passed: {value: {get_attr: [inner, passed]}}
  constant: {value: {get_attr: [inner, constant]}}
"""
OUTER = """
resources:
  first: {type: Thing}
  nest: {type: middle.yaml, depends_on: early, properties: {p: {get_attr: [first, port]}}}
  early: {type: Thing}
  user: {type: Thing, properties: {value: {get_attr: [nest, vm]}}}
  through: {type: Thing, properties: {value: {get_attr: [nest, passed]}}}
  still: {type: Thing, properties: {value: {get_attr: [nest, constant]}}}
  id: {type: Thing, properties: {value: {get_resource: nest}}}
"""


def nested() -> Tree:
    return tree(OUTER, nest=tree(MIDDLE, inner=tree(INNER)))


def test_outputs_and_parameters_of_nested_stacks_are_passed_through() -> None:
    assert wires(nested()) == {
        ("nest", "", "early", None),
        ("nest/inner/vm", "fixed", "first", "port"),
        ("nest/inner/vip", "value", "nest/inner/vm", None),
        ("nest/after", "value", "nest/inner/vm", None),
        ("user", "value", "nest/inner/vm", None),
        ("through", "value", "first", "port"),
        ("id", "value", "nest", None),
    }


def test_a_parameter_may_have_the_name_of_a_resource() -> None:
    outer = "resources: {net: {type: Thing}, n: {type: i.yaml, properties: {vm: {get_resource: net}}}}"
    inner = """
    parameters: {vm: {type: string}}
    resources: {vm: {type: Thing, properties: {value: {get_param: vm}}}}
    """
    assert wires(tree(outer, n=tree(inner))) == {("n/vm", "value", "net", None)}


def test_the_effect_is_asked_of_the_resource_where_a_value_ends() -> None:
    effects = {(r.source, r.property): r.effect for r in references(nested(), effect)}
    assert effects["nest/inner/vm", "fixed"] is Effect.REPLACED
    assert effects["user", "value"] is Effect.UPDATED


def test_what_is_required_stays_within_one_stack() -> None:
    assert requires(nested()) == {
        "first": (),
        "nest": ("early", "first"),
        "nest/inner": (),
        "nest/inner/vm": (),
        "nest/inner/vip": ("nest/inner/vm",),
        "nest/after": ("nest/inner",),
        "early": (),
        "user": ("nest",),
        "through": ("nest",),
        "still": ("nest",),
        "id": ("nest",),
    }


def test_a_nested_stack_may_declare_a_resource_as_its_own_id() -> None:
    inner = "resources: {vm: {type: Thing}}\noutputs: {'OS::stack_id': {value: {get_resource: vm}}}"
    outer = "resources: {n: {type: i.yaml}, user: {type: Thing, properties: {value: {get_resource: n}}}}"
    assert wires(tree(outer, n=tree(inner))) == {("user", "value", "n/vm", None)}


def test_an_output_that_is_not_declared_may_be_anything_in_the_stack() -> None:
    outer = "resources: {n: {type: i.yaml}, user: {type: Thing, properties: {value: {get_attr: [n, odd]}}}}"
    assert wires(tree(outer, n=tree("resources: {vm: {type: Thing}}"))) == {
        ("user", "value", "n", "odd"),
        ("user", "value", "n/vm", WHOLE),
    }


def test_a_property_that_a_stack_does_not_declare_replaces_all_that_is_in_it() -> None:
    outer = "resources: {conf: {type: Thing}, n: {type: Fleet, properties: {like: {get_resource: conf}}}}"
    found = references(tree(outer, n=tree("resources: {a: {type: Thing}, b: {type: Thing}}")), effect)
    assert found == (
        Reference("n/a", "like", "conf", None, Effect.REPLACED),
        Reference("n/b", "like", "conf", None, Effect.REPLACED),
    )


# ---------------------------------------------------------------------------------------------------- groups

MEMBERS = (
    "resources: {'0': {type: Thing, properties: {value: 1}}, '1': {type: Thing, properties: {value: 1}}}"
)


def group(user: str, *, kind: str = "OS::Heat::ResourceGroup", holds: str = "resource_def") -> Tree:
    return tree(
        f"""
        resources:
          net: {{type: Thing}}
          grp:
            type: {kind}
            properties:
              count: {{get_attr: [net, size]}}
              {holds}: {{type: Thing, properties: {{value: {{get_resource: net}}}}}}
          user: {{type: Thing, properties: {{value: {user}}}}}
        """,
        grp=tree(MEMBERS),
    )


BOTH = {("user", "value", "grp/0", None), ("user", "value", "grp/1", None)}
BOTH_PORTS = {("user", "value", "grp/0", "port"), ("user", "value", "grp/1", "port")}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("{get_attr: [grp, refs]}", BOTH),
        ("{get_attr: [grp, refs_map]}", BOTH),
        ("{get_attr: [grp, attributes, port]}", BOTH_PORTS),
        ("{get_attr: [grp, port]}", BOTH_PORTS),
        ("{get_attr: [grp, resource.1.port]}", {("user", "value", "grp/1", "port")}),
        ("{get_attr: [grp, resource.1, port]}", {("user", "value", "grp/1", "port")}),
        ("{get_attr: [grp, resource.1]}", {("user", "value", "grp/1", None)}),
        ("{get_attr: [grp, resource.7.port]}", set()),
        ("{get_attr: [grp, current_size]}", {("user", "value", "grp", "current_size")}),
        ("{get_attr: [grp]}", {("user", "value", "grp/0", WHOLE), ("user", "value", "grp/1", WHOLE)}),
        ("{get_resource: grp}", {("user", "value", "grp", None)}),
    ],
)
def test_a_group_is_read_through_to_its_members(
    user: str, expected: set[tuple[str, str, str, str | None]]
) -> None:
    assert wires(group(user)) == expected | {
        ("grp", "count", "net", "size"),
        ("grp/0", "value", "net", None),
        ("grp/1", "value", "net", None),
    }


@pytest.mark.parametrize("reader", ["outputs", "outputs_list"])
def test_an_autoscaling_group_names_the_attributes_of_its_members_outputs(reader: str) -> None:
    found = wires(
        group(f"{{get_attr: [grp, {reader}, port]}}", kind="OS::Heat::AutoScalingGroup", holds="resource")
    )
    assert found > BOTH_PORTS
    assert ("grp/1", "value", "net", None) in found


def test_a_chain_gives_its_properties_to_every_member() -> None:
    text = """
    resources:
      net: {type: Thing}
      ch:
        type: OS::Heat::ResourceChain
        properties: {resources: [Thing, Thing], resource_properties: {value: {get_resource: net}}}
    """
    members = "resources: {'0': {type: Thing}, '1': {type: Thing, depends_on: ['0']}}"
    assert wires(tree(text, ch=tree(members))) == {
        ("ch/0", "value", "net", None),
        ("ch/1", "value", "net", None),
        ("ch/1", "", "ch/0", None),
    }
    assert requires(tree(text, ch=tree(members)))["ch/1"] == ("ch/0",)


def test_the_group_requires_what_its_members_are_made_from() -> None:
    found = requires(group("{get_attr: [grp, refs]}"))
    assert found == {"net": (), "grp": ("net",), "grp/0": (), "grp/1": (), "user": ("grp",)}


def test_a_definition_that_is_computed_fills_every_property_of_every_member() -> None:
    text = """
    resources:
      net: {type: Thing}
      grp:
        type: OS::Heat::ResourceGroup
        properties: {resource_def: {type: Thing, properties: {map_merge: [{a: {get_resource: net}}, {b: 1}]}}}
    """
    members = "resources: {'0': {type: Thing, properties: {a: net-1, b: 1}}}"
    assert wires(tree(text, grp=tree(members))) == {("grp/0", "a", "net", None), ("grp/0", "b", "net", None)}


def test_members_that_are_stacks_take_their_parameters_from_the_groups_definition() -> None:
    text = """
    resources:
      net: {type: Thing}
      grp:
        type: OS::Heat::ResourceGroup
        properties: {resource_def: {type: inner.yaml, properties: {p: {get_resource: net}}}}
      user: {type: Thing, properties: {value: {get_attr: [grp, vm]}}}
      one: {type: Thing, properties: {value: {get_attr: [grp, resource.0.vip]}}}
    """
    members = "resources: {'0': {type: inner.yaml}, '1': {type: inner.yaml, properties: {p: n}}}"
    found = wires(tree(text, grp=tree(members, **{"0": tree(INNER), "1": tree(INNER)})))
    assert found == {
        ("grp/0/vm", "fixed", "net", None),
        ("grp/1/vm", "fixed", "net", None),
        ("grp/0/vip", "value", "grp/0/vm", None),
        ("grp/1/vip", "value", "grp/1/vm", None),
        ("user", "value", "grp/0/vm", None),
        ("user", "value", "grp/1/vm", None),
        ("one", "value", "grp/0/vip", "port"),
    }


def test_a_group_in_a_nested_stack_reads_the_parameters_of_that_stack() -> None:
    outer = """
    resources:
      net: {type: Thing}
      n: {type: mid.yaml, properties: {p: {get_resource: net}}}
    """
    middle = """
    parameters: {p: {type: string}}
    resources:
      grp:
        type: OS::Heat::ResourceGroup
        properties: {resource_def: {type: Thing, properties: {value: {get_param: p}}}}
    """
    members = "resources: {'0': {type: Thing, properties: {value: net-1}}}"
    assert wires(tree(outer, n=tree(middle, grp=tree(members)))) == {("n/grp/0", "value", "net", None)}
