"""What `shouwang` says of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("run", "check", "bridge", "demo", "sim", "uplinks", "version")


@pytest.mark.parametrize("given", [[], ["--help"]])
def test_every_command_is_listed(given: list[str]) -> None:
    """Also where somebody types the bare name: what is not listed is not found."""
    program = Path(sys.executable).with_name("shouwang")
    said = subprocess.run([program, *given], capture_output=True, text=True, check=False).stdout
    listed = {line.split()[1] for line in said.splitlines() if line.startswith("│ ")}
    assert listed >= {*COMMANDS}
