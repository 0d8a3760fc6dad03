"""Secrets of senders: read once, each from a file of its own, kept out of sight, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

LARGEST = 64 * 1024
"""Bytes of a file; more is no secret but the wrong file."""

Files = Annotated[tuple[Path, ...], Field(min_length=1, max_length=2)]
"""One file, or two while a secret is changed for another: what either holds is right."""


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 of a secret: enough to know it again, and nothing to send."""

    sha256: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Digest:
        return cls(hashlib.sha256(secret).digest())

    def matches(self, shown: bytes) -> bool:
        """Neither length nor content can be guessed from the time taken."""
        return hmac.compare_digest(hashlib.sha256(shown).digest(), self.sha256)


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that signs; it is needed as it is, and nothing shows it."""

    secret: bytes = field(repr=False)

    def signature(self, text: bytes) -> bytes:
        """HMAC-SHA256 in small hexadecimal digits."""
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest().encode()


def tokens(files: Iterable[Path]) -> tuple[Digest, ...]:
    """Of files that hold one word each; white space around it does not count. Raises ValueError."""
    return tuple(Digest.of(_token(file)) for file in files)


def keys(files: Iterable[Path], shortest: int = 1) -> tuple[Key, ...]:
    """Of files that hold a key of `shortest` bytes at least each, as `line` reads it. Raises ValueError."""
    found = tuple((file, line(file)) for file in files)
    for file, key in found:
        if len(key) < shortest:
            raise ValueError(f"{file} holds a key of {len(key)} bytes; expected {shortest} at least")
    return tuple(Key(key) for _, key in found)


def line(file: Path) -> bytes:
    """All of a file but the end of its line: a password may begin or end with a blank. Raises ValueError."""
    secret = _read(file).rstrip(b"\r\n")
    if not secret or b"\n" in secret or b"\0" in secret:
        raise ValueError(f"{file} holds no secret; expected one line")
    return secret


def any_matches(known: Iterable[Digest], shown: bytes) -> bool:
    """Whether it is one of them; the time taken may tell which one, and nothing of what it is."""
    return any(digest.matches(shown) for digest in known)


def any_signed(known: Iterable[Key], text: bytes, shown: Iterable[bytes]) -> bool:
    """Whether one of the signatures shown is that of one of the keys; they may be in capital letters."""
    expected = [key.signature(text) for key in known]
    return any(hmac.compare_digest(one.lower(), right) for one in shown for right in expected)


def _token(file: Path) -> bytes:
    token = _read(file).strip()
    if not token or any(not 0x21 <= byte <= 0x7E for byte in token):
        raise ValueError(f"{file} holds no token; expected one word of printable characters")
    return token


def _read(file: Path) -> bytes:
    """Its name is told where it cannot be read, and never what is in it."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or type(error).__name__}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{file} is too large to be a secret; expected {LARGEST} bytes at most")
    return content
