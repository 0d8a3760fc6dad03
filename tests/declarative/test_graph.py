"""What comes first, and what goes round in circles."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.declarative.graph import cycle, in_order


def test_each_name_comes_after_all_that_it_requires() -> None:
    assert in_order({"web": ["api"], "api": ["db", "net"], "db": ["net"], "net": []}) == (
        "net", "db", "api", "web",
    )  # fmt: skip


def test_what_does_not_depend_on_each_other_keeps_its_order() -> None:
    assert in_order({"c": [], "a": [], "b": []}) == ("c", "a", "b")


def test_what_is_required_and_not_there_is_left_out() -> None:
    assert in_order({"a": ["elsewhere"]}) == ("a",)


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ("b", "c", "b")),
        ({"x": [], "a": ["x", "b"], "b": ["x", "a"]}, ("a", "b", "a")),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, ()),
    ],
)
def test_a_cycle_is_named_from_its_beginning_back_to_it(
    requires: dict[str, list[str]], expected: tuple[str, ...]
) -> None:
    assert cycle(requires) == expected
    if expected:
        with pytest.raises(ValueError, match=" → ".join(expected)):
            in_order(requires)


@given(st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefg"), max_size=3)))
def test_either_there_is_an_order_or_a_cycle(requires: dict[str, list[str]]) -> None:
    found = cycle(requires)
    if found:
        assert found[0] == found[-1]
        assert all(after in requires[before] for before, after in itertools.pairwise(found))
        return
    order = in_order(requires)
    assert sorted(order) == sorted(requires)
    for name, needs in requires.items():
        assert all(order.index(need) < order.index(name) for need in needs if need in requires)
