from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[1]
BEGIN = """
import logging, structlog
from healer.logs import configure
log = structlog.get_logger("healer")
configure({level!r}, {form!r})
"""


def run(code: str, level: str = "info", form: str = "auto", out: IO[Any] | int = subprocess.PIPE) -> str:
    """In a process of its own: what is configured is so for the whole process."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(level=level, form=form) + code],
        stdout=out,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout or ""


def lines(code: str, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(code, **options).splitlines()]


def on_a_terminal(code: str, form: str = "auto") -> str:
    ours, its = pty.openpty()
    with os.fdopen(its, "w") as terminal:
        run(code, form=form, out=terminal)
        seen = os.read(ours, 65536).decode()
    os.close(ours)
    return seen


def test_where_there_is_no_terminal_each_event_is_one_line_of_json() -> None:
    (line,) = lines("log.info('incident.opened', target='shop/db', why='a\\nb', count=1)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "incident.opened",
        "level": "info",
        "target": "shop/db",
        "why": "a\nb",
        "count": 1,
    }


def test_on_a_terminal_it_is_text_for_a_person_unless_json_is_asked_for() -> None:
    said = "log.info('incident.opened', target='shop/db')"
    text = on_a_terminal(said)
    assert "incident.opened" in text
    assert "\x1b[" in text
    assert not text.startswith("{")
    assert json.loads(on_a_terminal(said, "json"))["target"] == "shop/db"


def test_text_can_be_asked_for_without_a_terminal_and_has_no_colours_then() -> None:
    text = run("log.info('incident.opened', target='shop/db')", form="text")
    assert "target=shop/db" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("form", ["json", "text"])
def test_text_that_no_encoding_can_write_is_spelt_out(form: str) -> None:
    """A sender's bytes must not end the daemon, nor lose the line that says what they did."""
    text = run("log.info('alarm.rejected', why='half \\ud800 a pair', more='\\x00\\x1b[2J')", form=form)
    assert "half \\ud800 a pair" in text
    assert "alarm.rejected" in text


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_a_sender_writes_makes_no_second_line(form: str) -> None:
    text = run("log.info('alarm.unmatched', detail='x\\nlevel=critical event=fake')", form=form)
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_error_is_shown_with_its_stack_and_without_the_values_of_variables(form: str) -> None:
    code = "try:\n  token = 'sesame'\n  {}['key']\nexcept KeyError:\n  log.exception('task.broke')"
    text = run(code, form=form)
    assert "KeyError" in text
    assert "Traceback" in text
    assert "'sesame'" not in text.replace("token = 'sesame'", "")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_what_is_at_least_at_the_level_is_shown(level: str, shown: list[str]) -> None:
    code = "for word in ('debug', 'info', 'warning', 'error'): getattr(log, word)('x')"
    assert [line["level"] for line in lines(code, level=level)] == shown


def test_what_libraries_log_is_in_the_same_form_from_warnings_on() -> None:
    code = (
        "library = logging.getLogger('aiohttp.server')\n"
        "library.debug('a'); library.info('b'); library.warning('c %s', 'd')\n"
        "try: 1 / 0\nexcept ZeroDivisionError: library.exception('e')"
    )
    warned, broke = lines(code, level="debug")
    assert (warned["event"], warned["level"], warned["logger"]) == ("c d", "warning", "aiohttp.server")
    assert (broke["event"], "ZeroDivisionError" in broke["exception"]) == ("e", True)
    assert [line["event"] for line in lines(code, level="error")] == ["e"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """The disk is full: that is when the daemon must go on, and say so once it can again."""
    with Path("/dev/full").open("w") as full:
        run(
            "for n in range(1000): log.info('x' * 99); logging.getLogger('y').error('z')\nimport os; os._exit(0)",
            out=full,
        )


def test_the_name_of_a_stack_is_no_traceback() -> None:
    (line,) = run("log.info('repair.ended', stack='shop', step='prove')", form="text").splitlines()
    assert "stack_name=shop" in line
    assert lines("log.info('repair.ended', stack='shop')")[0]["stack"] == "shop"
