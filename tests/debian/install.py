"""The Debian packages whose real programs the tests start, and the command that installs them.

`make test` runs this file before there is a virtual environment, so it needs the standard library only. It
installs nothing unless it is root on Debian (or Ubuntu); otherwise it names what will be skipped and the line
that helps.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = """\
#!/bin/sh
# Written by healer's `make test` while it installs packages: no daemon is to start. Safe to delete.
exit 101
"""
APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")


@dataclass(frozen=True, slots=True)
class Package:
    """`program` is on the PATH once the package is installed; `unit` is the service that it would start."""

    name: str
    program: str
    unit: str | None = None


PACKAGES = {
    package.name: package
    for package in (
        Package("prometheus", "prometheus", unit="prometheus.service"),
        Package("prometheus-alertmanager", "prometheus-alertmanager", unit="prometheus-alertmanager.service"),
        Package("systemd", "systemd-analyze"),
    )
}


def missing(names: Collection[str] = tuple(PACKAGES)) -> tuple[str, ...]:
    """Those of these packages whose program is not on the PATH; KeyError for one that is not in the table."""
    return tuple(name for name in names if shutil.which(PACKAGES[name].program) is None)


def advice(names: Collection[str]) -> str:
    """The line that a person types, as root, to have these packages."""
    return "apt-get install --no-install-recommends " + " ".join(names)


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextlib.contextmanager
def no_daemon_starts(policy: Path = POLICY) -> Iterator[None]:
    """Forbid maintainer scripts to start what they install; a policy that is not ours is left as it is."""
    if policy.exists() and policy.read_text() != POLICY_TEXT:
        yield
        return
    policy.write_text(POLICY_TEXT)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def apt(*words: str) -> None:
    """Run apt-get without a question; what it says is shown only when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [*APT, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n`{' '.join([*APT, *words])}` failed ({done.returncode}); see above")


def install(names: Collection[str]) -> None:
    print(f"debian: installing {', '.join(names)} …", flush=True)
    with no_daemon_starts():
        apt("update")
        apt("install", "--yes", "--no-install-recommends", *names)
    # Installing also enables: without this, the daemons would take their ports at the machine's next boot.
    units = [unit for name in names if (unit := PACKAGES[name].unit)]
    if units and shutil.which("systemctl"):
        subprocess.run(["systemctl", "--quiet", "disable", *units], check=False, stderr=subprocess.DEVNULL)


def interrupted(signum: int, _frame: object) -> NoReturn:
    """Unwind, so that the policy file goes; an uncaught signal would leave it behind."""
    sys.exit(128 + signum)


def main() -> None:
    signal.signal(signal.SIGTERM, interrupted)
    absent = missing()
    if absent and may_install():
        install(absent)
        absent = missing()
        if absent:
            sys.exit(f"{', '.join(absent)}: installed, but the programs are not on the PATH")
    if absent:
        for name in absent:
            print(f"debian: the tests that need {name} will be skipped; as root: {advice([name])}")
    else:
        print(f"debian: {', '.join(PACKAGES)} are installed")


if __name__ == "__main__":
    main()
