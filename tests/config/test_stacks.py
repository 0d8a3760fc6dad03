"""Who owns what in the stacks that the configuration declares, told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from healer.config.check import check

ROOT = """\
heat_template_version: 2018-08-31
parameters:
  size: {type: number, default: 2}
resources:
  inner:
    type: inner.yaml
  fixed:
    type: OS::Heat::ResourceGroup
    properties:
      count: 2
      resource_def: {type: inner.yaml}
"""
SIZED = """\
  sized:
    type: OS::Heat::ResourceGroup
    properties:
      count: {get_param: size}
      resource_def: {type: Local::File, properties: {content: x}}
"""
INNER = """\
heat_template_version: 2018-08-31
resources:
  db: {type: "Local::Process", properties: {command: [sleep, "1000"]}}
"""


def owned(folder: Path, *matches: str, root: str = ROOT) -> list[str]:
    """What is complained of where there is one policy for each match."""
    (folder / "root.yaml").write_text(root)
    (folder / "inner.yaml").write_text(INNER)
    (folder / "policies.yaml").write_text(
        "---\n".join(
            f"version: 1\npolicy: p{number}\nmatch: {match}\ndetect: {{watchers: [engine]}}\n"
            for number, match in enumerate(matches)
        )
    )
    file = folder / "config.yaml"
    file.write_text(
        "version: 1\n"
        "clouds:\n"
        "  here: {engine: local, stacks: {shop: root.yaml}}\n"
        "  mine: {engine: heat, cloud: c}\n"
        "policies: [policies.yaml]\n"
    )
    return [f"{problem.line}: {problem.message}" for problem in check(file).problems]


@pytest.mark.parametrize("path", ["inner/db", "fixed/0/db", "fixed/1/db", "fixed/*", "*/db", "*"])
def test_what_is_nested_is_found_by_its_path(tmp_path: Path, path: str) -> None:
    assert owned(tmp_path, f'{{cloud: here, resource: "{path}"}}') == []


@pytest.mark.parametrize("path", ["db", "inner", "fixed", "fixed/0", "fixed/2/db", "Inner/db"])
def test_stacks_and_what_is_not_there_are_owned_by_nobody(tmp_path: Path, path: str) -> None:
    (said,) = owned(tmp_path, f'{{cloud: here, resource: "{path}"}}')
    assert said == "2: p0 owns nothing: no resource of shop is as it says"


def test_nothing_is_claimed_of_a_group_whose_size_is_worked_out(tmp_path: Path) -> None:
    assert owned(tmp_path, "{cloud: here, resource: sized/7}", root=ROOT + SIZED) == []


def test_nothing_is_claimed_where_another_cloud_may_hold_it(tmp_path: Path) -> None:
    assert owned(tmp_path, "{resource: nowhere}") == []


def test_nothing_is_claimed_of_a_stack_whose_template_is_wrong(tmp_path: Path) -> None:
    (said,) = owned(tmp_path, "{cloud: here, resource: nowhere}", root=ROOT + "  odd: {type: Nope}\n")
    assert said.startswith("12: unknown type 'Nope'")


def test_two_owners_are_told_once_with_all_that_they_share(tmp_path: Path) -> None:
    said = owned(tmp_path, "{resource: inner/db}", '{resource: "fixed/*"}', '{type: "Local::*"}')
    place, ending = f"{tmp_path}/policies.yaml", "; expected one owner for each resource"
    assert said == [
        f"12: p2 owns shop/inner/db, and so does p0 ({place}:2){ending}",
        f"12: p2 owns shop/fixed/0/db, shop/fixed/1/db, and so does p1 ({place}:7){ending}",
    ]
