"""A clouds.yaml of the user's own that has every cloud which the configurations under test name."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMES = ("mycloud", "mine", "another", "c")
ENTRY = """\
  {name}:
    auth_type: admin_token
    auth: {{endpoint: "http://127.0.0.1:9/v1/admin", token: not-used}}
"""


@pytest.fixture
def known_clouds(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where openstacksdk looks, in this test, when no path is configured."""
    path = tmp_path_factory.mktemp("clouds") / "clouds.yaml"
    path.write_text("clouds:\n" + "".join(ENTRY.format(name=name) for name in NAMES))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    return path
