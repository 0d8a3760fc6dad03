"""The words about alarms to come: `test` and `sign`, which need no daemon, and `send`, which talks to one."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from multidict import MultiDict
from yarl import URL

from healer import assembly
from healer.authentication.signed_url import SignedUrl
from healer.clock import BootClock
from healer.config.check import load
from healer.ports import Delivery
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


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"stack": "papers", "resource": "note"}, "nothing of 'papers' was created yet"),
        ({"server_id": "b0f6c2a4"}, "nothing of 'papers' was created yet"),
        ({"stack": "shop", "resource": "note"}, "there is no stack 'shop' here"),
        ({"stack": "papers"}, "it names no resource"),
    ],
)
def test_a_stack_that_no_daemon_has_created_yet_is_said_to_be(
    types: Type, folder: Path, labels: dict[str, str], says: str
) -> None:
    (folder / "state").rename(folder / "elsewhere")
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


def test_what_is_passed_over_is_told_and_why(types: Type, folder: Path) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("{alertmanager: {}", "{alertmanager: {only: {heal: auto}}"))
    named = {"alertname": "Down", "stack": "papers", "resource": "note"}
    text = body(named, {"alertname": "Watchdog"})
    code, out, _ = tried(types, folder, text)
    said = "passed over, for `only` asks for heal=auto. It has the labels alertname=Down, resource=note, stack=papers."
    assert (code, " ".join(out.split())) == (
        1,
        f"Down, firing: {said} Watchdog: a sign of life, and no alarm.",
    )
    [read] = json.loads(tried(types, folder, text, "--json").out)
    assert (read["labels"], read["means"], read["fits"], read["says"]) == (
        named,
        [],
        False,
        f"Down, firing: {said}",
    )
    code, out, _ = tried(types, folder, body({**named, "heal": "auto"}))
    assert (code, out) == (0, "Down, firing: papers/note (policy all), by stack and name.\n")


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


AODH = Path(__file__).parents[1] / "payloads" / "aodh-alarm.json"
KEY = "only-aodh-and-healer-know-this"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A configuration whose Aodh posts to signed URLs."""
    (tmp_path / "key").write_text(KEY)
    alarms = """\
alarms:
  aodh: {auth: {signed_url: {key_files: [key]}}}
  alertmanager: {}
listen: {port: 9601}
"""
    config = CONFIG.replace(CONFIG[CONFIG.index("alarms:") :], alarms)
    for name, text in {"config.yaml": config, "policy.yaml": POLICY, "papers.yaml": PAPERS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "config.yaml"


def admits(url: str, at: datetime | None = None) -> bool:
    """Whether the door would let it in, as the receiver makes a delivery of it."""
    asked = URL(url)
    with NamedTemporaryFile("w", suffix=".key") as file:
        file.write(KEY)
        file.flush()
        way = SignedUrl(key_files=(Path(file.name),))
    came = Delivery("aodh", b"", at or BootClock().now(), {}, MultiDict(asked.query), asked.path)
    return asyncio.run(way.admits(came))


def signs(types: Type, config: Path, *words: str) -> Answer:
    return types("alarms", "sign", "--config", str(config), "--source", "aodh", *words)


def test_a_signed_url_admits_and_names_the_resource(types: Type, signed: Path) -> None:
    code, out, _ = signs(
        types, signed, "--stack", "shop & co", "--resource", "group/0/w\u00e4b", "--url", "https://healer:1"
    )
    url = out.strip()
    assert code == 0
    assert out == f"{url}\n", "it can be pasted"
    assert url.startswith("https://healer:1/v1/alarms/aodh?")
    assert URL(url).query["stack"] == "shop & co"
    assert URL(url).query["resource"] == "group/0/w\u00e4b"
    assert admits(url)
    assert not admits(url.replace("shop", "bank"))


def test_by_itself_it_is_where_healer_listens_and_good_for_ever(types: Type, signed: Path) -> None:
    told = json.loads(signs(types, signed, "--physical-id", "8f23b7e6", "--json").out)
    assert told["url"].startswith("http://127.0.0.1:9601/v1/alarms/aodh?physical_id=8f23b7e6&sig=")
    assert told["expires_at"] is None
    assert admits(told["url"], BootClock().now() + timedelta(days=20_000))


def test_it_may_end(types: Type, signed: Path) -> None:
    told = json.loads(signs(types, signed, "--stack", "shop", "--for", "90d", "--json").out)
    now = BootClock().now()
    assert datetime.fromisoformat(told["expires_at"]) - now == pytest.approx(
        timedelta(days=90), abs=timedelta(minutes=1)
    )
    assert admits(told["url"], now + timedelta(days=89))
    assert not admits(told["url"], now + timedelta(days=91))


def test_what_aodh_is_to_show_a_token_at_is_signed_as_well(types: Type, signed: Path) -> None:
    url = signs(types, signed, "--stack", "shop", "--url", "trust+http://healer:9595").out.strip()
    assert url.startswith("trust+http://healer:9595/v1/alarms/aodh?stack=shop&sig=")
    assert admits(url.removeprefix("trust+"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--source", "alertmanager"),
            "the source alertmanager takes no signed URL but alarms from everybody",
        ),
        (("--source", "aohd"), "did you mean 'aodh'?"),
        (("--resource", "web"), "--resource needs --stack"),
        (("--url", "healer:9595"), "expected http://HOST:PORT"),
        (("--url", "http://healer/behind/a/proxy"), "expected http://HOST:PORT"),
        (("--url", "http://[healer"), "is no URL"),
        (("--for", "soon"), "soon"),
    ],
)
def test_what_cannot_be_signed_is_told_why(
    types: Type, signed: Path, words: tuple[str, ...], says: str
) -> None:
    code, out, err = signs(types, signed, *words)
    assert (code, out) == (2, "")
    assert says in err


def test_a_key_that_cannot_be_read_is_named(types: Type, signed: Path) -> None:
    (signed.parent / "key").unlink()
    code, out, err = signs(types, signed, "--stack", "shop")
    assert (code, out) == (2, "")
    assert "key cannot be read: No such file or directory" in err


class Signing(Hasty):
    """Takes alarms at signed URLs alone."""

    def furnish(self) -> None:
        (self.folder / "key").write_text(KEY)
        super().furnish()


def test_a_body_is_posted_to_a_signed_url_where_its_sender_has_one(types: Type) -> None:
    with Signing(config={"alarms": {"aodh": {"auth": {"signed_url": {"key_files": ["key"]}}}}}) as house:
        port = until(lambda: house.client.get("/v1/status"), "the daemon")["port"]
        words = ("--config", str(house.folder / "config.yaml"), "--port", str(port))
        code, out, _ = types("alarms", "send", str(AODH), *words, "--query", "stack=shop&resource=db")
        assert (code, out.split(":")[0]) == (0, "Answered 202")
