"""Which metrics, labels and label values a PromQL expression names, and which of them the code does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from healer.telemetry.metrics import Metrics
from tests.metrics import VALUES

SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus itself puts on whatever it scrapes."""
OUTSIDE: Mapping[str, frozenset[str]] = {"up": frozenset()}
"""Metrics of Prometheus itself."""
WORDS = {
    f"{match[1]}": {match[2]: frozenset(map(str, values))}
    for names, values in VALUES.items()
    for match in [re.fullmatch(r"(\w+)\{(\w+)\}", name) for name in names.split(", ")]
    if match
}

GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\()(?![\w:])")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
OPERATORS = frozenset({"and", "or", "unless", "bool", "offset"})
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def known() -> dict[str, frozenset[str]]:
    """Every name that may stand in an expression, with its labels."""
    names: dict[str, frozenset[str]] = {name: labels | SCRAPED for name, labels in OUTSIDE.items()}
    for one in Metrics().described:
        labels = frozenset(one.labels) | SCRAPED
        if one.kind == "histogram":
            names[f"{one.name}_bucket"] = labels | {"le"}
            names |= {f"{one.name}_count": labels, f"{one.name}_sum": labels}
        else:
            names[one.name] = labels
    return names


def filled(expression: str) -> str:
    """The expression with a value for each variable of the dashboard."""
    return VARIABLE.sub(lambda found: "5m" if found[1].startswith("__") else ".*", expression)


def faults(expression: str, names: Mapping[str, frozenset[str]], shown: Iterable[str] = ()) -> Iterator[str]:
    """A sentence for all that the code does not have; `shown` are labels that a text takes from the result."""
    bare = filled(expression)
    grouped = {label.strip() for found in GROUPED.findall(bare) for label in found.split(",")} - {""}
    had: set[str] = set()
    for name, braces in SELECTOR.findall(re.sub(r"\[[^\]]*\]", "", GROUPED.sub(" ", bare))):
        if name in OPERATORS:
            continue
        if name not in names:
            yield f"{name} does not exist"
            continue
        had |= names[name]
        for label, operator, value in MATCHER.findall(braces):
            if label not in names[name]:
                yield f"{name} has no label {label}"
            words = WORDS.get(re.sub("_(bucket|sum|count)$", "", name), {}).get(label)
            wanted = value.split("|") if "~" in operator else [value]
            if words and value != ".*" and (odd := set(wanted) - words):
                yield f"{name}{{{label}}} is never {', '.join(sorted(odd))}"
    for label in sorted((grouped | set(shown)) - had):
        yield f"nothing in it has the label {label}"
