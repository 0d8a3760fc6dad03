from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healer.core.event import Event, Observed, Reported, Snapped, Unreachable, Woken
from healer.core.incident import Incident
from healer.core.kernel import Decision
from healer.core.model import (
    Alarm,
    AlarmStatus,
    Health,
    Observation,
    Selector,
    Symptom,
    Target,
)
from healer.core.state import State
from healer.core.step import Done, Inspected
from healer.ports import Store, StoreError
from healer.receiver import api, servers
from healer.receiver.api import BODY_LIMIT, Daemon
from healer.receiver.peers import Rights
from healer.runner import Runner
from tests.core.driven import PROBE, SHOP, shop, tier
from tests.receiver.desk import LoopClock, core

ALL = Rights(frozenset({os.geteuid()}), frozenset())
READER = Rights(frozenset(), frozenset({os.geteuid()}))
NOBODY = Rights(frozenset(), frozenset())
HERE = {"here": 1}
"""What `status` says here."""


@dataclass
class News:
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def decided(self, event: Event, decision: Decision) -> None:  # noqa: ARG002 - an observer's
        if decision.changes:
            self.event.set()
            self.event = asyncio.Event()


@dataclass
class Office:
    """The API as the daemon serves it, and the runner behind it."""

    runner: Runner
    daemon: Daemon
    path: Path
    session: aiohttp.ClientSession
    read: Callable[[Callable[[Store], Any]], Awaitable[Any]]
    """The store's, whatever the daemon's is."""
    unwell: list[str]
    clock: LoopClock

    @property
    def state(self) -> State:
        return self.runner.kernel.state

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(method, f"http://healer{path}", data=data, headers=headers) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        status, answer = await self.ask(method, path, body)
        return status, answer["error"]["reason"], answer["error"]["message"]

    async def fails(self, path: str) -> Incident:
        """It is seen to fail, and its incident is open."""
        for health in (Health.HEALTHY, Health.UNHEALTHY, Health.UNHEALTHY):
            symptom = Symptom.OK if health is Health.HEALTHY else Symptom.REFUSED
            seen = Observation(
                Target(SHOP, path), PROBE, health, symptom, self.clock.now(), detail="it hangs"
            )
            await self.runner.decide(Observed((seen,)))
        found = self.state.incident_of(Target(SHOP, path))
        assert found
        return found

    async def is_remediated(self) -> None:
        """What is being inspected is admitted."""
        (repair,) = self.state.repairs.values()
        report = Done(Inspected(shop(), {SHOP.id: frozenset()}))
        await self.runner.decide(Reported(repair.id, repair.attempt, report))


@asynccontextmanager
async def opened(path: Path, rights: Rights = ALL, **other: Any) -> AsyncIterator[Office]:
    """`other` replaces fields of the daemon."""
    news = News()
    async with core(news) as (runner, writer, _):
        clock, unwell, given_out = LoopClock(), list[str](), iter(f"01JQ{n:022d}" for n in range(1, 99))
        daemon = Daemon(
            state=runner.kernel.state,
            decide=runner.decide,
            read=writer.read,
            news=lambda: news.event,
            now=clock.now,
            new_id=lambda: next(given_out),
            status=lambda: HERE,
            objection=lambda: next(iter(unwell), None),
        )
        daemon = replace(daemon, **other)
        server = await servers.on_unix(api.application(daemon, rights), path)
        try:
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
                yield Office(runner, daemon, path, session, writer.read, unwell, clock)
        finally:
            await server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "api.sock"


@pytest.fixture
async def office(path: Path) -> AsyncIterator[Office]:
    async with opened(path) as there:
        yield there


async def test_the_status_is_the_daemons_own_word(office: Office) -> None:
    assert await office.get("/v1/status") == HERE


async def test_stacks_are_shown_with_what_is_known_of_each_resource(office: Office) -> None:
    incident = await office.fails("db")
    await office.runner.decide(Unreachable("there", "no answer within 60 s"))
    answer = await office.get("/v1/stacks")
    (stack,) = answer["stacks"]
    assert (stack["cloud"], stack["name"], stack["status"]) == ("here", "shop", "CREATE_COMPLETE")
    rows = {one["path"]: (one["health"], one["policy"], one["incident"]) for one in stack["resources"]}
    assert rows == {
        "api": ("unknown", "tiers", None),
        "db": ("unhealthy", "tiers", incident.id),
        "web": ("unknown", "tiers", None),
    }
    assert answer["unreachable"] == [{"cloud": "there", "why": "no answer within 60 s"}]


