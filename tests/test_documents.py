"""What a strict YAML document gives, and what each bad one is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from healer.documents import DocumentError, Problem, did_you_mean, parse, parse_all, read, read_all, spelled

if TYPE_CHECKING:
    from pathlib import Path


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(DocumentError) as caught:
        parse(text, "a.yaml")
    assert all(problem.file == "a.yaml" for problem in caught.value.problems)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_every_key_and_every_entry_knows_its_line() -> None:
    document = parse("a: 1\nb:\n  - x\n  - y:\n      z: [1, 2]\n", "a.yaml")
    assert document.data == {"a": 1, "b": ["x", {"y": {"z": [1, 2]}}]}
    assert document.line(()) == 1
    assert document.line(("b",)) == 2
    assert document.line(("b", 1)) == 4
    assert document.line(("b", 1, "y", "z")) == 5


def test_a_key_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    document = parse("a: 1\nb:\n  c: 2\n", "a.yaml")
    assert document.line(("b", "d", "e")) == 2
    assert document.line(("nowhere",)) == 1


def test_scalars_are_read_as_heat_reads_them() -> None:
    text = "a: 010\nb: yes\nc: 2013-05-23\nd: '1'\ne: ~\nf: 1.5\ng: |\n  two\n  lines\nh: !!str 5\ni: =\n"
    assert parse(text, "a.yaml").data == {
        "a": 8, "b": True, "c": "2013-05-23", "d": "1", "e": None, "f": 1.5, "g": "two\nlines\n", "h": "5",
        "i": "=",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_no_data(text: str) -> None:
    assert parse(text, "a.yaml").data is None


def test_a_key_that_stands_twice_is_told_with_both_lines() -> None:
    assert problems("a: 1\nb: 2\na: {c: 1, c: 2}\n") == [
        (3, "a", "stands here twice, first on line 1"),
        (3, "a.c", "stands here twice, first on line 3"),
    ]


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    started = time.perf_counter()
    found = problems("\n".join(lines))
    assert time.perf_counter() - started < 1
    assert (1, "a0", "anchors are not allowed: remove &a0") in found
    assert (2, "a1[0]", "aliases are not allowed: write out what *a0 stands for") in found


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("a: 1\non: 2\n", 2, "", "a key must be text: put 'on' in quotes"),
        ("a:\n  1: x\n", 2, "a", "a key must be text: put '1' in quotes"),
        ("? [a]\n: 1\n", 1, "", "a key must be plain text"),
        ("a: 1\n<<: {b: 1}\n", 2, "", "merge keys (<<) are not allowed: write out what is merged"),
        ("&x a: 1\n", 1, "", "anchors are not allowed: remove &x"),
        ("a: !!python/name:os.system x\n", 1, "a", "the tag python/name:os.system is not allowed"),
        ("a: !mine {b: 1}\n", 1, "a", "the tag !mine is not allowed"),
        ("a: !!binary aGk=\n", 1, "a", "the tag binary is not allowed"),
        ("a: 1:30\n", 1, "a", "YAML reads 1:30 as a number to the base of 60: put it in quotes"),
        ("a: !!int x\n", 1, "a", "is no int that can be read"),
        (f"a: {'9' * 5000}\n", 1, "a", "is no int that can be read"),
        ('a: "b\\0c"\n', 1, "a", "holds a NUL character"),
        ("a: 1\n---\nb: 2\n", 2, "", "a second document begins: one file holds one"),
        (f"a: {'[' * 60}{']' * 60}\n", 1, "a[0][0]", "is nested more than 50 levels deep"),
    ],
)
def test_what_is_not_plain_data_is_refused(text: str, line: int, key: str, message: str) -> None:
    assert (line, key, message) in problems(text)


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [\n", 3), ("a: 1\n\tb: 2\n", 2), ("a: b: c\n", 1)])
def test_what_is_no_yaml_is_told_with_its_line(text: str, line: int) -> None:
    ((found, _, message),) = problems(text)
    assert found == line
    assert message.startswith("is not YAML: ")


def test_a_character_that_yaml_forbids_is_told_with_its_line() -> None:
    ((line, _, message),) = problems("a: 1\nb: \x01\n")
    assert line == 2
    assert message.startswith("is not YAML: ")


def test_all_mistakes_of_a_file_are_told_at_once_top_to_bottom() -> None:
    assert [line for line, _, _ in problems("a: &x 1\nb: *x\nb: 2\n3: 4\n")] == [1, 2, 3, 4]


def test_what_could_be_read_of_a_bad_file_is_there_to_look_for_more_mistakes_in() -> None:
    with pytest.raises(DocumentError) as caught:
        parse("a: 1\na: 2\nb: 3\n", "a.yaml")
    assert [document.data for document in caught.value.documents] == [{"a": 1, "b": 3}]
    with pytest.raises(DocumentError) as caught:
        parse("a: [\n", "a.yaml")
    assert not caught.value.documents


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n")
    assert read(tmp_path / "a.yaml").data == {"a": "ä"}


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe4\n")
    (tmp_path / "big.yaml").write_text("a: 1\n" + "#" * 100)
    for name, expected in [
        ("nothing.yaml", "nothing.yaml: No such file or directory"),
        (".", ": Is a directory"),
        ("latin.yaml", "latin.yaml:2: is not UTF-8 text"),
        ("big.yaml", "big.yaml: is larger than 50 bytes"),
    ]:
        with pytest.raises(DocumentError) as caught:
            read(tmp_path / name, size_limit=50)
        assert str(caught.value).endswith(expected)


def test_a_problem_reads_like_a_compilers() -> None:
    assert str(Problem("a.yaml", 3, "b.c", "is wrong")) == "a.yaml:3: b.c: is wrong"
    assert str(Problem("a.yaml", 0, "", "is empty")) == "a.yaml: is empty"
    assert spelled(("detect", "probes", 0, "http")) == "detect.probes[0].http"


def test_a_misspelt_word_is_answered_with_the_nearest() -> None:
    assert did_you_mean("timout", ["timeout", "interval"]) == "did you mean 'timeout'?"
    assert did_you_mean("zzz", ["timeout", "interval"]) == "known are interval, timeout"
    assert did_you_mean("zzz", []) == "there is none"


def test_several_documents_of_one_file_each_know_their_lines() -> None:
    first, second = parse_all("a: 1\n---\nb:\n  c: 2\n", "a.yaml")
    assert (first.data, first.line(("a",))) == ({"a": 1}, 1)
    assert (second.data, second.line(("b", "c")), second.line(())) == ({"b": {"c": 2}}, 4, 3)
    assert parse_all("# nothing\n", "a.yaml") == ()


def test_the_mistakes_of_all_documents_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\na: 2\n---\nb: &x 1\n")
    with pytest.raises(DocumentError) as caught:
        read_all(file)
    assert [problem.line for problem in caught.value.problems] == [2, 4]
