"""Words that do not exist, daemons that are not there, rights that one does not have: each is said plainly."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.typist import NOBODY, Type
from tests.daemon.houses import Hasty

ASKING = (
    "status",
    "stacks",
    "incidents",
    "show X",
    "alarms",
    "heal S R",
    "pause --why W",
    "resume",
    "release X",
)
WORDS = (*(words.split()[0] for words in ASKING), "run", "demo", "check", "release-all")
WITH_JSON = (*ASKING, "check", "release-all")


def test_without_a_word_all_words_are_shown(types: Type) -> None:
    code, out, err = types()
    assert (code, out) == (2, "")
    assert sorted(re.findall(r"^    ([a-z-]+)", err, re.MULTILINE)) == sorted(WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_each_word_explains_itself(types: Type, word: str) -> None:
    code, out, _ = types(word, "--help")
    assert code == 0
    assert out.startswith(f"usage: healer {word}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("incident", "did you mean incidents?"), ("stats", "did you mean"), ("xyzzy", "there are: run, ")],
)
def test_a_misspelt_word_is_guessed(types: Type, typed: str, meant: str) -> None:
    code, out, err = types(typed)
    assert (code, out) == (2, "")
    assert err.startswith(f"healer: there is no word '{typed}'; ")
    assert meant in err


@pytest.mark.parametrize("words", ASKING)
def test_without_a_daemon_each_word_says_so(types: Type, tmp_path: Path, words: str) -> None:
    code, out, err = types(*words.split(), "--socket", str(tmp_path / "api.sock"))
    assert (code, out) == (1, "")
    assert err == (
        f"healer: no daemon answers at {tmp_path}/api.sock (No such file or directory); "
        "is it running? --socket or HEALER_SOCKET names another\n"
    )


@pytest.mark.parametrize("words", WITH_JSON)
def test_each_word_takes_json(types: Type, words: str) -> None:
    word, *_ = words.split()
    assert "--json" in types(word, "--help").out


@pytest.fixture
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Something that listens, and does not speak as healer does."""
    path = tmp_path_factory.mktemp("s") / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"+OK ready\r\n")

        thread = Thread(target=answer)
        thread.start()
        yield path
        thread.join()


def test_what_is_not_healer_is_not_taken_for_it(types: Type, impostor: Path) -> None:
    code, _, err = types("status", "--socket", str(impostor))
    assert code == 1
    assert f"what answers at {impostor} is not healer" in err


AS_SOMEBODY = """
import os, sys
import healer.cli.ask, healer.cli.show
from healer.cli import main
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
sys.exit(main(sys.argv[2:]))
"""
"""All is imported first: that user may not be able to read where Python is."""


def typed_by(uid: int, house: Hasty, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY, str(uid), *words],
        env={**os.environ, "HEALER_SOCKET": str(house.folder / "api.sock")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_may_do_what_the_configuration_says(house: Hasty) -> None:
    code, _, err = typed_by(NOBODY, house, "status")
    assert code == 1
    assert "may not open" in err
    house.folder.chmod(0o755)
    try:
        code, out, _ = typed_by(NOBODY, house, "stacks")
        assert (code, "here/shop" in out) == (0, True)
        code, _, err = typed_by(NOBODY, house, "pause", "--why", "x")
        assert (code, "api.operators" in err) == (1, True)
        code, out, err = typed_by(NOBODY - 1, house, "status")
        assert (code, out, "api.readers" in err) == (1, "", True)
    finally:
        house.folder.chmod(0o700)
    assert house.client.get("/v1/pauses") == {"pauses": []}


def test_a_reader_that_goes_away_is_no_traceback(house: Hasty) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "healer", "stacks", "--socket", house.folder / "api.sock"],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
