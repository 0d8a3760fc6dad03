"""Every mistake that a person can make in a file is told with its file, its line and what was expected."""

from __future__ import annotations

import hashlib
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from healer.config.check import check, load
from healer.config.keys import keys
from healer.config.sections import PolicySection
from healer.config.settings import Settings
from healer.core.policy import Mode, ProvedBy, Remediation, Watch
from healer.documents import DocumentError
from healer.ports import ConfigError

DATA = Path(__file__).parent / "data"
BAD = sorted(DATA.glob("bad-*.yaml"))
GOOD = sorted(DATA.glob("good-*.yaml"))
AROUND = f"""\
version: 1
clouds:
  mine: {{engine: heat, cloud: mycloud, refresh: 30s}}
  here: {{engine: local, stacks: {{shop: {DATA / "stacks/shop.yaml"}}}}}
notifiers: {{ops: {{notifier: webhook, url: "http://127.0.0.1:1/"}}}}
policies: ["POLICY"]
"""
"""The configuration around a policy that is looked at."""


def configuration(file: Path, folder: Path) -> Path:
    """The file itself, or for a policy a configuration that names it."""
    if "-policy-" not in file.name:
        return file
    around = folder / "config.yaml"
    around.write_text(AROUND.replace("POLICY", str(file)))
    return around


def expected(file: Path) -> tuple[str, list[str]]:
    """The file that the mistakes are in, and how the report of each begins; `…` is any text."""
    where, begins = file.name, []
    for line in file.read_text().splitlines():
        kind, _, text = line.partition(": ")
        if kind in {"# error", "# and"}:
            begins.append(text)
        elif kind == "# in":
            where = text
    return where, begins


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_each_mistake_is_reported_at_its_line_and_nothing_else_is(file: Path, tmp_path: Path) -> None:
    where, begins = expected(file)
    report = check(configuration(file, tmp_path))
    assert {problem.file for problem in report.problems} == {str(DATA / where)}
    said = sorted(str(problem).removeprefix(problem.file).strip(": ") for problem in report.problems)
    assert begins
    assert len(said) == len(begins), "\n".join(said)
    for text, begin in zip(said, sorted(begins), strict=True):
        assert re.match(re.escape(begin).replace("…", ".*"), text), text
    assert report.exit_code == 2
    assert report.config is None


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_what_is_right_is_not_complained_of(file: Path, tmp_path: Path) -> None:
    report = check(configuration(file, tmp_path))
    assert [str(problem) for problem in report.problems] == []
    assert report.exit_code == 0
    assert report.config is not None


def test_a_file_with_five_mistakes_is_reported_with_five_lines(tmp_path: Path) -> None:
    report = check(configuration(DATA / "bad-policy-five-mistakes.yaml", tmp_path))
    places = [re.match(r"(.*):(\d+): (\S+): .+", line) for line in report.lines()]
    assert [place and int(place[2]) for place in places] == [8, 11, 12, 14, 17]


def test_the_mistakes_of_all_files_come_in_one_report(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text("heat_template_version: 2018-08-31\nresources: {a: {type: Nope}}\n")
    (tmp_path / "one.yaml").write_text("version: 1\npolicy: one\nmatch: {}\n")
    (tmp_path / "two.yaml").write_text("version: 1\npolicy: two\nmatch: [\n")
    file = tmp_path / "config.yaml"
    file.write_text(
        "version: 1\n"
        "clouds: {here: {engine: local, stacks: {a: stack.yaml}, refresh: 3}}\n"
        "policies: [two.yaml, one.yaml]\n"
        "log: {levle: info}\n"
    )
    found = check(file).problems
    assert [(Path(problem.file).name, problem.line) for problem in found] == [
        ("config.yaml", 2),
        ("config.yaml", 4),
        ("one.yaml", 2),
        ("one.yaml", 3),
        ("stack.yaml", 2),
        ("two.yaml", 4),
    ]


def test_a_report_names_files_as_they_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stack.yaml").write_text("heat_template_version: 2018-08-31\nresources: {a: {type: Nope}}\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "one.yaml").write_text("version: 2\npolicy: one\nmatch: {stack: a}\n")
    (tmp_path / "config.yaml").write_text(
        "version: 1\nclouds: {here: {engine: local, stacks: {a: stack.yaml}}}\npolicies: [policies/*.yaml]\n"
    )
    monkeypatch.chdir(tmp_path)
    files = [problem.file for problem in check("config.yaml").problems]
    assert files == ["policies/one.yaml", "policies/one.yaml", "stack.yaml"]


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    assert check(file).lines() == (f"{file}: No such file or directory",)
    with pytest.raises(ConfigError, match="No such file"):
        load(file)


