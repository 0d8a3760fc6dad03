"""Real Prometheus and Alertmanager for a test: on free loopback ports, stopped by pid when the test ends.

A test that needs them carries `@pytest.mark.debian("prometheus", …)`. Where such a package is not installed
the test is skipped by its name, with the line that installs it; HEALER_REQUIRE_DEBIAN=1 makes that a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.debian.install import PACKAGES, advice, missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    Document = Mapping[str, Any]

T = TypeVar("T")
LISTENING = re.compile(r'msg="Listening on".* address=(127\.0\.0\.1:\d+)')


def require(*packages: str) -> None:
    """Skip, or with HEALER_REQUIRE_DEBIAN=1 fail, unless these Debian packages are installed."""
    if unknown := [name for name in packages if name not in PACKAGES]:
        raise pytest.UsageError(f"debian({unknown}): tests/debian/install.py has {', '.join(PACKAGES)}")
    if absent := missing(packages):
        sentence = f"needs the Debian package {' and '.join(absent)}; as root: {advice(absent)}"
        if os.environ.get("HEALER_REQUIRE_DEBIAN") == "1":
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("debian"):
        require(*marker.args)


async def until(look: Callable[[], Awaitable[T | None]], what: str, within: float = 15) -> T:
    """Look again until there is an answer. `within` is seconds, generous: a slow machine is no failure."""
    try:
        async with asyncio.timeout(within):
            while not (answer := await look()):
                await asyncio.sleep(0.02)
            return answer
    except TimeoutError:
        pytest.fail(f"waited {within} s in vain for {what}")


@dataclass
class Program:
    """One running program. Its folder holds its configuration (JSON is YAML), its data and `log`."""

    package: ClassVar[str]
    options: ClassVar[tuple[str, ...]]

    folder: Path
    session: aiohttp.ClientSession
    process: asyncio.subprocess.Process = field(init=False)
    url: str = field(init=False)

    def write(self, documents: Mapping[str, Document]) -> None:
        for name, document in documents.items():
            (self.folder / name).write_text(json.dumps(document, indent=1))

    async def start(self, documents: Mapping[str, Document]) -> None:
        """Start with `config.yml` and what else stands in `documents`; return once it is ready."""
        await asyncio.to_thread(self.write, documents)
        log = await asyncio.to_thread((self.folder / "log").open, "wb")
        with log:
            self.process = await asyncio.create_subprocess_exec(
                PACKAGES[self.package].program,
                "--config.file=config.yml",
                "--web.listen-address=127.0.0.1:0",
                *self.options,
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        self.url = "http://" + await until(self.address, f"{self.package} to listen")
        await until(self.ready, f"{self.package} to be ready")

    async def address(self) -> str | None:
        """Where it says that it listens: the kernel chose the port, so no other program can have taken it."""
        said = await asyncio.to_thread((self.folder / "log").read_text)
        if self.process.returncode is not None:
            pytest.fail(f"{self.package} ended with {self.process.returncode}:\n{said}")
        found = LISTENING.search(said)
        return found[1] if found else None

    async def ready(self) -> bool:
        async with self.session.get(f"{self.url}/-/ready") as answer:
            return answer.status == web.HTTPOk.status_code

    async def get(self, path: str, **query: str) -> Any:
        async with self.session.get(self.url + path, params=query, raise_for_status=True) as answer:
            return await answer.json()

    async def reload(self, documents: Mapping[str, Document]) -> None:
        """Take new configuration; fails where the program refuses it."""
        await asyncio.to_thread(self.write, documents)
        async with self.session.post(f"{self.url}/-/reload") as answer:
            assert answer.ok, await answer.text()

    async def stop(self) -> None:
        """End it and see it ended; nothing happens where it has ended already."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


class Prometheus(Program):
    package = "prometheus"
    options: ClassVar[tuple[str, ...]] = ("--storage.tsdb.path=data", "--web.enable-lifecycle")

    async def alerts(self) -> list[Document]:
        """The alerts that its rules hold now, pending ones too."""
        return list((await self.get("/api/v1/alerts"))["data"]["alerts"])

    async def query(self, expression: str) -> list[Document]:
        """The instant vector that this expression is now."""
        return list((await self.get("/api/v1/query", query=expression))["data"]["result"])


