"""The installer of Debian packages leaves the machine as it found it, but for the packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.debian import install

SCRIPT = Path(install.__file__)


def test_no_daemon_may_start_while_packages_are_installed_and_the_policy_goes_again(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    def install_and_fail() -> None:
        with install.no_daemon_starts(policy):
            assert subprocess.run([policy, "prometheus", "start"], check=False).returncode == 101
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        install_and_fail()
    assert not policy.exists()


def test_a_policy_that_somebody_else_wrote_is_left_as_it_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with install.no_daemon_starts(policy):
        assert policy.read_text().endswith("exit 0\n")
    assert policy.read_text().endswith("exit 0\n")


def test_a_policy_that_a_killed_run_left_behind_is_ours_to_remove(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(install.POLICY_TEXT)
    with install.no_daemon_starts(policy):
        assert policy.exists()
    assert not policy.exists()


def test_who_cannot_install_is_told_by_name_what_is_skipped_and_which_line_helps(tmp_path: Path) -> None:
    """With an empty PATH there is neither a program nor apt-get, whoever runs this."""
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    for name in install.PACKAGES:
        assert f"the tests that need {name} will be skipped" in done.stdout
        assert f"apt-get install --no-install-recommends {name}\n" in done.stdout


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "error")])
def test_a_marked_test_is_skipped_by_name_or_fails_where_packages_are_required(
    tmp_path: Path, required: str, outcome: str
) -> None:
    (tmp_path / "test_marked.py").write_text(
        "import pytest\n\n@pytest.mark.debian('prometheus')\ndef test_it(): pass\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = debian(*packages): needs them\n")
    root = SCRIPT.parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "tests.debian.programs", "-c", "pytest.ini", "."],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(root), "HEALER_REQUIRE_DEBIAN": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"1 {outcome}" in done.stdout.splitlines()[-1]
    assert "apt-get install --no-install-recommends prometheus\n" in done.stdout.replace(" in 0", "\n in 0")
