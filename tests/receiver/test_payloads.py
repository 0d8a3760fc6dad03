"""Real bodies from the socket to the state file, and back: what was parsed is what was kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from healer import plugins
from healer.alarms.generic import Generic
from healer.core.model import Alarm
from healer.ports import AlarmSource, Confirmation, Delivery
from healer.receiver.alarms import Source
from healer.stores.sqlite import Sqlite
from tests.plugged import build
from tests.receiver.desk import Desk, opened

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = sorted(path.name for path in PAYLOADS.glob("*.json"))
CONFIRMATION = "zaqar-subscription-confirmation.json"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
"""After all of them began, and before the confirmation expires."""
OF_THE_CONNECTION = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Sample:
    file: str
    parser: AlarmSource
    body: bytes
    headers: CIMultiDict[str]
    query: str

    def parsed(self) -> dict[Any, Alarm]:
        batch = self.parser.parse(
            Delivery("sender", self.body, NOW, headers=self.headers, query=URL(f"?{self.query}").query)
        )
        assert not batch.rejected
        return {alarm.identity: alarm for alarm in batch.alarms}


def read(file: str) -> Sample:
    """With the headers that are not of the connection but of the message."""
    beside = PAYLOADS / "headers" / file
    told: dict[str, Any] = json.loads(beside.read_bytes()) if beside.exists() else {"headers": [], "path": ""}
    headers = CIMultiDict(
        (name, value) for name, value in told["headers"] if name.lower() not in OF_THE_CONNECTION
    )
    headers.setdefault("Content-Type", "application/json")
    query = URL(told["path"]).raw_query_string
    return Sample(file, _parser(file), (PAYLOADS / file).read_bytes(), headers, query)


def _parser(file: str) -> AlarmSource:
    """Of whoever sends it: a source of its own, or one of the mappings that are shipped."""
    name = file.partition("-")[0]
    if name not in plugins.names("alarms"):
        return Generic.model_validate({"mapping": name})
    source: AlarmSource = build("alarms", name)
    return source


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample:
    return read(request.param)


async def posted(desk: Desk, sample: Sample) -> tuple[int, dict[str, Any]]:
    url = URL(f"{desk.url}/v1/alarms/sender?{sample.query}", encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=sample.body, headers=sample.headers) as answer,
    ):
        return answer.status, json.loads(await answer.read() or b"{}")


def found_by_the_next(directory: Path) -> dict[Any, Alarm]:
    store = Sqlite(directory=directory)
    store.acquire()
    try:
        return {filed.alarm.identity: filed.alarm for filed in store.alarms()}
    finally:
        store.close()


@pytest.mark.parametrize("sample", BODIES, indirect=True)
async def test_what_a_real_sender_sends_is_kept_as_it_was_read(tmp_path: Path, sample: Sample) -> None:
    """A body that only the parser can read is lost all the same where the store cannot keep it."""
    confirmed: list[Confirmation] = []
    async with opened(
        store=Sqlite(directory=tmp_path),
        sources={"sender": Source(sample.parser)},
        now=lambda: NOW,
        confirm=lambda _, confirmation: confirmed.append(confirmation),
    ) as desk:
        status, body = await posted(desk, sample)
        assert status // 100 == 2, body
        kept = {filed.alarm.identity: filed.alarm for filed in await desk.filed()}
    assert kept == sample.parsed()
    assert len(confirmed) == (sample.file == CONFIRMATION)
    assert bool(kept) != bool(confirmed)
    assert await asyncio.to_thread(found_by_the_next, tmp_path) == kept


@pytest.mark.parametrize("sample", [CONFIRMATION], indirect=True)
async def test_a_subscription_is_not_confirmed_too_late(tmp_path: Path, sample: Sample) -> None:
    confirmed: list[Confirmation] = []
    async with opened(
        store=Sqlite(directory=tmp_path),
        sources={"sender": Source(sample.parser)},
        now=lambda: NOW.replace(year=2030),
        confirm=lambda _, confirmation: confirmed.append(confirmation),
    ) as desk:
        status, body = await posted(desk, sample)
    assert status == 400
    assert "expired" in body["error"]["message"]
    assert not confirmed
