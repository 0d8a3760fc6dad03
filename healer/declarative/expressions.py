"""Values of a template that are worked out: the functions of the template language, read and evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from healer.documents import KeyPath, did_you_mean

Complain = Callable[[KeyPath, str], None]

Expression = Any
"""Plain data in which any part may be one of the functions below."""

FUNCTIONS = ("get_resource", "get_attr", "get_param", "str_replace", "list_join")
_NOT_HERE = {
    *("get_file", "str_split", "str_replace_strict", "str_replace_vstrict", "list_concat", "repeat", "yaql"),
    *("list_concat_unique", "map_merge", "map_replace", "digest", "resource_facade", "contains", "make_url"),
    *("if", "filter", "equals", "not", "and", "or", "Ref"),
}


@dataclass(frozen=True, slots=True)
class GetResource:
    name: str


@dataclass(frozen=True, slots=True)
class GetAttr:
    name: str
    keys: tuple[str | int, ...]
    """The attribute, and what to select within it."""


@dataclass(frozen=True, slots=True)
class GetParam:
    name: str
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class StrReplace:
    template: Expression
    params: Mapping[str, Expression]


@dataclass(frozen=True, slots=True)
class ListJoin:
    delimiter: str
    lists: tuple[Expression, ...]


Call = GetResource | GetAttr | GetParam


@dataclass(frozen=True, slots=True)
class Use:
    """One place of a template that reads a resource or a parameter."""

    path: KeyPath
    call: Call


class EvaluationError(Exception):
    """A value cannot be worked out from what there is."""


class Scope(Protocol):
    """Where the values come from. Each may raise EvaluationError."""

    def resource(self, name: str) -> str: ...

    def attribute(self, name: str, keys: tuple[str | int, ...]) -> Any: ...

    def parameter(self, name: str) -> Any: ...


class Reader:
    """Reads raw values of one template; `uses` are all the places that refer to something."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self.uses: list[Use] = []

    def read(self, raw: Any, path: KeyPath) -> Expression:
        if isinstance(raw, list):
            return [self.read(item, (*path, index)) for index, item in enumerate(raw)]
        if not isinstance(raw, Mapping):
            return raw
        if len(raw) == 1:
            ((name, argument),) = raw.items()
            if name in FUNCTIONS:
                return self._function(name, argument, (*path, name))
            if self._looks_like_a_function(name):
                self._complain(path, f"unknown function {name!r}: {did_you_mean(name, FUNCTIONS)}")
        for name in set(raw) & set(FUNCTIONS) if len(raw) > 1 else ():
            self._complain((*path, name), f"{name} stands beside other keys, where it is no function")
        return {key: self.read(value, (*path, key)) for key, value in raw.items()}

    @staticmethod
    def _looks_like_a_function(name: str) -> bool:
        return (
            name in _NOT_HERE or name.startswith("Fn::") or bool(get_close_matches(name, FUNCTIONS, 1, 0.8))
        )

    def _function(self, name: str, argument: Any, path: KeyPath) -> Expression:
        match name, argument:
            case "get_resource", str(resource):
                return self._used(GetResource(resource), path)
            case "get_param", str(parameter):
                return self._used(GetParam(parameter), path)
            case "get_param", [str(parameter), *keys] if _are_keys(keys):
                return self._used(GetParam(parameter, tuple(keys)), path)
            case "get_attr", [str(resource), str(attribute), *keys] if _are_keys(keys):
                return self._used(GetAttr(resource, (attribute, *keys)), path)
            case "str_replace", {"template": template, "params": Mapping() as params} if len(argument) == 2:
                if "" in params:
                    self._complain((*path, "params"), "nothing cannot be replaced: a name is empty")
                return StrReplace(
                    self.read(template, (*path, "template")),
                    {key: self.read(value, (*path, "params", key)) for key, value in params.items()},
                )
            case "list_join", [str(delimiter), first, *more]:
                lists = [self.read(each, (*path, index)) for index, each in enumerate([first, *more], 1)]
                return ListJoin(delimiter, tuple(lists))
            case _:
                self._complain(path, f"expected {_SHAPES[name]}")
                return None

    def _used(self, call: Call, path: KeyPath) -> Call:
        self.uses.append(Use(path, call))
        return call


_SHAPES = {
    "get_resource": "the name of a resource",
    "get_param": "the name of a parameter, or [parameter, key, …]",
    "get_attr": "[resource, attribute, key, …], the keys written out",
    "str_replace": "{template: text, params: {name: value, …}}",
    "list_join": "[delimiter, list, …]",
}


def _are_keys(keys: list[Any]) -> bool:
    return all(isinstance(key, str | int) and not isinstance(key, bool) for key in keys)


def is_worked_out(expression: Expression) -> bool:
    """Whether any part of it is a function."""
    if isinstance(expression, Mapping):
        return any(is_worked_out(value) for value in expression.values())
    if isinstance(expression, list):
        return any(is_worked_out(value) for value in expression)
    return isinstance(expression, Call | StrReplace | ListJoin)


def evaluate(expression: Expression, scope: Scope) -> Any:
    """The value as plain data. Raises EvaluationError where something that it needs is not there."""
    match expression:
        case GetResource(name):
            return scope.resource(name)
        case GetAttr(name, keys):
            return scope.attribute(name, keys)
        case GetParam(name, keys):
            return select(scope.parameter(name), keys)
        case StrReplace(template, params):
            return _replaced(
                _text(evaluate(template, scope)),
                {name: _text(evaluate(value, scope)) for name, value in params.items()},
            )
        case ListJoin(delimiter, lists):
            return delimiter.join(item for each in lists for item in _items(evaluate(each, scope)))
        case Mapping():
            return {key: evaluate(value, scope) for key, value in expression.items()}
        case list():
            return [evaluate(value, scope) for value in expression]
        case _:
            return expression


def select(value: Any, keys: tuple[str | int, ...]) -> Any:
    """What the keys lead to within a value; None where they lead nowhere, as in Heat."""
    for key in keys:
        match value:
            case Mapping():
                value = value.get(key, value.get(str(key)))
            case list() if isinstance(key, int) and -len(value) <= key < len(value):
                value = value[key]
            case _:
                return None
    return value


def _items(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise EvaluationError(f"list_join needs lists, and was given {_text(value)!r}")
    return [_text(item) for item in value]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | Mapping) else str(value)


def _replaced(template: str, params: Mapping[str, str]) -> str:
    if not params:
        return template
    longest_first = sorted(params, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: params[found[0]], template)
