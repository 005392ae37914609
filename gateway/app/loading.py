"""Reads the configuration with the real tables of drivers and uplinks: the same for every command."""

from __future__ import annotations

from pathlib import Path

from cloud_bridge.table import UPLINKS
from gateway.config import Checked, check
from gateway.drivers.table import DRIVERS
from gateway.rules.expressions import check_expression, compile_expression


def check_site(directory: Path) -> Checked:
    """The site, unless there are errors, and everything found."""
    uplinks = {name: kind.params for name, kind in UPLINKS.items()}
    return check(directory, DRIVERS, uplinks, check_expression, compile_expression)
