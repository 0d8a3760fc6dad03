"""What every way of showing who one is keeps to: ports.Authentication, against the right one and all others."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, MultiDict
from pydantic import ValidationError

from healer import plugins
from healer.authentication.signed_url import SIGNATURE
from healer.ports import Delivery
from tests.authentication.senders import NOW, OTHER, RIGHT, SECRET, FakeKeystone, admitted, options
from tests.plugged import every, example, fits

WRONG = [
    "",
    " ",
    "x",
    OTHER,
    SECRET[:-1],
    SECRET + "x",
    SECRET.upper(),
    f"Bearer {OTHER}",
    f"Basic {OTHER}",
    "Basic ====",
    "Bearer",
    "Basic Og==",
    "0" * 64,
    "9" * 5000,
    "-1",
    "٣" * 64,
    "naïve \U0001f600",
    "\udcff\udcfe",
    "Bearer \ud800",
    "\x00\r\n",
    ",,,,",
]
"""Nobody is admitted for one of these, wherever it stands, and none of them is an error."""


SECRETIVE = [
    name
    for name in plugins.names("authentication")
    if any(option.endswith(("_file", "_files")) for option in example("authentication", name))
]


@pytest.fixture
async def keystone() -> AsyncIterator[FakeKeystone]:
    running = FakeKeystone()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def plugin(name: str, tmp_path: Path, keystone: FakeKeystone) -> AsyncIterator[Any]:
    def build() -> Any:
        given = options(name, tmp_path)
        if name == "keystone":
            (tmp_path / "clouds.yaml").write_text(keystone.clouds_yaml())
            given["clouds_yaml"] = str(tmp_path / "clouds.yaml")
        return plugins.find("authentication", name).model_validate(given)

    built = await asyncio.to_thread(build)
    yield built
    if hasattr(built, "close"):
        await built.close()


@pytest.fixture
def right(name: str, plugin: Any) -> Delivery:
    assert name in RIGHT, f"tests/authentication/senders.py does not say what {name} admits"
    return RIGHT[name](plugin)


def without(came: Delivery, place: str) -> Delivery:
    headers, query = CIMultiDict(came.headers), MultiDict(came.query)
    headers.pop(place, None)
    query.pop(place, None)
    return replace(came, headers=headers, query=query)


def instead(came: Delivery, place: str, shown: str) -> Delivery:
    """With something else there."""
    less = without(came, place)
    if place in came.headers:
        return replace(less, headers=CIMultiDict([*less.headers.items(), (place, shown)]))
    return replace(less, query=MultiDict([*less.query.items(), (place, shown)]))


def places(came: Delivery) -> list[str]:
    """Where the sender shows something."""
    return [*came.headers, *(name for name in came.query if name == SIGNATURE)]


@every("authentication")
def test_it_fits_its_socket(plugin: Any) -> None:
    fits(plugin, "admits")
    assert inspect.iscoroutinefunction(plugin.admits)
    assert isinstance(type(plugin).needs_body, bool)


@every("authentication")
async def test_the_right_one_is_admitted_again_and_again(plugin: Any, right: Delivery) -> None:
    assert places(right)
    for _ in range(3):
        assert await admitted(plugin, right)


@every("authentication")
async def test_letter_case_of_a_header_does_not_matter(plugin: Any, right: Delivery) -> None:
    for spelt in (str.upper, str.lower):
        headers = CIMultiDict({spelt(name): value for name, value in right.headers.items()})
        assert await admitted(plugin, replace(right, headers=headers))


@every("authentication")
async def test_who_shows_nothing_is_refused(plugin: Any, right: Delivery) -> None:
    assert not await admitted(plugin, Delivery("ours", right.body, NOW))
    for place in places(right):
        assert not await admitted(plugin, without(right, place)), place


@every("authentication")
@pytest.mark.parametrize("shown", WRONG, ids=ascii)
async def test_who_shows_something_else_is_refused(plugin: Any, right: Delivery, shown: str) -> None:
    for place in places(right):
        assert not await admitted(plugin, instead(right, place, shown)), place


@every("authentication")
async def test_who_shows_two_things_is_refused(plugin: Any, right: Delivery) -> None:
    """A proxy may look at one and healer at the other."""
    for place in places(right):
        for pair in ((0, 1), (1, 0)):
            both = [(right.headers.get(place) or right.query[place]), OTHER]
            shown = [(place, both[which]) for which in pair]
            less = without(right, place)
            came = (
                replace(less, headers=CIMultiDict([*less.headers.items(), *shown]))
                if place in right.headers
                else replace(less, query=MultiDict([*less.query.items(), *shown]))
            )
            assert not await admitted(plugin, came), place


@every("authentication")
async def test_nothing_shows_the_secret(plugin: Any, right: Delivery) -> None:
    await admitted(plugin, right)
    shown = [repr(plugin), str(plugin), plugin.model_dump_json(), repr(plugin.model_dump())]
    shown += [repr(vars(plugin)), repr(plugin.__pydantic_private__)]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("name", SECRETIVE)
def test_without_its_secret_it_is_not_built_and_says_which_file(name: str, tmp_path: Path) -> None:
    given, file, kind = options(name, tmp_path), tmp_path / "secret", plugins.find("authentication", name)
    kind.model_validate(given)
    for content in (None, "", "\n", f"{SECRET}\n{OTHER}", f"{SECRET}\0{OTHER}", SECRET * 5000):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        with pytest.raises(ValidationError, match=str(file)) as caught:
            kind.model_validate(given)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
