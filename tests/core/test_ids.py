"""Names sort by the time at which they were given, and a history that is replayed gives the same ones."""

from __future__ import annotations

from datetime import timedelta

from healer.core.ids import Ids
from tests.core.driven import START


def test_a_name_is_a_ulid_whose_first_part_is_its_moment() -> None:
    name = Ids(b"nonce").new(START)
    assert len(name) == 26
    assert set(name) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert name[:10] == Ids(b"other").new(START)[:10]


def test_later_names_sort_after_earlier_ones() -> None:
    ids = Ids(b"nonce")
    names = [ids.new(START + timedelta(milliseconds=n)) for n in range(50)]
    assert names == sorted(names)


def test_no_name_is_given_twice_in_one_moment() -> None:
    ids = Ids(b"nonce")
    assert len({ids.new(START) for _ in range(100)}) == 100


def test_the_same_nonce_and_moments_give_the_same_names_and_another_nonce_others() -> None:
    one, again, other = Ids(b"a"), Ids(b"a"), Ids(b"b")
    assert one.new(START) == again.new(START) != other.new(START)
