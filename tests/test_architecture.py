"""The layout of the tree is a promise; these tests are what keeps it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from healer.plugins import FOLDERS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "healer"
TESTS = ROOT / "tests"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
LONGEST = 300
LONGER_FOR_A_REASON: dict[str, str] = {}
"""Path under healer/ to the reason why a reader is better served by one long file."""
# Spelt apart, so that this file is not among the findings.
MACHINE_PATH = re.compile(
    rb"(?<![\w./-])/(?:" + rb"wor" + rb"k|roo" + rb"t|tmp/brie" + rb"f)(?:/|\b)|\.\./" + rb"shared"
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def plugins(folder: Path) -> list[str]:
    """Names of the modules and packages in a folder, but for those that begin with an underscore."""
    found = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    return sorted(name for name in found if not name.startswith("_"))


def test_imports_go_down_the_layers_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", FOLDERS)
def test_each_plugin_has_its_test_file(kind: str) -> None:
    lacking = [name for name in plugins(SOURCE / kind) if not (TESTS / kind / f"test_{name}.py").is_file()]
    assert not lacking, f"tests/{kind}/ lacks " + ", ".join(f"test_{name}.py" for name in lacking)


def test_each_module_of_the_core_has_its_test_file() -> None:
    lacking = [
        name for name in plugins(SOURCE / "core") if not (TESTS / "core" / f"test_{name}.py").is_file()
    ]
    assert not lacking, "tests/core/ lacks " + ", ".join(f"test_{name}.py" for name in lacking)


def test_no_file_is_longer_than_a_reader_can_hold_but_for_those_with_a_reason() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in MODULES}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST}
    assert too_long.keys() == LONGER_FOR_A_REASON.keys(), f"{too_long}; allowed: {LONGER_FOR_A_REASON}"
    assert all(LONGER_FOR_A_REASON.values())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_opens_with_a_sentence_that_says_what_it_is(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said, "no docstring as the first statement"
    assert said.split("\n\n")[0].rstrip()[-1] in ".:", "the first paragraph is not a sentence"


@pytest.mark.parametrize(
    ("page", "extra"), [("dependencies.md", None), ("0005-tools-of-development.md", "dev")]
)
def test_each_library_is_accounted_for(page: str, extra: str | None) -> None:
    """A library is somebody else's work that ours rests on: whose, how big and what for is written down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    names = {re.split(r"[^\w-]", each)[0] for each in wanted}
    rows = re.findall(r"^\| ([\w-]+) ", (ROOT / "docs" / "decisions" / page).read_text(), re.MULTILINE)
    assert set(rows) - {"library", "hatchling"} == names


def test_nothing_committed_names_a_path_of_the_machine_it_was_made_on() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = [
        f"{name}:{number}: {line.decode(errors='replace').strip()}"
        for name in listed.stdout.decode().split("\0")
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_bytes().splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)
