"""What the README and the documentation show works, is where they say, and is called as they call it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from healer.cli import main
from healer.config.check import check
from healer.core.change import AlarmOutcome
from healer.core.incident import Refusal
from tests.demo import record

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
TEXT = README.read_text()
AROUND_POLICY = """\
version: 1
clouds: {mine: {engine: heat, cloud: mycloud}}
policies: [policy.yaml]
"""
AROUND_TEMPLATE = """\
version: 1
clouds: {here: {engine: local, stacks: {shop: shop.yaml}}}
policies: []
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of YAML, and what it claims to be."""

    page: Path
    line: int
    text: str

    @property
    def kind(self) -> str:
        keys = set(yaml.safe_load(self.text))
        claims = {
            "config": "clouds",
            "policy": "policy",
            "template": "heat_template_version",
            "alertmanager": "receivers",
            "prometheus": "alerting",
        }
        if keys == {"alarms"}:
            return "senders"
        found = [kind for kind, key in claims.items() if key in keys]
        assert len(found) == 1, f"{self}: claims to be {found}"
        return found[0]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield Block(page, text[: found.start()].count("\n") + 1, found[1])


def of(kind: str) -> pytest.MarkDecorator:
    found = [block for block in blocks() if block.kind == kind]
    assert found
    return pytest.mark.parametrize("block", found, ids=str)


def problems(folder: Path, config: str, **files: str) -> tuple[str, ...]:
    for name, text in {"config.yaml": config, **files}.items():
        (folder / name.replace("__", ".")).write_text(text)
    return tuple(map(str, check(folder / "config.yaml").problems))


@pytest.mark.usefixtures("known_clouds")
@of("config")
def test_a_configuration_that_is_shown_can_be_used(tmp_path: Path, block: Block) -> None:
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "policies.d").mkdir()
    for policy in (ROOT / "policies").glob("*.yaml"):
        if "OS::" in policy.read_text():
            (tmp_path / "policies.d" / policy.name).write_text(policy.read_text())
    text, replaced = re.subn(r"/etc/healer/credentials/\w+", str(tmp_path / "token"), block.text)
    assert replaced
    assert problems(tmp_path, text) == ()


@pytest.mark.usefixtures("known_clouds")
@of("senders")
def test_senders_that_are_shown_can_be_used(tmp_path: Path, block: Block) -> None:
    (tmp_path / "token").write_text("a-token-that-may-be-a-key")
    text = re.sub(r"/etc/healer/credentials/\w+", str(tmp_path / "token"), block.text)
    assert problems(tmp_path, f"version: 1\nclouds: {{here: {{engine: local, stacks: {{}}}}}}\n{text}") == ()


@pytest.mark.debian("prometheus")
@of("prometheus")
def test_what_is_shown_for_prometheus_is_taken_by_it(tmp_path: Path, block: Block) -> None:
    file = tmp_path / "prometheus.yaml"
    file.write_text(block.text)
    done = subprocess.run(
        ["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("known_clouds")
@of("policy")
def test_a_policy_that_is_shown_can_be_used_and_only_observes(tmp_path: Path, block: Block) -> None:
    assert problems(tmp_path, AROUND_POLICY, policy__yaml=block.text) == ()
    assert yaml.safe_load(block.text).get("mode", "observe") == "observe"


@of("template")
def test_a_template_that_is_shown_can_be_used(tmp_path: Path, block: Block) -> None:
    assert problems(tmp_path, AROUND_TEMPLATE, shop__yaml=block.text) == ()


@pytest.mark.debian("prometheus-alertmanager")
@of("alertmanager")
def test_what_is_shown_for_alertmanager_is_taken_by_it(tmp_path: Path, block: Block) -> None:
    shown: dict[str, Any] = yaml.safe_load(block.text)
    token = tmp_path / "token"
    token.write_text("a-token")
    text, replaced = re.subn(r"/etc/alertmanager/[\w-]+", str(token), json.dumps(shown))
    assert replaced
    whole = json.loads(text)
    # What the reader has already: a root route with a receiver of its own.
    whole["receivers"].append({"name": "people"})
    whole["route"]["receiver"] = "people"
    file = tmp_path / "alertmanager.yaml"
    file.write_text(json.dumps(whole))
    done = subprocess.run(
        ["amtool", "check-config", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


def words(capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main([]) == 2
    return set(re.findall(r"^    ([a-z-]+)", capsys.readouterr().err, re.MULTILINE))


def test_the_readme_names_every_word_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"(?:`|^ {4})healer ([a-z-]+)", TEXT, re.MULTILINE))
    assert named | {"demo"} == words(capsys)
    assert "    make demo\n" in TEXT


def test_every_option_that_the_readme_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for word in (*words(capsys), "alarms send", "alarms sign"):
        with pytest.raises(SystemExit):
            main([*word.split(), "--help"])
        known += capsys.readouterr().out
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT)):
        assert re.search(rf"{option}\b", known), option
    for fault in re.findall(r"--break (\w+)", TEXT):
        assert fault in known


def test_every_target_of_make_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", TEXT, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir())
    named = set(re.findall(rf"(?<![\w/.-])((?:{tops})/[\w./-]*\w)", page.read_text()))
    examples = {name for name in named if "dns" in name or "zabbix" in name or "evacuate" in name}
    assert named - examples
    for name in named - examples:
        assert (ROOT / name).exists(), name


def test_the_demonstration_that_is_shown_is_what_its_journal_says_today() -> None:
    assert record.shown() == record.lines(), "python -m tests.demo.record plays and shows it anew"


def test_what_is_not_healed_is_shown_by_a_reason_that_exists() -> None:
    rows = re.findall(r"^\|.*\|.*\| (.*) \|$", (ROOT / "docs" / "limits.md").read_text(), re.MULTILINE)
    shown = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    known = {*Refusal, *AlarmOutcome}
    reasons = {word for word in shown if "_" in word or word in known}
    assert len(reasons) > 5
    assert reasons - known <= {"max_unhealthy"}, "a key of a policy that is not supported yet"
