from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.heat import install

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = install.HERE / "install.py"


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT],
        env=os.environ | {"HEALER_HEAT_VENV": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_installed_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / install.MARKER).write_text(install.fingerprint())
    before = sorted(tmp_path.rglob("*"))
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, f"heat: the real Heat, Aodh and Zaqar are in {tmp_path}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_installation_that_was_interrupted_or_is_of_other_versions_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    assert not install.installed(tmp_path)
    (tmp_path / install.MARKER).write_text(install.fingerprint().replace("constraints ", "constraints 0"))
    assert not install.installed(tmp_path)
    assert not install.installed(tmp_path / "nowhere")


def test_a_directory_that_is_no_virtual_environment_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "no virtual environment; not touched" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_is_asked_for_is_part_of_what_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = install.fingerprint()
    monkeypatch.setattr(install, "REQUIREMENTS", install.REQUIREMENTS[:-1])
    assert install.fingerprint() != before


@pytest.mark.parametrize("requirement", install.REQUIREMENTS)
def test_every_version_is_pinned(requirement: str) -> None:
    lines = install.CONSTRAINTS.read_text().splitlines()
    assert any(line.startswith(f"{requirement.partition(';')[0]}==") for line in lines)
    assert all(line.startswith("#") or line.count("==") == 1 for line in lines)
