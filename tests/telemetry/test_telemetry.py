from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from healer.core.change import AlarmOutcome, AlarmsSettled, AttemptChanged, Change
from healer.core.detector import Track
from healer.core.event import Event, Listed, PoliciesLoaded, Woken
from healer.core.incident import Incident, IncidentState, Outcome, Refusal, Refused
from healer.core.kernel import Decision
from healer.core.model import AlarmStatus, Health, Observation, Root, Selector, Symptom, Target
from healer.core.policy import Contested, Mode, Owned
from healer.core.repair import Ending, Recipe
from healer.core.silence import Silence, Silences
from healer.core.state import State
from healer.core.step import Failure, Step
from healer.core.turn import Perform
from healer.ports import Batch, Rejected
from healer.receiver import views
from healer.telemetry import Telemetry
from tests.core.driven import NOTIFY, POLICY, PROBE, REPLACE, SHOP, START, Driven, shop
from tests.stores.samples import alarm, at, attempt, closed, incident, pause, repair, stepped, told, ulid

DB = Target(SHOP, "db")
HOUR = timedelta(hours=1)


class Stopped:
    """A clock that shows one moment."""

    def now(self) -> datetime:
        return START

    def elapsed(self) -> float:
        return 0.0


def telemetry() -> Telemetry:
    return Telemetry(Stopped(), ["here"], ["alertmanager"])


def tell(to: Telemetry, *changes: Change, event: Event = Woken()) -> None:  # noqa: B008 - a value
    to.decided(event, Decision(changes, (), None))


def value(of: Telemetry, name: str, **labels: str) -> float | None:
    return of.metrics.registry.get_sample_value(name, labels)


async def gauges(of: Telemetry, state: State, name: str, **options: Any) -> dict[tuple[str, ...], float]:
    text, _ = await of.render(state, **options)
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


async def busy() -> Telemetry:
    """Something of everything has happened."""
    to = telemetry()
    policies = PoliciesLoaded((POLICY,), {"replace": REPLACE, "notify": NOTIFY})
    tell(to, event=policies)
    tell(to, event=Listed("here", frozenset({SHOP})))
    done = replace(incident(1), state=IncidentState.CLOSED, outcome=Outcome.HEALED)
    tell(to, told(done, "closed", seconds=31), stepped(repair(1), "surprised", what=["a"]))
    to.request("alertmanager", 202)
    to.received("alertmanager", Batch((alarm(1),), truncated=11), (True,))
    to.watchdog("alertmanager", START)
    to.looked(Observation(DB, PROBE, Health.HEALTHY, Symptom.OK, START), 0.01)
    to.scheduled(0.01, 0, 0)
    silences = {"alertmanager": Silences()}
    state = State(policies=(POLICY,), snapshots={SHOP: shop()}, owners={DB: Owned(POLICY)}, silences=silences)
    await to.render(state)
    return to


def test_a_heal_is_counted_when_its_incident_is_closed_and_timed_from_the_first_sign() -> None:
    to = telemetry()
    tell(to, told(incident(1), "opened", 1), told(closed(incident(1), 31), "closed", 31))
    assert value(to, "healer_heals_total", cloud="here", policy="tiers", outcome="healed") == 1
    assert value(to, "healer_heal_duration_seconds_sum", policy="tiers", outcome="healed") == 30


def test_what_no_policy_owns_is_counted_as_nobodys() -> None:
    to = telemetry()
    tell(to, told(replace(closed(incident(1), 5), policy=""), "closed", 5))
    assert value(to, "healer_heals_total", cloud="here", policy="none", outcome="healed") == 1


def test_not_healed_is_as_visible_as_healed() -> None:
    to = telemetry()
    for state, kind in ((IncidentState.HELD, "held"), (IncidentState.WOULD_HEAL, "would_heal")):
        refused = Refused(Refusal.OBSERVE, "it only observes", START)
        tell(to, told(incident(1, state=state, refusal=refused), kind))
    assert value(to, "healer_heals_suppressed_total", policy="tiers", reason="observe") == 2


def ended(step: Step, failure: Failure | None, *, heals: bool = True) -> Change:
    recipe = Recipe("replace" if heals else "notify", (step,), heals=heals)
    over = repair(1, recipe=recipe, began=(step,), ending=Ending(failure), closed_at=START)
    return stepped(over, "ended")


