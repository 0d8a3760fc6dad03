"""Real bodies of which something is wrong: what a sender, a proxy or an attacker may make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from healer.ports import Batch

_WORDS = [
    "firing",
    "resolved",
    "alarm",
    "ok",
    "2026-11-22T08:00:01Z",
    "0001-01-01T00:00:00+23:59",
    "\ud800",
    "\x00",
    "",
]

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(_WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = [b"1e999", b"-1e999", b"9" * 10_000, b"NaN", b"0." + b"1" * 10_000]


@st.composite
def trees(draw: st.DrawFn, bodies: Iterable[bytes]) -> bytes:
    """A few places hold something else, or nothing."""
    tree = json.loads(draw(st.sampled_from(sorted(bodies))))
    for _ in range(draw(st.integers(1, 4))):
        here: Any = tree
        while here:
            key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
            if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 4)):
                here = here[key]
                continue
            if draw(st.booleans()):
                here[key] = draw(JUNK)
            else:
                del here[key]
            break
    return json.dumps(tree).encode(errors="replace")


@st.composite
def texts(draw: st.DrawFn, bodies: Iterable[bytes]) -> bytes:
    """A few bytes are others, more, or fewer; it is cut, or nested too deep, or holds a number too large."""
    body = bytearray(draw(st.sampled_from(sorted(bodies))))
    deep = [b"[" * 5000, b'{"a":' * 5000, b"[" * 5000 + b"]" * 5000]
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\\", b'"', b"\\ud800", b"\\u", b"{", b"]", b",", b"\x00", *deep, *NUMBERS])
        )
    return bytes(body[: draw(st.none() | st.integers(0, len(body)))])


def holds(batch: Batch) -> None:
    """What is true of all that any sender's body became."""
    for each in batch.alarms:
        assert each.started_at.utcoffset() is not None
        assert each.key
        named = [getattr(each.selector, name) for name in each.selector.__slots__]
        said = [each.key, each.severity, *each.labels, *each.labels.values()]
        said += [*each.annotations, *each.annotations.values(), *(name for name in named if name)]
        assert all("\x00" not in text and text.encode() is not None for text in said)
    assert [each.index for each in batch.rejected] == sorted({each.index for each in batch.rejected})
