from __future__ import annotations

from structlog.testing import capture_logs

from healer.notifiers.log import Log
from healer.ports import Message


async def test_one_warning_holds_the_whole_message() -> None:
    with capture_logs() as lines:
        await Log().notify(Message("01J", "api was healed", "It took 3s.", {"event": "x", "level": "y"}))
    assert lines == [
        {
            "event": "healer.notified",
            "log_level": "warning",
            "incident": "01J",
            "title": "api was healed",
            "text": "It took 3s.",
            "fields": {"event": "x", "level": "y"},
        }
    ]