def test_a_remediation_is_counted_by_how_it_ended_where_it_was_one() -> None:
    to = telemetry()
    tell(to, ended(Step.CONVERGE, None), ended(Step.CONVERGE, Failure.EXPIRED))
    tell(to, ended(Step.MARK, Failure.BUSY), stepped(repair(1, began=(Step.CONVERGE,)), "stepped"))
    tell(to, ended(Step.NOTIFY, Failure.REJECTED, heals=False))
    counted = {
        outcome: value(to, "healer_remediations_total", cloud="here", action=action, outcome=outcome)
        for action, outcome in (("replace", "succeeded"), ("replace", "expired"), ("notify", "rejected"))
    }
    assert counted == {"succeeded": 1, "expired": 1, "rejected": 1}
    assert value(to, "healer_remediations_total", cloud="here", action="replace", outcome="busy") is None


def test_what_a_heal_replaced_without_a_plan_is_counted() -> None:
    to = telemetry()
    assert value(to, "healer_unneeded_replacements_total", cloud="here") == 0
    tell(to, stepped(repair(1), "surprised", what=["api", "web"]))
    assert value(to, "healer_unneeded_replacements_total", cloud="here") == 2


def test_an_attempt_is_neither_counted_nor_told() -> None:
    to = telemetry()
    with capture_logs() as logs:
        tell(to, AttemptChanged(START, attempt(1)))
    assert logs == []


def test_an_alarm_is_counted_once_by_what_became_of_it() -> None:
    to = telemetry()
    first, second = alarm(1), alarm(2, status=AlarmStatus.CLEARED)
    to.received("alertmanager", Batch((first, second, first), (Rejected(3, "odd"),)), (True, True, False))
    tell(to, *(AlarmsSettled(START, (one.identity,), AlarmOutcome.MATCHED) for one in (first, second)))
    counted = {
        (status, outcome): found
        for status in ("firing", "cleared", "unknown")
        for outcome in ("matched", "duplicate", "rejected", "unmatched")
        if (
            found := value(
                to, "healer_alarms_received_total", source="alertmanager", status=status, outcome=outcome
            )
        )
    }
    assert counted == {
        ("firing", "matched"): 1,
        ("cleared", "matched"): 1,
        ("firing", "duplicate"): 1,
        ("unknown", "rejected"): 1,
    }


def test_an_alarm_whose_name_has_a_bar_in_it_is_counted_rightly() -> None:
    to = telemetry()
    tell(to, AlarmsSettled(START, (alarm(1, key="a|b").identity,), AlarmOutcome.STALE))
    labels = {"source": "alertmanager", "status": "firing", "outcome": "stale"}
    assert value(to, "healer_alarms_received_total", **labels) == 1


def test_how_long_an_alarm_took_is_measured_of_the_first_delivery_of_what_fires() -> None:
    to = telemetry()
    early = alarm(1, received_at=alarm(1).started_at - timedelta(seconds=5))
    cleared = alarm(3, status=AlarmStatus.CLEARED)
    to.received("alertmanager", Batch((alarm(2), alarm(2), cleared, early)), (True, False, True, True))
    assert value(to, "healer_alarm_delivery_lag_seconds_count", source="alertmanager") == 2
    assert value(to, "healer_alarm_delivery_lag_seconds_sum", source="alertmanager") == 30


def test_what_can_be_foreseen_is_there_with_zero_from_the_start() -> None:
    """Else the first heal, or the first refusal, is an increase that nobody sees."""
    to = telemetry()
    tell(to, event=PoliciesLoaded((POLICY,), {"replace": REPLACE}))
    for outcome in Outcome:
        assert value(to, "healer_heals_total", cloud="here", policy="tiers", outcome=outcome) == 0
    for reason in Refusal:
        assert value(to, "healer_heals_suppressed_total", policy="tiers", reason=reason) == 0
    for ending in ("succeeded", *Failure):
        assert value(to, "healer_remediations_total", cloud="here", action="replace", outcome=ending) == 0
    for became in (*AlarmOutcome, "duplicate", "passed_over"):
        labels = {"source": "alertmanager", "status": "firing", "outcome": became}
        assert value(to, "healer_alarms_received_total", **labels) == 0


def test_a_listing_is_when_the_cloud_was_last_read() -> None:
    to = telemetry()
    tell(to, event=Listed("here", frozenset()))
    assert value(to, "healer_discovery_last_success_timestamp_seconds", cloud="here") == START.timestamp()


