"""Misspelt keys: every key of a good configuration, misspelt in four ways, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support_config import checked, laid_out

_KEY = re.compile(r"([a-z_]+)(?=: )")


def _misspelt(key: str) -> Iterator[str]:
    """Two letters swapped, one left out, one doubled, one replaced."""
    middle = len(key) // 2
    yield key[: middle - 1] + key[middle] + key[middle - 1] + key[middle + 1 :]
    yield key[:middle] + key[middle + 1 :]
    yield key[:middle] + key[middle] + key[middle:]
    yield key[:middle] + "x" + key[middle + 1 :]


def test_a_misspelt_key_is_found_and_named(tmp_path: Path) -> None:
    """The right line every time, one error and no more, and the right key proposed nine times in ten."""
    directory = laid_out("valid", tmp_path)
    tried = proposed = 0
    missed = []
    for name in ("devices/b3.yaml", "profiles/smoke-a1.yaml", "profiles/ebike.yaml", "rules/fire.yaml"):
        good = (directory / name).read_text(encoding="utf-8")
        for found in _KEY.finditer(good):
            key = found[1]
            if len(key) < 4 or key in {"alarm", "battery", "smoke", "power", "volts"}:  # names of points are free
                continue
            line = good.count("\n", 0, found.start()) + 1
            for wrong in _misspelt(key):
                if wrong == key:
                    continue
                (directory / name).write_text(good[: found.start()] + wrong + good[found.end() :], encoding="utf-8")
                (first, *more) = checked(directory).findings
                assert (first.code, first.spot.line) == ("E104", line), (wrong, first)
                right = first.fix.zh.startswith(f'是不是 "{key}"')
                assert not (right and [each for each in more if each.is_error]), (wrong, more)
                tried += 1
                proposed += right
                if not right:
                    missed.append((wrong, first.fix.zh))
        (directory / name).write_text(good, encoding="utf-8")
    assert tried > 100
    assert proposed >= 0.9 * tried, missed


def test_a_colon_without_its_space_is_named(tmp_path: Path) -> None:
    """In braces YAML takes it as part of the name."""
    directory = laid_out("valid", tmp_path)
    file = directory / "rules/fire.yaml"
    good = file.read_text(encoding="utf-8")
    for colon in (":", "\uff1a"):
        file.write_text(good.replace("class: fire", f"class{colon}fire", 1), encoding="utf-8")
        assert any("加一个空格" in each.fix.zh for each in checked(directory).findings), colon