def test_a_wrong_cloud_does_not_make_every_policy_wrong_as_well(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "version: 1\npolicy: p\nmatch: {cloud: mine}\ndetect: {watchers: [engine]}\n"
    )
    file = tmp_path / "config.yaml"
    file.write_text("version: 1\nclouds: {mine: {enigne: heat}}\npolicies: [p.yaml]\n")
    assert {problem.file for problem in check(file).problems} == {str(file)}


def test_everything_that_is_configured_comes_as_plain_values() -> None:
    config = load(DATA / "good-most.yaml")
    assert config.settings.installation == "blue"
    assert config.settings.state.directory == DATA / "state"
    assert config.settings.api.socket == DATA / "api.sock"
    assert config.settings.journal.keep == timedelta(days=30)
    assert {name: (cloud.engine, cloud.refresh) for name, cloud in config.clouds.items()} == {
        "here": ("local", timedelta(milliseconds=500)),
        "mine": ("heat", timedelta(seconds=90)),
    }
    assert config.clouds["here"].plugin.model_dump()["stacks"] == {"shop": DATA / "stacks/shop.yaml"}
    ways = config.alarms["alertmanager"].authentication
    assert ways["bearer"].model_dump()["token_files"] == (DATA / "token",)
    assert list(config.notifiers) == ["ops"]
    assert {loaded.policy.name: (Path(loaded.file).name, loaded.line) for loaded in config.policies} == {
        "least": ("good-policy-least.yaml", 2),
        "most": ("good-policy-most.yaml", 2),
        "second-of-the-file": ("good-policy-most.yaml", 29),
    }


def test_a_policy_comes_as_the_core_has_it() -> None:
    loaded = {each.policy.name: each for each in load(DATA / "good-most.yaml").policies}
    policy = loaded["most"].policy
    seconds = {n: timedelta(seconds=n) for n in (0.5, 1, 2, 10, 11, 20, 30, 90)}
    assert policy.mode is Mode.AUTO
    assert policy.detect.watches == (
        Watch("probe:http", seconds[0.5], seconds[0.5]),
        Watch("probe:http:2", seconds[20], seconds[20]),
        Watch("probe:process", seconds[1], seconds[1]),
        Watch("watcher:engine", seconds[0.5], seconds[0.5]),
    )
    assert list(loaded["most"].probes) == ["probe:http", "probe:http:2", "probe:process"]
    assert list(loaded["most"].watchers) == ["watcher:engine"]
    assert policy.remediations == (
        Remediation("reboot", seconds[11]),
        Remediation("replace", seconds[30]),
        Remediation("notify", seconds[10], "ops"),
    )
    assert policy.guardrails.blast_radius.may_replace == frozenset({"Local::Process"})
    assert policy.guardrails.blast_radius.collateral == 1
    assert (policy.verify.by, policy.verify.within) == (ProvedBy.CHECK, seconds[90])
    assert loaded["second-of-the-file"].policy.verify.by is ProvedBy.ENGINE


