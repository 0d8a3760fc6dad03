"""What is silenced is meant by what it is known by: as Alertmanager holds labels against matchers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.core.inventory import Ambiguous, Found, resolve
from healer.core.model import NOTHING, Incarnation, Root, Selector, Snapshot, Target
from healer.core.silence import Facet, Known, Matcher, Silence, Silences
from tests.core.driven import SHOP, START, shop, tier

DB = Target(SHOP, "group/0/db")
SERVER = Known(
    DB,
    Incarnation("nested", "db", "id-1"),
    {"address": "10.0.0.5", "hostname": "db.example", "host": "compute-1", "unasked": "x"},
)
PORTED = replace(SERVER, attributes={"address": "fd00::5", "port": "8080"})
BARE = replace(SERVER, attributes=NOTHING)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Is:
    value: str

    def __call__(self, value: str) -> bool:
        return value == self.value


@dataclass(frozen=True)
class Begins:
    value: str

    def __call__(self, value: str) -> bool:
        return value.startswith(self.value)


@pytest.mark.parametrize(
    ("facet", "value"),
    [
        (Facet.CLOUD, "here"),
        (Facet.STACK, "shop"),
        (Facet.STACK, "shop-id"),
        (Facet.RESOURCE, "group/0/db"),
        (Facet.RESOURCE, "db"),
        (Facet.PHYSICAL_ID, "id-1"),
        (Facet.ADDRESS, "10.0.0.5"),
        (Facet.ADDRESS, "db.example"),
        (Facet.HOST, "compute-1"),
    ],
)
def test_a_matcher_holds_for_every_way_in_which_it_is_known(facet: Facet, value: str) -> None:
    assert Matcher(facet, Is(value)).holds(SERVER)
    assert not Matcher(facet, Is(value), negative=True).holds(SERVER)
    assert not Matcher(facet, Is("else")).holds(SERVER)
    assert Matcher(facet, Is("else"), negative=True).holds(SERVER)
    assert not Matcher(facet, Is("")).holds(SERVER), "it is known by something"


@pytest.mark.parametrize("facet", [Facet.ADDRESS, Facet.HOST])
def test_what_is_not_known_is_empty(facet: Facet) -> None:
    assert Matcher(facet, Is("")).holds(BARE)
    assert not Matcher(facet, Is(""), negative=True).holds(BARE)
    assert Matcher(facet, Is("else"), negative=True).holds(BARE)


def test_without_a_port_of_its_own_it_is_meant_by_whatever_is_scraped_there() -> None:
    at = Matcher(Facet.ADDRESS, Is("db.example:9100"), ports=("9100",))
    assert at.holds(SERVER)
    assert not replace(at, ports=("80",)).holds(SERVER)
    assert not replace(at, negative=True).holds(SERVER)


def test_with_a_port_of_its_own_it_is_meant_by_that_alone() -> None:
    assert Matcher(Facet.ADDRESS, Is("[fd00::5]:8080"), ports=("9100",)).holds(PORTED)
    assert not Matcher(Facet.ADDRESS, Is("[fd00::5]:9100"), ports=("9100",)).holds(PORTED)
    assert Matcher(Facet.ADDRESS, Is("fd00::5")).holds(PORTED)


def silence(means: Selector | tuple[Matcher, ...], name: str = "s", hours: float = 1) -> Silence:
    return Silence(name, means, START + hours * HOUR, "anna", "at work on it")


def on(*silences: Silence, path: str = "db", snapshot: Snapshot | None = None) -> str | None:
    """Id of what silences it a minute later."""
    there = snapshot or shop()
    resource = there.resources[path]
    known = Known(Target(there.root, path), resource.incarnation, resource.attributes)
    found = Silences(silences).on(known, {there.root: there}, START + timedelta(minutes=1))
    return found.id if found else None


def test_all_matchers_of_a_silence_must_hold() -> None:
    both = (Matcher(Facet.STACK, Is("shop")), Matcher(Facet.RESOURCE, Begins("d")))
    assert on(silence(both)) == "s"
    assert on(silence(both), path="web") is None
    assert on(silence((*both, Matcher(Facet.CLOUD, Is("there"))))) is None


@pytest.mark.parametrize(
    "selector",
    [
        Selector(stack="shop", resource="db"),
        Selector(resource="db"),
        Selector(physical_id="db-1"),
        Selector(physical_id="db-1", address="exporter:9180"),
        Selector(address="10.0.0.5"),
        Selector(address="10.0.0.5:9100"),
        Selector(host="compute-1"),
    ],
)
def test_an_alarm_that_is_withheld_means_what_it_names(selector: Selector) -> None:
    db = replace(tier("db", "db-1"), attributes={"address": "10.0.0.5", "host": "compute-1"})
    there = shop(db=db)
    assert on(silence(selector), snapshot=there) == "s"
    assert on(silence(selector), path="web", snapshot=there) is None


def test_the_surer_name_decides_as_it_does_for_an_alarm_that_is_sent() -> None:
    """An exporter's own address beside the id of what it tells of."""
    db = replace(tier("db", "db-1"), attributes={"address": "10.0.0.5"})
    assert on(silence(Selector(physical_id="web-1", address="10.0.0.5")), snapshot=shop(db=db)) is None
    assert on(silence(Selector(physical_id="db-1", resource="web")), snapshot=shop(db=db)) is None


