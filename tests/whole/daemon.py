"""`healer run` as a process of its own on a real Heat, in a folder of its own, and its API to ask it by."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.real_heat import RealHeat

T = TypeVar("T")

CLOUD = "mine"
WITHIN_S = 60.0
"""Seconds that anything may take on a machine that others use too; most of it takes two."""
STOPS_S = 20.0
LOOK_S = 0.05
RUN = ("-m", "healer", "run", "--config")
ANSWERS = {"url": "http://{address}:{port}/"}
"""All the way down: a tier answers only if those below it do."""

POLICY: Mapping[str, Any] = {
    "version": 1,
    "policy": "tiers",
    "mode": "auto",
    "match": {"type": "Local::Process"},
    "detect": {
        "probes": [{"http": ANSWERS, "interval": "500ms"}],
        "fail_after": 2,
        "recover_after": 2,
        "startup_grace": "10s",
        "settle_for": "1s",
    },
    "remediations": [{"action": "replace", "timeout": "60s"}, {"action": "notify"}],
    "guardrails": {
        "attempts": {"max": 5, "within": "1h"},
        "cooldown": "5s",
        "blast_radius": {"may_replace": ["Local::Process"]},
    },
    "verify": {"within": "30s", "stable_for": "1s"},
}


def policy(**changes: Any) -> dict[str, Any]:
    """POLICY with these sections changed; a section that is a mapping keeps what is not named."""
    changed = deepcopy(dict(POLICY))
    for name, value in changes.items():
        old = changed.get(name)
        changed[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return changed


def config(heat: RealHeat, stack: str, *, url: str = "", **changes: Any) -> dict[str, Any]:
    """A configuration that looks at this stack alone. `url`: where Heat is asked, if not where it is."""
    engine = {"engine": "heat", "cloud": heat.cloud, "clouds_yaml": "clouds.yaml", "refresh": "1s"}
    where = {"auth_type": "admin_token", "auth": {"endpoint": url or heat.url, "token": "any"}}
    return {
        "version": 1,
        "installation": "whole",
        "state": {"directory": "state"},
        "clouds": {CLOUD: {**engine, "stacks": [stack], **changes.pop("engine", {})}},
        "policies": ["policy.yaml"],
        "listen": {"address": "127.0.0.1", "port": 0},
        "api": {"socket": "api.sock"},
        "notifiers": {"log": {"notifier": "log"}},
        "log": {"format": "text"},
        "clouds_yaml": {"clouds": {heat.cloud: where}},
        **changes,
    }


class Daemon:
    """A context: it is stopped on leaving. `folder` must have a short name, for a socket lies in it."""

    def __init__(self, folder: Path, configured: Mapping[str, Any], policies: Mapping[str, Any]) -> None:
        self.folder = folder
        self.log = folder / "daemon.log"
        self._process: asyncio.subprocess.Process | None = None
        documents = dict(configured)
        for name, document in {
            "clouds.yaml": documents.pop("clouds_yaml"),
            "config.yaml": documents,
            "policy.yaml": policies,
        }.items():
            (folder / name).write_text(json.dumps(document, indent=1))

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self.folder / "api.sock"), force_close=True)
        self._session = aiohttp.ClientSession("http://healer", connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop()
        finally:
            await self._session.close()

    @property
    def config(self) -> str:
        return str(self.folder / "config.yaml")

    async def port(self) -> int:
        """Where it takes alarms and shows metrics."""
        return int((await self.status())["port"])

    async def start(self, command: Sequence[str] = RUN, *after: str) -> None:
        """Start it, or what stands in for it, with its configuration, and wait until its API answers."""
        log = await asyncio.to_thread(self.log.open, "ab")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                self.config,
                *after,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={key: text for key, text in os.environ.items() if not key.startswith("OS_")},
                start_new_session=True,
            )
        await self.until(self._up, "the daemon to answer")

    async def stop(self) -> int | None:
        """As systemd would. Its exit code; None where it does not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOPS_S)
            except TimeoutError:
                process.kill()
                await process.wait()
                pytest.fail(f"the daemon did not stop within {STOPS_S} s:\n{await self.tail()}")
        return process.returncode

    async def died(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            return await asyncio.wait_for(process.wait(), WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            pytest.fail(f"the daemon was not killed:\n{await self.tail()}")

    async def until(
        self, look: Callable[[], Awaitable[T | None]], what: str, within_s: float = WITHIN_S
    ) -> T:
        """Look again until there is an answer; a daemon that ended, or waiting in vain, fails with its log."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if answer := await look():
                        return answer
                    if self._process is not None and self._process.returncode is not None:
                        pytest.fail(f"the daemon ended while waiting for {what}:\n{await self.tail()}")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pytest.fail(f"waited {within_s:.0f} s in vain for {what}:\n{await self.tail()}")

    async def tail(self) -> str:
        text = await asyncio.to_thread(self.log.read_text, errors="replace")
        return "\n".join(text.splitlines()[-40:])

    async def get(self, path: str, **query: Any) -> Any:
        async with self._session.get(path, params=query) as answer:
            body = await answer.json()
            assert answer.status == 200, f"GET {path}: {answer.status} {body}"
            return body

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self._session.post(path, json=body) as answer:
            said = await answer.json()
            assert answer.status < 300, f"POST {path}: {answer.status} {said}"
            return said

    async def delete(self, path: str) -> None:
        async with self._session.delete(path) as answer:
            assert answer.status == 200, f"DELETE {path}: {answer.status} {await answer.json()}"

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.get("/v1/status")
        return found

    async def resources(self) -> dict[str, dict[str, Any]]:
        """By path; none while the stack is not read."""
        stacks = (await self.get("/v1/stacks"))["stacks"]
        return {one["path"]: one for stack in stacks for one in stack["resources"] if not one["is_stack"]}

    async def healthy(self, *paths: str) -> dict[str, dict[str, Any]]:
        """Wait until all that a policy owns, or these, are seen healthy; what there is then."""

        async def look() -> dict[str, dict[str, Any]] | None:
            found = await self.resources()
            wanted = [one for path, one in found.items() if (path in paths if paths else one["policy"])]
            return found if wanted and all(one["health"] == "healthy" for one in wanted) else None

        return await self.until(look, f"{', '.join(paths) or 'all'} to be seen healthy")

    async def incidents(self, resource: str = "", *, still_open: bool = False) -> list[dict[str, Any]]:
        """Oldest first; of this resource alone, if one is named."""
        found = (await self.get("/v1/incidents", **({"open": 1} if still_open else {})))["incidents"]
        return [one for one in reversed(found) if not resource or one["resource"] == resource]

    async def incident(self, resource: str, **wanted: Any) -> dict[str, Any]:
        """Wait for an incident of this resource with these values; `refusal` is a reason."""

        def fits(one: Mapping[str, Any]) -> bool:
            reason = one["refusal"]["reason"] if one["refusal"] else None
            return all((reason if key == "refusal" else one[key]) == value for key, value in wanted.items())

        async def look() -> dict[str, Any] | None:
            return next((one for one in await self.incidents(resource) if fits(one)), None)

        return await self.until(look, f"an incident of {resource} with {wanted}")

    async def healed(self, resource: str) -> dict[str, Any]:
        """Wait until the only incident that this resource ever had is closed as healed, and nothing is open."""

        async def look() -> bool:
            nothing = not await self.incidents(still_open=True) and not await self.repairs()
            return nothing and any(one["outcome"] for one in await self.incidents(resource))

        await self.until(look, f"{resource} to be healed")
        (only,) = await self.incidents(resource)
        assert only["outcome"] == "healed", await self.tail()
        return only

    async def repairs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/v1/repairs"))["repairs"]
        return found

    async def at(self, step: str, progress: str = "") -> None:
        """Wait until a repair is at this step, and so far in it."""

        async def look() -> bool:
            repairs = await self.repairs()
            return any(one["step"] == step and progress in ("", one["progress"]) for one in repairs)

        await self.until(look, f"a repair to be at {step} {progress}")

    async def story(self, incident: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/v1/incidents/{incident}"))["story"]
        return found

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{await self.port()}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def _up(self) -> bool:
        try:
            return bool(await self.status())
        except aiohttp.ClientConnectionError:
            return False
