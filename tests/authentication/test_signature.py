from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from healer.authentication.signature import Signature
from tests.authentication.senders import BODY, NOW, OTHER, SECRET, admitted, delivery

PAYLOADS = Path(__file__).parents[1] / "payloads"
BY_GRAFANA = (PAYLOADS / "grafana-webhook-hmac.raw.json").read_bytes()
CAME = json.loads((PAYLOADS / "headers" / "grafana-webhook-hmac.raw.json").read_bytes())
TIMED, UNTIMED = dict(CAME["headers"]), dict(CAME["headers_without_timestamp"])
SENT_AT = datetime.fromtimestamp(int(TIMED["X-Grafana-Alerting-Timestamp"]), UTC)
SIGNATURE = "X-Grafana-Alerting-Signature"
TIMESTAMP = {"timestamp_header": "X-Grafana-Alerting-Timestamp"}


class Signer:
    """Makes plug-ins with files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        for index, key in enumerate((SECRET, OTHER, CAME["secret_used"])):
            self._files[key] = folder / str(index)
            self._files[key].write_text(f"{key}\n")

    def __call__(self, *keys: str, **options: Any) -> Signature:
        files = [self._files[key] for key in keys or (SECRET,)]
        return Signature.model_validate({"key_files": files, **options})

    def for_grafana(self, **options: Any) -> Signature:
        return self(CAME["secret_used"], **options)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture
def plain(signer: Signer) -> Signature:
    return signer.for_grafana()


@pytest.fixture
def timed(signer: Signer) -> Signature:
    return signer.for_grafana(**TIMESTAMP)


@pytest.fixture
def patient(signer: Signer) -> Signature:
    return signer.for_grafana(**TIMESTAMP, window="1d")


@pytest.fixture
def two(signer: Signer) -> Signature:
    return signer(SECRET, OTHER)


@pytest.fixture
def github(signer: Signer) -> Signature:
    return signer(header="X-Hub-Signature-256", prefix="sha256=")


@pytest.fixture
def pagerduty(signer: Signer) -> Signature:
    return signer(header="X-PagerDuty-Signature", prefix="v1=")


def signed(text: bytes = BODY, key: str = SECRET) -> str:
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


async def test_what_grafana_signs_without_a_time_is_admitted(plain: Signature) -> None:
    assert await admitted(plain, delivery(UNTIMED, body=BY_GRAFANA))
    assert not await admitted(plain, delivery(UNTIMED, body=BY_GRAFANA + b"\n"))
    assert not await admitted(plain, delivery(UNTIMED, body=b""))


async def test_what_grafana_signs_with_a_time_is_admitted(timed: Signature) -> None:
    assert await admitted(timed, delivery(TIMED, body=BY_GRAFANA, at=SENT_AT))
    assert not await admitted(
        timed, delivery(TIMED, body=BY_GRAFANA.replace(b"firing", b"Firing"), at=SENT_AT)
    )


async def test_the_two_are_not_taken_for_each_other(plain: Signature, timed: Signature) -> None:
    """Else whoever has overheard a request with a time could send it for ever."""
    assert not await admitted(plain, delivery(TIMED, body=BY_GRAFANA, at=SENT_AT))
    assert not await admitted(timed, delivery(UNTIMED, body=BY_GRAFANA, at=SENT_AT))
    both = UNTIMED | {"X-Grafana-Alerting-Timestamp": TIMED["X-Grafana-Alerting-Timestamp"]}
    assert not await admitted(timed, delivery(both, body=BY_GRAFANA, at=SENT_AT))


@pytest.mark.parametrize(
    ("off_s", "admits"), [(0, True), (299, True), (300, True), (301, False), (-300, True), (-301, False)]
)
async def test_what_was_overheard_is_refused_after_five_minutes(
    timed: Signature, off_s: int, admits: bool
) -> None:
    at = SENT_AT + timedelta(seconds=off_s)
    assert await admitted(timed, delivery(TIMED, body=BY_GRAFANA, at=at)) is admits


@pytest.mark.parametrize(
    "shown",
    ["", "now", "-1795334470", "+1795334470", "1795334470.0", "٣", " 1795334470", "9" * 11, "9" * 400],
)
async def test_what_is_no_time_is_refused_though_it_is_signed(timed: Signature, shown: str) -> None:
    text = shown.encode() + b":" + BODY
    came = {SIGNATURE: signed(text, CAME["secret_used"]), "X-Grafana-Alerting-Timestamp": shown}
    assert not await admitted(timed, delivery(came, at=SENT_AT))


async def test_a_window_may_be_wider(patient: Signature) -> None:
    for off, admits in ((timedelta(hours=23), True), (timedelta(hours=25), False)):
        assert await admitted(patient, delivery(TIMED, body=BY_GRAFANA, at=SENT_AT + off)) is admits


async def test_while_a_key_is_changed_both_are_taken(two: Signature) -> None:
    assert await admitted(two, delivery({SIGNATURE: signed(key=SECRET)}))
    assert await admitted(two, delivery({SIGNATURE: signed(key=OTHER)}))
    assert not await admitted(two, delivery({SIGNATURE: signed(key="third")}))


async def test_capital_digits_are_the_same_digits(two: Signature) -> None:
    assert await admitted(two, delivery({SIGNATURE: signed().upper()}))


async def test_a_word_may_stand_before_the_digits(github: Signature) -> None:
    assert await admitted(github, delivery({"X-Hub-Signature-256": f"sha256={signed()}"}))
    for shown in (signed(), f"sha1={signed()}", f"sha256={signed()[:-1]}", f"sha256=sha256={signed()}"):
        assert not await admitted(github, delivery({"X-Hub-Signature-256": shown}))


async def test_one_of_several_signatures_is_enough(pagerduty: Signature) -> None:
    several = f"v1={signed(key='older')}, v1={signed()},v0=x"
    assert await admitted(pagerduty, delivery({"X-PagerDuty-Signature": several}))
    assert not await admitted(
        pagerduty, delivery({"X-PagerDuty-Signature": f"v1={signed(key='older')},v0=x"})
    )


async def test_any_bytes_may_be_signed(two: Signature) -> None:
    body = bytes(range(256))
    assert await admitted(two, delivery({SIGNATURE: signed(body)}, body=body, at=NOW))
