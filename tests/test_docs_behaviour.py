"""docs/behaviour.md names a test for every promise: each of them exists, and no promise stands without one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"\| (?P<number>\d+\.\d+) \| (?P<promise>[^|]+) \| (?P<held>[^|]+) \|")
TEST = re.compile(r"`(?P<file>[a-z0-9_]+)::(?P<name>[a-z0-9_]+)`")


def rows() -> list[re.Match[str]]:
    text = (ROOT / "docs" / "behaviour.md").read_text()
    return [found for line in text.splitlines() if (found := ROW.fullmatch(line.strip()))]


@cache
def names_in(name: str) -> frozenset[str]:
    path = ROOT / "tests" / f"{name}.py"
    if not path.exists():
        return frozenset()
    tree = ast.parse(path.read_text())
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_table_is_read() -> None:
    """Every line of the tables is understood: numbers are in order and used once."""
    numbers = [tuple(map(int, row["number"].split("."))) for row in rows()]
    assert numbers == sorted(set(numbers))
    lines = (ROOT / "docs" / "behaviour.md").read_text().splitlines()
    assert len(numbers) == sum(bool(re.match(r"\| \d", line)) for line in lines)
    assert len(numbers) > 50


@pytest.mark.parametrize("row", [pytest.param(row, id=row["number"]) for row in rows()])
def test_every_promise_is_held_by_a_test_that_exists(row: re.Match[str]) -> None:
    """A promise names at least one test; an open one says so and why."""
    held = TEST.findall(row["held"])
    assert held or row["held"].startswith("open: ")
    missing = [f"{file}::{name}" for file, name in held if name not in names_in(file)]
    assert not missing