def test_looks_are_counted_and_timed_by_the_kind_of_their_probe() -> None:
    to = telemetry()
    for source, health in ((PROBE, Health.HEALTHY), ("probe:http:2", Health.UNKNOWN)):
        to.looked(Observation(DB, source, health, Symptom.OK, START), 0.2)
    for result in ("healthy", "unknown"):
        assert value(to, "healer_probes_total", cloud="here", probe_type="http", result=result) == 1
    assert value(to, "healer_probe_duration_seconds_count", probe_type="http") == 2


def test_the_schedulers_count_since_the_start_is_a_counter() -> None:
    to = telemetry()
    for skipped in (3, 3, 5):
        to.scheduled(0.25, 2, skipped)
    assert value(to, "healer_probes_skipped_total") == 5
    assert value(to, "healer_probes_waiting") == 2
    assert value(to, "healer_event_loop_lag_seconds") == 0.25


async def test_resources_are_shown_by_what_is_known_of_them() -> None:
    state = State(
        policies=(POLICY,),
        snapshots={SHOP: shop()},
        owners={Target(SHOP, path): Owned(POLICY) for path in ("db", "api", "web")},
        tracks={DB: {PROBE: Track(good=2)}, Target(SHOP, "api"): {PROBE: Track(bad=1)}},
    )
    to = telemetry()
    assert await gauges(to, state, "healer_stack_resources") == {
        ("here", "shop", "healthy"): 1,
        ("here", "shop", "unhealthy"): 1,
        ("here", "shop", "unknown"): 1,
    }
    assert await gauges(to, state, "healer_targets") == {("here", "Local::Process"): 3}
    state.incidents = {ulid(1): replace(incident(1), target=DB, state=IncidentState.VERIFYING)}
    assert (await gauges(to, state, "healer_stack_resources"))["here", "shop", "healing"] == 1
    state.incidents = {ulid(1): replace(incident(1), target=DB, state=IncidentState.EXHAUSTED)}
    assert (await gauges(to, state, "healer_stack_resources"))["here", "shop", "unhealthy"] == 2
    state.owners[DB] = Contested(("a", "b"))
    assert await gauges(to, state, "healer_targets") == {("here", "Local::Process"): 2}


async def test_what_is_gone_is_not_shown_any_more() -> None:
    state = State(policies=(POLICY,), snapshots={SHOP: shop()}, owners={DB: Owned(POLICY)})
    to = telemetry()
    assert await gauges(to, state, "healer_stack_resources")
    state.snapshots.clear()
    state.owners.clear()
    assert await gauges(to, state, "healer_stack_resources") == {}


async def test_a_cloud_is_up_while_it_can_be_read() -> None:
    to = telemetry()
    there = Root("there", "p", "9", "bank")
    state = State(snapshots={SHOP: shop(), there: shop()}, unreachable={"there": "no answer"})
    assert await gauges(to, state, "healer_cloud_up") == {("here",): 1, ("there",): 0}
    state.unreachable["here"] = "it has not been read yet"
    assert await gauges(to, State(unreachable=state.unreachable), "healer_cloud_up") == {
        ("here",): 0,
        ("there",): 0,
    }


async def test_what_is_open_and_under_way_is_shown_and_so_is_that_nothing_is() -> None:
    to, state = telemetry(), State()
    open_states = set(IncidentState) - {IncidentState.CLOSED}
    assert await gauges(to, state, "healer_incidents_open") == {("here", one): 0 for one in open_states}
    assert await gauges(to, state, "healer_heals_in_progress") == {("here",): 0}
    state.incidents = {ulid(1): incident(1), ulid(2): incident(2, state=IncidentState.HELD)}
    state.repairs = {ulid(3): repair(3)}
    shown = await gauges(to, state, "healer_incidents_open")
    assert {labels: count for labels, count in shown.items() if count} == {
        ("here", "open"): 1,
        ("here", "held"): 1,
    }
    assert await gauges(to, state, "healer_heals_in_progress") == {("here",): 1}


async def test_policies_pauses_and_a_refusing_store_are_shown() -> None:
    over, standing = pause(1, until=START), pause(2, until=START + timedelta(seconds=1))
    state = State(
        policies=(POLICY, replace(POLICY, name="b", mode=Mode.OBSERVE)),
        pauses={"a": over, "b": standing, "c": pause(3)},
    )
    to = telemetry()
    assert await gauges(to, state, "healer_policies") == {("auto",): 1, ("observe",): 1}
    assert await gauges(to, state, "healer_pauses") == {(): 2}
    assert await gauges(to, state, "healer_store_refusing") == {(): 0}
    assert await gauges(to, state, "healer_store_refusing", refusing=True) == {(): 1}


