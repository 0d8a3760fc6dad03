from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from healer.core.change import AlarmOutcome, Pause
from healer.core.detector import Track
from healer.core.incident import Incident, IncidentState, Outcome, Refusal, Refused, Request
from healer.core.model import Incarnation, Selector, StackState, Target
from healer.core.policy import Contested, Owned
from healer.core.repair import Repair
from healer.core.silence import Silence, Silences
from healer.core.state import State
from healer.core.step import Step
from healer.ports import Entry, FiledAlarm
from healer.receiver import views
from tests.core.driven import POLICY, SHOP, shop, tier
from tests.stores.samples import DB, PLAN, START, alarm, at, closed, incident, pause, repair, ulid

DB_TARGET = Target(SHOP, "db")


def as_told(view: Mapping[str, Any]) -> Any:
    """What comes out at the other end: every view is JSON."""
    return msgspec.json.decode(msgspec.json.encode(view))


def test_a_moment_is_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 3, 1, 14, 0, 0, 123_999, tzinfo=UTC)
    assert views.moment(moment) == "2026-03-01T14:00:00.123Z"
    assert views.moment(None) is None


def test_an_open_incident_is_told_as_it_is() -> None:
    assert as_told(views.incident(incident(1))) == {
        "id": ulid(1),
        "state": "open",
        "outcome": None,
        "cloud": "here",
        "stack": "shop",
        "stack_id": "0f5a",
        "resource": "db",
        "type": "Local::Process",
        "physical_id": "boot:41:900",
        "successor": None,
        "policy": "tiers",
        "source": "probe:http",
        "symptom": "refused",
        "detail": "connection refused",
        "opened_at": "2026-03-01T12:00:01.000Z",
        "closed_at": None,
        "rung": 0,
        "repair": None,
        "refusal": None,
        "requested_by": None,
        "plan": None,
    }


def held(state: IncidentState) -> Incident:
    refused = Refused(Refusal.STACK_BUSY, "shop is being updated", at(60))
    return incident(1, state=state, refusal=refused)


def test_a_refusal_is_told_while_it_holds_and_no_longer() -> None:
    """What was refused an hour ago, and is being healed now, would read as if it were stuck."""
    told = as_told(views.incident(held(IncidentState.HELD)))["refusal"]
    assert told == {
        "reason": "stack_busy",
        "sentence": "shop is being updated",
        "look_again": "2026-03-01T12:01:00.000Z",
    }
    assert as_told(views.incident(held(IncidentState.WOULD_HEAL)))["refusal"] == told
    for state in set(IncidentState) - {IncidentState.HELD, IncidentState.WOULD_HEAL}:
        assert views.incident(held(state))["refusal"] is None


def test_a_demand_a_plan_and_an_end_are_told() -> None:
    request = Request("anna", "it is slow", START, (Refusal.COOLDOWN, Refusal.ATTEMPTS))
    successor = Incarnation(SHOP.id, "db", "boot:99:901")
    whole = closed(
        incident(1, request=request, plan=PLAN, successor=successor, policy="", repair=ulid(2)), 90
    )
    told = as_told(views.incident(whole))
    assert told["requested_by"] == {
        "who": "anna",
        "why": "it is slow",
        "overrides": ["cooldown", "attempts"],
    }
    assert told["plan"] == {
        "replaces": [{"resource": "db", "type": "Local::Process", "physical_id": DB.physical_id}],
        "touches": [
            {"resource": "api", "type": "Local::Process", "effect": "updated", "why": "wires refers to db"}
        ],
    }
    assert (told["state"], told["outcome"], told["closed_at"]) == (
        "closed",
        Outcome.HEALED,
        "2026-03-01T12:01:30.000Z",
    )
    assert (told["successor"], told["policy"], told["repair"]) == ("boot:99:901", None, ulid(2))


def test_a_stack_without_a_name_is_called_by_its_id() -> None:
    nameless = replace(incident(1), target=Target(replace(SHOP, name=""), "db"))
    assert views.incident(nameless)["stack"] == SHOP.id


def test_a_repair_tells_where_it_is() -> None:
    one: Repair = repair(2, step=Step.FOLLOW, progress="api is being updated (1 of 2)")
    assert as_told(views.repair(one)) == {
        "id": ulid(2),
        "cloud": "here",
        "stack": "shop",
        "action": "replace",
        "step": "follow",
        "progress": "api is being updated (1 of 2)",
        "incidents": [ulid(1)],
        "opened_at": "2026-03-01T12:00:02.000Z",
        "deadline": "2026-03-01T12:30:02.000Z",
    }
    assert views.repair(repair(2))["progress"] is None


