"""The kernel asks to be woken for what time alone moves on, and for nothing else."""

from __future__ import annotations

from healer.core.event import Woken
from healer.core.step import Step
from tests.core.driven import Driven


def test_while_a_stack_is_inspected_nobody_asks_to_be_woken_at_once_and_again() -> None:
    """The daemon would turn in circles for as long as the cloud takes to answer."""
    driven = Driven()
    driven.look(True, "db")
    driven.look(False, "db")
    driven.pass_time(1)
    assert [command.repair.step for command in driven.out] == [Step.INSPECT]
    assert driven.kernel.handle(Woken(), driven.now).wake_at is None


def test_what_waits_beside_it_is_still_looked_at_in_time() -> None:
    driven = Driven()
    driven.look(True, "db", "web")
    driven.look(False, "db")
    driven.pass_time(1)
    driven.look(False, "web")
    waiting = driven.incident("web")
    assert waiting is not None
    assert driven.kernel.handle(Woken(), driven.now).wake_at == waiting.wake_at
