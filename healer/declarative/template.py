"""One template, read into values: its parameters, resources and outputs, with the line of every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healer.declarative.expressions import Complain, Expression, GetParam, Reader, Use
from healer.declarative.resource_types import GROUP, Kind, coerce
from healer.documents import Document, KeyPath, Problem, did_you_mean

VERSIONS = (
    *("2013-05-23", "2014-10-16", "2015-04-30", "2015-10-15", "2016-04-08", "2016-10-14", "2017-02-24"),
    *("2017-09-01", "2018-03-02", "2018-08-31", "2021-04-16"),
    *("newton", "ocata", "pike", "queens", "rocky", "wallaby"),
)
PARAMETER_KINDS: Mapping[str, Kind] = {
    "string": Kind.STRING,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "json": Kind.MAP,
    "comma_delimited_list": Kind.LIST,
}
PSEUDO_PARAMETERS = ("OS::stack_id", "OS::stack_name", "OS::project_id")

_SECTIONS = ("heat_template_version", "description", "parameter_groups", "parameters", "resources", "outputs")
_OF_A_PARAMETER = ("type", "default", "description", "label", "hidden")
_OF_A_RESOURCE = ("type", "properties", "depends_on", "description", "metadata")
_OF_AN_OUTPUT = ("value", "description")
_OF_A_MEMBER = ("type", "properties", "metadata")


@dataclass(frozen=True, slots=True)
class Parameter:
    kind: Kind
    default: Any = None
    required: bool = True
    """It has no default."""

    def value(self, given: Any) -> Any:
        """The parameter's value; a list may be given as text with commas. Raises ValueError."""
        if given is None:
            given = self.default
        if self.kind is Kind.LIST and isinstance(given, str):
            return [item.strip() for item in given.split(",")] if given else []
        if self.kind is Kind.MAP and isinstance(given, list):
            return given  # what is called json may be either
        return coerce(given, self.kind)


@dataclass(frozen=True, slots=True)
class Definition:
    type: str
    properties: Mapping[str, Expression]
    after: tuple[str, ...] = ()
    """`depends_on`."""
    requires: tuple[str, ...] = ()
    """Names of all resources that must be there first, for whatever reason."""


@dataclass(frozen=True, slots=True)
class Template:
    parameters: Mapping[str, Parameter]
    resources: Mapping[str, Definition]
    outputs: Mapping[str, Expression]
    uses: tuple[Use, ...] = ()
    """Every place that reads a resource or a parameter."""


def parse(document: Document) -> tuple[Template, list[Problem]]:
    """Read one template by itself: its form, not yet whether what it names exists."""
    parsing = _Parsing(document)
    return parsing.template(), parsing.problems


class _Parsing:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._reader = Reader(self._complain)
        self.problems: list[Problem] = []

    def _complain(self, path: KeyPath, message: str) -> None:
        self.problems.append(self._document.problem(path, message))

    def template(self) -> Template:
        data = self._document.data
        if not isinstance(data, Mapping):
            self._complain(
                (), "is no template: expected heat_template_version, parameters, resources, outputs"
            )
            return Template({}, {}, {})
        self._known(data, _SECTIONS, ())
        version = str(data.get("heat_template_version"))
        if version not in VERSIONS:
            self._complain(
                ("heat_template_version",), f"must say a version of Heat's, such as {VERSIONS[-1]}"
            )
        parameters = {
            name: self._parameter(given, ("parameters", name))
            for name, given in self._section(data, "parameters").items()
        }
        resources = {
            name: self._resource(given, ("resources", name))
            for name, given in self._section(data, "resources").items()
        }
        outputs = {
            name: self._output(given, ("outputs", name))
            for name, given in self._section(data, "outputs").items()
        }
        return Template(parameters, resources, outputs, tuple(self._reader.uses))

    def _parameter(self, given: Any, path: KeyPath) -> Parameter:
        body = self._mapping(given, path, _OF_A_PARAMETER)
        kind = PARAMETER_KINDS.get(str(body.get("type")))
        if kind is None:
            said = did_you_mean(str(body.get("type")), PARAMETER_KINDS)
            self._complain((*path, "type"), f"must be a type of parameter: {said}")
            kind = Kind.ANY
        parameter = Parameter(kind, body.get("default"), body.get("default") is None)
        try:
            parameter.value(None)
        except ValueError as error:
            self._complain((*path, "default"), str(error))
        return parameter

    def _resource(self, given: Any, path: KeyPath) -> Definition:
        body = self._mapping(given, path, _OF_A_RESOURCE)
        kind = body.get("type")
        if not isinstance(kind, str):
            self._complain((*path, "type"), "must be the name of a resource type")
            kind = ""
        seen = len(self._reader.uses)
        properties = {
            name: self._reader.read(value, (*path, "properties", name))
            for name, value in self._section(body, "properties", path).items()
        }
        if kind == GROUP and isinstance(properties.get("resource_def"), Mapping):
            self._known(properties["resource_def"], _OF_A_MEMBER, (*path, "properties", "resource_def"))
        after = self._after(body.get("depends_on"), (*path, "depends_on"))
        read = [use.call.name for use in self._reader.uses[seen:] if not isinstance(use.call, GetParam)]
        return Definition(kind, properties, after, tuple(dict.fromkeys([*after, *read])))

    def _after(self, given: Any, path: KeyPath) -> tuple[str, ...]:
        match given:
            case None:
                return ()
            case str():
                return (given,)
            case list() if all(isinstance(name, str) for name in given):
                return tuple(given)
            case _:
                self._complain(path, "must be the name of a resource, or a list of names")
                return ()

    def _output(self, given: Any, path: KeyPath) -> Expression:
        body = self._mapping(given, path, _OF_AN_OUTPUT)
        if "value" not in body:
            self._complain(path, "has no value")
        return self._reader.read(body.get("value"), (*path, "value"))

    def _section(self, body: Mapping[str, Any], name: str, path: KeyPath = ()) -> Mapping[str, Any]:
        given = body.get(name)
        if given is None:
            return {}
        return self._mapping(given, (*path, name))

    def _mapping(self, given: Any, path: KeyPath, known: tuple[str, ...] = ()) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            self._complain(path, "must be a mapping of keys to values")
            return {}
        if known:
            self._known(given, known, path)
        return given

    def _known(self, body: Mapping[str, Any], known: tuple[str, ...], path: KeyPath) -> None:
        for key in body:
            if key not in known:
                self._complain((*path, key), f"unknown key: {did_you_mean(key, known)}")


def complaints(document: Document) -> tuple[list[Problem], Complain]:
    """A list, and what to call to have a mistake in this document appended to it."""
    problems: list[Problem] = []

    def complain(path: KeyPath, message: str) -> None:
        problems.append(document.problem(path, message))

    return problems, complain
