"""Lines and tables fit the terminal, stay whole where there is none, and obey nothing that a sender put into them."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import pytest

from healer.paper import plain, say, table

HEAD = ("RESOURCE", "STATE", "WHY")
ROWS = [
    ("shop/db", "held", "upstream_failing: it requires api, which fails: that comes first"),
    ("shop/frontend", "open", "refused"),
]


Shown = Callable[..., list[str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a terminal of so many columns shows."""

    def on_terminal(columns: int, prints: Callable[..., None], *arguments: Any) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        with redirect_stdout(Terminal()) as screen:
            prints(*arguments)
        return screen.getvalue().splitlines()

    return on_terminal


def test_where_there_is_no_terminal_a_line_stays_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 100)
    table(HEAD, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2:] == [
        "shop/db        held   upstream_failing: it requires api, which fails: that comes first",
        "shop/frontend  open   refused",
    ]


def test_a_long_line_is_folded_and_what_follows_is_indented(shown: Shown) -> None:
    line = "evidence  refused: GET http://127.0.0.1:16845/ has been refused again and again"
    assert shown(60, say, line, 10) == [
        "evidence  refused: GET http://127.0.0.1:16845/ has been",
        "          refused again and again",
    ]


def test_the_last_cell_is_folded_beside_the_others(shown: Shown) -> None:
    assert shown(60, table, HEAD, ROWS) == [
        "RESOURCE       STATE  WHY",
        "shop/db        held   upstream_failing: it requires api,",
        "                      which fails: that comes first",
        "shop/frontend  open   refused",
    ]


def test_where_there_is_no_room_beside_the_others_it_is_put_below(shown: Shown) -> None:
    assert shown(44, table, HEAD, ROWS) == [
        "RESOURCE       STATE  WHY",
        "shop/db        held",
        "    upstream_failing: it requires api, which",
        "    fails: that comes first",
        "shop/frontend  open   refused",
    ]


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_no_line_is_wider_than_the_terminal(shown: Shown, columns: int) -> None:
    lines = shown(columns, table, HEAD, [(*row[:2], f"{row[2]} {'x' * 200} end") for row in ROWS])
    assert max(map(len, lines)) <= columns


def test_nothing_of_what_a_sender_says_is_obeyed() -> None:
    assert plain("a\x1b[2Jb\rc\nd\te\u202e") == "a\\x1b[2Jb c d e\\x202e"


def test_an_empty_line_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    say()
    assert capsys.readouterr().out == "\n"
