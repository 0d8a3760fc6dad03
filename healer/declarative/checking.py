"""What can be told of a template before any of it exists: types, properties, references, cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from healer.declarative.expressions import Expression, GetAttr, GetParam, GetResource, is_worked_out
from healer.declarative.graph import cycle
from healer.declarative.resource_types import GROUP, Kind, Property, Types, coerce, is_template
from healer.declarative.template import PSEUDO_PARAMETERS, Definition, Template, complaints
from healer.documents import Document, KeyPath, Problem, did_you_mean

MEMBER_LIMIT = 1000
"""Members of one group; Heat's default for resources of one stack."""

_OF_A_GROUP = ("refs", "refs_map", "attributes")


def check_template(
    document: Document, template: Template, templates: Mapping[str, Template], types: Types, *, root: bool
) -> list[Problem]:
    """All mistakes of one template that need the types, and the templates that it nests, to be seen."""
    checking = _Checking(document, template, templates, types)
    if root:
        checking.root_parameters()
    checking.resources()
    checking.uses()
    checking.cycles()
    return checking.problems


class _Checking:
    def __init__(
        self, document: Document, template: Template, templates: Mapping[str, Template], types: Types
    ) -> None:
        self._template = template
        self._templates = templates
        self._types = types
        self.problems, self._complain = complaints(document)

    def root_parameters(self) -> None:
        for name, parameter in self._template.parameters.items():
            if parameter.required:
                self._complain(
                    ("parameters", name), "has no value: nobody gives it one, so it needs a default"
                )

    def resources(self) -> None:
        for name, definition in self._template.resources.items():
            path: KeyPath = ("resources", name)
            if "/" in name or not name:
                self._complain(path, "the name of a resource must not be empty, nor hold a slash")
            self._definition(definition, path)
            for need in definition.after:
                self._known("resource", need, self._template.resources, (*path, "depends_on"))

    def uses(self) -> None:
        for use in self._template.uses:
            match use.call:
                case GetParam(name):
                    known = (*self._template.parameters, *PSEUDO_PARAMETERS)
                    self._known("parameter", name, known, use.path)
                case GetResource(name):
                    self._known("resource", name, self._template.resources, use.path)
                case GetAttr(name, keys):
                    if self._known("resource", name, self._template.resources, use.path):
                        self._attribute(self._template.resources[name], name, keys, use.path)

    def cycles(self) -> None:
        needs = {name: definition.requires for name, definition in self._template.resources.items()}
        circle = cycle(needs)
        if circle:
            says = f"resources require each other in a circle: {' → '.join(circle)}"
            self._complain(("resources", circle[0]), says)

    def _definition(self, definition: Definition, path: KeyPath) -> None:
        kind = definition.type
        if is_template(kind):
            nested = self._templates.get(kind)
            if nested is not None:
                self._properties(definition.properties, parameters_as_properties(nested), path)
        elif kind and self._known("type", kind, self._types, (*path, "type")):
            self._properties(definition.properties, self._types[kind].properties, path)
            if kind == GROUP:
                self._group(definition.properties, (*path, "properties"))

    def _group(self, properties: Mapping[str, Expression], path: KeyPath) -> None:
        count = properties.get("count", 1)
        if isinstance(count, int) and not 0 <= count <= MEMBER_LIMIT:
            self._complain((*path, "count"), f"must be between 0 and {MEMBER_LIMIT}")
        match properties.get("resource_def"):
            case {"type": str(kind), **more}:
                given = more.get("properties") or {}
                if not isinstance(given, Mapping):
                    self._complain(
                        (*path, "resource_def", "properties"), "must be a mapping of keys to values"
                    )
                elif kind == GROUP:
                    self._complain((*path, "resource_def", "type"), "a group's members cannot be groups here")
                else:
                    self._definition(Definition(kind, given), (*path, "resource_def"))
            case None:
                pass
            case _:
                self._complain((*path, "resource_def"), "must be written out, with the type of the members")

    def _properties(
        self, given: Mapping[str, Expression], rules: Mapping[str, Property], path: KeyPath
    ) -> None:
        for name, expression in given.items():
            place = (*path, "properties", name)
            if self._known("property", name, rules, place) and not is_worked_out(expression):
                try:
                    coerce(expression, rules[name].kind)
                except ValueError as error:
                    self._complain(place, str(error))
        for name, rule in rules.items():
            if rule.required and given.get(name) is None:
                self._complain((*path, "properties", name) if name in given else path, f"{name} is required")

    def _attribute(self, definition: Definition, name: str, keys: tuple[Any, ...], path: KeyPath) -> None:
        attribute, further = str(keys[0]), keys[1:]
        kind = definition.type
        if kind == GROUP:
            self._group_attribute(definition, name, attribute, further, path)
        elif is_template(kind):
            nested = self._templates.get(kind)
            first, _, inner = attribute.partition(".")
            if nested is None:
                return
            if first != "resource" or not inner:
                self._known("output", attribute, nested.outputs, path, of=name)
                return
            member, _, rest = inner.partition(".")
            if self._known("resource", member, nested.resources, path, of=name):
                self._within(nested.resources[member], member, rest, further, path)
        elif kind in self._types:
            self._known("attribute", attribute, self._types[kind].attributes, path, of=name)

    def _group_attribute(
        self, definition: Definition, name: str, attribute: str, further: tuple[Any, ...], path: KeyPath
    ) -> None:
        match definition.properties.get("resource_def"):
            case {"type": str(kind)}:
                made_from = Definition(kind, {})
            case _:
                return
        first, _, inner = attribute.partition(".")
        if first == "resource" and inner:
            member, _, rest = inner.partition(".")
            self._within(made_from, f"{name}/{member}", rest, further, path)
        elif attribute == "attributes":
            if not further:
                self._complain(path, "attributes needs the name of an attribute of the members")
            else:
                self._attribute(made_from, f"members of {name}", further, path)
        elif attribute not in _OF_A_GROUP:
            self._attribute(made_from, f"members of {name}", (attribute, *further), path)

    def _within(
        self, definition: Definition, name: str, rest: str, further: tuple[Any, ...], path: KeyPath
    ) -> None:
        """What is read of one resource of a nested stack; its id, where no attribute is named."""
        keys = (rest, *further) if rest else further
        if keys:
            self._attribute(definition, name, keys, path)

    def _known(self, what: str, name: str, known: Iterable[str], path: KeyPath, of: str = "") -> bool:
        if name in known:
            return True
        whose = f" of {of}" if of else ""
        self._complain(path, f"unknown {what} {name!r}{whose}: {did_you_mean(name, known)}")
        return False


def parameters_as_properties(template: Template) -> Mapping[str, Property]:
    """The parameters of a nested template, as the properties that they are to whoever uses it as a type."""
    return {
        name: Property(
            Kind.ANY if parameter.kind in (Kind.LIST, Kind.MAP) else parameter.kind,
            required=parameter.required,
        )
        for name, parameter in template.parameters.items()
    }
