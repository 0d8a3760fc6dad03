"""`healer show` tells the whole story of one incident."""

from __future__ import annotations

import json
import re

import pytest

from healer.demo.house import pid_of
from tests.cli.typist import Type, healing
from tests.daemon.houses import Hasty, kill, until


def test_a_heal_is_told_from_what_was_seen_to_what_came_of_it(types: Type, house: Hasty) -> None:
    before = house.resources()
    with healing(house, "db") as healed:
        kill(before["db"])
    (identity,) = healed
    after = until(house.healthy, "all to be healthy")
    code, out, _ = types("show", "shop/db")
    assert code == 0
    facts, story = out.split("\n\n")
    assert facts.splitlines()[0] == "shop/db on here: healed"
    told = {line[:10].strip(): line[10:] for line in facts.splitlines()[1:]}
    old, new = (pid_of(one["db"]["physical_id"]) for one in (before, after))
    assert told["incident"] == f"{identity}, policy shop"
    assert told["resource"] == f"Local::Process, pid {old} ({before['db']['physical_id']})"
    assert told["now"] == f"pid {new} ({after['db']['physical_id']})"
    assert told["plan"] == "db is replaced; api is updated (wires refers to db)"
    assert re.match(r"(refused|connection_lost): GET http://127", told["evidence"])
    assert re.fullmatch(r"from .* to .* UTC, \d\.\ds", told["open"])
    day, *lines = story.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \(UTC\)", day)
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} [ +.\ds]{8}  ", line) for line in lines)
    beginnings = [line[23:].strip().split(":")[0] for line in lines]
    wanted = ["mark", "preview", "converge", "follow", "prove", "proven"]
    assert [word for word in beginnings if word in wanted] == wanted
    assert lines[-1].endswith("shop/db is healed: verified by check")


def test_an_incident_is_found_by_any_unique_beginning_of_its_id(types: Type, house: Hasty) -> None:
    with healing(house, "web") as healed:
        kill(house.resources()["web"])
    (identity,) = healed
    until(house.healthy, "all to be healthy")
    by_id, by_beginning = types("show", identity), types("show", identity[:25].lower())
    assert by_id == by_beginning
    assert by_id.code == 0
    assert json.loads(types("show", identity, "--json").out)["incident"]["id"] == identity
    code, _, err = types("show", identity[:2])
    assert code == 2
    assert err.startswith(f"healer: more than one incident's id begins with '{identity[:2]}': ")
    assert identity in err


@pytest.mark.usefixtures("house")
def test_what_is_held_says_why_and_when_it_is_looked_at_again(types: Type) -> None:
    types("pause", "--why", "not now", "--for", "1h")
    assert types("heal", "shop", "db", "--why", "it leaks").code == 1
    _, out, _ = types("show", "here/shop/db")
    assert "shop/db on here: held" in out
    assert re.search(r"^asked for by \w+: it leaks$", out, re.MULTILINE)
    assert re.search(r"^held +paused: \w+ paused all: not now$", out, re.MULTILINE)
    assert re.search(
        r"^ +looked at again at [-0-9]+ [:0-9]+ UTC, or as soon as that changes$", out, re.MULTILINE
    )
    assert types("release", "shop/db").code == 0
