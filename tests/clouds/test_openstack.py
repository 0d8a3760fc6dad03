"""Tests of the session to a cloud, against an endpoint that answers as the test wants."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from healer.clouds.breaker import Breaker
from healer.clouds.openstack import CloudError, OpenStack, objection
from healer.core.step import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SECRET = "sesame-of-the-cave"


class Endpoint:
    """Answers with what `reply` makes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.reply: Callable[[web.Request], Awaitable[web.StreamResponse]] = answering(200, {})
        self._server: TestServer

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    @property
    def root(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    @property
    def url(self) -> str:
        """As Heat's is; without the version in it openstacksdk would ask for one."""
        return f"{self.root}/v1/admin"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = request.path_qs.removeprefix("/v1/admin")
        self.asked.append((request.method, asked, await request.text()))
        return await self.reply(request)


def answering(
    status: int, body: Any = None, **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def reply(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return reply


def error(kind: str, message: str) -> dict[str, Any]:
    return {"code": 0, "error": {"type": kind, "message": message, "traceback": None}}


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    running = Endpoint()
    await running.start()
    yield running
    await running.stop()


def cloud_at(tmp_path: Path, url: str, timeout: timedelta = timedelta(seconds=20)) -> OpenStack:
    (tmp_path / "clouds.yaml").write_text(
        f"clouds: {{one: {{auth_type: admin_token, auth: {{endpoint: '{url}', token: {SECRET}}}}}}}"
    )
    return OpenStack("one", tmp_path / "clouds.yaml", timeout)


@pytest.fixture
async def cloud(tmp_path: Path, endpoint: Endpoint) -> AsyncIterator[OpenStack]:
    session = cloud_at(tmp_path, endpoint.url)
    yield session
    await session.close()


async def refused(cloud: OpenStack, method: str = "GET", path: str = "/stacks") -> CloudError:
    with pytest.raises(CloudError) as caught:
        await cloud.request("orchestration", method, path)
    return caught.value


async def test_an_answer_is_its_status_and_its_json(cloud: OpenStack, endpoint: Endpoint) -> None:
    endpoint.reply = answering(200, {"stacks": []})
    answer = await cloud.request("orchestration", "GET", "/stacks", params={"limit": 2})
    assert (answer.status, answer.body) == (200, {"stacks": []})
    assert endpoint.asked == [("GET", "/stacks?limit=2", "")]


async def test_a_call_may_have_headers_of_its_own(cloud: OpenStack, endpoint: Endpoint) -> None:
    came: list[str | None] = []

    async def reply(request: web.Request) -> web.StreamResponse:
        came.extend(request.headers.get(name) for name in ("X-Subject-Token", "X-Auth-Token"))
        return web.json_response({})

    endpoint.reply = reply
    await cloud.request("orchestration", "GET", "/stacks", headers={"X-Subject-Token": "of a sender"})
    assert came == ["of a sender", SECRET]


async def test_a_body_that_is_not_json_is_none(cloud: OpenStack, endpoint: Endpoint) -> None:
    async def html(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=202, text="<html>", content_type="text/html")

    endpoint.reply = html
    answer = await cloud.request("orchestration", "PATCH", "/stacks/a/b", body={})
    assert (answer.status, answer.body) == (202, None)
    assert endpoint.asked == [("PATCH", "/stacks/a/b", "{}")]


async def test_a_redirected_patch_is_repeated_as_a_patch(cloud: OpenStack, endpoint: Endpoint) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/stacks/a"):
            return web.Response(status=302, headers={"Location": f"{endpoint.url}/stacks/a/id"})
        return web.json_response({}, status=202)

    endpoint.reply = moved
    await cloud.request("orchestration", "PATCH", "/stacks/a", body={"x": 1})
    assert endpoint.asked == [("PATCH", "/stacks/a", '{"x": 1}'), ("PATCH", "/stacks/a/id", '{"x": 1}')]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, Failure.REJECTED),
        (401, Failure.FORBIDDEN),
        (403, Failure.FORBIDDEN),
        (404, Failure.GONE),
        (405, Failure.REJECTED),
        (408, Failure.UNREACHABLE),
        (409, Failure.BUSY),
        (429, Failure.UNREACHABLE),
        (500, Failure.UNREACHABLE),
        (503, Failure.UNREACHABLE),
        (504, Failure.UNREACHABLE),
    ],
)
async def test_every_refusal_has_its_meaning_and_is_asked_once(
    cloud: OpenStack, endpoint: Endpoint, status: int, failure: Failure
) -> None:
    endpoint.reply = answering(status, error("Kind", "why it is so"))
    caught = await refused(cloud)
    assert (caught.failure, caught.kind) == (failure, "Kind")
    assert "why it is so" in caught.detail
    assert "one" in caught.detail
    assert len(endpoint.asked) == 1