async def test_incidents_are_listed_newest_first_and_closed_ones_only_on_request(office: Office) -> None:
    older, newer = await office.fails("db"), await office.fails("api")
    await office.ask("POST", f"/v1/incidents/{older.id}/release")
    everything = (await office.get("/v1/incidents"))["incidents"]
    assert [one["id"] for one in everything] == [newer.id, older.id]
    assert [one["outcome"] for one in everything] == [None, "released"]
    assert [one["id"] for one in (await office.get("/v1/incidents?open=1"))["incidents"]] == [newer.id]
    assert [one["id"] for one in (await office.get("/v1/incidents?limit=1"))["incidents"]] == [newer.id]


async def test_an_incident_is_found_by_the_beginning_of_its_id_and_tells_its_story(office: Office) -> None:
    incident = await office.fails("db")
    answer = await office.get(f"/v1/incidents/{incident.id[:14].lower()}")
    assert (answer["incident"]["id"], answer["incident"]["detail"]) == (incident.id, "it hangs")
    assert [entry["kind"] for entry in answer["story"]] == ["incident.opened"]
    assert answer["repair"] is None


async def test_what_is_under_way_is_shown_with_its_incident(office: Office) -> None:
    await ask_to_heal(office, "db")
    await office.is_remediated()
    (incident,) = office.state.incidents.values()
    answer = await office.get(f"/v1/incidents/{incident.id}")
    assert answer["incident"]["state"] == "remediating"
    assert (answer["repair"]["step"], answer["repair"]["action"]) == ("mark", "replace")
    assert (await office.get("/v1/repairs"))["repairs"] == [answer["repair"]]


async def test_a_beginning_that_fits_several_incidents_names_them(office: Office) -> None:
    ids = {(await office.fails(name)).id for name in ("db", "api")}
    status, answer = await office.ask("GET", "/v1/incidents/0")
    assert (status, answer["error"]["reason"]) == (409, "ambiguous")
    assert set(answer["error"]["candidates"]) == ids
    assert await office.refused("GET", "/v1/incidents/ZZ") == (
        404,
        "unknown_incident",
        "no incident's id begins with 'ZZ'",
    )
    assert (await office.refused("GET", "/v1/incidents/%25"))[0] == 404


async def ask_to_heal(office: Office, resource: str, **more: str) -> tuple[int, Any]:
    return await office.ask(
        "POST", "/v1/heals", {"stack": "shop", "resource": resource, "why": "it is slow", **more}
    )


async def test_an_operator_asks_for_a_heal_and_is_named_by_the_kernel_of_this_machine(office: Office) -> None:
    status, answer = await ask_to_heal(office, "db", cloud="here")
    assert (status, answer["already"]) == (202, False)
    (incident,) = office.state.incidents.values()
    assert incident.request
    assert answer["incident"]["id"] == incident.id
    assert answer["incident"]["requested_by"]["why"] == "it is slow"
    assert incident.request.who == answer["incident"]["requested_by"]["who"]


async def test_what_is_being_healed_already_is_said_to_be(office: Office) -> None:
    await ask_to_heal(office, "db")
    await office.is_remediated()
    status, answer = await ask_to_heal(office, "db")
    assert (status, answer["already"], answer["incident"]["state"]) == (200, True, "remediating")


async def test_a_resource_that_is_not_there_is_answered_with_what_is(office: Office) -> None:
    assert await office.refused("POST", "/v1/heals", {"stack": "shop", "resource": "bd", "why": "x"}) == (
        404,
        "unknown_resource",
        "stack shop has no resource 'bd'; it has: api, db, web",
    )
    assert await office.refused("POST", "/v1/heals", {"stack": "shoe", "resource": "db", "why": "x"}) == (
        404,
        "unknown_resource",
        "there is no stack 'shoe'; there are: shop",
    )


async def test_a_name_that_means_two_resources_heals_neither(office: Office) -> None:
    both = {f"group/{n}/server": replace(tier("server", f"s-{n}"), path=f"group/{n}/server") for n in (0, 1)}
    await office.runner.decide(Snapped(shop(**both)))
    status, answer = await ask_to_heal(office, "server")
    assert (status, answer["error"]["reason"]) == (409, "ambiguous")
    assert answer["error"]["candidates"] == ["shop/group/0/server", "shop/group/1/server"]
    assert office.state.incidents == {}


