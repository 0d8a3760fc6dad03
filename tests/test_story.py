"""Every entry that the kernel can make is told in words that a person understands, and none is left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from healer import core
from healer.core.change import AlarmOutcome
from healer.core.incident import Outcome
from healer.core.step import Step
from healer.simulation.history import History
from healer.story import SENTENCES, Teller, planned, sentence, short, tell

UNTOLD = {"repair.inspecting", "repair.not_admitted", "incident.noted"}
"""No news: the store keeps no entry of them."""
MAKERS = {"keep": "incident", "advance": "incident", "keep_repair": "repair"}
"""The kernel's ways to make news, each with a kind as one of its arguments."""


def kinds() -> Iterator[str]:
    """Every kind of entry that the source of the core names."""
    for file in Path(core.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in MAKERS
            ):
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield f"{MAKERS[node.func.attr]}.{argument.value}"
    yield from (f"alarm.{outcome}" for outcome in AlarmOutcome)
    yield from ("pause.set", "pause.lifted")


def entry(kind: str, at: str = "2026-01-31T12:00:00.250Z", **body: Any) -> dict[str, Any]:
    target = {"stack": "shop", "path": "db", "cloud": "here"}
    both = {"target": target, "root": target, "policy": "tiers", "action": "replace", **body}
    return {"seq": 1, "at": at, "kind": kind, "incident": None, "repair": None, "body": both}


def test_every_kind_of_entry_has_its_sentence_and_no_other_has() -> None:
    assert set(kinds()) - UNTOLD == set(SENTENCES)


def test_whatever_comes_to_pass_is_told_without_a_gap() -> None:
    """Thousands of entries, of histories in which everything goes wrong."""
    told = 0
    for seed in range(1, 16):
        history = History(seed, 10)
        history.run()
        for one in history.around.store.journal(limit=100_000):
            said = sentence({"at": one.at.isoformat(), "kind": one.kind, "body": one.body})
            assert one.kind in SENTENCES
            for gap in ("None", "{", "}", "\n"):
                assert gap not in said
            told += 1
    assert told > 1000


def test_what_is_not_known_is_shown_as_it_is() -> None:
    assert sentence(entry("incident.blessed", note={"by": "a cat"})) == "incident.blessed: {'by': 'a cat'}"


PLAN = {
    "condemned": [{"path": "db"}],
    "touched": [{"path": "api", "effect": "updated", "via": "wires refers to db"}],
}
PROCESS = "ee32ce74-70fe-49a3-b3b5-3e20c04c6ce2:12867:569389"
SERVER = "6f0c1d9e-5f2b-4f0e-9d3b-0a8c2a7f1e11"
SAID: Mapping[str, dict[str, Any]] = {
    "shop/db fails, refused: GET /: refused [probe:http]": entry(
        "incident.opened", note={"source": "probe:http", "symptom": "refused", "detail": "GET /: refused"}
    ),
    "anna asks for shop/db to be healed: it is slow": entry(
        "incident.opened", note={"source": "operator:anna", "symptom": "requested", "detail": "it is slow"}
    ),
    "shop/db is held, upstream_failing: that comes first": entry(
        "incident.held",
        note={"reason": "upstream_failing", "sentence": "that comes first"},
        refusal={"look_again": "2026-01-31T12:00:05Z"},
    ),
    "shop/db is held, cooldown: it was healed; looked at again at 12:09:00": entry(
        "incident.held",
        note={"reason": "cooldown", "sentence": "it was healed"},
        refusal={"look_again": "2026-01-31T12:09:00Z"},
    ),
    "shop/db is left alone, for policy tiers only observes; auto would replace it: "
    "db is replaced; api is updated (wires refers to db)": entry(
        "incident.would_heal", plan=PLAN, note={"action": "replace"}
    ),
    "repair of shop begins: db is replaced; api is updated (wires refers to db)": entry(
        "repair.admitted", plan=PLAN
    ),
    "repair of shop begins: notify": entry("repair.admitted", action="notify"),
    "  done: somebody was told": entry("repair.ended", action="notify", note={"failure": None}),
    "  done: all steps succeeded": entry("repair.ended", action="exorcise", note={"failure": None}),
    "shop/db is pid 12867 now; it is healed once it has been seen healthy": entry(
        "incident.remediated", note={"successor": PROCESS}
    ),
    f"shop/db was replaced by somebody else, and is {SERVER} now": entry(
        "incident.closed", note={"outcome": "superseded", "successor": SERVER}
    ),
    "an alarm of alertmanager is firing (0f5c|x), unmatched: nobody knows what it means: no stack shpo": entry(
        "alarm.unmatched",
        identity="alertmanager|0f5c|x|2026-01-31T11:59:00+00:00|firing",
        detail="no stack shpo",
    ),
    "anna paused all until 12:30:00: {curly} words": entry(
        "pause.set", who="anna", scope="all", why="{curly} words", until="2026-01-31T12:30:00Z"
    ),
}


@pytest.mark.parametrize("said", SAID)
def test_a_sentence_names_who_what_and_why(said: str) -> None:
    assert sentence(SAID[said]) == said


@pytest.mark.parametrize("outcome", Outcome)
def test_each_end_of_an_incident_is_told(outcome: Outcome) -> None:
    said = sentence(
        entry("incident.closed", note={"outcome": outcome, "who": "anna", "by": "check", "detail": "x"})
    )
    assert said.startswith("shop/db ")


@pytest.mark.parametrize("step", set(Step) - {Step.INSPECT})
def test_each_step_is_told(step: Step) -> None:
    assert not sentence(entry("repair.stepped", note={"step": step})).endswith(": begun")


def test_a_story_has_a_time_for_each_line_and_how_long_it_was_since_the_one_before() -> None:
    pause = {"who": "anna", "scope": "all", "why": "lunch", "until": None}
    entries = [
        entry("pause.set", "2026-01-31T23:59:59.250Z", **pause),
        entry("pause.lifted", "2026-02-01T00:00:01.000Z", lifted_by="bert", scope="all"),
    ]
    assert list(tell(entries)) == [
        "2026-01-31 (UTC)",
        "23:59:59.250           anna paused all: lunch",
        "2026-02-01 (UTC)",
        "00:00:01.000   +1.75s  bert resumed all",
    ]


def test_time_may_be_counted_from_a_moment() -> None:
    teller = Teller(datetime(2026, 1, 31, 12, tzinfo=UTC))
    line = teller.line(entry("pause.lifted", lifted_by="bert", scope="all"))
    assert line == "  0.25s           bert resumed all"
    assert line.index("bert") == teller.indent - 2


def test_a_process_is_called_by_its_pid_and_all_else_by_its_whole_id() -> None:
    assert [short(PROCESS), short(SERVER), short(""), short(None)] == [
        "pid 12867",
        SERVER,
        "nothing",
        "nothing",
    ]


def test_a_plan_that_only_gives_up_says_so() -> None:
    assert planned(["a", "b"], []) == "a is replaced; b is replaced"
