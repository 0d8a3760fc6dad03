"""Who sends alarms: again and again while something fails, late, to a daemon that may be dead, and at times wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from healer.core.model import Alarm, AlarmStatus, Root, Selector
from healer.simulation.agenda import Agenda

REPEAT_S = 25.0
"""Seconds after which what still fires is sent again, and what was not taken is tried again."""


@dataclass(slots=True, eq=False)
class Sender:
    """One alarm over its life. It is cleared when what it is about is well, and then sent until that is taken too."""

    key: str
    root: Root
    path: str
    started_at: datetime
    wrong_until: datetime | None = None
    """Nothing is the matter: it fires all the same until then."""
    taken: set[str] = field(default_factory=set)
    """Identities that the daemon has accepted."""
    over: bool = False

    def alarm(self, status: AlarmStatus, now: datetime) -> Alarm:
        selector = Selector(stack=self.root.id, resource=self.path)
        return Alarm("monitor", self.key, status, self.started_at, now, selector)


class Monitor:
    """All senders. `accept` hands alarms in and says whether they were taken; `is_well` looks at the thing itself."""

    def __init__(
        self,
        agenda: Agenda,
        accept: Callable[[tuple[Alarm, ...]], bool],
        is_well: Callable[[Root, str], bool | None],
    ) -> None:
        """`is_well` is None where there is no such thing any more."""
        self.senders: list[Sender] = []
        self._agenda = agenda
        self._accept = accept
        self._is_well = is_well

    def fire(self, root: Root, path: str, after_s: float, wrong_until: datetime | None = None) -> None:
        """Begin to send, so many seconds from now."""
        now = self._agenda.clock.at
        sender = Sender(f"{path}-{len(self.senders)}", root, path, now, wrong_until)
        self.senders.append(sender)
        self._agenda.after(after_s, lambda: self._send(sender))

    def _send(self, sender: Sender) -> None:
        now, well = self._agenda.clock.at, self._is_well(sender.root, sender.path)
        if well is None:
            sender.over = True
            return
        wrong = sender.wrong_until is not None and now < sender.wrong_until
        status = AlarmStatus.CLEARED if well and not wrong else AlarmStatus.FIRING
        alarm = sender.alarm(status, now)
        if self._accept((alarm,)):
            sender.taken.add(alarm.identity)
            sender.over = status is AlarmStatus.CLEARED
        if not sender.over:
            self._agenda.after(REPEAT_S, lambda: self._send(sender))
