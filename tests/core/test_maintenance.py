"""On what is silenced nothing is begun, and it goes on when the silence ends; looking goes on all the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from healer.core.event import Awaited, Requested, Silenced, Stopped, Unreachable
from healer.core.model import Selector, Target
from healer.core.silence import Facet, Matcher, Silence
from healer.core.step import Failed, Failure, Step
from tests.core.driven import SHOP, START, Driven, shop, tier
from tests.core.test_guardrails import failing, refusal
from tests.core.test_pauses import MUTATING, objected
from tests.core.test_progress import at, incident, repair

SENTENCE = "silence s of am, by anna until 06 May 08:08:09 UTC: at work on it"


@dataclass(frozen=True)
class Is:
    value: str

    def __call__(self, value: str) -> bool:
        return value == self.value


def named(resource: str, minutes: float = 60) -> Silence:
    means = (Matcher(Facet.STACK, Is("shop")), Matcher(Facet.RESOURCE, Is(resource)))
    return Silence("s", means, START + timedelta(minutes=minutes), "anna", "at work on it")


WITHHELD = replace(
    named("db"),
    means=Selector(stack="shop", resource="db"),
    who=None,
    why="alarm Down: inhibited by NodeDown",
)


def silenced(driven: Driven, *silences: Silence, source: str = "am") -> Driven:
    driven.happen(Silenced(source, silences))
    return driven


def test_nothing_is_begun_on_what_is_silenced_and_the_sentence_says_why() -> None:
    driven = failing(silenced(Driven(), named("db")))
    assert refusal(driven) == ("silenced", SENTENCE)
    held = incident(driven)
    assert held.refusal is not None
    assert held.refusal.look_again == START + timedelta(hours=1)
    assert not driven.out


def test_nor_on_what_an_alarm_that_is_withheld_names() -> None:
    driven = failing(silenced(Driven(), WITHHELD))
    assert refusal(driven) == ("silenced", "am withholds alarm Down: inhibited by NodeDown")


def test_what_is_not_silenced_is_healed() -> None:
    driven = failing(silenced(Driven(), named("web")))
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_it_is_healed_with_the_end_of_the_silence() -> None:
    driven = failing(silenced(Driven(), named("db", 1)))
    assert driven.kernel.handle(Stopped(None), driven.now).wake_at == START + timedelta(minutes=1)
    driven.now = START + timedelta(minutes=1)
    driven.pass_time(0)
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_it_is_healed_as_soon_as_the_sender_does_not_say_it_any_more() -> None:
    driven = failing(silenced(Driven(), named("db")))
    silenced(driven, named("web"))
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_a_silence_that_is_prolonged_says_its_new_end() -> None:
    driven = failing(silenced(Driven(), named("db")))
    silenced(driven, named("db", 120))
    assert refusal(driven)[1].startswith("silence s of am, by anna until 06 May 09:08:09 UTC")
    driven.now = START + timedelta(hours=1)
    driven.pass_time(1)
    assert driven.held("db") == "silenced"


def test_what_an_alarm_s_end_moves_is_no_news() -> None:
    driven = failing(silenced(Driven(), WITHHELD))
    known = len(driven.changes)
    silenced(driven, replace(WITHHELD, until=WITHHELD.until + timedelta(minutes=1)))
    assert len(driven.changes) == known
    held = incident(driven)
    assert held.wake_at == WITHHELD.until + timedelta(minutes=1)


def test_each_sender_speaks_for_itself() -> None:
    driven = failing(silenced(Driven(), named("db")))
    silenced(driven, source="other")
    assert driven.held("db") == "silenced"
    assert not driven.out
    silenced(driven, source="am")
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_what_comes_back_by_itself_is_over_all_the_same() -> None:
    driven = failing(silenced(Driven(), named("db")))
    driven.look(True, "db", times=4)
    driven.pass_time(1)
    assert driven.incident("db") is None


def test_a_person_who_asks_for_a_heal_ends_the_silence_first() -> None:
    driven = silenced(Driven(), named("db"))
    driven.happen(Requested(Target(SHOP, "db"), "alice", "now"))
    driven.pass_time(1)
    assert refusal(driven) == ("silenced", SENTENCE)
    silenced(driven)
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


@pytest.mark.parametrize("step", MUTATING)
def test_before_each_call_that_changes_anything_it_is_looked_for_again(step: Step) -> None:
    driven = at(step)
    driven.report(Failed(Failure.UNREACHABLE, "500"))
    silenced(driven, named("db"))
    driven.pass_time(1)
    assert objected(driven) == (step, SENTENCE)


def test_what_was_stopped_by_it_goes_on_when_it_is_over() -> None:
    driven = at(Step.PREVIEW)
    silenced(driven, named("db"))
    driven.carry_out()
    assert refusal(driven) == ("stopped", SENTENCE)
    silenced(driven)
    driven.carry_out(Step.MARK)
    assert repair(driven).members == (incident(driven).id,)


def test_what_is_gone_is_still_known_by_its_place() -> None:
    driven = failing(silenced(Driven(), named("db")))
    without = {path: one for path, one in driven.there.resources.items() if path != "db"}
    driven.there = replace(driven.there, resources=without)
    driven.state.snapshots[SHOP] = driven.there
    silenced(driven, named("db", 120))
    assert driven.held("db") == "silenced"
    del driven.state.snapshots[SHOP]
    silenced(driven, named("db"))
    assert driven.held("db") == "silenced"


def test_a_new_reading_of_the_stack_says_anew_what_is_meant() -> None:
    at_address = Silence(
        "s", Selector(address="10.0.0.5"), START + timedelta(hours=1), "anna", "at work on it"
    )
    driven = silenced(Driven(), at_address)
    driven.read(shop(db=replace(tier("db", "db-1"), attributes={"address": "10.0.0.5"})))
    assert refusal(failing(driven)) == ("silenced", SENTENCE)


# After a start.


def test_until_it_is_known_what_is_silenced_nothing_is_begun() -> None:
    driven = Driven()
    driven.happen(Awaited("am", driven.now + timedelta(minutes=1)))
    failing(driven)
    assert refusal(driven) == ("silenced", "what is silenced at am has not been read yet")
    assert refusal(failing(silenced(driven, named("db")))) == ("silenced", SENTENCE)


def test_where_nothing_is_it_begins_at_once() -> None:
    driven = Driven()
    driven.happen(Awaited("am", driven.now + timedelta(minutes=1)))
    silenced(failing(driven))
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_it_is_not_waited_for_for_ever() -> None:
    driven = Driven()
    driven.happen(Awaited("am", START + timedelta(minutes=1)))
    failing(driven)
    driven.now = START + timedelta(minutes=1)
    driven.pass_time(0)
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]


def test_what_is_under_way_is_not_held_up_by_a_first_reading() -> None:
    driven = at(Step.CONVERGE)
    driven.happen(Awaited("am", driven.now + timedelta(minutes=1)))
    driven.report(Failed(Failure.UNREACHABLE, "500"))
    driven.pass_time(1)
    assert objected(driven) == (Step.CONVERGE, "")


def test_one_that_cannot_be_read_leaves_standing_what_it_has_said() -> None:
    driven = failing(silenced(Driven(), named("db")))
    driven.happen(Unreachable("elsewhere", "no route"))
    driven.pass_time(30 * 60)
    assert driven.held("db") == "silenced"
