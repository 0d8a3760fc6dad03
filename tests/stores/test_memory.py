from __future__ import annotations

from healer.ports import Write
from healer.stores.memory import Memory
from tests.stores.samples import alarm, incident, told


def test_a_daemon_that_crashed_leaves_all_that_was_committed_to_the_next_one() -> None:
    """The simulation drops the kernel and keeps this object: nobody closes it."""
    memory = Memory()
    assert memory.acquire() == 1
    memory.commit([Write((told(incident(1)),), (alarm(1),))])
    assert memory.acquire() == 2
    assert list(memory.load().incidents.values()) == [incident(1)]
    assert list(memory.load().alarms.values()) == [alarm(1)]


def test_it_keeps_the_very_values_that_it_was_given() -> None:
    """Thousands of incidents are simulated: nothing is written out and read again."""
    memory = Memory()
    memory.acquire()
    one = incident(1)
    memory.commit([Write((told(one),))])
    assert memory.load().incidents[one.id] is one
    assert memory.incidents()[0] is one


def test_two_memories_have_nothing_in_common() -> None:
    one, other = Memory(), Memory()
    one.acquire()
    other.acquire()
    one.commit([Write((told(incident(1)),))])
    assert not other.load().incidents
