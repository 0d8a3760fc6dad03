"""What the words say of a daemon that runs, and what they have it do."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

import pytest

from healer.demo.house import pid_of
from tests.cli.typist import Type, healing
from tests.daemon.houses import Hasty, kill, until

FIRING = (Path(__file__).parents[1] / "payloads" / "alertmanager-0.33.1-firing.json").read_text()


def test_status_tells_what_holds_it_up(types: Type, house: Hasty) -> None:
    assert types("pause", "stack:shop", "--why", "we look at it", "--for", "1h").code == 0
    code, out, _ = types("status")
    assert code == 0
    first, *facts = out.splitlines()
    assert first.startswith("healer ")
    assert f", pid {house.pid}, up " in first
    told = {line[2:].split("  ")[0]: line.split("  ")[-1].strip() for line in facts}
    assert told["cloud here"] == "is read"
    assert told["open"] == "no incidents"
    assert told["under way"] == "no repairs"
    assert told["paused stack:shop"].endswith("UTC: we look at it")
    assert json.loads(types("status", "--json").out)["pid"] == house.pid


def test_stacks_tells_what_stands_and_who_owns_it(types: Type, house: Hasty) -> None:
    code, out, _ = types("stacks")
    db = pid_of(house.resources()["db"]["physical_id"])
    assert code == 0
    title, head, api, second, *_ = out.splitlines()
    assert title.startswith("here/shop  ")
    assert head.split() == ["RESOURCE", "TYPE", "HEALTH", "POLICY", "ID"]
    assert api.split()[:4] == ["api", "Local::Process", "healthy", "shop"]
    assert second.endswith(f"pid {db}")
    stack = json.loads(types("stacks", "--json").out)["stacks"][0]
    assert {one["path"] for one in stack["resources"]} == {"db", "api", "web"}


def test_what_is_healed_on_demand_is_an_incident_with_its_story(types: Type, house: Hasty) -> None:
    assert types("incidents").out == "Nothing fails. (--all shows what is over.)\n"
    with healing(house, "web") as healed:
        code, out, _ = types("heal", "shop", "web", "--why", "it is slow")
    (identity,) = healed
    assert code == 0
    assert out.startswith("It is ")
    assert f"healer show {identity}" in out
    head, row, *_ = types("incidents", "--all").out.splitlines()
    assert head.split() == ["RESOURCE", "STATE", "SINCE", "(UTC)", "FOR", "INCIDENT", "WHY"]
    assert row.split()[:2] == ["shop/web", "healed"]
    assert row.endswith(f"{identity}  requested: it is slow")
    newest = json.loads(types("incidents", "--all", "--json").out)["incidents"][0]
    assert newest["id"] == identity


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("heal shop nope", "stack shop has no resource 'nope'; it has: api, db, web"),
        ("heal nope db", "there is no stack 'nope'; there are: shop"),
        ("resume", "nothing is paused as 'all'"),
        ("release shop/nope", "shop/nope has had no incident"),
        ("release zzz", "no incident's id begins with 'zzz'"),
        ("pause shop --why x", "scope is all, cloud:NAME, stack:NAME or policy:NAME"),
    ],
)
@pytest.mark.usefixtures("house")
def test_what_makes_no_sense_is_said_and_what_would_is_named(types: Type, words: str, said: str) -> None:
    assert types(*words.split()) == (2, "", f"healer: {said}\n")


@pytest.mark.usefixtures("house")
def test_a_time_without_a_unit_is_refused(types: Type) -> None:
    code, _, err = types("pause", "--why", "x", "--for", "5")
    assert code == 2
    assert "'5' is no duration; expected a number with its unit" in err


def test_a_heal_that_a_guardrail_refuses_is_no_success(types: Type, house: Hasty) -> None:
    types("pause", "--why", "not tonight")
    code, out, _ = types("heal", "shop", "api")
    assert code == 1
    assert out.startswith("Not now, paused: ")
    assert "paused all: not tonight" in out
    (held,) = house.client.get("/v1/incidents", open=1)["incidents"]
    line = types("incidents").out.splitlines()[1]
    assert line.split()[:2] == ["shop/api", "held"]
    assert line.endswith("paused all: not tonight")
    code, out, _ = types("release", "shop/api")
    assert (code, out) == (0, f"Let go of {held['id']}.\n")
    code, _, err = types("release", held["id"].lower())
    assert (code, err) == (2, f"healer: incident {held['id']} is closed already\n")


def test_a_pause_says_what_it_covers_and_resume_whose_it_was(types: Type, house: Hasty) -> None:
    code, out, _ = types("pause", "policy:shop", "--why", "a release")
    assert (code, out) == (0, "Paused policy:shop until resumed: 3 resources that a policy owns.\n")
    code, out, _ = types("pause", "stack:shpo", "--why", "a release")
    assert code == 0
    assert out.splitlines() == [
        "Paused stack:shpo until resumed: no resources that a policy owns.",
        "Nothing is called so at the moment: healer stacks shows what there is.",
    ]
    pauses = house.client.get("/v1/pauses")["pauses"]
    code, out, _ = types("resume", "policy:shop")
    assert (code, out) == (0, f"Resumed policy:shop, which {pauses[0]['who']} had paused: a release\n")
    code, out, _ = types("resume", pauses[1]["id"], "--json")
    assert [one["scope"] for one in json.loads(out)["resumed"]] == ["stack:shpo"]


def test_an_alarm_that_nobody_understands_is_listed(types: Type, house: Hasty) -> None:
    port = house.client.get("/v1/status")["port"]
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", "/v1/alarms/alertmanager", FIRING)
        assert connection.getresponse().status == 202
    until(lambda: house.client.get("/v1/alarms")["alarms"][0]["outcome"], "the alarm to be settled")
    head, row, *_ = types("alarms").out.splitlines()
    assert head.split() == ["RECEIVED", "(UTC)", "SOURCE", "ALARM", "STATUS", "BECAME", "WHY"]
    (alert,) = json.loads(FIRING)["alerts"]
    assert row.split()[2:6] == ["alertmanager", alert["labels"]["alertname"], "firing", "unmatched"]
    assert json.loads(types("alarms", "--json").out)["alarms"][0]["labels"] == alert["labels"]

    def keys(*words: str) -> list[str]:
        return [one["key"] for one in json.loads(types("alarms", "--json", *words).out)["alarms"]]

    key = alert["fingerprint"]
    assert key in keys(
        "--source", "alertmanager", "--outcome", "unmatched", "--since", "1h", "--limit", "1000"
    )
    assert key not in keys("--outcome", "stale", "--outcome", "pending")
    assert keys("--source", "alertmanager", "--source", "grafana") == keys()
    assert types("alarms", "--source", "grafana") == (0, "No such alarm came.\n", "")
    assert types("alarms", "--limit", "0").out == "No alarm came.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--outcome", "lost"), "an outcome is one of: pending, matched, "),
        (("--limit", "-1"), "limit is a whole number from 0 to 10000"),
        (("--limit", "some"), "some"),
        (("--since", "yesterday"), "yesterday"),
    ],
)
def test_alarms_that_cannot_be_asked_for_are_refused(
    types: Type, house: Hasty, words: tuple[str, ...], says: str
) -> None:
    assert house.healthy()
    code, out, err = types("alarms", *words)
    assert (code, out) == (2, "")
    assert says in err


def test_what_fails_is_listed_with_what_is_done_about_it(types: Type, house: Hasty) -> None:
    types("pause", "--why", "we look first")
    with healing(house, "web"):
        kill(house.resources()["web"])
        until(lambda: "paused all: we look first" in types("incidents").out, "web to be held")
        assert " unhealthy " in types("stacks").out
        assert "1 incident\n" in types("status").out
        types("resume")
