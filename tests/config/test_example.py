"""config.example.yaml is the reference: it has every key of the configuration, and what it says of them is true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from healer import durations, plugins
from healer.config.check import load
from healer.config.keys import Key, Section, keys
from healer.config.settings import AlarmSection, CloudSection, NotifierSection, Settings
from healer.documents import Document, KeyPath, parse

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
LEFT_OUT = re.compile(r"^#( *)(?=[a-z_]+:|#)", re.MULTILINE)
SECTIONS: Mapping[str, tuple[str, str | None, type[Section]]] = {
    "clouds": ("engines", "engine", CloudSection),
    "notifiers": ("notifiers", "notifier", NotifierSection),
    "alarms": ("alarms", None, AlarmSection),
}
"""Where plug-ins have their options: folder, the key that names the plug-in, and what is not the plug-in's."""


def whole() -> Document:
    """The example with all that it leaves out put in."""
    return parse(LEFT_OUT.sub(lambda found: found[1], EXAMPLE.read_text()), "config.example.yaml")


def remark(document: Document, at: KeyPath) -> str:
    """The comment above a key."""
    lines = EXAMPLE.read_text().splitlines()
    above: list[str] = []
    for line in reversed(lines[: document.line(at) - 1]):
        text = line.strip().removeprefix("#").strip()
        if not line.lstrip().startswith("#") or re.match("[a-z_]+:", text):
            break
        above.insert(0, text.removeprefix("#").strip())
    return " ".join(above)


def stated(document: Document, at: KeyPath, key: Key) -> str | None:
    """What is wrong with the words about a key; None where they are right."""
    name, said = ".".join(map(str, at)), remark(document, at)
    if at not in document.lines:
        return f"{name} is not in the example"
    if not said:
        return f"{name} has no comment"
    if key.required:
        return None if "Required" in said else f"{name} is required, and its comment does not say so"
    if isinstance(key.default, dict) and key.default:
        return None  # its keys say it
    default = re.search(r"Default: (.+)$", said)
    if default is None:
        return f"{name} has no default in its comment"
    value = None if default[1] == "none" else yaml.safe_load(default[1])
    return None if same(value, key.default) else f"the default of {name} is {key.default}, not {default[1]}"


def same(one: Any, other: Any) -> bool:
    """As values; durations however they are written."""
    try:
        return one == other or durations.parse(one) == durations.parse(other)
    except (TypeError, ValueError):
        return False


def expected(document: Document) -> Iterator[tuple[KeyPath, Key]]:
    """Every key that must be there: of the settings, and of each plug-in that the example uses."""
    for key in keys(Settings):
        if "<name>" not in key.path:
            yield tuple(key.path.split(".")), key
    for section, (folder, names, ours) in SECTIONS.items():
        for index, (name, options) in enumerate(document.data[section].items()):
            kind = plugins.find(folder, options[names] if names else name)
            own = [] if index else list(keys(ours))  # once is enough
            for key in (*own, *keys(kind)):
                yield (section, name, *key.path.split(".")), key


def test_it_is_right_as_it_is() -> None:
    config = load(EXAMPLE)
    assert list(config.clouds) == ["mine"]
    assert len(config.policies) >= 3


def test_it_is_right_with_all_that_it_leaves_out(tmp_path: Path, known_clouds: Path) -> None:
    text = LEFT_OUT.sub(lambda found: found[1], EXAMPLE.read_text()).replace(
        "/etc/openstack/clouds.yaml", str(known_clouds)
    )
    (tmp_path / "shop.yaml").write_text("heat_template_version: 2018-08-31\n")
    (tmp_path / "token").write_text("sesame\n")
    text = re.sub(r"/etc/healer/credentials/\w+", str(tmp_path / "token"), text)
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("policies/*.yaml", str(EXAMPLE.parent / "policies/*.yaml")))
    assert list(load(file).clouds) == ["mine", "here"]


def test_every_key_is_in_it_with_its_default() -> None:
    document = whole()
    wrong = [stated(document, at, key) for at, key in expected(document)]
    assert len(wrong) > 30
    assert [sentence for sentence in wrong if sentence] == []


def test_what_it_sets_is_the_default_wherever_there_is_one() -> None:
    """So that a copy of it, cut to what one wants to change, means the same."""
    document = whole()
    for key in keys(Settings):
        at = tuple(key.path.split("."))
        if "<name>" in key.path or key.required or isinstance(key.default, dict) or key.path == "policies":
            continue
        value = document.data
        for part in at:
            value = value[part]
        assert value == key.default, key.path
