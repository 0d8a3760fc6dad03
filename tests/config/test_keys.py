"""What a section's keys are: the ground of suggestions, of the example and of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from healer.config.keys import Key, Section, keys, model_at
from healer.config.sections import NOT_YET, NOT_YET_PLUGINS, PolicySection
from healer.config.settings import Settings
from healer.durations import Duration
from healer.plugins import names


class Inner(Section):
    every: Duration = timedelta(minutes=90)
    """How often."""


class Outer(Section):
    name: str
    where: Path | None = None
    one: Inner = Inner()
    several: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] | None = None


def test_keys_are_listed_with_their_defaults_as_they_would_be_written() -> None:
    assert list(keys(Outer)) == [
        Key("name", True, None, ""),
        Key("where", False, None, ""),
        Key("one", False, {"every": "1h30m"}, ""),
        Key("one.every", False, "1h30m", "How often."),
        Key("several", False, [], ""),
        Key("several[].every", False, "1h30m", "How often."),
        Key("named", False, None, ""),
        Key("named.<name>.every", False, "1h30m", "How often."),
    ]


def test_a_place_of_a_file_leads_to_its_model() -> None:
    assert model_at(Outer, ()) is Outer
    assert model_at(Outer, ("one",)) is Inner
    assert model_at(Outer, ("several", 3)) is Inner
    assert model_at(Outer, ("named", "any")) is Inner
    for nowhere in (("named",), ("name",), ("one", "every"), ("other", "way"), ("one", "every", 3, "deep")):
        assert model_at(Outer, nowhere) is None


@pytest.mark.parametrize("model", [Settings, PolicySection])
def test_every_key_says_what_it_is(model: type[Section]) -> None:
    assert [key.path for key in keys(model) if not key.description.endswith((".", "`."))] == []


def test_nothing_is_called_not_yet_supported_that_is_there() -> None:
    there = {key.path for key in keys(PolicySection)}
    assert not there & set(NOT_YET)
    for key in NOT_YET:
        parent = key.partition("=")[0].rpartition(".")[0].removesuffix("[]")
        assert not parent or parent in there
    for folder, planned in NOT_YET_PLUGINS.items():
        assert not planned & set(names(folder))
