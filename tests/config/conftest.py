"""Configurations are checked as on a machine whose clouds.yaml has the clouds that they name."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _clouds(known_clouds: object) -> None:
    """For every test of this folder."""
