"""The unit, the user and the folders that a package installs for systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "healer.service"
pytestmark = pytest.mark.debian("systemd")


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def settings() -> dict[str, str]:
    """The last value of each key."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A copy that starts a program which exists: `verify` looks for it, and healer need not be in /usr/bin."""
    copy = tmp_path / UNIT.name
    text, changed = re.subn(
        r"^ExecStart=/usr/bin/healer ",
        f"ExecStart={shutil.which('true')} ",
        UNIT.read_text(),
        flags=re.MULTILINE,
    )
    assert changed == 1
    copy.write_text(text)
    return copy


def test_systemd_finds_nothing_to_complain_about(unit: Path) -> None:
    done = run("systemd-analyze", "verify", "--man=no", unit)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not [
        line for line in said.splitlines() if UNIT.name in line
    ]  # other units of the machine are not ours


def test_a_key_that_systemd_does_not_know_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in run("systemd-analyze", "verify", "--man=no", unit).stderr


def test_the_sandbox_leaves_little_exposed(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for healer\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < 2, done.stdout


def test_what_the_embedded_engine_started_outlives_the_daemon_and_is_known_again() -> None:
    """Each of these, hardened, loses or doubles the user's processes at the next restart of healer."""
    kept = {"KillMode": "process", "OOMPolicy": "continue", "PrivateUsers": "no", "ProcSubset": "all"}
    assert {key: settings()[key] for key in kept} == kept


def test_the_user_and_the_folders_are_made_as_the_unit_needs_them(tmp_path: Path) -> None:
    for folder in ("etc", "run", "usr/lib"):
        (tmp_path / folder).mkdir(parents=True)
    user = run("systemd-sysusers", f"--root={tmp_path}", ROOT / "systemd" / "healer.sysusers")
    assert user.returncode == 0, user.stderr
    name, _, _, _, _, home, _ = (tmp_path / "etc" / "passwd").read_text().strip().split(":")
    assert (name, home) == (settings()["User"], "/var/lib/" + settings()["StateDirectory"])

    folders = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", ROOT / "systemd" / "healer.tmpfiles")
    etc = tmp_path / "etc" / "healer"
    assert [path.name for path in sorted(etc.iterdir())] == ["credentials", "policies.d"], folders.stderr
    assert {path.stat().st_mode & 0o777 for path in (etc, *etc.iterdir())} == {0o750}