async def test_a_pause_is_set_shown_and_lifted(office: Office) -> None:
    status, answer = await office.ask("POST", "/v1/pauses", {"scope": "stack:shop", "why": "a release"})
    assert (status, answer["covers"], answer["pause"]["until"]) == (201, 3, None)
    assert (await office.get("/v1/pauses"))["pauses"] == [answer["pause"]]
    (pause,) = office.state.pauses.values()
    assert (pause.why, pause.id) == ("a release", answer["pause"]["id"])
    assert await office.ask("DELETE", f"/v1/pauses/{pause.id}") == (200, {"resumed": [answer["pause"]]})
    assert office.state.pauses == {}


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        ("all", 3),
        ("cloud:here", 3),
        ("cloud:heer", 0),
        (f"stack:{SHOP.id}", 3),
        ("stack:shoe", 0),
        ("policy:tiers", 3),
        ("policy:teirs", 0),
    ],
)
async def test_a_pause_tells_how_much_it_covers_so_that_a_misspelt_one_is_noticed(
    office: Office, scope: str, covers: int
) -> None:
    _, answer = await office.ask("POST", "/v1/pauses", {"scope": scope, "why": "x"})
    assert answer["covers"] == covers


async def test_a_pause_that_is_over_is_not_shown(office: Office) -> None:
    await office.ask("POST", "/v1/pauses", {"scope": "all", "why": "x", "seconds": 60})
    (pause,) = office.state.pauses.values()
    assert pause.until == pause.at + timedelta(seconds=60)
    assert len((await office.get("/v1/pauses"))["pauses"]) == 1
    office.state.pauses[pause.id] = replace(pause, until=office.clock.now())
    assert (await office.get("/v1/pauses"))["pauses"] == []


async def test_pauses_are_lifted_by_their_scope_or_by_what_names_one_of_them_alone(office: Office) -> None:
    """Ids of one year begin alike: the beginning of one must not lift them all."""
    for scope in ("stack:shop", "stack:shop", "all"):
        await office.ask("POST", "/v1/pauses", {"scope": scope, "why": "x"})
    assert (await office.refused("DELETE", "/v1/pauses/01"))[:2] == (409, "ambiguous")
    assert len(office.state.pauses) == 3
    assert len((await office.ask("DELETE", "/v1/pauses/stack%3Ashop"))[1]["resumed"]) == 2
    assert len((await office.ask("DELETE", "/v1/pauses/01jq"))[1]["resumed"]) == 1
    assert (await office.refused("DELETE", "/v1/pauses/all"))[:2] == (404, "unknown_pause")


@pytest.mark.parametrize("scope", ["shop", "stack:", "stack", "host:x", ":", "all:x"])
async def test_a_scope_is_one_of_four_kinds(office: Office, scope: str) -> None:
    answer = await office.refused("POST", "/v1/pauses", {"scope": scope, "why": "x"})
    assert answer == (400, "bad_scope", "scope is all, cloud:NAME, stack:NAME or policy:NAME")


async def test_a_person_lets_go_of_what_waits_and_not_of_what_is_being_healed(office: Office) -> None:
    waiting = await office.fails("db")
    assert await office.ask("POST", f"/v1/incidents/{waiting.id}/release", {}) == (
        200,
        {"released": waiting.id},
    )
    assert (await office.refused("POST", f"/v1/incidents/{waiting.id}/release"))[:2] == (409, "closed")
    await ask_to_heal(office, "db")
    await office.is_remediated()
    (healing,) = office.state.incidents.values()
    assert (await office.refused("POST", f"/v1/incidents/{healing.id}/release"))[:2] == (409, "remediating")
    assert (await office.refused("POST", "/v1/incidents/ZZ/release"))[0] == 404


async def test_the_journal_is_read_from_where_one_was(office: Office) -> None:
    await office.fails("db")
    await office.fails("api")
    entries = (await office.get("/v1/journal"))["entries"]
    assert [entry["kind"] for entry in entries] == ["incident.opened"] * 2
    assert (await office.get(f"/v1/journal?after={entries[0]['seq']}"))["entries"] == entries[1:]
    assert (await office.get("/v1/journal?limit=1"))["entries"] == entries[:1]
    assert (await office.get(f"/v1/journal?after={entries[1]['seq']}"))["entries"] == []


