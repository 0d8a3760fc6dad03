"""While nobody could look, nothing was seen to fail: what is being verified is looked at before it is judged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from healer.core.event import Resumed, Woken
from healer.core.incident import IncidentState, Outcome
from tests.core.driven import Driven
from tests.core.test_causes_and_symptoms import outcomes
from tests.core.test_guardrails import failing
from tests.core.test_progress import incident, repair


def resume(driven: Driven) -> None:
    driven.happen(Resumed(3600))


@pytest.mark.parametrize("back", [Driven.begin, resume], ids=["restarted", "resumed"])
class TestAfterAnHour:
    @pytest.fixture
    def driven(self, back: object) -> Driven:
        driven = failing(Driven())
        driven.carry_out()
        driven.look(True, "db", times=1)
        driven.now += timedelta(hours=1)
        back(driven)  # type: ignore[operator]
        driven.happen(Woken())
        return driven

    def test_nobody_is_told_that_it_still_fails(self, driven: Driven) -> None:
        assert incident(driven).state is IncidentState.VERIFYING
        assert not driven.out

    def test_it_is_healed_once_it_is_seen_healthy(self, driven: Driven) -> None:
        driven.look(True, "db", times=2)
        assert incident(driven).state is IncidentState.VERIFYING
        driven.pass_time(1)
        assert outcomes(driven, "db") == [Outcome.HEALED]

    def test_it_has_all_of_its_time_again_and_not_more(self, driven: Driven) -> None:
        driven.look(False, "db")
        driven.pass_time(57)
        assert incident(driven).state is IncidentState.VERIFYING
        driven.pass_time(1)
        assert repair(driven).recipe.action == "notify"
