from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from yarl import URL

from healer.authentication.signed_url import SignedUrl
from healer.ports import Delivery
from tests.authentication.senders import NOW, OTHER, SECRET, admitted, delivery

SCOPED = "https://healer.example.org/v1/alarms/aodh?stack=shop&resource=web"


def signer(folder: Path, *keys: str) -> SignedUrl:
    files = [folder / f"key{index}" for index, _ in enumerate(keys)]
    for file, key in zip(files, keys, strict=True):
        file.write_text(f"{key}\n")
    return SignedUrl.model_validate({"key_files": files})


@pytest.fixture
def one(tmp_path: Path) -> SignedUrl:
    return signer(tmp_path, SECRET)


@pytest.fixture
def two(tmp_path: Path) -> SignedUrl:
    return signer(tmp_path, OTHER, SECRET)


def again(url: str, **changed: str) -> str:
    return str(URL(url).update_query(changed))


async def test_a_url_that_was_signed_admits(one: SignedUrl) -> None:
    url = one.sign(SCOPED)
    assert url.startswith(SCOPED + "&sig=")
    assert await admitted(one, delivery(url=url))


@pytest.mark.parametrize(
    "changed",
    [
        {"resource": "db"},
        {"stack": "shop2"},
        {"cloud": "other"},
        {"resource": ""},
        {"expires": "1795334470"},
        {"sig": "0" * 64},
    ],
    ids=str,
)
async def test_nothing_in_it_can_be_changed(one: SignedUrl, changed: dict[str, str]) -> None:
    assert not await admitted(one, delivery(url=again(one.sign(SCOPED), **changed)))


@pytest.mark.parametrize("less", ["stack", "resource", "sig"])
async def test_nothing_can_be_left_out(one: SignedUrl, less: str) -> None:
    assert not await admitted(one, delivery(url=str(URL(one.sign(SCOPED)).without_query_params(less))))


async def test_it_is_good_for_its_path_alone(one: SignedUrl) -> None:
    for other in ("/v1/alarms/zaqar", "/v1/alarms/aodh/", "/v1/alarms"):
        assert not await admitted(
            one, delivery(url=str(URL(one.sign(SCOPED)).with_path(other, keep_query=True)))
        )


async def test_a_question_mark_in_the_path_is_not_the_one_before_the_query(one: SignedUrl) -> None:
    moved = one.sign("/a?b=c")
    assert await admitted(one, delivery(url=moved))
    assert not await admitted(one, delivery(url=moved.replace("/a?b=c&", "/a%3Fb=c?")))


async def test_the_order_of_names_does_not_matter_and_that_of_values_does(one: SignedUrl) -> None:
    url = one.sign("/v1/alarms/aodh?stack=a&stack=b&resource=web")
    assert await admitted(
        one, delivery(url=url.replace("stack=a&stack=b&resource=web", "resource=web&stack=a&stack=b"))
    )
    assert not await admitted(one, delivery(url=url.replace("stack=a&stack=b", "stack=b&stack=a")))


async def test_it_may_end(one: SignedUrl) -> None:
    url = one.sign(SCOPED, NOW + timedelta(hours=1))
    for after, admits in ((0, True), (3599, True), (3600, False), (10**6, False)):
        assert await admitted(one, delivery(url=url, at=NOW + timedelta(seconds=after))) is admits
    assert not await admitted(one, delivery(url=again(url, expires="99999999999")))
    assert not await admitted(one, delivery(url=str(URL(url).without_query_params("expires"))))


@pytest.mark.parametrize("expires", ["", "never", "-1", "٣", "9" * 12, "1e9"])
async def test_an_end_that_is_no_time_is_refused_though_it_is_signed(one: SignedUrl, expires: str) -> None:
    """`sign` writes no such thing, and whoever has the key may."""
    shown = one.sign(f"{SCOPED}&expire={expires}").replace("expire=", "expires=")
    assert not await admitted(one, delivery(url=shown))


async def test_signed_again_it_has_one_signature_and_one_end(one: SignedUrl) -> None:
    first = one.sign(SCOPED, NOW + timedelta(hours=1))
    assert one.sign(first) == one.sign(SCOPED)
    assert one.sign(first, NOW + timedelta(days=1)) == one.sign(SCOPED, NOW + timedelta(days=1))


async def test_while_a_key_is_changed_the_first_signs_and_both_are_taken(
    one: SignedUrl, two: SignedUrl
) -> None:
    assert await admitted(two, delivery(url=two.sign(SCOPED)))
    assert await admitted(two, delivery(url=one.sign(SCOPED)))
    assert not await admitted(one, delivery(url=two.sign(SCOPED)))


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="holds a key of 15 bytes; expected 16 at least"):
        signer(tmp_path, "x" * 15)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(TEXT.map(lambda name: f"x{name}") | st.sampled_from(["stack", "resource"]), max_size=4).flatmap(
        lambda names: st.lists(TEXT, min_size=len(names), max_size=len(names)).map(
            lambda values: list(zip(names, values, strict=True))
        )
    ),
    st.lists(TEXT.filter(lambda part: part not in {"", ".", ".."}), max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_it_admits_when_signed(
    tmp_path_factory: pytest.TempPathFactory, query: list[tuple[str, str]], parts: list[str]
) -> None:
    url = URL("http://127.0.0.1").with_path("/v1/" + "/".join(parts)).with_query(query)
    built = signer(tmp_path_factory.getbasetemp(), SECRET)
    assert asyncio.run(admitted(built, delivery(url=built.sign(str(url)))))


class Door:
    """A server that asks of each request as it comes over a socket."""

    def __init__(self, plugin: SignedUrl) -> None:
        self._plugin = plugin
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        came = Delivery("aodh", b"", NOW, request.headers, request.query, request.path, request.method)
        return web.Response(status=202 if await self._plugin.admits(came) else 401)


@pytest.fixture
async def door(one: SignedUrl) -> AsyncIterator[TestServer]:
    running = Door(one)
    await running.server.start_server()
    yield running.server
    await running.server.close()


@pytest.mark.parametrize(
    "query", ["stack=shop&resource=group/0/web", "stack=a%20b%2Bc&resource=%C3%A4%26%3D%3F"]
)
async def test_over_a_real_connection_it_admits(one: SignedUrl, door: TestServer, query: str) -> None:
    url = one.sign(f"{door.make_url('/v1/alarms/aodh')}?{query}")
    async with aiohttp.ClientSession() as session:
        async with session.post(URL(url, encoded=True)) as answer:
            assert answer.status == 202
        async with session.post(URL(url.replace("stack=", "stack=x"), encoded=True)) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (SCOPED, b"/v1/alarms/aodh?resource=web&stack=shop"),
        ("/v1/alarms/an%20%C3%A4?x=a+b%2Fc&empty=", b"/v1/alarms/an%20%C3%A4?empty=&x=a%20b%2Fc"),
        ("/v1/alarms/aodh", b"/v1/alarms/aodh?"),
    ],
)
async def test_whoever_has_the_key_can_sign(one: SignedUrl, url: str, text: bytes) -> None:
    """As the module's first words say, which `openssl dgst -sha256 -hmac` makes of the same text."""
    signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    signed = URL(url).extend_query(sig=signature)
    assert await admitted(one, delivery(url=str(signed)))
