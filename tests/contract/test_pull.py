"""What every way to read alarms at their sender keeps to: ports.Pull, where nobody listens and nothing was read yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healer import plugins
from healer.core.step import Failure
from healer.ports import EngineError
from healer.pulling import BETWEEN_S
from tests.plugged import build, every, example, fits

NOW = datetime(2026, 11, 24, 15, 52, tzinfo=UTC)


def nowhere(name: str, port: int) -> Any:
    """One whose sender is at a port of this machine where nobody listens."""
    kind = plugins.find("pulls", name)
    options = {option: said for option, said in example("pulls", name).items() if option != "cloud"}
    options["url"] = f"http://127.0.0.1:{port}"
    if "project" in kind.model_fields:
        options["project"] = "8f23b7e6962941178a81f106a3e2fe86"
    return kind.model_validate(options)


@every("pulls")
def test_it_fits_its_socket(name: str) -> None:
    fits(build("pulls", name), "pull")


@every("pulls")
def test_it_is_read_often_and_not_all_the_time(name: str) -> None:
    assert timedelta(seconds=BETWEEN_S) <= build("pulls", name).every <= timedelta(minutes=5)


@every("pulls")
async def test_a_sender_that_is_down_is_unreachable_each_time(name: str, unused_tcp_port: int) -> None:
    pull = nowhere(name, unused_tcp_port)
    for _ in range(2):
        with pytest.raises(EngineError) as raised:
            await pull.pull("ours", NOW)
        assert raised.value.failure is Failure.UNREACHABLE
        assert f"127.0.0.1:{unused_tcp_port}" in raised.value.detail
    await pull.close()


@every("pulls")
async def test_where_nothing_was_read_there_is_nothing_to_forget_nor_to_close(
    name: str, unused_tcp_port: int
) -> None:
    pull = nowhere(name, unused_tcp_port)
    await pull.stored()
    await pull.close()