PLACES = shop(
    db=replace(tier("db", "db-1"), attributes={"address": "10.0.0.5", "host": "compute-1", "port": "80"}),
    api=replace(
        tier("api", "api-1"),
        attributes={"address": "10.0.0.5", "hostname": "api", "further_addresses": "fd00::5 10.1.0.5"},
    ),
    twin=replace(tier("db", "db-2"), path="twin/db", attributes={"address": "fd00::5", "host": "compute-1"}),
)
PLACES = replace(PLACES, resources={one.path: one for one in PLACES.resources.values()})
ADDRESSES = [
    "10.0.0.5",
    "10.0.0.5:80",
    "10.0.0.5:9100",
    "api:1",
    "[fd00::5]:9100",
    "fd00::5",
    "x:80",
    "10.1.0.5:80",
]


@given(
    st.builds(
        Selector,
        cloud=st.sampled_from([None, "here", "there"]),
        stack=st.sampled_from([None, "shop", "shop-id", "other"]),
        resource=st.sampled_from([None, "db", "twin/db", "api", "x"]),
        physical_id=st.sampled_from([None, "db-1", "db-2", "api-1", "x"]),
        address=st.sampled_from([None, *ADDRESSES]),
        host=st.sampled_from([None, "compute-1", "x"]),
    )
)
def test_an_alarm_that_is_withheld_means_what_it_would_mean_if_it_were_sent(selector: Selector) -> None:
    match resolve({SHOP: PLACES}, selector, {}):
        case Found(targets) | Ambiguous(targets):
            meant = {target.path for target in targets}
        case _:
            meant = set()
    assert {path for path in PLACES.resources if on(silence(selector), path=path, snapshot=PLACES)} == meant


def test_whatever_may_be_meant_is_silenced() -> None:
    there = shop(twin=replace(tier("db", "db-2"), path="twin/db"))
    there = replace(there, resources={r.path: r for r in there.resources.values()})
    either = silence(Selector(stack="shop", resource="db"))
    assert [on(either, path=path, snapshot=there) for path in ("db", "twin/db", "web")] == ["s", "s", None]


@pytest.mark.parametrize(
    ("selector", "silenced"),
    [
        (Selector(stack="shop", resource="db"), True),
        (Selector(stack="shop-id", physical_id="id-1"), True),
        (Selector(cloud="here", resource="group/0/db"), True),
        (Selector(stack="shop", resource="web"), False),
        (Selector(stack="other", resource="db"), False),
        (Selector(cloud="there", physical_id="id-1"), False),
    ],
)
def test_before_its_stack_has_been_read_it_is_known_by_what_is_remembered(
    selector: Selector, silenced: bool
) -> None:
    assert (Silences((silence(selector),)).on(BARE, {}, START) is not None) is silenced


def test_of_several_the_one_that_lasts_longest_is_named() -> None:
    means = (Matcher(Facet.STACK, Is("shop")),)
    assert on(silence(means, "short"), silence(means, "long", 2), silence(means, "over", 0)) == "long"
    named = Selector(stack="shop", resource="db")
    assert on(silence(means, "short"), silence(named, "alarm", 2), silence(named, "over", 0)) == "alarm"


def test_it_lasts_from_its_beginning_and_not_to_its_end() -> None:
    one = replace(silence(()), since=START)
    lasts: Callable[[timedelta], bool] = lambda after: one.lasts(START + after)  # noqa: E731 - a word for the lines below
    moment = timedelta(microseconds=1)
    assert [lasts(-moment), lasts(timedelta(0)), lasts(HOUR - moment), lasts(HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    assert replace(one, since=None).lasts(START - HOUR)


def test_it_says_whose_it_is_why_and_until_when() -> None:
    one = silence(())
    assert one.sentence("am") == "silence s of am, by anna until 06 May 08:08:09 UTC: at work on it"
    assert ", by nobody until" in replace(one, who="").sentence("am")
    withheld = replace(one, who=None, why="alarm Down: inhibited by NodeDown")
    assert withheld.sentence("am") == "am withholds alarm Down: inhibited by NodeDown"


def test_the_same_words_are_the_same() -> None:
    def word() -> Silences:
        return Silences((silence((Matcher(Facet.STACK, Is("shop")),)), silence(Selector(resource="db"))))

    assert word() == word()
    assert word() != Silences()


def test_another_cloud_s_stack_of_the_same_name_is_another() -> None:
    there = replace(shop(), root=Root("there", "p", "shop-id", "shop"))
    assert on(silence((Matcher(Facet.CLOUD, Is("here")),)), snapshot=there) is None
    assert on(silence(Selector(cloud="here", resource="db")), snapshot=there) is None


def test_what_holds_now_is_told_once_however_much_it_withholds() -> None:
    both = (silence(Selector(resource="db")), silence(Selector(resource="web")))
    silences = Silences((*both, silence(Selector(resource="api"), "another", 2)))
    assert [one.id for one in silences.lasting(START)] == ["s", "another"]
    assert [one.id for one in silences.lasting(START + 1.5 * HOUR)] == ["another"]
