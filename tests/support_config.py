"""Configurations in golden directories: `_base` is a good one, each other directory lays its files over it.

A case with an `over.txt` lays them over the directory named there first: `_homes` has more kinds and calendars.

`python -m tests.support_config` writes every expected.txt anew: read the difference before you keep it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from gateway.app.loading import check_site
from gateway.config import Checked, render

CASES = Path(__file__).parent / "cases" / "config"
SAMPLE = Path(__file__).parent.parent / "config"
os.environ.setdefault("GRID_WORKER", "json://127.0.0.1")  # the base names it; without it every case would warn
RUNNING = "第 37 版(06-11 14:02, 王工)"


def checked(directory: Path) -> Checked:
    """What the real tables of drivers and uplinks say of a directory."""
    return check_site(directory)


def laid_out(case: str, into: Path) -> Path:
    """The base with the case's files over it, as ``into/config``."""
    target = into / "config"
    shutil.copytree(CASES / "_base", target)
    over = CASES / case / "over.txt"
    for layer in [*(over.read_text().split() if over.exists() else ()), case]:
        for path in (CASES / layer).rglob("*"):
            relative = path.relative_to(CASES / layer)
            if path.is_file() and relative.name not in {"expected.txt", "remove.txt", "over.txt"}:
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / relative)
    removed = CASES / case / "remove.txt"
    for name in removed.read_text().split() if removed.exists() else ():
        (target / name).unlink()
    return target


def rendered(case: str, into: Path) -> str:
    """What an installer reads, with paths as if they had typed ``--config config``."""
    found = checked(laid_out(case, into))
    return render(found.findings, "zh", RUNNING, found.dropped).replace(f"{into.as_posix()}/", "")


def names() -> list[str]:
    """Every case."""
    return sorted(path.name for path in CASES.iterdir() if path.is_dir() and not path.name.startswith("_"))


def main() -> None:
    for case in names():
        with tempfile.TemporaryDirectory() as folder:
            (CASES / case / "expected.txt").write_text(rendered(case, Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
