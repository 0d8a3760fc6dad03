from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from healer.receiver import servers
from healer.receiver.peers import Peer, Right, Rights

ME = os.geteuid()
STRANGER = 3_999_999_999


def test_root_and_the_daemons_own_user_may_do_everything() -> None:
    assert Rights.named((), ()) == Rights(frozenset({0, ME}), frozenset())


def test_users_are_named_by_name_or_number() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    rights = Rights.named(["nobody", 4711], [4712, "nobody"])
    assert rights.operators == {0, ME, nobody, 4711}
    assert rights.readers == {4712, nobody}


def test_a_user_who_is_not_on_this_machine_gives_nobody_a_right() -> None:
    """`check` warns of them; the daemon runs, for the others must not be locked out."""
    assert Rights.named(["no-such-user"], ["no-such-user"]) == Rights.named((), ())


def test_an_operator_may_look_too() -> None:
    assert Right.NONE < Right.READ < Right.OPERATE


@pytest.mark.parametrize(
    ("rights", "right"),
    [
        (Rights(frozenset({ME}), frozenset()), Right.OPERATE),
        (Rights(frozenset({ME}), frozenset({ME})), Right.OPERATE),
        (Rights(frozenset(), frozenset({ME})), Right.READ),
        (Rights(frozenset({STRANGER}), frozenset({STRANGER})), Right.NONE),
    ],
)
async def test_who_connects_is_who_the_kernel_says(tmp_path: Path, rights: Rights, right: Right) -> None:
    met: list[Peer] = []

    async def meet(request: web.Request) -> web.Response:
        met.append(rights.peer(request))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", meet)
    server = await servers.on_unix(app, tmp_path / "sock")
    connector = aiohttp.UnixConnector(str(tmp_path / "sock"))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://healer/"):
        pass
    await server.close()
    assert met == [Peer(ME, pwd.getpwuid(ME).pw_name, right)]


def test_one_whose_connection_is_gone_may_nothing() -> None:
    request = make_mocked_request("GET", "/")
    everybody = Rights(frozenset({0, ME}), frozenset())
    assert everybody.peer(request).right is Right.NONE


async def test_a_user_without_a_name_is_called_by_number(tmp_path: Path) -> None:
    if ME != 0:
        pytest.skip("only root can become somebody else")
    met: list[Peer] = []

    async def meet(request: web.Request) -> web.Response:
        met.append(Rights(frozenset(), frozenset()).peer(request))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", meet)
    server = await servers.on_unix(app, tmp_path / "sock")
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(0o755)
    asks = (
        f"import os, socket, sys; os.setuid({STRANGER}); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.recv(99)"
    )
    process = await asyncio.create_subprocess_exec("python3", "-c", asks, str(tmp_path / "sock"))
    assert await asyncio.wait_for(process.wait(), 20) == 0
    await server.close()
    assert met == [Peer(STRANGER, str(STRANGER), Right.NONE)]
