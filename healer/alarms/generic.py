"""Any sender of JSON: JMESPath expressions say where in a body its alarms stand, and what each of them says."""

from __future__ import annotations

from datetime import datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import jmespath
import msgspec
from jmespath.functions import Functions
from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, model_validator

from healer import documents
from healer.alarms import _bodies, _loose
from healer.alarms._naming import Naming
from healer.core.model import Alarm, Selector
from healer.durations import PositiveDuration
from healer.plugins import Plugin
from healer.ports import AlarmError, Batch, Delivery, Rejected

_MAPPINGS = Path(__file__).parent / "_mappings"
_KEY_LENGTH = 255
_UNREADABLE = (*_bodies.UNREADABLE, TypeError, AttributeError, KeyError)
"""JMESPath's own errors are ValueErrors, and its functions raise what Python's do."""


def _compiles(expression: str) -> str:
    """Names of functions and the number of what they take are looked at too: JMESPath would say that too late."""
    try:
        parsed = jmespath.compile(expression)
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from error
    _known(parsed.parsed)
    return expression


def _known(node: dict[str, Any]) -> None:
    if node["type"] == "function_expression":
        name = node["value"]
        if name not in Functions.FUNCTION_TABLE:
            hint = documents.did_you_mean(name, Functions.FUNCTION_TABLE)
            raise ValueError(f"JMESPath has no function {name}(); {hint}")
        takes = Functions.FUNCTION_TABLE[name]["signature"]
        more = bool(takes) and takes[-1].get("variadic", False)
        if len(node["children"]) < len(takes) or (len(node["children"]) > len(takes) and not more):
            raise ValueError(f"{name}() takes {len(takes)} arguments, not {len(node['children'])}")
    for child in node["children"]:
        if isinstance(child, dict):  # the numbers of a slice are not nodes
            _known(child)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name!r} on this machine") from error
    return name


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(_MAPPINGS.glob("*.yaml"))}


def _mapping(name: str) -> str:
    if name not in _shipped():
        raise ValueError(f"no mapping {name!r}; {documents.did_you_mean(name, _shipped())}")
    return name


Expression = Annotated[str, AfterValidator(_compiles)]
Words = tuple[Annotated[str, Field(min_length=1)], ...]


class Generic(Plugin):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "check", "status": "state", "started": "since", "labels": "@"}]
        }
    )

    paths: ClassVar[tuple[str, ...]] = ()

    mapping: Annotated[str, AfterValidator(_mapping)] | None = None
    """One of those that are shipped; what is written beside it goes before what that says."""
    alarms: Expression = "@"
    """Gives the list of alarms, or one alarm, from the body; all other expressions are about one of them."""
    id: Expression
    """Gives the sender's name for an alarm, the same when it is raised, repeated and cleared."""
    status: Expression
    """Gives a word that stands in `firing`, `cleared` or `unknown`. An alarm with another one is rejected."""
    started: Expression | None = None
    """Gives when it began: ISO 8601, or a number since 1970. None, or where it gives nothing: when it came."""
    labels: Expression | None = None
    """Gives an object, a list of tags or a text of them (`a=b c=d`)."""
    summary: Expression | None = None
    severity: Expression | None = None
    cloud: Expression | None = None
    stack: Expression | None = None
    resource: Expression | None = None
    physical_id: Expression | None = None
    address: Expression | None = None
    host: Expression | None = None
    """A compute host: everything that runs on it is meant, where an engine tells that; none does yet."""
    naming: Naming = Naming()
    """Which labels name the resource, where no expression does."""
    firing: Words = _loose.FIRING
    cleared: Words = _loose.CLEARED
    unknown: Words = _loose.UNKNOWN
    """What a status may be. Capitals or not is the same, and so are 1 and \"1\", true and \"true\"."""
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Time zone, such as Europe/Prague, of times that name none."""
    expires_after: PositiveDuration | None = None
    """How long a firing one counts that does not come again; None: until it is cleared."""
    max_alarms: Annotated[int, Field(ge=1)] = 10_000
    """In one request."""

    _compiled: dict[str, Any] = PrivateAttr(default_factory=dict)
    _tz: tzinfo = PrivateAttr()
    """Read from a file, and so before the first alarm comes."""

    @model_validator(mode="before")
    @classmethod
    def _over_what_is_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("mapping") is None:
            return data
        path = _shipped().get(str(data["mapping"]))
        # Of one that there is not only that is told, and not what is missing because of it.
        said = documents.read(path).data if path else {"id": "@", "status": "@"}
        return {**said, **data}

    @model_validator(mode="after")
    def _each_word_once(self) -> Generic:
        words = [word.casefold() for word in (*self.firing, *self.cleared, *self.unknown)]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(
                f"it cannot be told what {', '.join(twice)} means: a status stands in one list, once"
            )
        return self

    def model_post_init(self, context: Any, /) -> None:
        del context
        self._tz = ZoneInfo(self.zone)
        for name in (*_loose.SCOPE, "alarms", "id", "status", "started", "labels", "summary", "severity"):
            if (expression := getattr(self, name)) is not None:
                self._compiled[name] = jmespath.compile(expression)

    def parse(self, delivery: Delivery) -> Batch:
        body: Any = _bodies.decode(delivery.body, object, "a sender of JSON")
        try:
            found = self._compiled["alarms"].search(body)
            found = msgspec.json.decode(found) if isinstance(found, str) else found
        except _UNREADABLE as error:
            raise AlarmError(f"no alarms are found by {self.alarms!r}: {_bodies.reason(error)}") from error
        if not isinstance(found, dict | list):
            raise AlarmError(f"no alarms are found by {self.alarms!r}")
        items = found if isinstance(found, list) else [found]
        if len(items) > self.max_alarms:
            raise AlarmError(f"more than {self.max_alarms} alarms in one request")
        alarms: list[Alarm] = []
        rejected: list[Rejected] = []
        for index, item in enumerate(items):
            try:
                alarms.append(self._alarm(item, delivery))
            except _UNREADABLE as error:
                rejected.append(Rejected(index, _bodies.reason(error)))
        return Batch(tuple(alarms), tuple(rejected))

    def _alarm(self, item: Any, delivery: Delivery) -> Alarm:
        if not (key := self._word("id", item)) or len(key) > _KEY_LENGTH:
            raise ValueError(f"an id of 1 to {_KEY_LENGTH} letters is expected, not {key[:40]!r}")
        labels = {**_loose.labels(self._found("labels", item)), **_loose.scope(delivery.query)}
        by_label = self.naming.selector(labels)
        named = {name: self._word(name, item) or getattr(by_label, name) for name in _loose.SCOPE}
        summary = self._word("summary", item)
        return Alarm(
            source=delivery.source,
            key=key,
            status=_loose.status(self._word("status", item), self.firing, self.cleared, self.unknown),
            started_at=self._started_at(item, delivery.received_at),
            received_at=delivery.received_at,
            selector=Selector(**named),
            labels=labels,
            annotations={"summary": summary} if summary else {},
            severity=self._word("severity", item) or self.naming.severity_of(labels),
            expires_at=delivery.received_at + self.expires_after if self.expires_after else None,
        )

    def _started_at(self, item: Any, received_at: datetime) -> datetime:
        said = self._word("started", item)
        return _loose.moment(said, self._tz) if said else received_at

    def _word(self, name: str, item: Any) -> str:
        return _loose.word(self._found(name, item))

    def _found(self, name: str, item: Any) -> Any:
        return self._compiled[name].search(item) if name in self._compiled else None
