"""docs/policies.md cannot rot: its tables are what the code says, and its policies are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from healer.config.check import check
from tests.config.reference import BEGINS, PAGE, tables

BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_tables_are_what_the_code_says() -> None:
    """If this fails, `python -m tests.config.reference` writes them anew."""
    _, marker, below = PAGE.read_text().partition(BEGINS)
    assert marker + below == tables()


@pytest.mark.parametrize("text", BLOCKS)
def test_every_policy_on_the_page_is_right(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text("version: 1\nclouds: {mine: {engine: heat, cloud: c}}\npolicies: [policy.yaml]\n")
    assert check(file).lines() == ()


def test_there_is_a_policy_on_the_page() -> None:
    assert BLOCKS
