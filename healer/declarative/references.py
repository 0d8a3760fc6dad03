"""Who refers to whom in a tree of templates: through which property, across nested stacks and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from healer.core.model import NOTHING, Effect, Reference

WHOLE = "*"
"""The attribute of a reference that reads more of its target than can be told, so every change may matter."""

GROUPS: Mapping[str, str] = {
    "OS::Heat::ResourceGroup": "resource_def",
    "OS::Heat::AutoScalingGroup": "resource",
    "OS::Heat::ResourceChain": "resource_properties",
}
"""Types whose members are all made from one definition → the property that holds it."""

_OF_ALL_MEMBERS = {"attributes", "outputs", "outputs_list"}
_IDENTITIES = {"refs", "refs_map"}
_OF_THE_GROUP = {"current_size", "removed_rsrc_list", "show"}
_NOT_SIZE = {"resource_def", "resource", "resources", "resource_properties"}
_RESOURCE, _ATTRIBUTE, _PARAMETER = ("get_resource", "Ref"), ("get_attr", "Fn::GetAtt"), ("get_param", "Ref")

_FUNCTIONS = {
    *("get_resource", "get_attr", "get_param", "get_file", "if", "map_merge", "map_replace", "str_split"),
    *("repeat", "yaql", "filter", "contains", "make_url", "list_concat", "resource_facade", "str_replace"),
    *("Ref", "Fn::GetAtt", "Fn::Select", "Fn::If"),
}


@dataclass(frozen=True)
class Tree:
    """A template with the templates of the stacks that are nested in it."""

    template: Mapping[str, Any]
    """As the template language has it; of a group's own tree only names, types and `depends_on` of its
    members are read, for their properties are written in the group's definition."""
    children: Mapping[str, Tree]
    """By logical name of the nested stack or group; members of a group are `0`, `1`, …"""


EffectOf = Callable[[str, Mapping[str, Any], str], Effect]
"""(type, properties as the template has them, name of one of them) → what a new value of that one does."""

_Origin = tuple[str, str | None]


