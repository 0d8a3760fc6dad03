"""The demonstration's house with a hasty policy, and a daemon that runs in this process or in one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, TypeVar

import aiohttp
import yaml

from healer.app import App
from healer.client import Client, NoDaemonError
from healer.config.check import load
from healer.demo.house import House, pid_of

T = TypeVar("T")

WITHIN_S = 20.0
"""Seconds that anything may take on a machine that others use too; most of it takes one."""
LOOK_S = 0.02

HASTE: Mapping[str, Any] = {
    "detect": {
        "probes": [{"http": {"url": "http://{address}:{port}/"}, "interval": "100ms", "timeout": "90ms"}],
        "startup_grace": "5s",
        "settle_for": "200ms",
    },
    "guardrails": {"cooldown": "0s"},
    "verify": {"within": "10s", "stable_for": "300ms"},
}
"""The demonstration's policy with shorter times."""
REFRESH: Mapping[str, Any] = {"clouds": {"here": {"refresh": "200ms"}}}


def changed(document: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with these keys changed; a mapping keeps what is not named, all else is taken whole."""
    new = deepcopy(dict(document))
    for change in changes:
        for key, value in change.items():
            both = isinstance(value, Mapping) and isinstance(new.get(key), Mapping)
            new[key] = changed(new[key], value) if both else value
    return new


class Hasty(House):
    """`policy`, `config`, `shop`: changes of these files. What a file is, a test may also write before it starts."""

    def __init__(
        self,
        *,
        policy: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        shop: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._changes = {
            "policy.yaml": (HASTE, policy or {}),
            "config.yaml": (REFRESH, config or {}),
            "shop.yaml": (shop or {},),
        }

    def start(self) -> None:
        self.furnish()
        super().start()

    def furnish(self) -> None:
        for name, changes in self._changes.items():
            file = self.folder / name
            document = yaml.safe_load(file.read_text())
            if version := document.get("heat_template_version"):
                document["heat_template_version"] = str(version)
            file.write_text(yaml.safe_dump(changed(document, *changes), sort_keys=False))
        self._changes = {}

    def healthy(self) -> dict[str, dict[str, Any]] | None:
        """All of the shop, once all of it has been seen healthy and nothing is being done."""
        found = self.resources()
        calm = found and all(one["health"] == "healthy" and not one["incident"] for one in found.values())
        return found if calm else None

    def healthy_processes(self) -> dict[str, dict[str, Any]] | None:
        """As `healthy`, of a shop in which there is also what nobody looks after."""
        found = {path: one for path, one in self.resources().items() if one["policy"]}
        return found if found and all(one["health"] == "healthy" for one in found.values()) else None


class Empty(Hasty):
    """No daemon is started in it: a test starts its own."""

    def start(self) -> None:
        self.furnish()


def until(look: Callable[[], T | None], what: str, within_s: float = WITHIN_S) -> T:
    """Look again until there is something; a daemon that is not there, or not yet, is nothing."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except NoDaemonError:
            pass  # It is dead, or not up yet.
        time.sleep(LOOK_S)
    raise AssertionError(f"waited {within_s:.0f} s in vain for {what}")


def kill(resource: Mapping[str, Any]) -> None:
    os.kill(pid_of(resource["physical_id"]), signal.SIGKILL)


class Inside:
    """A daemon in this process, asked as everybody asks it: over its socket and its port."""

    def __init__(self, house: House, app: App) -> None:
        self.house = house
        self.app = app
        self.client = Client(house.folder / "api.sock")

    async def ask(self, call: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """In a thread, for it blocks, and the daemon that is to answer runs on this loop."""
        return await asyncio.to_thread(call, *arguments, **more)

    async def get(self, path: str, **query: Any) -> Any:
        return await self.ask(self.client.get, path, **query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self.ask(self.client.post, path, body)

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (found := await look()):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            state = await self.get("/v1/incidents")
            raise AssertionError(f"waited {WITHIN_S:.0f} s in vain for {what}; incidents: {state}") from None
        return found

    async def resources(self) -> dict[str, dict[str, Any]]:
        return {
            one["path"]: one
            for stack in (await self.get("/v1/stacks"))["stacks"]
            for one in stack["resources"]
        }

    async def healthy(self) -> dict[str, dict[str, Any]]:
        """Wait until all of the shop has been seen healthy, and nothing is open."""

        async def look() -> dict[str, dict[str, Any]] | None:
            found = await self.resources()
            calm = found and all(one["health"] == "healthy" and not one["incident"] for one in found.values())
            return found if calm else None

        return await self.until(look, "all to be healthy")

    async def incident(self, resource: str, reason: str = "", **wanted: Any) -> dict[str, Any]:
        """Wait for an incident of this resource with these values, held for this reason; the newest of them."""

        async def look() -> dict[str, Any] | None:
            for one in (await self.get("/v1/incidents"))["incidents"]:
                held = one["refusal"]["reason"] if one["refusal"] else ""
                fits = one["resource"] == resource and (not reason or held == reason)
                if fits and all(one[key] == value for key, value in wanted.items()):
                    return dict(one)
            return None

        return await self.until(look, f"an incident of {resource} with {reason or ''} {wanted}")

    async def story(self, incident: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/v1/incidents/{incident}"))["story"]
        return found

    async def http(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """At the listener for alarms and metrics."""
        url = f"http://127.0.0.1:{self.app.port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, **more) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def inside(house: House, **options: Any) -> AsyncIterator[Inside]:
    """A daemon in this process, started; stopped on leaving."""
    config = await asyncio.to_thread(load, house.folder / "config.yaml")
    app = App(config, **options)
    try:
        await app.start()
        yield Inside(house, app)
    finally:
        await app.stop()
