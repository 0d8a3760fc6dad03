"""Which labels of an alarm name its resource, and labels that every store can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from healer.core.model import Selector


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


LabelNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)]
"""One label, or several of which the first that an alarm has is taken; none at all where it must not be looked for."""


class Naming(BaseModel):
    """The more exact of what an alarm says counts: an id, then a stack with a name in it, then an address."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cloud: LabelNames = ("cloud",)
    stack: LabelNames = ("stack",)
    resource: LabelNames = ("resource",)
    physical_id: LabelNames = ("physical_id", "server_id", "instance_id", "resource_id")
    address: LabelNames = ("address", "ip", "hostname", "instance")
    """`host:port`, an IP address or a host name. Prometheus gives every alert about a target its `instance`."""
    host: LabelNames = ("hypervisor", "compute_host")
    """A compute host: everything that runs on it is meant, where an engine tells that; none does yet."""
    severity: LabelNames = ("severity", "priority")

    def selector(self, labels: Mapping[str, str]) -> Selector:
        said: list[str | None] = []
        for names in (self.cloud, self.stack, self.resource, self.physical_id, self.address, self.host):
            for name in names:  # `first`, at a third of its price: this is done for every alarm
                if value := labels.get(name):
                    said.append(value)
                    break
            else:
                said.append(None)
        return Selector(*said)

    def severity_of(self, labels: Mapping[str, str]) -> str:
        return first(labels, self.severity) or ""


def first(labels: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The first of them that is there and not empty."""
    for name in names:
        if value := labels.get(name):
            return value
    return None


def clean(labels: Mapping[str, str]) -> dict[str, str]:
    """As they are, but for what a text of theirs must not hold."""
    together = "".join(
        [*labels, *labels.values()]
    )  # one look at all of them, which hardly ever finds anything
    if together.isascii() and "\x00" not in together:
        return dict(labels)
    return {text(name): text(value) for name, value in labels.items()}


def text(value: str) -> str:
    """PostgreSQL takes no NUL in a text, and no store half of a surrogate pair."""
    if value.isascii():
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
