"""Templates as a person writes them: what is read, and every mistake with its file, line and key."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from healer.declarative.declaration import check, declare
from healer.declarative.expressions import FUNCTIONS
from healer.declarative.resource_types import TYPES
from healer.declarative.template import PARAMETER_KINDS
from healer.documents import DocumentError

HEAD = "heat_template_version: 2018-08-31\n"
TEMPLATES = Path(__file__).parents[1] / "templates"


def mistakes(folder: Path, text: str, **files: str) -> list[str]:
    """Each as `file:line: key: message`, file by its name alone."""
    (folder / "a.yaml").write_text(HEAD + dedent(text))
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(HEAD + dedent(content))
    return [str(problem).replace(f"{folder}/", "") for problem in check(folder / "a.yaml")]


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """\
        resources:
          db:
            type: Local::Proces
          api:
            type: Local::Process
            properties:
              comand: [x]
              wires: {db: {get_attr: [dbb, port]}}
          web:
            type: Local::Process
            properties:
              command: [x]
              wires: {api: {get_attr: [api, prot]}}
              wires: {}
            depnds_on: api
        """,
    ) == [
        "a.yaml:4: resources.db.type: unknown type 'Local::Proces': did you mean 'Local::Process'?",
        "a.yaml:5: resources.api: command is required",
        "a.yaml:8: resources.api.properties.comand: unknown property 'comand': did you mean 'command'?",
        "a.yaml:9: resources.api.properties.wires.db.get_attr: unknown resource 'dbb': did you mean 'db'?",
        (
            "a.yaml:14: resources.web.properties.wires.api.get_attr: "
            "unknown attribute 'prot' of api: did you mean 'port'?"
        ),
        "a.yaml:15: resources.web.properties.wires: stands here twice, first on line 14",
        "a.yaml:16: resources.web.depnds_on: unknown key: did you mean 'depends_on'?",
    ]


def test_of_a_value_that_cannot_be_read_nothing_else_is_said(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path, "resources: {a: {type: Local::Process, properties: {command: *anything, wire: 1}}}"
    ) == [
        (
            "a.yaml:2: resources.a.properties.command: "
            "aliases are not allowed: write out what *anything stands for"
        ),
        "a.yaml:2: resources.a.properties.wire: unknown property 'wire': did you mean 'wires'?",
    ]


THING = "type: OS::Heat::TestResource"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"""\
            resources:
              a: {{{THING}, properties: {{value: {{get_resource: c}}}}}}
              b: {{{THING}, depends_on: a}}
              c: {{{THING}, depends_on: [b]}}
            """,
            "a.yaml:3: resources.a: resources require each other in a circle: a → c → b → a",
        ),
        (
            f"resources: {{a: {{{THING}, properties: {{value: {{get_resource: a}}}}}}}}",
            "a.yaml:2: resources.a: resources require each other in a circle: a → a",
        ),
        (
            f"resources: {{a: {{{THING}, depends_on: [b]}}}}",
            "a.yaml:2: resources.a.depends_on: unknown resource 'b': known are a",
        ),
        (
            f"resources: {{a: {{{THING}, depends_on: 5}}}}",
            "a.yaml:2: resources.a.depends_on: must be the name of a resource, or a list of names",
        ),
        (
            f"resources: {{a: {{{THING}, properties: {{wait_secs: soon}}}}}}",
            'a.yaml:2: resources.a.properties.wait_secs: must be a number, and is "soon"',
        ),
        (
            f"resources: {{a: {{{THING}, properties: {{fail: maybe}}}}}}",
            'a.yaml:2: resources.a.properties.fail: must be true or false, and is "maybe"',
        ),
        (
            f"resources: {{a: {{{THING}, properties: {{value: [x]}}}}}}",
            'a.yaml:2: resources.a.properties.value: must be text, and is ["x"]',
        ),
        (
            f"resources: {{a: {{{THING}, properties: {{value: {{get_param: siz}}}}}}}}",
            ("a.yaml:2: resources.a.properties.value.get_param: unknown parameter 'siz': "
            "known are OS::project_id, OS::stack_id, OS::stack_name"),
        ),
        (
            "parameters: {size: {type: nmber, default: 1}}",
            "a.yaml:2: parameters.size.type: must be a type of parameter: did you mean 'number'?",
        ),
        (
            "parameters: {size: {type: number, default: big}}",
            'a.yaml:2: parameters.size.default: must be a number, and is "big"',
        ),
        (
            "parameters: {size: {type: number}}",
            "a.yaml:2: parameters.size: has no value: nobody gives it one, so it needs a default",
        ),
        (
            "parameters: {size: {type: number, default: 1, constraints: []}}",
            ("a.yaml:2: parameters.size.constraints: unknown key: "
            "known are default, description, hidden, label, type"),
        ),
        ("outputs: {where: {vlue: 1}}", "a.yaml:2: outputs.where: has no value"),
        ("resources: {a/b: {type: OS::Heat::TestResource}}", "a.yaml:2: resources.a/b: the name of a resource must"),
        ("resources: {a: {properties: {}}}", "a.yaml:2: resources.a.type: must be the name of a resource type"),
        ("resources: [a]", "a.yaml:2: resources: must be a mapping of keys to values"),
        ("conditions: {}", "a.yaml:2: conditions: unknown key: "),
        ("resources: {a: {type: http://x/b.yaml}}", "a.yaml:2: resources.a.type: a nested template must be a file"),
        (
            """\
            resources:
              g:
                type: OS::Heat::ResourceGroup
                properties:
                  count: 2
                  resource_def: {type: Local::Process, properties: {comand: x}}
            """,
            "a.yaml:7: resources.g.properties.resource_def.properties.comand: unknown property 'comand'",
        ),
        (
            "resources: {g: {type: OS::Heat::ResourceGroup, properties: {resource_def: {get_param: x}}}}",
            "a.yaml:2: resources.g.properties.resource_def: must be written out, with the type of the members",
        ),
        (
            ("resources: {g: {type: OS::Heat::ResourceGroup, properties: {count: 1001, resource_def: {"
            f"{THING}}}}}}}}}"),
            "a.yaml:2: resources.g.properties.count: must be between 0 and 1000",
        ),
        (
            f"""\
            resources:
              g: {{type: OS::Heat::ResourceGroup, properties: {{resource_def: {{{THING}}}}}}}
              a: {{{THING}, properties: {{value: {{get_attr: [g, prot]}}}}}}
            """,
            ("a.yaml:4: resources.a.properties.value.get_attr: "
            "unknown attribute 'prot' of members of g: known are output"),
        ),
        (
            f"""\
            resources:
              g: {{type: OS::Heat::ResourceGroup, properties: {{resource_def: {{{THING}}}}}}}
              a: {{{THING}, properties: {{value: {{get_attr: [g, attributes]}}}}}}
            """,
            "a.yaml:4: resources.a.properties.value.get_attr: attributes needs the name of an attribute",
        ),
        (
            f"""\
            resources:
              g: {{type: OS::Heat::ResourceGroup, properties: {{resource_def: {{{THING}}}}}}}
              a: {{{THING}, properties: {{value: {{get_attr: [g, resource.0.prot]}}}}}}
            """,
            "a.yaml:4: resources.a.properties.value.get_attr: unknown attribute 'prot' of g/0: known are output",
        ),
    ],
)  # fmt: skip
def test_each_mistake_names_file_line_key_and_what_was_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    found = mistakes(tmp_path, text)
    assert any(each.startswith(expected) for each in found), found


@pytest.mark.parametrize("text", ["- a\n", "", "resources: {}\n", "heat_template_version: 2011-01-01\n"])
def test_what_is_no_template_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (problem,) = check(tmp_path / "a.yaml")
    assert "heat_template_version" in str(problem)


NESTED = """\
parameters: {size: {type: number}, name: {type: string, default: x}}
resources: {db: {type: OS::Heat::TestResource}}
outputs: {where: {value: {get_attr: [db, output]}}}
"""


@pytest.mark.parametrize(
    ("properties", "attribute", "expected"),
    [
        ("{}", "[n, where]", "a.yaml:3: resources.n: size is required"),
        ("{size: big}", "[n, where]", 'a.yaml:3: resources.n.properties.size: must be a number, and is "big"'),
        ("{size: 1, nme: y}", "[n, where]", "a.yaml:3: resources.n.properties.nme: unknown property 'nme'"),
        ("{size: 1}", "[n, were]", "a.yaml:4: resources.a.properties.value.get_attr: unknown output 'were' of n"),
        ("{size: 1}", "[n, resource.d]", "a.yaml:4: resources.a.properties.value.get_attr: unknown resource 'd' of n"),
        ("{size: 1}", "[n, resource.db.out]", "a.yaml:4: resources.a.properties.value.get_attr: unknown attribute"),
    ],
)  # fmt: skip
def test_a_nested_template_is_held_to_its_parameters_and_outputs(
    tmp_path: Path, properties: str, attribute: str, expected: str
) -> None:
    text = f"""\
    resources:
      n: {{type: n.yaml, properties: {properties}}}
      a: {{{THING}, properties: {{value: {{get_attr: {attribute}}}}}}}
    """
    found = mistakes(tmp_path, text, n=NESTED)
    assert any(each.startswith(expected) for each in found), found


def test_a_mistake_in_a_nested_template_is_told_with_its_own_file(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, "resources: {n: {type: n.yaml}}", n="resources: {x: {type: OS::Heat::TestResorce}}"
    )
    assert found == [
        "n.yaml:2: resources.x.type: unknown type 'OS::Heat::TestResorce': did you mean 'OS::Heat::TestResource'?"
    ]


def test_a_template_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "resources: {n: {type: tier.yml}}", tiers="resources: {}")
    assert found == ["a.yaml:2: resources.n.type: there is no file tier.yml: did you mean 'tiers.yaml'?"]


def test_templates_that_nest_in_a_circle_are_told_with_the_circle(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, "resources: {n: {type: n.yaml}}", n="resources: {\n m: {type: m.yaml}}",
        m="resources: {n: {type: n.yaml}}",
    )  # fmt: skip
    assert found == ["m.yaml:2: resources.n.type: templates nest in a circle: n.yaml → m.yaml → n.yaml"]


def test_templates_nest_no_deeper_than_in_heat(tmp_path: Path) -> None:
    nested = {f"n{level}": f"resources: {{n: {{type: n{level + 1}.yaml}}}}" for level in range(1, 7)}
    found = mistakes(tmp_path, "resources: {n: {type: n1.yaml}}", **nested, n7="resources: {}")
    assert found == [
        (
            "n5.yaml:2: resources.n.type: nests deeper than 5 stacks: "
            "a.yaml → n1.yaml → n2.yaml → n3.yaml → n4.yaml → n5.yaml → n6.yaml → n7.yaml"
        )
    ]


def test_a_type_is_a_file_relative_to_the_one_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "tiers" / "deep").mkdir(parents=True)
    (tmp_path / "a.yaml").write_text(f"{HEAD}resources: {{n: {{type: tiers/n.yaml}}}}\n")
    (tmp_path / "tiers" / "n.yaml").write_text(
        f"{HEAD}resources:\n  g:\n    type: OS::Heat::ResourceGroup\n"
        "    properties: {resource_def: {type: deep/m.yaml}}\n"
    )
    (tmp_path / "tiers" / "deep" / "m.yaml").write_text(f"{HEAD}resources: {{o: {{type: ../../o.yaml}}}}\n")
    (tmp_path / "o.yaml").write_text(f"{HEAD}resources: {{t: {{{THING}}}}}\n")
    declared = declare(tmp_path / "a.yaml")
    assert declared.template["resources"]["n"]["type"] == "tiers/n.yaml"
    assert set(declared.files) == {"tiers/n.yaml", "tiers/deep/m.yaml", "o.yaml"}
    group = declared.files["tiers/n.yaml"]["resources"]["g"]
    assert group["properties"]["resource_def"]["type"] == "tiers/deep/m.yaml"


def test_a_file_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.yaml: No such file or directory"):
        declare(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_templates_that_every_engine_is_tested_with_want_nothing_but_their_parameters(path: Path) -> None:
    assert {problem.message for problem in check(path)} <= {
        "has no value: nobody gives it one, so it needs a default"
    }


def test_the_template_in_the_documentation_can_be_created(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "a.yaml").write_text(example)
    assert not check(tmp_path / "a.yaml")


def test_the_documentation_names_every_type_property_attribute_and_function() -> None:
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
    words = set(re.findall(r"`([\w:]+)`", page))
    for kind, known in TYPES.items():
        assert {kind, *known.properties, *known.attributes} <= words
    assert {*FUNCTIONS, *PARAMETER_KINDS} <= words