async def test_what_is_held_is_shown_by_what_refuses_now_and_so_is_that_nothing_is() -> None:
    to, state = telemetry(), State()
    name = "healer_incidents_held"
    assert await gauges(to, state, name) == {("here", reason): 0 for reason in Refusal}

    def refused(number: int, reason: Refusal, of: IncidentState = IncidentState.HELD) -> Incident:
        return incident(number, state=of, refusal=Refused(reason, "why", START))

    held = (Refusal.PAUSED, Refusal.PAUSED, Refusal.COOLDOWN)
    state.incidents = {ulid(n): refused(n, reason) for n, reason in enumerate(held, 1)}
    state.incidents[ulid(8)] = refused(8, Refusal.OBSERVE, IncidentState.WOULD_HEAL)
    state.incidents[ulid(9)] = refused(9, Refusal.ATTEMPTS, IncidentState.EXHAUSTED)
    shown = await gauges(to, state, name)
    assert {labels: count for labels, count in shown.items() if count} == {
        ("here", "paused"): 2,
        ("here", "cooldown"): 1,
    }
    state.incidents = {ulid(1): refused(1, Refusal.STACK_BUSY)}
    shown = await gauges(to, state, name)
    assert {labels: count for labels, count in shown.items() if count} == {("here", "stack_busy"): 1}


async def test_what_is_silenced_at_each_sender_now_is_shown_each_once_as_by_the_word_status() -> None:
    def silence(name: str, hours: int, resource: str = "db") -> Silence:
        return Silence(name, Selector(resource=resource), START + hours * HOUR, "anna", "at work on it")

    later = replace(silence("later", 2), since=START + HOUR)
    lasting = (silence("a", 1), silence("a", 1, "web"), silence("b", 1), silence("over", 0), later)
    state = State(silences={"alertmanager": Silences(lasting), "other": Silences()})
    to = telemetry()
    assert await gauges(to, state, "healer_silences") == {("alertmanager",): 2, ("other",): 0}
    assert len(views.silences(state, START)) == 2


async def test_two_who_scrape_at_once_both_see_everything() -> None:
    state = State(snapshots={SHOP: shop()}, owners={DB: Owned(POLICY)})
    to = telemetry()
    texts = await asyncio.gather(*(to.render(state) for _ in range(20)))
    assert len({text for text, _ in texts}) == 1
    assert b'healer_targets{cloud="here",resource_type="Local::Process"} 1.0' in texts[0][0]


def test_a_whole_heal_is_one_line_for_each_change() -> None:
    driven = Driven()
    driven.look(True, "db", "api", "web")
    driven.heal("db")
    to = telemetry()
    with capture_logs() as logs:
        tell(to, *driven.changes)
    told_by = [change for change in driven.changes if not isinstance(change, AttemptChanged)]
    assert len(logs) == len(told_by)
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == [
        "incident.opened",
        "incident.admitted",
        "repair.admitted",
        *["repair.stepped"] * 5,
        "repair.ended",
        "incident.remediated",
        "incident.closed",
    ]


def test_what_is_carried_out_is_told_to_who_looks_closely() -> None:
    to = telemetry()
    command = Perform(repair(1, step=Step.CONVERGE), (), resumed=True)
    with capture_logs() as logs:
        to.decided(Woken(), Decision((), (command,), None))
    assert logs == [
        {
            "event": "step.begun",
            "step": "converge",
            "repair": ulid(1),
            "resumed": True,
            "log_level": "debug",
        }
    ]


def test_each_phase_is_counted_for_its_policy_and_shown_before_the_first() -> None:
    to = telemetry()
    tell(to, event=PoliciesLoaded((POLICY,), {"replace": REPLACE}))
    assert value(to, "healer_phase_duration_seconds_count", policy=POLICY.name, phase="acting") == 0
    to.looked(Observation(incident(1).target, PROBE, Health.UNHEALTHY, Symptom.REFUSED, at(0)), 0.01)
    tell(to, told(incident(1), "opened", 4))
    tell(to, told(incident(1, state=IncidentState.REMEDIATING), "admitted", 6))
    for phase, seconds in (("noticing", 4), ("deciding", 2)):
        assert value(to, "healer_phase_duration_seconds_sum", policy="tiers", phase=phase) == seconds
