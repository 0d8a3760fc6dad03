"""YAML files as plain data that still knows on which line every key stands; strict, for what people write."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from healer.ports import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys of mappings and positions in lists, outermost first."""

SIZE_LIMIT = 1 << 20
"""Bytes. A thousand policies are half of it; what is larger is not written by hand."""

DEPTH_LIMIT = 50
"""Levels. Heat's own templates stay below twenty."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + kind for kind in ("null", "bool", "int", "float")}
_TEXT_TAGS = {
    _TAG + "str",
    _TAG + "timestamp",
    _TAG + "value",
}  # Heat, too, leaves a date the text that it is

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may have been built without its C half


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file, for the person who wrote it."""

    file: str
    line: int
    """Counted from 1; 0 where it is about the file as a whole."""
    key: str
    """The key as a person would write it, `resources.db.properties.command[0]`; empty at the top level."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class DocumentError(ConfigError):
    """The file cannot be used; `problems` are all the mistakes that were found in it, top to bottom."""

    def __init__(self, problems: Iterable[Problem], documents: Iterable[Document] = ()) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line)))
        self.documents = tuple(documents)
        """What could be read nevertheless: to look for further mistakes in, and for nothing else."""
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its data (None where it is empty), and where each part of that stands."""

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict, repr=False)

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of a list's entry; for a path that is not there, of the nearest around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: KeyPath, message: str) -> Problem:
        return Problem(self.file, self.line(path), spelled(path), message)


def read(path: str | PathLike[str], size_limit: int = SIZE_LIMIT) -> Document:
    """Read one YAML file. Raises DocumentError with every mistake in it, or with why it cannot be read."""
    file = fspath(path)
    return parse(_text(path, file, size_limit), file)


def read_all(path: str | PathLike[str], size_limit: int = SIZE_LIMIT) -> tuple[Document, ...]:
    """Read a YAML file of several documents, `---` between them; an empty file is none. Raises as `read` does."""
    file = fspath(path)
    return parse_all(_text(path, file, size_limit), file)


def _text(path: str | PathLike[str], file: str, size_limit: int) -> str:
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(size_limit + 1)
    except OSError as error:
        raise DocumentError([Problem(file, 0, "", error.strerror or str(error))]) from error
    if len(raw) > size_limit:
        raise DocumentError([Problem(file, 0, "", f"is larger than {size_limit} bytes")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DocumentError([Problem(file, line, "", "is not UTF-8 text")]) from error


def parse(text: str, file: str) -> Document:
    """Read YAML that is at hand already; `file` is what its mistakes are reported under."""
    reading = _Reading(text, file, most=1)
    documents = reading.documents()
    if reading.problems:
        raise DocumentError(reading.problems, documents)
    return documents[0] if documents else Document(file, None)


def parse_all(text: str, file: str) -> tuple[Document, ...]:
    """As `parse`, for several documents in one text."""
    reading = _Reading(text, file)
    documents = reading.documents()
    if reading.problems:
        raise DocumentError(reading.problems, documents)
    return tuple(documents)


def spelled(path: KeyPath) -> str:
    """The path as a person would write it: `detect.probes[0].http`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to say after "unknown …": the nearest known word, else all of them."""
    words = sorted(known)
    close = get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(words)}" if words else "there is none"


class _TooDeepError(Exception):
    pass


class _Reading:
    """One pass over the parser's events: aliases are seen here, before anything could multiply them."""

    def __init__(self, text: str, file: str, most: int | None = None) -> None:
        self._file = file
        self._most = most
        self._text = text
        self._loader: Any = None
        self.problems: list[Problem] = []
        self.lines: dict[KeyPath, int] = {}

    def documents(self) -> list[Document]:
        found: list[Document] = []
        try:
            self._loader = _Loader(self._text)
            self._loader.get_event()  # the stream starts
            while not self._loader.check_event(yaml.StreamEndEvent):
                event = self._loader.get_event()  # a document starts
                if len(found) == self._most:
                    line = event.start_mark.line + 1
                    self._complain((), line, "a second document begins: one file holds one")
                    break
                self.lines = {}
                found.append(Document(self._file, self._node(()), self.lines))
                self._loader.get_event()  # it ends
        except _TooDeepError:
            pass  # It was complained of where it was found; what follows cannot be told apart any more.
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._complain((), mark.line + 1 if mark else 0, f"is not YAML: {error.problem or error.context}")
        except yaml.reader.ReaderError as error:
            line = self._text[: error.position].count("\n") + 1
            self._complain((), line, f"is not YAML: {error.reason}")
        finally:
            if self._loader is not None:
                self._loader.dispose()
        return found

    def _complain(self, path: KeyPath, line: int, message: str) -> None:
        self.problems.append(Problem(self._file, line, spelled(path), message))

    def _node(self, path: KeyPath) -> Any:
        event = self._loader.get_event()
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        if isinstance(event, yaml.AliasEvent):
            self._complain(path, line, f"aliases are not allowed: write out what *{event.anchor} stands for")
            return None
        if event.anchor is not None:
            self._complain(path, line, f"anchors are not allowed: remove &{event.anchor}")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path, line)
        if len(path) >= DEPTH_LIMIT:
            self._complain(path[:3], line, f"is nested more than {DEPTH_LIMIT} levels deep")
            raise _TooDeepError
        if event.tag not in (None, "!", _TAG + "seq", _TAG + "map"):
            self._complain(path, line, f"the tag {event.tag} is not allowed")
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)

    def _list(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._node((*path, len(items))))
        self._loader.get_event()
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            key, line = self._key(path)
            here = (*path, key)
            if key in pairs:
                self._complain(here, line, f"stands here twice, first on line {self.lines[here]}")
                self._node(here)
            else:
                self.lines[here] = line
                pairs[key] = self._node(here)
        self._loader.get_event()
        return pairs

    def _key(self, path: KeyPath) -> tuple[str, int]:
        event = self._loader.peek_event()
        line: int = event.start_mark.line + 1
        if not isinstance(event, yaml.ScalarEvent):
            self._complain(path, line, "a key must be plain text")
            self._node((*path, "?"))
            return f"? on line {line}", line
        self._loader.get_event()
        if event.anchor is not None:
            self._complain(path, line, f"anchors are not allowed: remove &{event.anchor}")
        tag = self._tag_of(event)
        if tag == _TAG + "merge":
            self._complain(path, line, "merge keys (<<) are not allowed: write out what is merged")
        elif tag not in _TEXT_TAGS:
            self._complain(path, line, f"a key must be text: put {event.value!r} in quotes")
        return str(event.value), line

    def _tag_of(self, event: Any) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _scalar(self, event: Any, path: KeyPath, line: int) -> Any:
        tag = self._tag_of(event)
        if "\0" in event.value:
            self._complain(path, line, "holds a NUL character")
        if tag in _TEXT_TAGS:
            return event.value
        if tag not in _PLAIN_TAGS:
            self._complain(path, line, f"the tag {tag.removeprefix(_TAG)} is not allowed")
            return None
        if tag != _TAG + "bool" and ":" in event.value:
            self._complain(
                path, line, f"YAML reads {event.value} as a number to the base of 60: put it in quotes"
            )
            return None
        try:
            return self._loader.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, LookupError, yaml.YAMLError):
            self._complain(path, line, f"is no {tag.removeprefix(_TAG)} that can be read")
            return None