async def test_when_to_come_back_is_passed_on(cloud: OpenStack, endpoint: Endpoint) -> None:
    endpoint.reply = answering(503, Retry_After="17")
    assert (await refused(cloud)).retry_after == timedelta(seconds=17)
    endpoint.reply = answering(503, Retry_After="Tue, 24 Nov 2026 11:00:00 GMT")
    assert (await refused(cloud)).retry_after is None


async def test_a_call_that_is_not_answered_in_time_is_unreachable(tmp_path: Path, endpoint: Endpoint) -> None:
    done = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await done.wait()
        return web.json_response({})

    endpoint.reply = hang
    cloud = cloud_at(tmp_path, endpoint.url, timedelta(seconds=0.2))
    caught = await refused(cloud)
    done.set()
    await cloud.close()
    assert caught.failure is Failure.UNREACHABLE
    assert "no answer within" in caught.detail


async def test_nobody_listening_says_where_and_why(tmp_path: Path, endpoint: Endpoint) -> None:
    cloud, address = cloud_at(tmp_path, endpoint.url), endpoint.root.removeprefix("http://")
    await endpoint.stop()
    caught = await refused(cloud)
    await cloud.close()
    assert caught.failure is Failure.UNREACHABLE
    assert caught.detail == f"cloud one cannot be reached at {address}: Connection refused"


async def test_a_cloud_that_clouds_yaml_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: {two: {}, three: {}}")
    cloud = OpenStack("one", tmp_path / "clouds.yaml")
    caught = await refused(cloud)
    await cloud.close()
    assert caught.failure is Failure.REJECTED
    assert caught.detail == f"{tmp_path}/clouds.yaml has no cloud named 'one'; there are: three, two"


async def test_a_clouds_yaml_that_is_not_there(tmp_path: Path) -> None:
    cloud = OpenStack("one", tmp_path / "clouds.yaml")
    caught = await refused(cloud)
    await cloud.close()
    assert (caught.failure, caught.detail) == (
        Failure.REJECTED,
        f"{tmp_path}/clouds.yaml is not there; expected a clouds.yaml",
    )


