"""Where a gateway flees to when its disk is dead, in a test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def refuge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in memory; not made yet."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    return runtime / "refuge"