def stack(state: State) -> dict[str, Any]:
    snapshot = shop(
        db=replace(tier("db", "db-1"), attributes={"port": "5432"}, state=StackState.FAILED),
        api=tier("api", "api-1", "db"),
    )
    found: dict[str, Any] = as_told(views.stack(state, replace(snapshot, busy=("shop",))))
    return found


def test_a_stack_is_told_with_its_resources_in_order() -> None:
    told = stack(State())
    resources = told.pop("resources")
    assert told == {
        "cloud": "here",
        "project": "local",
        "id": "shop-id",
        "name": "shop",
        "status": "CREATE_COMPLETE",
        "busy": ["shop"],
        "read_at": views.moment(shop().taken_at),
    }
    assert [one["path"] for one in resources] == ["api", "db", "web"]
    assert resources[1] == {
        "path": "db",
        "type": "Local::Process",
        "physical_id": "db-1",
        "status": "CREATE_FAILED",
        "health": "unknown",
        "is_stack": False,
        "requires": [],
        "attributes": {"port": "5432"},
        "policy": None,
        "contested_by": [],
        "incident": None,
    }


def test_whose_a_resource_is_and_what_fails_is_told_with_it() -> None:
    state = State(incidents={ulid(1): replace(incident(1), target=DB_TARGET)})
    state.owners = {DB_TARGET: Owned(POLICY), Target(SHOP, "api"): Contested(("a", "b"))}
    api, db, _ = stack(state)["resources"]
    assert (db["policy"], db["contested_by"], db["incident"]) == ("tiers", [], ulid(1))
    assert (api["policy"], api["contested_by"], api["incident"]) == (None, ["a", "b"], None)


def health(**tracks: Track) -> str:
    state = State(tracks={DB_TARGET: tracks})
    found: str = stack(state)["resources"][1]["health"]
    return found


def test_unknown_is_neither_healthy_nor_unhealthy() -> None:
    assert health() == "unknown"
    assert health(probe=Track()) == "unknown"
    assert health(probe=Track(good=2)) == "healthy"
    assert health(probe=Track(bad=1)) == "unhealthy"
    assert health(probe=Track(good=2), alarm=Track(failing=True, bad=1)) == "unhealthy"


def test_an_entry_a_pause_and_an_alarm_are_told_as_they_were_kept() -> None:
    entry = Entry(7, START, "incident.opened", ulid(1), None, {"note": {"source": "probe:http"}})
    assert as_told(views.entry(entry)) == {
        "seq": 7,
        "at": "2026-03-01T12:00:00.000Z",
        "kind": "incident.opened",
        "incident": ulid(1),
        "repair": None,
        "body": {"note": {"source": "probe:http"}},
    }
    asked: Pause = pause(3, until=START + timedelta(hours=1))
    assert as_told(views.pause(asked)) == {
        "id": ulid(3),
        "scope": "stack:shop",
        "who": "anna",
        "why": "a release",
        "at": "2026-03-01T12:00:03.000Z",
        "until": "2026-03-01T13:00:00.000Z",
    }
    filed = FiledAlarm(alarm(4), AlarmOutcome.MATCHED, "shop/db", ulid(1))
    assert as_told(views.alarm(filed)) == {
        "source": "alertmanager",
        "key": f"{4:016x}",
        "status": "firing",
        "started_at": "2026-03-01T12:00:04.000Z",
        "received_at": "2026-03-01T12:00:34.000Z",
        "labels": {"alertname": "DbDown", "stack": "shop"},
        "outcome": "matched",
        "detail": "shop/db",
        "incident": ulid(1),
    }
    assert views.alarm(FiledAlarm(alarm(4), None))["detail"] is None


def test_a_moment_in_another_zone_is_told_in_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert views.moment(datetime(2026, 3, 1, 17, 30, tzinfo=india)) == "2026-03-01T12:00:00.000Z"


def test_what_is_silenced_is_told_once_and_while_it_lasts() -> None:
    by_hand = Silence("s", Selector(resource="db"), START + timedelta(hours=1), "anna", "a new disk")
    withheld = Silence("k", Selector(resource="web"), START + timedelta(hours=1), None, "alarm Down")
    every = (
        by_hand,
        replace(by_hand, means=Selector(resource="api")),
        replace(withheld, until=START),
        withheld,
    )
    state = State(silences={"b": Silences((replace(by_hand, until=START),)), "a": Silences(every)})
    first, second = as_told(views.overview(state, [], START))["silences"]
    assert first == {
        "source": "a",
        "id": "s",
        "who": "anna",
        "why": "a new disk",
        "until": views.moment(by_hand.until),
        "sentence": by_hand.sentence("a"),
    }
    assert (second["who"], second["sentence"]) == (None, "a withholds alarm Down")