class Alertmanager(Program):
    package = "prometheus-alertmanager"
    options: ClassVar[tuple[str, ...]] = ("--storage.path=data", "--cluster.listen-address=")

    async def alerts(self) -> list[Document]:
        return list(await self.get("/api/v2/alerts"))

    async def post(self, *alerts: Document) -> None:
        """Hand over alerts as Prometheus would; all but an alert's labels may be left out."""
        async with self.session.post(f"{self.url}/api/v2/alerts", json=alerts) as answer:
            assert answer.ok, await answer.text()


P = TypeVar("P", bound=Program)


class Launcher(Generic[P]):
    """Starts any number of one program; `await prometheus({"config.yml": …, "rules.yml": …})`."""

    def __init__(self, kind: type[P], folder: Path, session: aiohttp.ClientSession) -> None:
        self.kind = kind
        self.folder = folder
        self.session = session
        self.started: list[P] = []

    async def __call__(self, documents: Mapping[str, Document]) -> P:
        require(self.kind.package)
        folder = self.folder / f"{self.kind.package}-{len(self.started)}"
        await asyncio.to_thread(folder.mkdir)
        program = self.kind(folder, self.session)
        self.started.append(program)
        await program.start(documents)
        return program


@contextlib.asynccontextmanager
async def launcher(kind: type[P], folder: Path) -> AsyncIterator[Launcher[P]]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        launch = Launcher(kind, folder, session)
        try:
            yield launch
        finally:
            await asyncio.gather(*(program.stop() for program in launch.started))


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Launcher[Prometheus]]:
    async with launcher(Prometheus, tmp_path) as launch:
        yield launch


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Launcher[Alertmanager]]:
    async with launcher(Alertmanager, tmp_path) as launch:
        yield launch


def ungrouped(
    url: str, *, token: str = "", group_interval: str = "10s", repeat_interval: str = "5m"
) -> dict[str, Document]:
    """Alertmanager's part of the alarm path as it should be set up: each alert alone, at once, and never cut.

    With grouping, the second failure of a stack waits for the group's next tick; `max_alerts` loses what it
    cuts; and a redirect would turn the POST into a GET that counts as delivered. `group_interval` is also how
    long a delivery is tried (10 s at least), and when one that was answered 4xx is sent again.
    """
    http: dict[str, Any] = {"follow_redirects": False}
    if token:
        http["authorization"] = {"type": "Bearer", "credentials": token}
    route = {"receiver": "healer", "group_by": ["..."], "group_wait": "0s"}
    route |= {"group_interval": group_interval, "repeat_interval": repeat_interval}
    webhook = {"url": url, "send_resolved": True, "max_alerts": 0, "http_config": http}
    return {"config.yml": {"route": route, "receivers": [{"name": "healer", "webhook_configs": [webhook]}]}}


def watching(
    exporters: Mapping[str, str], rules: Sequence[Document], alertmanager_url: str, *, interval: str = "500ms"
) -> dict[str, Document]:
    """Prometheus' part: scrape these exporters (job: host:port), judge by these rules, tell Alertmanager."""
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager_url.removeprefix("http://")]}]}]
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]}
            for job, address in exporters.items()
        ],
    }
    return {"config.yml": config, "rules.yml": {"groups": [{"name": "test", "rules": list(rules)}]}}


@dataclass
class Sink:
    """A receiver that keeps what it is sent; `status` is what it answers from now on."""

    status: int = web.HTTPAccepted.status_code
    url: str = ""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json())
        return web.Response(status=self.status)

    async def body(self, number: int) -> Any:
        """The body of the request of that number, from 0; waits until it has come."""

        async def look() -> Any:
            return self.bodies[number] if len(self.bodies) > number else None

        return await until(look, f"request {number} of the sink")


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    kept = Sink()
    app = web.Application()
    app.router.add_post("/", kept.take)
    async with TestServer(app) as server:
        kept.url = str(server.make_url("/"))
        yield kept
