from __future__ import annotations

import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from healer.authentication.bearer import Bearer
from tests.authentication.senders import OTHER, SECRET, admitted, delivery


def bearer(folder: Path, *tokens: str, **more: Any) -> Bearer:
    files = [folder / str(index) for index, _ in enumerate(tokens)]
    for file, token in zip(files, tokens, strict=True):
        file.write_text(token)
    return Bearer.model_validate({"token_files": files, **more})


@pytest.fixture
def two(tmp_path: Path) -> Bearer:
    return bearer(tmp_path, f"{SECRET}\n", f"  {OTHER} \r\n")


@pytest.fixture
def spelt(tmp_path: Path) -> Bearer:
    return bearer(tmp_path, SECRET, scheme="GenieKey")


async def test_while_a_token_is_changed_both_are_taken(two: Bearer) -> None:
    assert await admitted(two, delivery({"Authorization": f"Bearer {SECRET}"}))
    assert await admitted(two, delivery({"Authorization": f"Bearer {OTHER}"}))
    assert not await admitted(two, delivery({"Authorization": f"Bearer {SECRET} {OTHER}"}))


@pytest.mark.parametrize("shown", [f"bearer {SECRET}", f"BEARER   {SECRET} "])
async def test_case_of_the_scheme_and_blanks_do_not_matter(two: Bearer, shown: str) -> None:
    assert await admitted(two, delivery({"Authorization": shown}))


@pytest.mark.parametrize(
    "shown", [SECRET, f"Basic {SECRET}", f" {SECRET}", f"Bearer:{SECRET}", f"Bearer\t{SECRET}"]
)
async def test_a_token_without_its_scheme_is_none(two: Bearer, shown: str) -> None:
    assert not await admitted(two, delivery({"Authorization": shown}))


async def test_a_sender_may_say_another_word(spelt: Bearer) -> None:
    assert await admitted(spelt, delivery({"Authorization": f"geniekey {SECRET}"}))
    assert not await admitted(spelt, delivery({"Authorization": f"Bearer {SECRET}"}))


@pytest.mark.parametrize("token", ["two words", "naïve", "bell\a"])
def test_what_no_header_can_carry_is_no_token(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValidationError, match="expected one word of printable characters"):
        bearer(tmp_path, token)


@pytest.mark.parametrize("count", [0, 3])
def test_there_is_one_file_or_two(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValidationError, match="token_files"):
        bearer(tmp_path, *[SECRET] * count)


def test_the_token_itself_is_not_kept(two: Bearer) -> None:
    kept = pickle.dumps(vars(two)) + pickle.dumps(two.__pydantic_private__)
    assert sha256(SECRET.encode()).digest() in kept
    assert SECRET.encode() not in kept
    assert "sha256" not in repr(two.__pydantic_private__)
