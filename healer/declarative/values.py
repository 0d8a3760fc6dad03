"""What the properties and outputs of a stack come to, out of what stands in the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healer.declarative.books import Book, Row, Stack
from healer.declarative.checking import MEMBER_LIMIT, parameters_as_properties
from healer.declarative.expressions import EvaluationError, Expression, evaluate, select
from healer.declarative.resource_types import GROUP, Property, Types, coerce, is_stack, is_template
from healer.declarative.template import Template, parse
from healer.documents import Document

Keys = tuple[str | int, ...]


class Values:
    """Works values out; holds nothing but templates that it has read before."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._read: dict[str, tuple[Mapping[str, Any], Template]] = {}

    def template(self, stack: Stack) -> Template:
        return self._parsed(stack.id, stack.template)

    def properties(self, book: Book, stack: Stack, name: str) -> dict[str, Any]:
        """The properties of one resource as it is to be, defaults included. Raises EvaluationError."""
        definition = self.template(stack).resources[name]
        rules = self._rules(book, definition.type)
        scope = StackScope(self, book, stack)
        values = {key: evaluate(given, scope) for key, given in definition.properties.items()}
        try:
            return {key: _settled(key, values.get(key), rule) for key, rule in rules.items()}
        except ValueError as error:
            raise EvaluationError(str(error)) from error

    def nested_template(self, book: Book, kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The template of the stack that a resource of this type is. Raises EvaluationError."""
        if kind != GROUP:
            return book.files[kind]
        count, made_from = int(properties["count"]), properties["resource_def"]
        if not 0 <= count <= MEMBER_LIMIT:
            raise EvaluationError(f"count must be between 0 and {MEMBER_LIMIT}, and is {count}")
        members = {str(index): _indexed(made_from, str(index)) for index in range(count)}
        return {"heat_template_version": "2015-04-30", "resources": members}

    def reference(self, book: Book, stack: Stack, row: Row) -> str:
        """What `get_resource` gives; a nested stack may declare something within as its own id."""
        child = stack.children.get(row.physical_id)
        if child is not None and "OS::stack_id" in self.template(child).outputs:
            return str(self.output(book, child, "OS::stack_id"))
        return row.physical_id or row.name

    def attribute(self, book: Book, stack: Stack, row: Row, keys: Keys) -> Any:
        """What `get_attr` gives for one row, of whatever type. Raises EvaluationError."""
        if not keys:
            return None
        if not is_stack(row.type):
            return select(row.attributes, keys)
        child = stack.children.get(row.physical_id)
        if child is None:
            return None
        first, _, inner = str(keys[0]).partition(".")
        if first == "resource" and inner:
            member, _, rest = inner.partition(".")
            return self._member(book, child, member, (*((rest,) if rest else ()), *keys[1:]))
        if row.type != GROUP:
            return select(self.output(book, child, str(keys[0])), keys[1:])
        match keys:
            case ("refs", *further):
                refs = [self._member(book, child, name, ()) for name in child.names()]
                return select(refs, tuple(further))
            case ("refs_map", *further):
                refs_map = {name: self._member(book, child, name, ()) for name in child.names()}
                return select(refs_map, tuple(further))
            case ("attributes", *further):
                return {name: self._member(book, child, name, tuple(further)) for name in child.names()}
            case _:
                return [self._member(book, child, name, keys) for name in child.names()]

    def output(self, book: Book, stack: Stack, name: str) -> Any:
        return self.evaluate(book, stack, self.template(stack).outputs.get(name))

    def evaluate(self, book: Book, stack: Stack, expression: Expression) -> Any:
        return evaluate(expression, StackScope(self, book, stack))

    def _member(self, book: Book, child: Stack, name: str, keys: Keys) -> Any:
        row = child.current(name)
        if row is None:
            raise EvaluationError(f"{child.name} has no resource {name!r}")
        return self.attribute(book, child, row, keys) if keys else self.reference(book, child, row)

    def _rules(self, book: Book, kind: str) -> Mapping[str, Property]:
        if is_template(kind):
            return parameters_as_properties(self._parsed(kind, book.files[kind]))
        return self._types[kind].properties

    def _parsed(self, key: str, data: Mapping[str, Any]) -> Template:
        known = self._read.get(key)
        if known is not None and known[0] is data:
            return known[1]
        template, problems = parse(Document(key, data))
        if problems:
            raise EvaluationError("; ".join(str(problem) for problem in problems))
        self._read[key] = (data, template)
        return template


@dataclass(frozen=True, slots=True)
class StackScope:
    """What the functions of one stack's template read."""

    values: Values
    book: Book
    stack: Stack

    def resource(self, name: str) -> str:
        return self.values.reference(self.book, self.stack, self._row(name))

    def attribute(self, name: str, keys: Keys) -> Any:
        return self.values.attribute(self.book, self.stack, self._row(name), keys)

    def parameter(self, name: str) -> Any:
        pseudo = {"OS::stack_id": self.stack.id, "OS::stack_name": self.stack.name, "OS::project_id": "local"}
        if name in pseudo:
            return pseudo[name]
        parameter = self.values.template(self.stack).parameters.get(name)
        if parameter is None:
            raise EvaluationError(f"{self.stack.name} has no parameter {name!r}")
        try:
            return parameter.value(self.stack.parameters.get(name))
        except ValueError as error:
            raise EvaluationError(f"parameter {name} {error}") from error

    def _row(self, name: str) -> Row:
        row = self.stack.current(name)
        if row is None:
            raise EvaluationError(f"{self.stack.name} has no resource {name!r}")
        return row


def _settled(name: str, value: Any, rule: Property) -> Any:
    try:
        settled = coerce(rule.default if value is None else value, rule.kind)
    except ValueError as error:
        raise ValueError(f"property {name} {error}") from error
    if settled is None and rule.required:
        raise ValueError(f"property {name} is required, and came to nothing")
    return settled


def _indexed(value: Any, index: str) -> Any:
    match value:
        case str():
            return value.replace("%index%", index)
        case Mapping():
            return {key: _indexed(item, index) for key, item in value.items()}
        case list():
            return [_indexed(item, index) for item in value]
        case _:
            return value