async def test_a_path_that_is_given_wins_over_the_environment(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        "clouds: {one: {auth_type: admin_token, auth: {endpoint: 'http://127.0.0.1:9', token: x}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(other))
    cloud = cloud_at(tmp_path, endpoint.url)
    await cloud.request("orchestration", "GET", "/stacks")
    await cloud.close()
    assert endpoint.asked


async def test_without_a_path_it_is_where_openstacksdk_looks(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cloud_at(tmp_path, endpoint.url).close()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    cloud = OpenStack("one")
    await cloud.request("orchestration", "GET", "/stacks")
    await cloud.close()
    assert endpoint.asked


def keystone_cloud(tmp_path: Path, url: str, timeout: timedelta = timedelta(seconds=20)) -> OpenStack:
    auth = {
        "auth_url": f"{url}/v3",
        "username": "u",
        "password": SECRET,
        "project_name": "p",
        "user_domain_name": "d",
        "project_domain_name": "d",
    }
    text = ", ".join(f"{key}: '{value}'" for key, value in auth.items())
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{one: {{auth: {{{text}}}}}}}")
    return OpenStack("one", tmp_path / "clouds.yaml", timeout)


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_keystone_s_refusals_mean_the_same_and_give_no_secret_away(
    tmp_path: Path, endpoint: Endpoint, status: int
) -> None:
    async def keystone(request: web.Request) -> web.StreamResponse:
        links = [{"rel": "self", "href": str(request.url)}]
        versions = {"version": {"id": "v3.14", "status": "stable", "links": links, "media-types": []}}
        told = {"error": {"message": f"no, not with {SECRET}", "code": status}}
        asked_for_versions = request.method == "GET"
        return web.json_response(
            versions if asked_for_versions else told, status=200 if asked_for_versions else status
        )

    endpoint.reply = keystone
    cloud = keystone_cloud(tmp_path, endpoint.root)
    caught = await refused(cloud)
    await cloud.close()
    assert caught.failure is (Failure.UNREACHABLE if status == 503 else Failure.FORBIDDEN)
    assert SECRET not in str(caught)
    assert "no, not with ***" in str(caught)


async def test_a_catalogue_without_heat_is_a_wrong_configuration(tmp_path: Path, endpoint: Endpoint) -> None:
    token = {
        "token": {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
            "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}},
            "catalog": [],
            "roles": [],
        }
    }
    endpoint.reply = answering(201, token, X_Subject_Token="t")
    cloud = keystone_cloud(tmp_path, endpoint.root)
    caught = await refused(cloud)
    await cloud.close()
    assert caught.failure is Failure.REJECTED


async def test_a_cloud_that_cannot_be_used_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: {one: {auth_type: magic, auth: {}}}")
    cloud = OpenStack("one", tmp_path / "clouds.yaml")
    caught = await refused(cloud)
    await cloud.close()
    assert caught.failure is Failure.REJECTED
    assert "magic" in caught.detail


async def test_a_secret_in_what_a_service_says_is_not_passed_on(cloud: OpenStack, endpoint: Endpoint) -> None:
    endpoint.reply = answering(400, error("Bad", f"the token {SECRET} is bad\n" + "x" * 9999))
    caught = await refused(cloud)
    assert SECRET not in str(caught)
    assert "the token *** is bad x" in str(caught)
    assert len(str(caught)) < 600


async def test_a_cloud_that_does_not_answer_is_not_hammered(tmp_path: Path, endpoint: Endpoint) -> None:
    await cloud_at(tmp_path, endpoint.url).close()
    cloud = OpenStack("one", tmp_path / "clouds.yaml", breaker=Breaker(trips_after=2))
    endpoint.reply = answering(500, error("MessagingTimeout", "no engine"))
    caught = [await refused(cloud) for _ in range(4)][-1]
    await cloud.close()
    assert len(endpoint.asked) == 2
    assert caught.failure is Failure.UNREACHABLE
    assert caught.retry_after is not None
    assert "has not answered lately" in caught.detail


async def test_a_refusal_is_an_answer(tmp_path: Path, endpoint: Endpoint) -> None:
    await cloud_at(tmp_path, endpoint.url).close()
    cloud = OpenStack("one", tmp_path / "clouds.yaml", breaker=Breaker(trips_after=2))
    endpoint.reply = answering(404)
    for _ in range(4):
        await refused(cloud)
    await cloud.close()
    assert len(endpoint.asked) == 4


async def test_calls_run_in_few_threads_and_off_the_loop(cloud: OpenStack, endpoint: Endpoint) -> None:
    at_once, most, gate = 0, 0, asyncio.Event()

    async def count(_request: web.Request) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 4:
            gate.set()
        await gate.wait()
        at_once -= 1
        return web.json_response({})

    endpoint.reply = count
    await asyncio.gather(*(cloud.request("orchestration", "GET", f"/{number}") for number in range(12)))
    assert most == 4
    mine = [thread for thread in threading.enumerate() if thread.name == "cloud one"]
    assert all(thread.daemon for thread in mine)


async def test_a_client_that_has_locked_itself_up_is_given_up(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keystoneauth waits for itself where even the list of versions is answered 401."""
    monkeypatch.setattr("healer.clouds.openstack.CONNECT_S", 0.1)
    endpoint.reply = answering(401)
    cloud = keystone_cloud(tmp_path, endpoint.root, timedelta(seconds=0.2))
    caught = await refused(cloud)
    assert (caught.failure, caught.detail) == (Failure.UNREACHABLE, "cloud one: the call never came back")
    endpoint.reply = answering(503)
    assert (await refused(cloud)).detail != caught.detail
    await cloud.close()


async def test_closing_lets_the_threads_go(cloud: OpenStack) -> None:
    before = set(threading.enumerate())
    await cloud.request("orchestration", "GET", "/stacks")
    (mine,) = set(threading.enumerate()) - before
    await cloud.close()
    await asyncio.to_thread(mine.join, 10)
    assert not mine.is_alive()


def test_a_cloud_that_clouds_yaml_lacks_is_told_without_any_call(known_clouds: Path) -> None:
    assert objection("mycloud", None) is None
    assert objection("mycloud", known_clouds) is None
    assert "no cloud named 'other'" in (objection("other", known_clouds) or "")
    assert "is not there" in (objection("mycloud", known_clouds.with_name("missing.yaml")) or "")


def test_a_clouds_yaml_that_is_no_yaml_is_told_without_what_is_in_it(known_clouds: Path) -> None:
    known_clouds.write_text("clouds: {mine: {auth: {password: s3cr3t}")
    said = objection("mine", known_clouds) or ""
    assert "no cloud named 'mine'; there are: none" in said
    assert "s3cr3t" not in said