async def test_who_waits_for_news_is_answered_when_there_are_some(office: Office) -> None:
    waiting = asyncio.gather(office.get("/v1/journal?wait=30"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    incident = await office.fails("db")
    async with asyncio.timeout(5):
        ((answer,),) = [await waiting]
    assert [entry["incident"] for entry in answer["entries"]] == [incident.id]


async def test_who_waits_in_vain_is_answered_with_nothing(office: Office) -> None:
    async with asyncio.timeout(5):
        assert await office.get("/v1/journal?wait=1") == {"entries": []}


async def test_news_that_come_while_the_journal_is_read_are_not_missed(path: Path) -> None:
    """Between reading and waiting there is a gap, and what falls into it would be seen a minute late."""
    offices: list[Office] = []

    async def read(query: Callable[[Store], Any]) -> Any:
        (office,) = offices
        found = await office.read(query)
        if not office.state.incidents:
            await office.fails("db")
        return found

    async with opened(path, read=read) as office, asyncio.timeout(5):
        offices.append(office)
        (entry,) = (await office.get("/v1/journal?wait=60"))["entries"]
        assert entry["kind"] == "incident.opened"


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "limit=10001", "after=1e3", "wait=61", "limit=", "after=٣", "wait=1.5"]
)
async def test_a_number_that_is_none_is_refused_and_not_guessed(office: Office, query: str) -> None:
    status, why, message = await office.refused("GET", f"/v1/journal?{query}")
    assert (status, why) == (400, "bad_query")
    assert message.startswith(f"{query.partition('=')[0]} is a whole number from 0 to ")


async def test_alarms_are_listed_as_far_as_they_are_asked_for(office: Office) -> None:
    assert await office.get("/v1/alarms") == {"alarms": []}
    now = office.clock.now()
    came = [
        Alarm(source, key, AlarmStatus.FIRING, now, now - timedelta(hours=ago), Selector(stack=stack))
        for source, key, stack, ago in (("a", "1", "bank", 5), ("b", "2", "bank", 3), ("c", "3", "", 1))
    ]
    for alarm in came:
        await office.runner.accept((alarm,))
    await office.runner.decide(Woken())

    async def keys(query: str) -> list[str]:
        return [one["key"] for one in (await office.get(f"/v1/alarms?{query}"))["alarms"]]

    assert await keys("") == ["3", "2", "1"]
    assert await keys("limit=2") == ["3", "2"]
    assert await keys("source=a&source=b") == ["2", "1"]
    assert await keys("source=d") == []
    assert await keys("outcome=unmatched&outcome=matched") == ["3", "2", "1"]
    assert await keys("outcome=pending") == []
    assert await keys(f"within={4 * 3600}") == ["3", "2"]
    assert await keys(f"within={4 * 3600}&source=b&outcome=unmatched") == ["2"]


async def test_an_outcome_that_there_is_not_is_answered_with_those_that_there_are(office: Office) -> None:
    said = "an outcome is one of: pending, matched, unmatched, ambiguous, stale, unowned, no_evidence"
    assert await office.refused("GET", "/v1/alarms?outcome=lost") == (400, "bad_query", said)


STRICT: Mapping[str, list[Any]] = {
    "/v1/heals": [
        {"stack": "shop", "resource": "db"},
        {"stack": "shop", "resource": "db", "why": ""},
        {"stack": "shop", "resource": "db", "why": 1},
        {"stack": "shop", "resource": "db", "why": "x", "force": True},
        {"stack": "shop", "resource": "db", "why": "x" * 1001},
        [],
        b"",
        b"{",
        b"\xff",
        b"[" * 9000,
        b'{"stack": "\\ud800", "resource": "db", "why": "x"}',
    ],
    "/v1/pauses": [
        {"scope": "all"},
        {"scope": "all", "why": "x", "seconds": 0},
        {"scope": "all", "why": "x", "seconds": -1},
        {"scope": "all", "why": "x", "seconds": 1e300},
        {"scope": "all", "why": "x", "until": "tomorrow"},
        b'{"scope": "all", "why": "x", "seconds": 1e999}',
        b'{"scope": "all", "why": "x", "seconds": NaN}',
    ],
    "/v1/incidents/0/release": [{"why": "x"}, b"x"],
}


@pytest.mark.parametrize(
    ("path_", "body"), [(path, body) for path, bodies in STRICT.items() for body in bodies]
)
async def test_a_body_that_says_more_less_or_something_else_is_refused(
    office: Office, path_: str, body: Any
) -> None:
    status, why, message = await office.refused("POST", path_, body)
    assert (status, why) == (400, "bad_body")
    assert message
    assert not office.state.incidents
    assert not office.state.pauses


async def test_bodies_have_bounds_and_come_unpacked(office: Office) -> None:
    assert (await office.refused("POST", "/v1/heals", b" " * (BODY_LIMIT + 1)))[:2] == (413, "too_large")
    status, answer = await office.ask("POST", "/v1/heals", b"{}", **{"Content-Encoding": "gzip"})
    assert (status, answer["error"]["reason"]) == (415, "packed")


