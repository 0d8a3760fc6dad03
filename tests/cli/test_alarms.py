"""The words about a body in a file: `alarms test`, which needs no daemon, and `alarms send`, which talks to one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from healer import assembly
from healer.clock import BootClock
from healer.config.check import load
from tests.cli.typist import Answer, Type
from tests.daemon.houses import Hasty, until

CONFIG = """\
version: 1
state: {directory: state}
clouds: {here: {engine: local, stacks: {papers: papers.yaml}}}
policies: [policy.yaml]
alarms: {alertmanager: {}, other: {source: alertmanager, labels: {stack: heat_stack}}}
"""
POLICY = """\
version: 1
policy: all
match: {resource: note}
guardrails: {blast_radius: {may_replace: [Local::File]}}
detect: {watchers: [engine]}
"""
PAPERS = """\
heat_template_version: 2018-08-31
resources:
  note: {type: Local::File, properties: {content: hello}}
  list: {type: Local::File, properties: {content: hello}}
"""


def body(*alerts: dict[str, str], **more: Any) -> str:
    whole = [
        {"status": "firing", "labels": labels, "startsAt": "2030-01-01T00:00:00Z", "fingerprint": str(number)}
        | more
        for number, labels in enumerate(alerts)
    ]
    return json.dumps({"alerts": whole})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a daemon that has run, and does not any more."""
    for name, text in {"config.yaml": CONFIG, "policy.yaml": POLICY, "papers.yaml": PAPERS}.items():
        (tmp_path / name).write_text(text)

    [engine] = assembly.engines(load(tmp_path / "config.yaml"), BootClock()).values()

    async def create() -> None:
        await engine.start()
        [root] = await engine.roots()
        while (await engine.snapshot(root)).busy:
            await asyncio.sleep(0.01)
        await engine.close()

    asyncio.run(create())
    return tmp_path


def tried(types: Type, folder: Path, text: str, *more: str) -> Answer:
    file = folder / "body.json"
    file.write_text(text)
    words = ("--source", "alertmanager", *more)
    return types("alarms", "test", str(file), "--config", str(folder / "config.yaml"), *words)


def test_what_a_body_would_mean_is_said_without_a_daemon(types: Type, folder: Path) -> None:
    one = {"alertname": "Down", "stack": "papers", "resource": "note"}
    assert tried(types, folder, body(one)) == (
        0,
        "Down, firing: papers/note (policy all), by stack and name.\n",
        "",
    )
    [read] = json.loads(tried(types, folder, body(one), "--json").out)
    assert (read["means"], read["by"], read["fits"]) == (["papers/note"], "name", True)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"stack": "papers", "resource": "list"}, "papers/list (no policy owns it), by stack and name."),
        ({"stack": "shop", "resource": "note"}, "unmatched, there is no stack 'shop' here."),
        ({"team": "x"}, "It has the labels alertname=Down, team=x."),
    ],
)
def test_what_means_nothing_that_is_looked_after_is_told_why(
    types: Type, folder: Path, labels: dict[str, str], says: str
) -> None:
    code, out, _ = tried(types, folder, body({"alertname": "Down", **labels}))
    assert code == 1
    assert says in " ".join(out.split())


def test_what_cannot_be_read_of_it_is_told_and_the_rest_is_read(types: Type, folder: Path) -> None:
    code, out, _ = tried(types, folder, body({"stack": "papers", "resource": "note"}, status="odd"))
    assert code == 1
    assert out.startswith("Number 0 cannot be read: Invalid enum value 'odd'")
    assert tried(types, folder, '{"alerts": []}').out == "There is no alarm in it.\n"


def test_the_alert_that_always_fires_is_told_to_be_a_sign_of_life(types: Type, folder: Path) -> None:
    said = "Watchdog: a sign of life, and no alarm.\n"
    assert tried(types, folder, body({"alertname": "Watchdog"})) == (0, said, "")


def test_what_is_no_body_of_this_sender_or_of_no_sender_here_is_refused(types: Type, folder: Path) -> None:
    code, _, err = tried(types, folder, "hello")
    assert (code, "not the body of an Alertmanager webhook" in err) == (2, True)
    config = ("--config", str(folder / "config.yaml"))
    code, _, err = types("alarms", "test", "none", *config, "--source", "alertmanger")
    assert (code, "did you mean 'alertmanager'?" in err) == (2, True)
    assert "configured are: alertmanager, other" in types("alarms", "test", "none", *config).err
    assert "none cannot be read" in types("alarms", "test", "none", *config, "--source", "other").err
    code, _, err = tried(types, folder, body(), "--header", "x")
    assert (code, "expected `Name: value`" in err) == (2, True)


def test_a_daemon_that_holds_the_stacks_itself_is_asked_instead(
    types: Type, house: Hasty, tmp_path: Path
) -> None:
    file = tmp_path / "body.json"
    file.write_text(body({"stack": "shop", "resource": "db"}))
    code, _, err = types("alarms", "test", str(file), "--config", str(house.folder / "config.yaml"))
    assert code == 2
    assert "ask it instead: healer alarms send --source alertmanager" in err


def test_a_body_is_posted_as_its_sender_would(types: Type, house: Hasty, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(body({"alertname": "NobodyKnows", "stack": "bank"}))
    port = str(house.client.get("/v1/status")["port"])
    words = ("alarms", "send", str(file), "--config", str(house.folder / "config.yaml"), "--port", port)
    code, out, _ = types(*words)
    assert (code, out.splitlines()[0]) == (0, 'Answered 202: {"accepted":1,"duplicates":0,"rejected":[]}')
    assert json.loads(types(*words, "--json").out) == {"accepted": 0, "duplicates": 1, "rejected": []}

    def listed() -> bool:
        told = " ".join(types("alarms").out.split())
        return "its labels: alertname=NobodyKnows, stack=bank" in told

    until(listed, "the alarm to be listed with its labels")
    file.write_text("hello")
    code, out, _ = types(*words)
    assert (code, out.startswith("Answered 400: ")) == (1, True)


def test_where_nobody_listens_that_is_said(types: Type, folder: Path) -> None:
    file = folder / "body.json"
    file.write_text("{}")
    config = str(folder / "config.yaml")
    code, _, err = types("alarms", "send", str(file), "--config", config, "--source", "other", "--port", "9")
    assert (code, "nobody takes alarms at 127.0.0.1, port 9" in err) == (1, True)