@dataclass(frozen=True)
class _Scope:
    """One stack of the tree, and where its parameters come from."""

    path: str
    tree: Tree
    group: bool = False
    outer: _Scope | None = None
    arguments: Mapping[str, Any] = NOTHING
    """Parameter → expression, written in `outer`; of a group, only what its members are made from."""

    def at(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def inside(self, name: str) -> _Scope | None:
        """The stack that this resource is, if it is one."""
        tree = self.tree.children.get(name)
        if tree is None:
            return None
        arguments, written = self.properties(name)
        made_from = GROUPS.get(str(_read(self.definition(name), "type")))
        if made_from is not None:
            arguments = {made_from: arguments.get(made_from)}
        return _Scope(self.at(name), tree, made_from is not None, written, arguments)

    def properties(self, name: str) -> tuple[Mapping[str, Any], _Scope]:
        """Its properties, and the stack in whose terms they are written."""
        definition = self.definition(name)
        if self.group and self.outer is not None:
            return _given(self.arguments, definition), self.outer
        return _section(definition, "properties"), self

    def definition(self, name: str) -> Mapping[str, Any]:
        found = _section(self.tree.template, "resources").get(name)
        return found if isinstance(found, Mapping) else NOTHING


@dataclass(frozen=True)
class _Place:
    """One resource, its properties, and the stack in whose terms they are written."""

    name: str
    owner: _Scope
    definition: Mapping[str, Any]
    properties: Mapping[str, Any]
    written: _Scope

    @property
    def path(self) -> str:
        return self.owner.at(self.name)

    def effect(self, effect: EffectOf, name: str) -> Effect:
        return effect(str(_read(self.definition, "type")), _section(self.definition, "properties"), name)


def references(tree: Tree, effect: EffectOf) -> tuple[Reference, ...]:
    """Every reference between two resources of the tree, direct, both named by path.

    A value that passes through parameters and outputs of nested stacks is one reference, from the property
    where it ends to the resource where it begins; both branches of a condition count. A nested stack is named
    only for what concerns it as a whole: `depends_on`, its own id, the size of a group.
    """
    found: dict[Reference, None] = {}
    for place in _places(_Scope("", tree)):
        for reference in _of(place, effect):
            found.setdefault(reference)
    return tuple(found)


def requires(tree: Tree) -> Mapping[str, tuple[str, ...]]:
    """Path → paths of what must be there first, for every resource of the tree: direct, and within one stack.

    What a nested stack requires must be there before all that is in it, and who requires it waits for all of it.
    """
    return {
        place.path: tuple(place.owner.at(name) for name in _neighbours(place))
        for place in _places(_Scope("", tree))
    }


def _places(scope: _Scope) -> Iterator[_Place]:
    for name in _names(scope.tree):
        properties, written = scope.properties(name)
        yield _Place(name, scope, scope.definition(name), properties, written)
        within = scope.inside(name)
        if within is not None:
            yield from _places(within)


def _of(place: _Place, effect: EffectOf) -> Iterator[Reference]:
    for name in _after(place.definition):
        if name in _names(place.owner.tree):
            yield Reference(place.path, "", place.owner.at(name), None, Effect.UNCHANGED)
    for target, attribute in _origins(_read(place.definition, "metadata"), place.owner):
        yield Reference(place.path, "metadata", target, attribute, Effect.UPDATED)
    within = place.owner.inside(place.name)
    for name, expression in place.properties.items():
        for target, attribute in _origins(expression, place.written):
            if within is None or (within.group and name not in _NOT_SIZE):
                yield Reference(place.path, name, target, attribute, place.effect(effect, name))
            elif not within.group and name not in _section(within.tree.template, "parameters"):
                # What this stack makes of the value cannot be told.
                for leaf in _leaves(within):
                    yield Reference(leaf, name, target, attribute, Effect.REPLACED)


def _origins(expression: Any, scope: _Scope) -> Iterator[_Origin]:
    """Where the value of an expression that is written in this stack comes from."""
    for function, name, keys in _calls(expression):
        known = name in _names(scope.tree)
        if known and function in _RESOURCE:
            yield from _identity(scope, name)
        elif known and function in _ATTRIBUTE:
            yield from _attribute(scope, name, keys)
        elif function in _PARAMETER and scope.outer is not None and name in scope.arguments:
            yield from _origins(scope.arguments[name], scope.outer)


def _calls(expression: Any) -> Iterator[tuple[str, str, list[Any]]]:
    """Every call of a function that reads something, at any depth: (function, name, further keys)."""
    if isinstance(expression, Mapping):
        for function, argument in expression.items():
            if function in (*_RESOURCE, *_ATTRIBUTE, *_PARAMETER):
                dotted = function == "Fn::GetAtt" and isinstance(argument, str)
                match argument.split(".") if dotted else argument:
                    case [str(name), *keys]:
                        yield function, name, keys
                    case str(name):
                        yield function, name, []
                    case _:
                        pass
            yield from _calls(argument)
    elif isinstance(expression, list):
        for each in expression:
            yield from _calls(each)


def _identity(scope: _Scope, name: str) -> Iterator[_Origin]:
    """What the id of a resource comes from; a nested stack may declare something within as its own id."""
    within = scope.inside(name)
    outputs = _section(within.tree.template, "outputs") if within is not None else NOTHING
    if within is not None and "OS::stack_id" in outputs:
        yield from _origins(_read(outputs["OS::stack_id"], "value"), within)
    else:
        yield scope.at(name), None


def _attribute(scope: _Scope, name: str, keys: list[Any]) -> Iterator[_Origin]:
    within = scope.inside(name)
    attribute = keys[0] if keys and isinstance(keys[0], str) else WHOLE
    if within is None:
        yield scope.at(name), attribute
    elif within.group:
        yield from _of_group(within, attribute, keys)
    elif attribute in (outputs := _section(within.tree.template, "outputs")):
        yield from _origins(_read(outputs[attribute], "value"), within)
    else:
        yield within.path, attribute
        if attribute != "show":
            for leaf in _leaves(within):
                yield leaf, WHOLE


def _of_group(group: _Scope, attribute: str, keys: list[Any]) -> Iterator[_Origin]:
    members = _names(group.tree)
    first, _, inner = attribute.partition(".")
    if first == "resource" and inner:
        member, _, key = inner.partition(".")
        read = [key.partition(".")[0], *keys[1:]] if key else keys[1:]
        if member in members:
            yield from _attribute(group, member, read) if read else _identity(group, member)
    elif attribute in _OF_THE_GROUP:
        yield group.path, attribute
    elif attribute in _IDENTITIES:
        for member in members:
            yield from _identity(group, member)
    else:
        for member in members:
            yield from _attribute(group, member, keys[1:] if attribute in _OF_ALL_MEMBERS else keys)


def _leaves(scope: _Scope) -> Iterator[str]:
    for place in _places(scope):
        if place.owner.inside(place.name) is None:
            yield place.path


def _neighbours(place: _Place) -> Iterator[str]:
    """Names in the same stack that the resource's own definition mentions."""
    names, written = _names(place.owner.tree), [_read(place.definition, "metadata")]
    if not place.owner.group:
        written.append(place.properties)
    mentioned = [name for function, name, _ in _calls(written) if function != "get_param"]
    after = _after(place.definition)
    return (name for name in dict.fromkeys(after + mentioned) if name in names and name != place.name)


def _given(arguments: Mapping[str, Any], definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a group's member as the group's definition has them."""
    (made_from,) = arguments.values()
    written = made_from
    if isinstance(made_from, Mapping) and "type" in made_from:
        written = made_from.get("properties") or NOTHING
    if isinstance(written, Mapping) and not (len(written) == 1 and set(written) & _FUNCTIONS):
        return written
    # The definition is itself computed: any part of it may end up in any property.
    return dict.fromkeys(_section(definition, "properties"), written)


def _names(tree: Tree) -> Mapping[str, Any]:
    return _section(tree.template, "resources")


def _after(definition: Mapping[str, Any]) -> list[str]:
    after = _read(definition, "depends_on") or []
    return [after] if isinstance(after, str) else [name for name in after if isinstance(name, str)]


def _section(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = _read(mapping, key)
    return found if isinstance(found, Mapping) else NOTHING


def _read(mapping: Any, key: str) -> Any:
    if not isinstance(mapping, Mapping):
        return None
    # The older template language of the same engine writes DependsOn for depends_on.
    return mapping[key] if key in mapping else mapping.get(key.title().replace("_", ""))
