"""Writes the JSON Schemas of the configuration, with all drivers and uplinks: ``python -m gateway.app.schemas``.

The files lie in docs/schema; a test says when they are out of date. What is in them is `gateway.config.schema`'s.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cloud_bridge.table import UPLINKS
from gateway.config.schema import schemas
from gateway.drivers.table import DRIVERS


def texts() -> dict[str, str]:
    """Name of the file -> its text."""
    found = schemas(DRIVERS, {name: kind.params for name, kind in UPLINKS.items()})
    return {
        f"config-{name}.v1.json": json.dumps(each, ensure_ascii=False, indent=1) + "\n" for name, each in found.items()
    }


def main(directory: Path) -> None:
    """Write them all into ``directory``."""
    for name, text in texts().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schema"))
