"""Where the books of one stack lie: a file that is replaced as a whole, and is on the disk when that returns."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from healer.declarative.books import Book
from healer.engines.local import machine

SCHEMA = 1


class UnreadableBookError(Exception):
    """The books are there and cannot be understood; nothing may be made of them by guessing."""


@dataclass
class _Page:
    schema: int
    book: Book


@dataclass(frozen=True, slots=True)
class Shelf:
    folder: Path
    """Of this stack alone; what it is made of lies there as well."""

    @property
    def things(self) -> Path:
        return self.folder / "things"

    @property
    def _file(self) -> Path:
        return self.folder / "book.json"

    def read(self) -> Book | None:
        """None where there is no stack. Raises UnreadableBookError, or OSError."""
        text = machine.read_file(self._file)
        if text is None:
            return None
        try:
            page = msgspec.json.decode(text, type=_Page)
        except msgspec.DecodeError as error:
            raise UnreadableBookError(f"{self._file}: {error}") from error
        if page.schema != SCHEMA:
            says = f"is of schema {page.schema}, and this healer knows {SCHEMA}"
            raise UnreadableBookError(f"{self._file} {says}")
        return page.book

    def write(self, book: Book) -> None:
        machine.write_file(self._file, msgspec.json.encode(_Page(SCHEMA, book)).decode())
        directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # else a power cut could bring the older file back
        finally:
            os.close(directory)

    def clear(self) -> None:
        """Forget the stack, with all that lies in its folder."""
        shutil.rmtree(self.folder)