async def test_what_the_api_does_not_have_is_refused_in_the_same_form(office: Office) -> None:
    assert await office.refused("GET", "/v2/status") == (404, "not_found", "Not Found")
    status, answer = await office.ask("DELETE", "/v1/heals")
    assert (status, answer["error"]["allowed"]) == (405, ["POST"])


CHANGES: list[tuple[str, str]] = [
    ("POST", "/v1/heals"),
    ("POST", "/v1/pauses"),
    ("DELETE", "/v1/pauses/all"),
    ("POST", "/v1/incidents/0/release"),
]
LOOKS = [
    "/v1/status",
    "/v1/stacks",
    "/v1/incidents",
    "/v1/repairs",
    "/v1/journal",
    "/v1/alarms",
    "/v1/pauses",
]


async def test_who_may_look_may_not_change_anything(path: Path) -> None:
    async with opened(path, READER) as office:
        for look in LOOKS:
            await office.get(look)
        async with office.session.head("http://healer/v1/status") as answer:
            assert answer.status == 200
        for method, change in CHANGES:
            status, why, message = await office.refused(method, change, {})
            assert (status, why) == (403, "forbidden")
            assert message.endswith(
                "may not change anything; api.operators in the configuration names who may"
            )


async def test_who_is_not_named_may_not_even_look(path: Path) -> None:
    async with opened(path, NOBODY) as office:
        for method, change in [*CHANGES, *(("GET", look) for look in LOOKS), ("GET", "/nowhere")]:
            status, why, message = await office.refused(method, change)
            assert (status, why) == (403, "forbidden")
            assert "api." in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_of_this_machine_can_connect_and_is_told_no(office: Office) -> None:
    """Who is at the other end is the kernel's word: nothing that is sent can change it."""
    asks = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); s.sendall(b'GET /v1/status HTTP/1.0\\r\\nX-User: root\\r\\n\\r\\n');"
        "print(s.makefile().read())"
    )
    for folder in [office.path, *office.path.parents][1:-2]:
        folder.chmod(0o755)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", asks, str(office.path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "403" in done.stdout
    assert "user nobody may not look" in done.stdout


async def test_while_the_store_refuses_one_may_look_and_change_nothing(office: Office) -> None:
    office.unwell.append("the disk is full")
    await office.get("/v1/status")
    for method, change in CHANGES:
        assert await office.refused(method, change, {}) == (503, "not_stored", "the disk is full")


async def test_what_takes_long_to_be_stored_is_said_to_be_under_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "STORED_WITHIN", 0.05)

    async def decide(event: Event) -> Decision:
        await asyncio.Event().wait()
        raise AssertionError(event)

    async with opened(path, decide=decide) as office:
        status, why, message = await office.refused("POST", "/v1/pauses", {"scope": "all", "why": "x"})
        assert (status, why) == (503, "not_stored")
        assert message.startswith("it is done as soon as it can be stored: ")


async def test_a_store_that_cannot_be_read_is_said_to_be(path: Path) -> None:
    async def read(query: Callable[[Store], Any]) -> Any:
        raise StoreError(f"the state file is damaged, {query.__name__}")

    async with opened(path, read=read) as office:
        status, why, message = await office.refused("GET", "/v1/journal")
        assert (status, why) == (503, "not_stored")
        assert message.startswith("the state file is damaged")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["stack", "resource", "why", "cloud", "scope", "seconds"])
TEXTS = st.sampled_from(["shop", "db", "all", "stack:shop", "here", "cloud:"])
BODIES = st.dictionaries(KEYS, TEXTS | JSON, max_size=4).map(json.dumps).map(str.encode) | st.binary(
    max_size=99
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(CHANGES), BODIES, st.text(max_size=9)), min_size=5, max_size=9))
def test_no_request_whatever_makes_a_mistake_of_ours(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[tuple[str, str], bytes, str]]
) -> None:
    async def scenario(path: Path) -> None:
        async with opened(path) as office:
            for (method, change), body, name in asked:
                status, answer = await office.ask(method, change, body)
                assert status in {200, 201, 202, 400, 404, 409}, answer
                for look in ("/v1/incidents/", "/v1/pauses/", "/v1/journal?after="):
                    status, answer = await office.ask("GET", look + name)
                    assert status in {200, 400, 404, 405, 409}, answer

    asyncio.run(scenario(tmp_path_factory.mktemp("api") / "api.sock"))
