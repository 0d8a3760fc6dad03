from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from healer.receiver import servers


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.path}")


def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", hello)
    return app


@pytest.fixture
def masked() -> Iterator[None]:
    """As under systemd, where the unit sets it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


async def asked(path: Path) -> str:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://healer/") as answer,
    ):
        return await answer.text()


async def test_any_port_that_is_free_is_taken_and_named_and_given_back() -> None:
    server = await servers.on_tcp(application(), "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/") as answer:
        assert await answer.text() == "hello /"
    await server.close()
    again = await servers.on_tcp(application(), "127.0.0.1", server.port)
    assert again.port == server.port
    await again.close()


async def test_a_port_that_another_has_is_an_error_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"{port}"):
            await servers.on_tcp(application(), "127.0.0.1", port)


@pytest.mark.usefixtures("masked")
async def test_everybody_may_connect_to_the_socket_whatever_the_umask_is(tmp_path: Path) -> None:
    """Who may do what is decided by who connects: a socket that readers cannot open would decide it before."""
    path = tmp_path / "run" / "api.sock"
    server = await servers.on_unix(application(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert await asked(path) == "hello /"
    await server.close()


async def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    server = await servers.on_unix(application(), path)
    assert await asked(path) == "hello /"
    await server.close()


async def test_a_socket_that_somebody_answers_at_is_left_to_them(tmp_path: Path) -> None:
    """Two daemons with states of their own and one socket: the words of the command line would reach either."""
    path = tmp_path / "api.sock"
    first = await servers.on_unix(application(), path)
    with pytest.raises(FileExistsError, match=r"another daemon answers at .*api\.sock"):
        await servers.on_unix(application(), path)
    assert await asked(path) == "hello /"
    await first.close()


async def test_a_file_that_is_no_socket_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(OSError, match=r"notes\.txt"):
        await servers.on_unix(application(), path)
    assert path.read_text() == "mine"


async def test_a_path_that_is_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        await servers.on_unix(application(), tmp_path / ("x" * 120))
