from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from healer.authentication.basic import Basic
from tests.authentication.senders import admitted, delivery


def basic(folder: Path, password: str, user: str = "aodh") -> Basic:
    (folder / "password").write_text(password, encoding="utf-8", newline="")
    return Basic.model_validate({"user": user, "password_file": folder / "password"})


@pytest.fixture
def odd(tmp_path: Path) -> Basic:
    return basic(tmp_path, " pass:wörd \r\n")


def shown(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def test_a_password_may_hold_blanks_colons_and_other_letters(odd: Basic) -> None:
    assert await admitted(odd, delivery(shown("aodh", " pass:wörd ")))
    assert not await admitted(odd, delivery(shown("aodh", "pass:wörd")))


async def test_the_user_must_be_the_right_one_too(odd: Basic) -> None:
    for user in ("", "Aodh", "aodh ", "zaqar"):
        assert not await admitted(odd, delivery(shown(user, " pass:wörd ")))


async def test_what_parts_the_user_from_the_password_cannot_be_moved(odd: Basic) -> None:
    packed = b64encode(b"aodh: pass" + "wörd ".encode()).decode()
    assert not await admitted(odd, delivery({"Authorization": f"Basic {packed}"}))


@pytest.mark.parametrize("scheme", ["Bearer", "", "Digest"])
async def test_another_scheme_is_refused(odd: Basic, scheme: str) -> None:
    packed = shown("aodh", " pass:wörd ")["Authorization"].removeprefix("Basic ")
    assert not await admitted(odd, delivery({"Authorization": f"{scheme} {packed}"}))


@pytest.mark.parametrize("packed", ["!", "YW9k*Zg==", "YW9kaA", "ä", "====", "\udcff", "YW9k\nZg=="])
async def test_what_is_not_packed_rightly_is_refused(odd: Basic, packed: str) -> None:
    assert not await admitted(odd, delivery({"Authorization": f"Basic {packed}"}))


@pytest.mark.parametrize("user", ["", "a:b", "a\nb"])
def test_a_user_that_cannot_be_sent_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a user"):
        basic(tmp_path, "secret", user)
