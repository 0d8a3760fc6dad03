"""Stacks in a Heat, over plain HTTP: it must not need healer, for it is healer that is tested with it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Stack:
    name: str
    id: str

    @property
    def path(self) -> str:
        return f"/stacks/{self.name}/{self.id}"


class Stacks:
    """A context; whatever stacks it has made and not deleted go with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[Stack] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for stack in list(self._made):
                await self.delete(stack)
        finally:
            await self._session.close()

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status, and the body: JSON where it is, else text."""
        async with self._session.request(method, self._url + path, **options) as answer:
            body = await answer.text()
            return answer.status, json.loads(body) if "json" in answer.content_type else body

    async def read(self, path: str, **parameters: Any) -> Any:
        status, body = await self.request("GET", path, params=parameters)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    async def create(
        self,
        name: str,
        template: str | Mapping[str, Any],
        *,
        parameters: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, Any] | None = None,
        disable_rollback: bool = True,
        wait: bool = True,
    ) -> Stack:
        """Create a stack, and wait for CREATE_COMPLETE or fail. `files`: nested templates by name."""
        body = {
            "stack_name": name,
            "template": template,
            "parameters": parameters or {},
            "files": files or {},
            "environment": environment or {},
            "disable_rollback": disable_rollback,
        }
        status, answer = await self.request("POST", "/stacks", json=body)
        assert status == 201, f"create {name}: {status} {answer}"
        stack = Stack(name, answer["stack"]["id"])
        self._made.append(stack)
        if wait:
            ended = await self.wait(stack)
            if ended != "CREATE_COMPLETE":
                shown = await self.show(stack)
                raise AssertionError(f"create {name}: {ended} {shown['stack_status_reason']}")
        return stack

    async def delete(self, stack: Stack, *, within_s: float = 60) -> None:
        """Delete a stack and wait until its name is free."""
        status, answer = await self.request("DELETE", stack.path)
        assert status in {204, 404}, f"delete {stack.name}: {status} {answer}"
        async with asyncio.timeout(within_s):
            # By name: it is DELETE_COMPLETE by id a moment before the name is free.
            while (found := await self.request("GET", f"/stacks/{stack.name}"))[0] != 404:
                shown = found[1]["stack"]
                assert shown["stack_status"] != "DELETE_FAILED", shown["stack_status_reason"]
                await asyncio.sleep(0.05)
        self._made.remove(stack)

    async def show(self, stack: Stack) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.read(stack.path))["stack"]
        return shown

    async def wait(self, stack: Stack, *, within_s: float = 60) -> str:
        """The stack's status once nothing is in progress."""
        async with asyncio.timeout(within_s):
            while True:
                body = await self.read(stack.path, resolve_outputs="False")
                status: str = body["stack"]["stack_status"]
                if not status.endswith("_IN_PROGRESS"):
                    return status
                await asyncio.sleep(0.02)

    async def wait_for_resource(self, stack: Stack, name: str, status: str, *, within_s: float = 30) -> None:
        async with asyncio.timeout(within_s):
            while (await self.resource(stack, name))["resource_status"] != status:
                await asyncio.sleep(0.02)

    async def resources(self, stack: Stack, *, depth: int = 0) -> list[dict[str, Any]]:
        body = await self.read(f"{stack.path}/resources", nested_depth=depth)
        found: list[dict[str, Any]] = body["resources"]
        return found

    async def resource(self, stack: Stack, name: str, *attributes: str) -> dict[str, Any]:
        """One resource by its logical name, with the named attributes resolved."""
        query = {"with_attr": attributes} if attributes else {}
        shown: dict[str, Any] = (await self.read(f"{stack.path}/resources/{name}", **query))["resource"]
        return shown

    async def owner(self, stack: Stack, name: str, *, parent: str = "") -> Stack:
        """The nested stack with a resource of this logical name, itself the resource `parent` of another."""
        for found in await self.resources(stack, depth=5):
            if found["resource_name"] == name and found.get("parent_resource", "") == parent:
                link = next(link["href"] for link in found["links"] if link["rel"] == "stack")
                return Stack(*link.rsplit("/", 2)[1:])
        raise AssertionError(f"{stack.name} has no {parent}/{name}")

    async def events(self, stack: Stack) -> list[dict[str, Any]]:
        """All that happened in it and in what is nested in it, oldest first."""
        order = {"nested_depth": 5, "sort_keys": "created_at", "sort_dir": "asc"}
        found: list[dict[str, Any]] = (await self.read(f"{stack.path}/events", **order))["events"]
        return found

    async def mark(self, stack: Stack, key: str, *, reason: str = "", unhealthy: bool = True) -> int:
        """Mark a resource of this very stack, by logical name or physical id; the HTTP status."""
        body = {"mark_unhealthy": unhealthy, "resource_status_reason": reason}
        status, _ = await self.request("PATCH", f"{stack.path}/resources/{quote(key)}", json=body)
        return status

    async def update(self, stack: Stack, changes: Mapping[str, Any] | None = None) -> int:
        """Update with what is declared already (PATCH), parameters in `changes` apart; the HTTP status."""
        status, _ = await self.request("PATCH", stack.path, json=changes or {})
        return status
