from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from healer.authentication.header import Header
from tests.authentication.senders import OTHER, SECRET, admitted, delivery


def header(folder: Path, name: str = "X-API-Key") -> Header:
    for file, token in (("old", SECRET), ("new", OTHER)):
        (folder / file).write_text(token)
    return Header.model_validate({"name": name, "token_files": [folder / "old", folder / "new"]})


@pytest.fixture
def keyed(tmp_path: Path) -> Header:
    return header(tmp_path)


async def test_while_a_token_is_changed_both_are_taken(keyed: Header) -> None:
    assert await admitted(keyed, delivery({"x-api-key": SECRET}))
    assert await admitted(keyed, delivery({"X-API-KEY": f" {OTHER} "}))


async def test_the_token_in_another_header_is_none(keyed: Header) -> None:
    assert not await admitted(keyed, delivery({"X-API-Keys": SECRET, "Authorization": f"Bearer {SECRET}"}))


@pytest.mark.parametrize("name", ["", "X API", "X-API:", "naïve", "X\r\nY", "x" * 101])
def test_what_is_no_name_of_a_header_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError, match="is no name"):
        header(tmp_path, name)