def test_the_digest_is_of_what_a_policy_means_and_not_of_how_it_is_written(tmp_path: Path) -> None:
    texts = [
        "version: 1\npolicy: a\nmatch: {stack: '*'}\ndetect: {watchers: [engine]}\n",
        '# a remark\npolicy: a\nversion: 1\ndetect:\n  watchers:\n    - engine\nmatch:\n  stack: "*"\n',
        "version: 1\npolicy: a\nmatch: {stack: '*'}\ndetect: {watchers: [engine], fail_after: 4}\n",
    ]
    digests, written = [], []
    for text in texts:
        (tmp_path / "a.yaml").write_text(text)
        (loaded,) = load(configuration_of(tmp_path)).policies
        digests.append(loaded.policy.digest)
        written.append(loaded.text)
    assert digests[0] == digests[1] != digests[2]
    assert digests == [hashlib.sha256(text.encode()).hexdigest() for text in written]
    assert yaml.safe_load(written[0]) == yaml.safe_load(texts[0])


def configuration_of(folder: Path) -> Path:
    file = folder / "config.yaml"
    file.write_text(AROUND.replace("POLICY", "a.yaml"))
    return file


def test_what_works_but_looks_wrong_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "version: 1\nclouds: {mine: {engine: heat, cloud: c}}\napi: {operators: [no-such-user, 12345]}\n"
    )
    report = check(file)
    assert report.exit_code == 0
    assert report.config is not None
    assert [line.removeprefix(f"{file}:") for line in report.lines()] == [
        "1: policies: names no policy: every stack is read, and nothing is watched or healed (warning)",
        "3: api.operators[0]: there is no user no-such-user on this machine (warning)",
    ]


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("monitoring", False)],
)  # fmt: skip
def test_only_an_address_of_this_machine_alone_takes_alarms_without_a_token(
    tmp_path: Path, address: str, is_loopback: bool
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "version: 1\nclouds: {mine: {engine: heat, cloud: c}}\n"
        f'alarms: {{alertmanager: {{}}}}\nlisten: {{address: "{address}"}}\n'
    )
    assert (check(file).exit_code == 0) is is_loopback


def test_many_policies_are_read_quickly(tmp_path: Path) -> None:
    """A reload must not hold up the daemon; the bound leaves room for a machine that is busy with something else."""
    one = (DATA / "good-policy-least.yaml").read_text()
    texts = [one.replace("policy: least", f"policy: least-{n}") for n in range(200)]
    (tmp_path / "a.yaml").write_text("---\n".join(texts))
    file = configuration_of(tmp_path)
    began = time.process_time()
    config = load(file)
    assert len(config.policies) == 200
    assert time.process_time() - began < 2


WORDS = sorted(
    {part for key in (*keys(PolicySection), *keys(Settings)) for part in re.findall(r"\w+", key.path)}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["5m", "0s", "*", "[", "http", "tcp", "engine", "local", "heat", "replace", "{address}", "a/b", "/"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), inner, max_size=4),
    ),
    max_leaves=12,
)


def one_of_the_keys(data: st.DataObject, model: type[Any]) -> dict[str, Any]:
    """A document that is right as far as its top-level keys go, and strange below."""
    return {
        name: data.draw(VALUES) for name in data.draw(st.sets(st.sampled_from(sorted(model.model_fields))))
    }


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whatever_the_files_hold_nothing_but_a_configuration_error_comes_of_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    policy = {"version": 1, "policy": "a", "match": {"stack": "*"}} | one_of_the_keys(data, PolicySection)
    given_settings = yaml.safe_load(AROUND.replace("POLICY", "a.yaml"))
    if data.draw(st.booleans()):
        given_settings |= one_of_the_keys(data, Settings)
    (folder / "a.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True))
    (folder / "config.yaml").write_text(yaml.safe_dump(given_settings, allow_unicode=True))
    never_anything_else(folder / "config.yaml")


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.text(), st.binary()))
def test_whatever_is_no_yaml_is_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "config.yaml"
    file.write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)
    never_anything_else(file)


def never_anything_else(file: Path) -> None:
    report = check(file)
    assert all(problem.message and problem.line >= 0 for problem in report.problems)
    if report.problems:
        with pytest.raises(DocumentError):
            load(file)
    else:
        assert load(file) == report.config
