"""Reads the configuration with the real tables of drivers and uplinks: the same for every command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

from cloud_bridge.table import UPLINKS
from gateway.config import Checked, as_json, check, render
from gateway.drivers.table import DRIVERS
from gateway.model import Site
from gateway.rules.expressions import check_expression, compile_expression


def check_site(directory: Path) -> Checked:
    """The site, unless there are errors, and everything found."""
    uplinks = {name: kind.params for name, kind in UPLINKS.items()}
    return check(directory, DRIVERS, uplinks, check_expression, compile_expression)


def told_site(
    directory: Path, language: Literal["zh", "en"], *, is_json: bool = False, tells_warnings: bool = True
) -> Site | None:
    """The checked site, None where it has errors; what was found is printed."""
    checked = check_site(directory)
    if is_json:
        print(json.dumps(as_json(checked.findings, language), ensure_ascii=False, indent=2))
    elif checked.errors or (checked.findings and tells_warnings):
        print(render(checked.findings, language, dropped=checked.dropped), file=sys.stderr, end="")
    return checked.site
