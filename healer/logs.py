"""How log lines look: JSON for machines, text on a terminal."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog


def configure(level: str, form: Literal["auto", "json", "text"]) -> None:
    """One line for each event on standard output. Libraries' own logging is shown from warnings on."""
    terminal = sys.stdout.isatty()
    text = form == "text" or (form == "auto" and terminal)
    number = logging.getLevelNamesMapping()[level.upper()]
    out = cast("TextIO", _Patient(sys.stdout))
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if text:
        # Plain, whatever is installed: a traceback that shows local variables shows tokens.
        plain = structlog.dev.plain_traceback
        end: list[structlog.typing.Processor] = [
            _name_the_stack,
            structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain),
        ]
    else:
        end = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *end],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
        )
    )
    logging.basicConfig(level=max(logging.WARNING, number), handlers=[handler], force=True)


def _name_the_stack(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What structlog finds under `stack` it takes for a traceback; with us it is the name of one in a cloud."""
    if "stack" in line:
        line["stack_name"] = line.pop("stack")
    return line


class _Patient(io.TextIOBase):
    """A stream that never fails: a log that cannot be written, on a full disk, must not stop the healing."""

    def __init__(self, stream: TextIO) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a sender wrote need not be text
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
