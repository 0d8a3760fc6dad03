"""What can be said of a request by its headers and its query, in which a stranger may have written anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from multidict import MultiMapping
from pydantic import AfterValidator

_WORD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_LONGEST_TIME = 11
"""Digits. So many seconds are more than three thousand years, and every one of them is a datetime or is refused."""


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("is no name; expected one word of letters, digits and '-'")
    return text


Word = Annotated[str, AfterValidator(_word)]
"""Name of a header, or of a scheme of `Authorization`."""


def only(values: Mapping[str, str], name: str) -> str | None:
    """The one value of this name. None where there is none, or more: then who reads next may take another one."""
    if isinstance(values, MultiMapping):
        found = values.getall(name, [])
        return found[0] if len(found) == 1 else None
    return values.get(name)


def raw(text: str) -> bytes:
    """As bytes, which can be compared in constant time; never raises, also where half a surrogate pair is in it."""
    return text.encode("utf-8", "surrogatepass")


def instant(text: str) -> datetime | None:
    """A time in seconds since 1970, in plain digits; None where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME):
        return None
    return datetime.fromtimestamp(int(text), UTC)
