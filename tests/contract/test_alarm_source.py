"""What every alarm source keeps to: ports.AlarmSource, held against real bodies and against rubbish."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from healer.ports import AlarmError, AlarmSource, Batch, Delivery
from tests.plugged import build, every, fits

PAYLOADS = Path(__file__).parents[1] / "payloads"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
UNTIMED: dict[str, str] = {
    "aodh": "a change of state is as old as its telling; events and repeats are known again",
    "zaqar": "a message has no id and no time that a subscription would tell",
}
"""Sources whose bodies hold no time, so that a delivery that comes twice cannot be told from a second alarm."""


def bodies(name: str) -> dict[str, bytes]:
    """The captured bodies of a sender, by file."""
    return {path.name: path.read_bytes() for path in sorted(PAYLOADS.glob(f"{name}-*.json"))}


def delivery(name: str, body: bytes, file: str = "", at: datetime = NOW) -> Delivery:
    """With the headers and the query that came with it, where `tests/payloads/headers` has them."""
    beside = PAYLOADS / "headers" / file
    came = json.loads(beside.read_bytes()) if file and beside.exists() else {}
    return Delivery(name, body, at, CIMultiDict(came.get("headers", {})), URL(came.get("path", "")).query)


def parse(source: AlarmSource, came: Delivery) -> Batch | None:
    """None where the body is refused as a whole."""
    try:
        return source.parse(came)
    except AlarmError as error:
        said = str(error)
    assert said, "the sender is told nothing"
    return None


@every("alarms")
def test_it_fits_its_socket(name: str) -> None:
    source = build("alarms", name)
    fits(source, "parse")
    assert all(path.startswith("/") for path in source.paths)
    assert "auth" not in type(source).model_fields, "the receiver looks at it, for every sender alike"


@every("alarms")
def test_what_the_real_sender_sends_is_read(name: str) -> None:
    real = bodies(name)
    assert real, f"tests/payloads has no {name}-*.json"
    for file, body in real.items():
        batch = parse(build("alarms", name), delivery(name, body, file))
        assert batch, file
        assert batch.alarms or batch.confirmation, file
        for alarm in batch.alarms:
            assert alarm.source == name
            assert alarm.received_at == NOW
            assert alarm.key
            assert alarm.started_at.tzinfo is UTC


@every("alarms")
def test_the_same_body_is_the_same_alarms_whenever_it_comes(name: str) -> None:
    """By their identity a delivery that comes twice is known."""
    if name in UNTIMED:
        pytest.skip(UNTIMED[name])
    source = build("alarms", name)
    for file, body in bodies(name).items():
        first, second = (
            source.parse(delivery(name, body, file, NOW.replace(minute=minute))) for minute in (0, 30)
        )
        identities = [alarm.identity for alarm in first.alarms]
        assert identities == [alarm.identity for alarm in second.alarms]
        assert len(set(identities)) == len(identities)


@every("alarms")
@pytest.mark.parametrize("body", [b"", b"\x00", b"{", b"null", b"0", b'"x"', b"[[[[", b"\xff\xfe", b"a=b"])
def test_what_is_no_body_is_refused(name: str, body: bytes) -> None:
    assert parse(build("alarms", name), delivery(name, body)) is None


@every("alarms")
@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda it: repr(it).encode())
)
@settings(max_examples=100, deadline=None)
def test_rubbish_is_refused_or_rejected_and_never_anything_else(name: str, body: bytes) -> None:
    parse(build("alarms", name), delivery(name, body))


@every("alarms")
def test_no_cut_of_a_real_body_is_anything_else(name: str) -> None:
    source = build("alarms", name)
    for file, body in bodies(name).items():
        for end in range(0, len(body), 97):
            parse(source, delivery(name, body[:end], file))
