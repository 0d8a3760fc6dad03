"""OpenStack Heat: its stacks are read, and their resources marked and replaced, as the owner of them may."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, PrivateAttr

from healer.clouds.openstack import CloudError, OpenStack, objection
from healer.core.model import NOTHING, Incarnation, Resource, Root, Snapshot
from healer.core.step import Failure
from healer.durations import PositiveDuration
from healer.engines.heat.api import Api
from healer.engines.heat.declared import Declaration, Declarations, together
from healer.engines.heat.effects import ALWAYS_REPLACED, SERVER, names, placeholders
from healer.engines.heat.history import UNCHANGING, Turn, changed_to, operation, updates
from healer.engines.heat.listing import Listed, Listing, StackName, instant, status
from healer.plugins import Plugin
from healer.ports import EngineError, Operation, OperationState, Place

START = "start"
"""Position of a history of which nothing is left."""

_Attributes = tuple[str, Mapping[str, str]]


class Heat(Plugin):
    """Through openstacksdk's session, so that whatever it can log in to can be healed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cloud": "mine", "stacks": ["shop-*"]}]})

    cloud: str
    """Its name in clouds.yaml, where healer's credentials are: those of the owner of the stacks."""
    clouds_yaml: Path | None = None
    """None is where openstacksdk looks: `OS_CLIENT_CONFIG_FILE`, the working directory, `~/.config/openstack`,
    `/etc/openstack`."""
    stacks: tuple[str, ...] = ("*",)
    """Globs of the names of root stacks that are looked at; the others do not exist for healer."""
    request_timeout: PositiveDuration = timedelta(seconds=90)
    """How long one call may take. Heat itself says after a minute that its engine is silent: this should be more."""

    rebuildable: ClassVar[frozenset[str]] = frozenset({SERVER})
    poll: ClassVar[timedelta] = timedelta(seconds=1)

    _place: Place = PrivateAttr()
    _session: OpenStack = PrivateAttr()
    _api: Api = PrivateAttr()
    _declarations: Declarations = PrivateAttr()
    _attributes: dict[str, dict[str, _Attributes]] = PrivateAttr(default_factory=dict)
    """By id of the root and path: what the resource was when it was asked, and what it said."""

    def objections(self) -> Mapping[str, str]:
        found = objection(self.cloud, self.clouds_yaml)
        return {"cloud": found} if found else {}

    def bind(self, place: Place) -> None:
        self._place = place
        self._session = OpenStack(self.cloud, self.clouds_yaml, self.request_timeout)
        self._api = Api(self._session)
        self._declarations = Declarations(self._api)

    async def start(self) -> None:
        await self._api.reachable()

    async def close(self) -> None:
        await self._session.close()

    async def roots(self) -> tuple[Root, ...]:
        found = [
            Root(self._place.cloud, stack.get("project") or "", stack["id"], stack["stack_name"])
            for stack in await self._api.stacks()
            if status(stack["stack_status"])[0] != "DELETE"
            and any(fnmatchcase(stack["stack_name"], glob) for glob in self.stacks)
        ]
        for gone in self._attributes.keys() - {root.id for root in found}:
            del self._attributes[gone]
            self._declarations.forget(gone)
        return tuple(found)

    async def snapshot(self, root: Root) -> Snapshot:
        taken_at = self._place.clock.now()
        stack = await self._name(root)
        shown = await self._api.show(stack)
        listing = await self._api.listing(stack)
        declared = await self._declarations.read(listing)
        attributes = await self._values(listing, declared)
        action, state = status(shown["stack_status"])
        changed = changed_to(await self._turns(stack, START)) if action in UNCHANGING else None
        return Snapshot(
            root=root,
            taken_at=taken_at,
            action=action,
            state=state,
            resources={
                path: _resource(listed, declared, attributes.get(path, NOTHING))
                for path, listed in listing.resources.items()
            },
            references=declared.references,
            busy=listing.busy,
            tags=frozenset(shown["tags"] or ()),
            created_at=instant(shown["creation_time"]),
            updated_at=instant(shown["updated_time"]),
            rebuildable=self.rebuildable,
            changed_to=changed,
        )

    async def mark(self, root: Root, incarnation: Incarnation, reason: str) -> None:
        await self._tell(root, incarnation, reason, unhealthy=True)

    async def unmark(self, root: Root, incarnation: Incarnation) -> None:
        await self._tell(root, incarnation, "healer: the mark is taken back", unhealthy=False)

    async def preview(self, root: Root, stack: str) -> frozenset[str]:
        name = await self._name(root)
        if stack != name.id:
            found = (await self._api.listing(name)).stacks.get(stack)
            if found is None:
                raise EngineError(Failure.GONE, f"{root} has no nested stack {stack} any more")
            name = found
        return await self._api.preview(name)

    async def position(self, root: Root) -> str:
        newest = await self._api.turns(await self._name(root), newest=True)
        if newest and status(newest[0]["resource_status"])[0] == "DELETE":
            raise EngineError(Failure.GONE, f"stack {root} is {newest[0]['resource_status']}")
        return str(newest[0]["id"]) if newest else START

    async def converge(self, root: Root, own_since: str | None = None) -> None:
        stack = await self._name(root)
        begun = 0 if own_since is None else updates(await self._turns(stack, own_since))
        if begun == 0:
            _must_be_idle(root, await self._api.listing(stack))
        if begun < 2:
            await self._api.update(stack)

    async def operation(self, root: Root, since: str) -> Operation:
        stack = await self._name(root)
        turns = await self._turns(stack, since)
        if turns and turns[-1].action == "DELETE":
            raise EngineError(Failure.GONE, f"stack {root} is DELETE_{turns[-1].state}")
        found = operation(turns, rolls_back=False)
        if found.state is OperationState.FAILED:
            found = operation(turns, rolls_back=not (await self._api.show(stack))["disable_rollback"])
        if found.state is OperationState.IN_PROGRESS and not found.detail:
            return Operation(found.state, await self._api.doing(stack) or "the update has begun")
        return found

    async def wires(self, root: Root, paths: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Values of the properties that are filled from other resources, and of no others: some are secret.

        What Heat can no longer tell, as it clears old events away, is left out.
        """
        listing = await self._api.listing(await self._name(root))
        declared = await self._declarations.read(listing)
        wired: dict[str, set[str]] = {path: set() for path in paths if path in listing.resources}
        for reference in declared.references:
            if reference.source in wired:
                wired[reference.source].add(reference.property)

        async def read(path: str) -> Mapping[str, str]:
            listed = listing.resources[path]
            values = await self._api.properties(listed.stack, listed.name, listed.physical_id)
            return {name: _text(value) for name, value in values.items() if name in wired[path]}

        return await together([path for path, names in wired.items() if names - {""}], read)

    async def power(self, root: Root, incarnation: Incarnation) -> None:
        raise EngineError(Failure.REJECTED, f"{root}/{incarnation.name}: Heat cannot restart a resource")

    async def _name(self, root: Root) -> StackName:
        if root.name:
            return StackName(root.name, root.id)
        return StackName((await self._api.show(StackName("", root.id)))["stack_name"], root.id)

    async def _turns(self, stack: StackName, since: str) -> list[Turn]:
        events = await self._api.turns(stack, after="" if since == START else since)
        return [
            Turn(*status(event["resource_status"]), event["resource_status_reason"] or "") for event in events
        ]

    async def _tell(self, root: Root, incarnation: Incarnation, reason: str, *, unhealthy: bool) -> None:
        """Set a mark, or take it back: never while anything in the root is in progress, and of this very one."""
        stack = await self._name(root)
        listing = await self._api.listing(stack)
        _must_be_idle(root, listing)
        listed = listing.find(incarnation)
        if listed is None:
            raise _stale(root, incarnation)
        if listed.is_stack:
            raise EngineError(
                Failure.REJECTED, f"{root}/{listed.path} is a stack: Heat would replace all of it"
            )
        if not listing.names_one(listed):
            await self._tell_by_name(root, listed, reason, unhealthy=unhealthy)
            return
        try:
            await self._api.mark(listed.stack, listed.physical_id, reason, unhealthy=unhealthy)
        except CloudError as error:
            if error.kind == "PhysicalResourceIDAmbiguity":
                await self._tell_by_name(root, listed, reason, unhealthy=unhealthy)
                return
            raise _stale(root, incarnation) if error.kind == "ResourceNotFound" else error from error

    async def _tell_by_name(self, root: Root, listed: Listed, reason: str, *, unhealthy: bool) -> None:
        """Its id does not name it alone. Whatever has its name is told, and un-marked if it was another one."""
        await self._api.mark(listed.stack, listed.name, reason, unhealthy=unhealthy)
        now = (await self._api.listing(await self._name(root))).at(listed.stack.id, listed.name)
        if now is None or now.incarnation != listed.incarnation:
            if unhealthy and now is not None:
                await self._api.mark(listed.stack, listed.name, "healer: marked in error", unhealthy=False)
            raise _stale(root, listed.incarnation)

    async def _values(self, listing: Listing, declared: Declaration) -> Mapping[str, Mapping[str, str]]:
        """By path: what placeholders may need. Asked again only where something was done to the resource."""
        known = self._attributes.get(listing.root.id, {})
        wanted = {
            path: placeholders(listed.type, declared.schemas.get(listed.type))
            for path, listed in listing.resources.items()
            if listed.physical_id
        }
        versions = {path: repr(listing.resources[path]) for path, asked in wanted.items() if asked}
        kept = {
            path: known[path]
            for path, version in versions.items()
            if path in known and known[path][0] == version
        }

        async def ask(path: str) -> _Attributes:
            listed, asked = listing.resources[path], wanted[path]
            try:
                said = await self._api.attributes(listed.stack, listed.name, list(asked.values()))
            except CloudError as error:
                if error.failure is not Failure.GONE:
                    raise
                said = {}
            values = {
                name: _text(said[key]) for name, key in asked.items() if said.get(key) not in (None, "")
            }
            # Half an answer is what it gives while it is not ready: it is asked again next time.
            version = versions[path] if len(values) == len(asked) else ""
            return version, {**names(listed.type, said), **values}

        found = kept | await together(versions.keys() - kept.keys(), ask)
        self._attributes[listing.root.id] = found
        return {path: values for path, (_, values) in found.items()}


def _resource(listed: Listed, declared: Declaration, attributes: Mapping[str, str]) -> Resource:
    return Resource(
        path=listed.path,
        type=listed.type,
        incarnation=listed.incarnation,
        action=listed.action,
        state=listed.state,
        reason=listed.reason,
        requires=declared.requires.get(listed.path, ()),
        attributes=attributes,
        created_at=listed.created_at,
        is_stack=listed.is_stack,
        always_replaced=listed.type in ALWAYS_REPLACED,
    )


def _must_be_idle(root: Root, listing: Listing) -> None:
    if listing.busy:
        raise EngineError(Failure.BUSY, f"{root}: {', '.join(listing.busy)} in progress")


def _stale(root: Root, incarnation: Incarnation) -> EngineError:
    which = incarnation.physical_id or "what was never created"
    return EngineError(Failure.STALE, f"{root}: {incarnation.name} is not {which} any more")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
