"""What an Alertmanager silences, inhibits or mutes, as its API says it: which things of a stack that means."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healer.alarms._naming import Naming
from healer.core.model import NOTHING, Incarnation, Resource, Root, Selector, Snapshot, StackState, Target
from healer.core.silence import Known, Silence, Silences
from healer.ports import Batch, EngineError
from healer.pulls import _silences
from healer.pulls._silences import Held, Word
from healer.pulls.alertmanager import Alertmanager
from tests.pulls.test_alertmanager import ALERT, ANSWERS, JUNK, Peer, failure, peer, pull, written

__all__ = ["peer"]  # a fixture

NOW = datetime(2026, 11, 24, 19, 39, tzinfo=UTC)
LISTED = ANSWERS["alertmanager-0.25.0-silences"]
WITHHELD = ANSWERS["alertmanager-0.25.0-withheld"]
HOUR = timedelta(hours=1)


def condition(name: str, value: str, *, regex: bool = False, equal: bool = True) -> dict[str, Any]:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


def listed(*matchers: Any, state: str = "active", **more: Any) -> dict[str, Any]:
    return {
        "id": "c371bcd9",
        "status": {"state": state},
        "matchers": list(matchers),
        "startsAt": (NOW - HOUR).isoformat(),
        "endsAt": (NOW + HOUR).isoformat(),
        "updatedAt": NOW.isoformat(),
        "createdBy": "anna",
        "comment": "at work on it",
    } | more


def heard(*silences: Any, alerts: tuple[Held, ...] = (), naming: Naming | None = None) -> Word:
    return _silences.word(written(list(silences)), alerts, naming or Naming(), NOW)


SHOP = Root("here", "p", "shop-id", "shop")


def thing(path: str, **attributes: str) -> Resource:
    made = Incarnation(SHOP.id, path.rpartition("/")[2], f"{path}-1")
    return Resource(path, "T", made, "CREATE", StackState.COMPLETE, attributes=attributes or NOTHING)


THINGS = {
    one.path: one
    for one in (
        thing("web", address="10.0.0.1", hostname="web.example", host="compute-1"),
        thing("db", address="10.0.0.2", port="5432"),
        thing("group/0/api", address="fd00::3"),
        thing("network"),
    )
}
SNAPSHOTS = {SHOP: Snapshot(SHOP, NOW, "CREATE", StackState.COMPLETE, THINGS)}


def silenced(word: Word, now: datetime = NOW) -> set[str]:
    """Paths of all things that are."""
    silences = Silences(word.silences)
    return {
        path
        for path, one in THINGS.items()
        if silences.on(Known(Target(SHOP, path), one.incarnation, one.attributes), SNAPSHOTS, now)
    }


EVERYTHING = set(THINGS)


@pytest.mark.parametrize(
    ("matchers", "meant"),
    [
        ([condition("stack", "shop")], EVERYTHING),
        ([condition("stack", "shop-id")], EVERYTHING),
        ([condition("cloud", "here")], EVERYTHING),
        ([condition("stack", "blog")], set()),
        ([condition("stack", "shop"), condition("resource", "web")], {"web"}),
        ([condition("resource", "api")], {"group/0/api"}),
        ([condition("server_id", "web-1")], {"web"}),
        ([condition("instance_id", "group/0/api-1")], {"group/0/api"}),
        ([condition("instance", "web.example:9100")], {"web"}),
        ([condition("instance", "10.0.0.2:5432")], {"db"}),
        ([condition("instance", "10.0.0.2:9100")], set()),
        ([condition("ip", "10.0.0.2")], {"db"}),
        ([condition("instance", "[fd00::3]:9100")], {"group/0/api"}),
        ([condition("hypervisor", "compute-1")], {"web"}),
        ([condition("resource", "web|db", regex=True)], {"web", "db"}),
        ([condition("resource", "we|b", regex=True)], set()),
        ([condition("resource", "group/.*", regex=True)], {"group/0/api"}),
        ([condition("instance", "(web|api).example:(9100|9256)", regex=True)], {"web"}),
        ([condition("instance", r"10\.0\.0\.\d+:.*", regex=True)], {"web", "db"}),
        ([condition("instance", r"10\.0\.0\.\d+", regex=True)], {"web", "db"}),
        ([condition("stack", "shop"), condition("resource", "web", equal=False)], EVERYTHING - {"web"}),
        (
            [condition("stack", "shop"), condition("resource", "web|db", regex=True, equal=False)],
            {"network", "group/0/api"},
        ),
        # What has none has an empty one, as an alert has.
        ([condition("stack", "shop"), condition("hypervisor", "")], EVERYTHING - {"web"}),
        ([condition("stack", "shop"), condition("instance", ".+", regex=True)], EVERYTHING - {"network"}),
        ([condition("stack", "shop"), condition("instance", ".*", regex=True, equal=False)], set()),
        ([condition("stack", "shop"), condition("instance", ".+", regex=True, equal=False)], {"network"}),
        # Of an alert, and not of a thing.
        ([condition("alertname", "Down")], set()),
        ([condition("stack", "shop"), condition("alertname", "Down")], set()),
        ([condition("stack", "shop"), condition("severity", "critical")], set()),
        ([condition("stack", "shop"), condition("job", ".*", regex=True)], set()),
        ([], set()),
    ],
)
def test_a_silence_whose_matchers_all_name_things_means_what_they_name(
    matchers: list[dict[str, Any]], meant: set[str]
) -> None:
    word = heard(listed(*matchers))
    assert word.unreadable == {}
    assert silenced(word) == meant


def test_an_alertmanager_of_old_does_not_say_whether_a_matcher_is_negative() -> None:
    matchers = [{"name": "resource", "value": "web", "isRegex": False}]
    assert silenced(heard(listed(*matchers))) == {"web"}


def test_it_begins_and_ends_when_it_says() -> None:
    later = listed(condition("resource", "web"), state="pending", startsAt=(NOW + HOUR / 2).isoformat())
    assert silenced(heard(later)) == set()
    assert silenced(heard(later), NOW + HOUR / 2) == {"web"}
    assert silenced(heard(later), NOW + HOUR) == set()
    assert silenced(heard(listed(condition("resource", "web"), state="expired"))) == set()


def test_the_labels_that_name_a_thing_may_be_others() -> None:
    naming = Naming.model_validate({"stack": "heat_stack", "resource": ["unit", "job"]})
    matchers = [condition("heat_stack", "shop"), condition("job", "web")]
    assert silenced(heard(listed(*matchers), naming=naming)) == {"web"}
    assert silenced(heard(listed(condition("stack", "shop")), naming=naming)) == set()


def held(**status: Any) -> Held:
    status = {"state": "suppressed", "silencedBy": [], "inhibitedBy": []} | status
    body = ALERT | {"status": status, "endsAt": (NOW + HOUR / 2).isoformat()}
    body["labels"] = {"alertname": "Down", "stack": "shop", "resource": "db"}
    return msgspec.convert(body, Held)


def test_an_alert_that_is_silenced_means_its_thing_for_as_long_as_the_silence() -> None:
    about_alerts = listed(condition("alertname", "Down"))
    [one] = heard(about_alerts, alerts=(held(silencedBy=["c371bcd9"]),)).silences
    means = Selector(stack="shop", resource="db")
    assert one == Silence("c371bcd9", means, NOW + HOUR, "anna", "at work on it")


def test_an_alert_that_names_nothing_silences_nothing() -> None:
    alert = held(silencedBy=["c371bcd9"])
    alert.labels = {"alertname": "Watchdog", "stack": "shop"}
    assert heard(alerts=(alert,)).silences == ()


def test_one_that_is_not_listed_silences_as_long_as_its_alert_lasts() -> None:
    """It was made between two questions; the next reading knows more."""
    [one] = heard(alerts=(held(silencedBy=["c371bcd9"]),)).silences
    assert (one.id, one.until, one.who) == ("c371bcd9", NOW + HOUR / 2, "")


def test_each_reason_counts_for_which_an_alert_is_withheld() -> None:
    """It stays so when one of them is over."""
    both = held(silencedBy=["c371bcd9"], inhibitedBy=["0f0f"], mutedBy=["weekends"])
    first, second = heard(listed(condition("alertname", "Down")), alerts=(both,)).silences
    assert (first.who, first.until) == ("anna", NOW + HOUR)
    assert (second.who, second.until) == (None, NOW + HOUR / 2)
    assert second.sentence("am") == (
        "am withholds alarm Down, inhibited by 0f0f, muted in the time of weekends"
    )


def test_a_reason_that_it_does_not_give_is_one_all_the_same() -> None:
    [one] = heard(alerts=(held(silencedBy=None, inhibitedBy=None),)).silences
    assert one.sentence("am") == "am withholds alarm Down"


def test_who_is_named_by_many_names_a_few() -> None:
    [one] = heard(alerts=(held(inhibitedBy=["e", "d", "c", "b", "a"]),)).silences
    assert one.why == "alarm Down, inhibited by a, b, c and 2 more"


@pytest.mark.parametrize(
    ("ends_at", "until"),
    [
        ((NOW + timedelta(minutes=4)).isoformat(), timedelta(minutes=4)),
        ((NOW + timedelta(days=9)).isoformat(), _silences.WITHHELD_FOR),
        ((NOW - timedelta(minutes=4)).isoformat(), _silences.WITHHELD_FOR),
        ("0001-01-01T00:00:00Z", _silences.WITHHELD_FOR),
        ("", _silences.WITHHELD_FOR),
        ("soon", _silences.WITHHELD_FOR),
    ],
)
def test_an_inhibition_counts_as_long_as_its_alert_at_most_and_not_for_ever(
    ends_at: str, until: timedelta
) -> None:
    alert = held(inhibitedBy=["0f0f"])
    alert.ends_at = ends_at
    [one] = heard(alerts=(alert,)).silences
    assert one.until == NOW + until


def test_what_people_write_is_one_short_line() -> None:
    odd = listed(condition("resource", "db"), comment="a\x1b[2J\n\tb\x00" + "c" * 9999, createdBy="\ud800")
    [one] = heard(odd).silences
    assert one.why.startswith("a [2J b")
    assert len(one.why) == 201
    assert one.who == "\ufffd"


# At an Alertmanager.


async def test_a_captured_answer_is_read_whole(peer: Peer) -> None:
    peer.alerts, peer.silences = WITHHELD, LISTED
    batch = await pull(peer.url)
    assert {alarm.selector.resource for alarm in batch.alarms} == {None, "api", "cache"}
    assert batch.silences is not None
    said = {(one.sentence("am"), one.means) for one in batch.silences if isinstance(one.means, Selector)}
    on_host = {"stack": "shop", "host": "compute-2"}
    assert said == {
        (
            "silence 857f978e-e784-487e-9fed-e25c719d5ac2 of am, by anna until 24 Nov 20:38:54 UTC: new disk",
            Selector(**on_host, resource="web"),
        ),
        (
            "silence d70882a1-731c-4468-98e1-615c228827ac of am, by anna until 24 Nov 21:38:54 UTC: at work on both",
            Selector(**on_host, resource="web"),
        ),
        (
            "am withholds alarm Down, inhibited by NodeDown",
            Selector(stack="shop", resource="db", host="compute-1"),
        ),
    }
    by_matchers = [one for one in batch.silences if not isinstance(one.means, Selector)]
    assert [one.why for one in by_matchers] == ["at work on both", "tonight"]
    assert silenced(Word(tuple(by_matchers), {}), NOW + HOUR / 4) == {"web"}


async def test_it_asks_for_what_is_withheld_and_for_all_silences(peer: Peer) -> None:
    assert (await pull(peer.url)).silences == ()
    alerts, silences = peer.asked
    assert alerts.query == {"active": "true", "silenced": "true", "inhibited": "true", "receiver": "healer"}
    assert (silences.path, dict(silences.query)) == ("/api/v2/silences", {})


async def test_silences_are_read_alone_where_alerts_come_another_way(peer: Peer) -> None:
    peer.alerts, peer.silences = WITHHELD, LISTED
    both, alone = await pull(peer.url), await pull(peer.url, alerts=False)
    assert both.alarms
    assert alone == Batch((), silences=both.silences)


def test_something_must_be_read() -> None:
    with pytest.raises(ValueError, match="nothing to ask for"):
        Alertmanager(url="http://127.0.0.1:9093", alerts=False, silences=False)


async def test_where_it_is_not_wanted_nothing_is_said_of_it(peer: Peer) -> None:
    assert (await pull(peer.url, silences=False)).silences is None


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[1", b"\xff"])
async def test_a_list_that_is_none_is_an_error(peer: Peer, body: bytes) -> None:
    """And no word that nothing is silenced."""
    peer.silences = body
    assert "Alertmanager's list of silences" in str(await failure(peer.url))


async def test_one_that_cannot_be_read_means_nothing_and_is_said_once(peer: Peer) -> None:
    good, bad = condition("resource", "web"), condition("resource", "(?=web)", regex=True)
    peer.silences = written(
        [listed(good), listed(bad, id="bad"), None, listed(good, endsAt="soon", id="odd")]
    )
    puller = Alertmanager(url=peer.url)
    with capture_logs() as logs:
        for _ in range(2):
            batch = await puller.pull("am", NOW)
            assert batch.silences is not None
            assert [one.id for one in batch.silences] == ["c371bcd9"]
    said = {(line["event"], line["source"], line["silence"]) for line in logs}
    assert said == {("silence.unreadable", "am", name) for name in ("bad", "the one at place 2", "odd")}
    assert len(logs) == 3
    assert {line["why"] for line in logs if line["silence"] == "bad"} == {
        "no pattern of RE2: invalid perl operator: (?="
    }
    peer.silences = b"[]"
    await puller.pull("am", NOW)
    peer.silences = written([listed(bad, id="bad")])
    with capture_logs() as logs:
        await puller.pull("am", NOW)
    assert len(logs) == 1, "it was gone, and is there again"


def test_a_pattern_that_would_hold_python_for_ever_is_held_against_names_at_once() -> None:
    long = "a" * 50_000
    root = Root("here", "p", "id", f"{long}!")
    known = Known(Target(root, long), Incarnation("id", long, "x"), {"address": f"{long}!"})
    hostile = [
        condition("stack", "(a+)+$", regex=True),
        condition("instance", "(a|a)*(a|aa)+b", regex=True),
        condition("resource", "(a?){1000}(.*.*.*.*)x", regex=True),
    ]
    began = time.process_time()
    for one in hostile:
        assert Silences(heard(listed(one)).silences).on(known, {}, NOW) is None
    assert time.process_time() - began < 5


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "a{1001}", r"(a)\1", "((a{1000}){1000}){1000}"])
def test_what_is_no_pattern_of_alertmanager_s_is_said(pattern: str) -> None:
    word = heard(listed(condition("resource", pattern, regex=True)), listed(condition("resource", "web")))
    assert silenced(word) == {"web"}
    assert list(word.unreadable) == ["c371bcd9"]


MATCHERS = st.lists(
    JUNK
    | st.builds(
        condition,
        st.sampled_from(["stack", "resource", "instance", "alertname"]),
        st.text(max_size=9),
        regex=st.booleans(),
        equal=st.booleans(),
    ),
    max_size=3,
)
SILENCES = st.lists(
    JUNK
    | MATCHERS.map(lambda it: listed(*it))
    | st.fixed_dictionaries({}, optional=dict.fromkeys(listed(), JUNK)).map(lambda it: listed() | it),
    max_size=3,
)
STATUSES = st.fixed_dictionaries(
    {"state": st.just("suppressed")},
    optional=dict.fromkeys(
        ("silencedBy", "inhibitedBy", "mutedBy"), JUNK | st.lists(st.text(max_size=9), max_size=5)
    ),
)


async def test_whatever_is_listed_is_a_word_or_an_engine_error(peer: Peer) -> None:
    loop = asyncio.get_running_loop()

    async def once(silences: bytes, alerts: bytes) -> None:
        peer.silences, peer.alerts = silences, alerts
        try:
            batch = await pull(peer.url)
        except EngineError:
            return
        assert batch.silences is not None
        silenced(Word(batch.silences, {}))
        assert all(one.until.tzinfo is UTC and one.sentence("am").isprintable() for one in batch.silences)

    bodies = SILENCES.map(written) | st.integers(0, len(LISTED)).map(lambda end: LISTED[:end])

    @given(bodies, st.lists(STATUSES.map(lambda it: ALERT | {"status": it}), max_size=3).map(written))
    @settings(max_examples=150, deadline=None)
    def tried(silences: bytes, alerts: bytes) -> None:
        asyncio.run_coroutine_threadsafe(once(silences, alerts), loop).result(30)

    await asyncio.to_thread(tried)
