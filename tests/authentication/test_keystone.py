from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from healer.authentication.keystone import Keystone
from healer.core.step import Failure
from healer.ports import EngineError
from tests.authentication.senders import NOW, OTHER, PROJECT, SECRET, FakeKeystone, admitted, delivery, token

Build = Callable[..., Keystone]


@pytest.fixture
async def real() -> AsyncIterator[FakeKeystone]:
    running = FakeKeystone()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def build(real: FakeKeystone, tmp_path: Path) -> AsyncIterator[Build]:
    built: list[Keystone] = []
    file = tmp_path / "clouds.yaml"
    await asyncio.to_thread(file.write_text, real.clouds_yaml())

    def make(**options: Any) -> Keystone:
        given = {"cloud": "mine", "clouds_yaml": file, "projects": [PROJECT]}
        built.append(Keystone.model_validate(given | options))
        return built[-1]

    yield make
    for one in built:
        await one.close()


async def shows(plugin: Keystone, shown: str = SECRET, at: datetime = NOW) -> bool:
    return await admitted(plugin, delivery({"X-Auth-Token": shown}, at=at))


async def unsure(plugin: Keystone, shown: str = SECRET) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await shows(plugin, shown)
    assert caught.value.failure is Failure.UNREACHABLE
    assert shown not in caught.value.detail
    return caught.value


async def test_a_token_of_the_project_admits(build: Build) -> None:
    assert await shows(build())


@pytest.mark.parametrize("project", ["another", None])
async def test_a_token_of_another_project_or_of_none_is_refused(
    build: Build, real: FakeKeystone, project: str | None
) -> None:
    real.tokens[SECRET] = token(project)
    assert not await shows(build())


@pytest.mark.parametrize(
    ("needed", "admits"),
    [([], True), (["member"], True), (["member", "reader"], True), (["admin", "member"], False)],
)
async def test_a_token_must_carry_every_role_that_is_needed(
    build: Build, needed: list[str], admits: bool
) -> None:
    assert await shows(build(roles=needed)) is admits


async def test_a_token_that_has_ended_is_refused(build: Build, real: FakeKeystone) -> None:
    door, end = build(remember="2d"), datetime.fromisoformat(real.tokens[SECRET]["expires_at"])
    assert await shows(door, at=end - timedelta(seconds=1))
    assert not await shows(door, at=end)


async def test_a_token_that_was_verified_is_asked_after_once_a_minute(
    build: Build, real: FakeKeystone
) -> None:
    door = build()
    for second in (0, 30, 59):
        assert await shows(door, at=NOW + timedelta(seconds=second))
    assert real.asked == [SECRET]
    real.tokens.clear()
    assert not await shows(door, at=NOW + timedelta(seconds=60))
    assert real.asked == [SECRET] * 2


async def test_a_token_that_was_refused_may_be_admitted_later(build: Build, real: FakeKeystone) -> None:
    door = build()
    assert not await shows(door, OTHER)
    real.tokens[OTHER] = token()
    assert await shows(door, OTHER)


async def test_what_comes_many_times_at_once_is_asked_after_once(build: Build, real: FakeKeystone) -> None:
    door = build()
    assert all(await asyncio.gather(*(shows(door) for _ in range(50))))
    assert real.asked == [SECRET]


@pytest.mark.parametrize("shown", ["", "two words", "naïve", "\udcff", "a\r\nX-Other: b", "x" * 4097])
async def test_what_is_no_token_is_not_even_asked_after(build: Build, real: FakeKeystone, shown: str) -> None:
    assert not await shows(build(), shown)
    assert real.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_keystone_does_not_tell_now_is_neither_yes_nor_no(
    build: Build, real: FakeKeystone, status: int
) -> None:
    real.answer = lambda: web.Response(status=status, headers={"Retry-After": "7"})
    assert (await unsure(build())).retry_after == timedelta(seconds=7)


BROKEN: list[dict[str, Any]] = [
    {"expires_at": None},
    {"expires_at": "soon"},
    {"roles": [[]]},
    {"project": []},
]
NO_TOKENS: list[Any] = [
    None,
    [],
    {},
    {"token": None},
    {"token": []},
    *({"token": token() | each} for each in BROKEN),
]


@pytest.mark.parametrize("body", NO_TOKENS, ids=ascii)
async def test_an_answer_that_describes_no_token_is_neither_yes_nor_no(
    build: Build, real: FakeKeystone, body: Any
) -> None:
    real.answer = lambda: web.json_response(body)
    assert "describes no token" in (await unsure(build())).detail


async def test_a_keystone_that_is_gone_is_neither_yes_nor_no(build: Build, real: FakeKeystone) -> None:
    door = build()
    await real.stop()
    assert "cannot be reached" in (await unsure(door)).detail


async def test_a_keystone_that_hangs_is_neither_yes_nor_no(build: Build, real: FakeKeystone) -> None:
    released = asyncio.Event()
    door = build(timeout="200ms")
    real.hold = released
    assert "has not answered within 200ms" in (await unsure(door)).detail
    released.set()


async def test_who_may_not_ask_says_so_and_refuses_nobody_for_it(
    build: Build, real: FakeKeystone, tmp_path: Path
) -> None:
    await asyncio.to_thread((tmp_path / "clouds.yaml").write_text, real.clouds_yaml("of-a-mere-member"))
    error = await unsure(build())
    assert "identity:validate_token" in error.detail
    assert "of-a-mere-member" not in error.detail


def test_a_cloud_that_is_not_there_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: {}")
    options = {"cloud": "mine", "clouds_yaml": tmp_path / "clouds.yaml", "projects": [PROJECT]}
    assert "no cloud named 'mine'" in Keystone.model_validate(options).objections()["cloud"]


async def test_it_remembers_digests_only_and_not_too_many(
    build: Build, real: FakeKeystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healer.authentication.keystone.MOST", 2)
    door = build()
    for name in ("first", "second", "third"):
        real.tokens[name] = token()
        assert await shows(door, name)
    assert await shows(door, "third")
    assert real.asked == ["first", "second", "third"]
    assert await shows(door, "first")
    assert real.asked[3:] == ["first"]
    assert "third" not in repr(door.__pydantic_private__)
