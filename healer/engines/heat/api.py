"""Heat's calls, as far as healing needs them; most of them openstacksdk does not have, or has wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from healer.clouds.openstack import Answer, CloudError, OpenStack
from healer.core.step import Failure
from healer.engines.heat.effects import Schema
from healer.engines.heat.listing import Listing, StackName, listing, status
from healer.ports import EngineError

DEPTH = 100
"""Deeper than any Heat nests; it takes its own limit (5, unless configured) where that is less."""
PAGE = 500
STACK_TYPE = "OS::Heat::Stack"
"""The type in events of a stack itself."""
BY_ID = "resource_type"
"""Sorted by a column that is the same in all that is asked for, events are in the order of their row numbers. By
time, in whole seconds of several engines' clocks, an older one may come last."""


class Api:
    """Every method raises EngineError: GONE where there is no such stack, or it is being deleted."""

    def __init__(self, cloud: OpenStack) -> None:
        self._cloud = cloud

    async def stacks(self) -> list[Mapping[str, Any]]:
        """Every root stack of the project, page by page."""
        found: list[Mapping[str, Any]] = []
        while True:
            after = {"marker": found[-1]["id"]} if found else {}
            page = await self._get("/stacks", "stacks", limit=PAGE, **after)
            found += page
            if len(page) < PAGE:
                return found

    async def reachable(self) -> None:
        await self._get("/stacks", "stacks", limit=1)

    async def show(self, stack: StackName) -> Mapping[str, Any]:
        shown: Mapping[str, Any] = await self._get(stack.path, "stack", resolve_outputs="False")
        # What is deleted is still shown for a while, with no resources in it.
        if status(shown["stack_status"])[0] == "DELETE":
            raise EngineError(Failure.GONE, f"stack {shown['stack_name']} is {shown['stack_status']}")
        return shown

    async def listing(self, stack: StackName) -> Listing:
        """All resources of a root and of what is nested in it, and which of those stacks are in progress."""
        entries = await self._get(f"{stack.path}/resources", "resources", nested_depth=DEPTH)
        if not entries:
            await self.show(stack)
        in_progress = await self._get("/stacks", "stacks", show_nested="True", status="IN_PROGRESS")
        return listing(stack, entries, in_progress)

    async def template(self, stack: StackName) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._get(f"{stack.path}/template")
        return found

    async def schema(self, kind: str) -> Schema | None:
        """Of a resource type; None where Heat has none, or cannot tell in this cloud."""
        try:
            found: Schema = await self._get(f"/resource_types/{quote(kind, safe=':')}")
        except CloudError as error:
            if error.failure in (Failure.GONE, Failure.REJECTED):
                return None
            raise
        return found

    async def attributes(self, stack: StackName, name: str, wanted: Sequence[str]) -> Mapping[str, Any]:
        path = f"{stack.path}/resources/{quote(name, safe='')}"
        found: Mapping[str, Any] = (await self._get(path, "resource", with_attr=list(wanted)))["attributes"]
        return found

    async def turns(
        self, root: StackName, *, after: str = "", newest: bool = False
    ) -> list[Mapping[str, Any]]:
        """Events of the root stack itself, oldest first, those after one of them; or the newest one alone.

        Old events are cleared away: then all that are left came after.
        """
        # A resource may have the name of its stack, and stacks may be resources: both together are the root.
        query: dict[str, Any] = {"resource_name": root.name, "resource_type": STACK_TYPE, "sort_keys": BY_ID}
        query |= {"sort_dir": "desc", "limit": 1} if newest else {"sort_dir": "asc"}
        query |= {"marker": after} if after else {}
        return [
            event for event in await self._events(root, query) if event["physical_resource_id"] == root.id
        ]

    async def newest_turn_at_any_depth(self, root: StackName) -> str:
        """Id of the last event of the root or of a stack nested in it: after another one, another declaration."""
        order = {"sort_keys": BY_ID, "sort_dir": "desc", "limit": 1}
        found = await self._events(root, {"nested_depth": DEPTH, "resource_type": STACK_TYPE, **order})
        return str(found[0]["id"]) if found else ""

    async def doing(self, root: StackName) -> str:
        """What the root's present action has done last to a resource at any depth, for a person; empty if nothing."""
        for event in await self._events(root, {"nested_depth": DEPTH, "limit": 10}):
            physical_id = event["physical_resource_id"] or "-"
            if physical_id == root.id:
                return ""  # What came before it is not of this action.
            if not any(
                link["rel"] == "stack" and link["href"].endswith(physical_id) for link in event["links"]
            ):
                return f"{event['resource_name']} {event['resource_status']}"
        return ""

    async def properties(self, stack: StackName, name: str, physical_id: str) -> Mapping[str, Any]:
        """The values that a resource was last completed with; empty where Heat no longer has the event."""
        path = f"{stack.path}/resources/{quote(name, safe='')}/events"
        try:
            events = await self._get(path, "events", sort_keys=BY_ID, sort_dir="desc")
        except CloudError as error:
            if error.failure is Failure.GONE:
                return {}
            raise
        for event in events:
            whole = event["resource_status"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "CHECK_COMPLETE")
            if whole and event["physical_resource_id"] == physical_id:
                shown = await self._get(f"{path}/{event['id']}", "event")
                return shown["resource_properties"] or {}
        return {}

    async def mark(self, stack: StackName, key: str, reason: str, *, unhealthy: bool) -> None:
        """By name or physical id, whichever Heat finds first."""
        path = f"{stack.path}/resources/{quote(key, safe='')}"
        body = {"mark_unhealthy": unhealthy, "resource_status_reason": reason}
        await self._cloud.request("orchestration", "PATCH", path, body=body)

    async def preview(self, stack: StackName) -> frozenset[str]:
        path = f"{stack.path}/preview"
        answer = await self._cloud.request("orchestration", "PATCH", path, body={})
        changes = _read(answer, path, "resource_changes")
        return frozenset(each["resource_name"] for each in changes["replaced"])

    async def update(self, stack: StackName) -> None:
        """With what is declared already. The answer (202) proves nothing: several at once all get it."""
        await self._cloud.request("orchestration", "PATCH", stack.path, body={})

    async def _events(self, stack: StackName, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = await self._get(f"{stack.path}/events", "events", **query)
        return found

    async def _get(self, path: str, key: str = "", **query: Any) -> Any:
        """What the answer holds under `key`, or all of it."""
        return _read(await self._cloud.request("orchestration", "GET", path, params=query), path, key)


def _read(answer: Answer, path: str, key: str) -> Any:
    if isinstance(answer.body, dict) and (not key or key in answer.body):
        return answer.body[key] if key else answer.body
    # Something stands before Heat and answers in its place: what is behind it cannot be told.
    raise EngineError(Failure.UNREACHABLE, f"{path}: the answer ({answer.status}) is not one of Heat's")
