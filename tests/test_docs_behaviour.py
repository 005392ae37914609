"""docs/behaviour.md names a test for every promise: each of them exists and runs, and no promise is left out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "cases"
ROW = re.compile(r"\| (?P<number>\d+\.\d+) \| (?P<promise>[^|]+) \| (?P<held>[^|]+) \|")
TEST = re.compile(r"`(?P<file>[a-z0-9_]+)::(?P<name>[a-z0-9_]+)`(?: \((?P<cases>[^`)]+)\))?")
PLAYED = {
    "test_rules_cases": "rules",
    "test_rules_conditions_cases": "conditions",
    "test_config_cases": "config",
    "test_config_new_user": "manual-rules",
    "test_packs": "packs",
}
WHOLLY = ("rules", "conditions", "packs")  # each of their cases is named by a promise

# What must be promised, one entry a sentence of the agreed behaviour, in its order; words that stand in one row.
# Whoever takes a row away, or its number, takes away a promise: that is decided elsewhere, and then here.
PROMISED = {
    1: (
        "latch until 复位", "supervisory latch", "never be shelved", "by class and role", "order of rank",
        "own tone", "unlike a fire's", "never annunciated", "work list", "alarm, faulty and disabled", "README",
        "screen, print",
    ),
    2: (
        "independent", "mute filters", "true state underneath", "ISA-18.2", "names the version", "who did what, when",
        "exactly one wins", "outcome is missing, and says which", "disabled points, standing faults and records",
        "no bulk verbs on fire, gas, sos", "120 s (fire)", "60 s (sos)", "append-only", "derived", "same bytes",
        "vocabularies", "never enter statistics", "every verb", "generated", "end by themselves",
    ),
    3: (
        "equals", "deadband", "on-delay and off-delay", "rate of change", "retained message", "n times within t",
        "zone, unit or building", "one device count once", "no data", "calendars and away mode", "A then B within t",
        "general expression", "value > 60", "without an explicit override", "±1 h", "Device time is kept",
        "receive time is kept", "absurd device clock", "survive a restart", "first minute", "nothing clears",
        "notified twice", "never 0", "in 60 s", "24 h", "one line", "members listed", "300 devices lost in 5 s",
        "at most 10 annunciated", "first within 2 s", "never grouped away", "never fire is an error", "Types and units",
        "from the manual", "50,000 readings/s", "100 MB", "does not depend on rules elsewhere", "in 10 min",
        "imperative sentence",
    ),
    4: (
        "told at once", "second independent device", "manual call point", "person's word", "within 3 s of the",
        "interlock failed", "releases doors and barriers", "siren and broadcast", "closes gas", "non-fire power",
        "asks for the lift", "cloud and the internet down", "absolute value, a deadline, a readback", "3 tries",
        "after the deadline", "never opened", "Two reports of one device", "walk test, disabled or out of service",
        "cuts all its sockets within 3 s", "do not wait for the disk", "60 door releases", "commanded within 1 s",
        "read back within 3 s",
    ),
    5: (
        "within 1 s", "within 3 s", "30 s not taken", "grid officer", "60 s: family in order", "breach counted",
        "180 s: street", "for 120", "±1 s", "kill -9", "internet down", "pressed again or the door code",
        "only by a person with a reason", "releasing the button clears nothing",
        "press, taken, verified, arrived, closed and outcome", "97.5 % within 60 s", "99 % within 180 s",
        "call-back step",
    ),
    6: (
        "8 h warns", "10 h cuts", "5 % of rated power for 30 min", "30 mA", "60 °C warns", "70 °C cuts",
        "Over-current and over-power cut", "cut upstream", "re-plug", "EV piles",
    ),
    7: (
        "at least 180 days", "forced at once", "held open 30 s", "accessible 60 s", "seen, confirmed, a pulse",
        "within 2 s", "No face image", "non-face method",
    ),
    8: (
        "to a device, an operator or the cloud", "kill -9", "power cut", "full disk", "restart of the broker",
        "clock step", "never notified twice for one reason to one person", "delivered, stored or evaluated",
        "two kinds of channel", "failed channel is a fault", "unsynchronised",
    ),
    9: (
        "dead at the start", "damaged database",
        "exactly one wins", "who did what in between", "never carried out late", "no second act", "`commands:`",
        "gas valve", "on record", "cannot be forged", "half lines", "nothing is done later", "Names of people",
        "within the deadband", "Savings are counted", "events always go up", "what it asks for and no more",
        "Personal words", "30 days ahead", "Secrets",
        "started as they are shipped", "certificate is its account", "every dashboard",
        "played from one that was measured", "As a service",
        "0 lost, 0 twice by id, 0 out of order per device", "put aside after a few refusals", "time and no row",
        "leader of its streams", "damaged page of the outbox",
        "topic for topic and shape for shape", "last PUBACK", "costs no other row", "known again",
    ),
}  # fmt: skip


def rows() -> list[re.Match[str]]:
    text = (ROOT / "docs" / "behaviour.md").read_text()
    return [found for line in text.splitlines() if (found := ROW.fullmatch(line.strip()))]


@cache
def names_in(name: str) -> frozenset[str]:
    """The tests of a file that are run: one that is always skipped, or may fail, holds nothing."""
    path = ROOT / "tests" / f"{name}.py"
    if not path.exists():
        return frozenset()
    tree = ast.parse(path.read_text())
    found = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(each.name for each in found if not any(map(_lets_off, each.decorator_list)))


def _lets_off(mark: ast.expr) -> bool:
    said = ast.unparse(mark)
    return said.startswith("pytest.mark.xfail") or said.partition("(")[0] == "pytest.mark.skip"


def cases_of(held: str) -> set[str]:
    """The cases that are named behind their test, as paths below tests/cases; with a … for some of that beginning."""
    found = [each for each in TEST.finditer(held) if each["cases"] and each["file"] in PLAYED]
    return {f"{PLAYED[each['file']]}/{name.strip()}" for each in found for name in each["cases"].split(",")}


def test_the_table_is_read() -> None:
    """Every line of the tables is understood: numbers are in order, without a gap, and used once."""
    numbers = [tuple(map(int, row["number"].split("."))) for row in rows()]
    sizes = {section: sum(each[0] == section for each in numbers) for section in PROMISED}
    assert numbers == [(section, each + 1) for section, size in sizes.items() for each in range(size)]
    lines = (ROOT / "docs" / "behaviour.md").read_text().splitlines()
    assert len(numbers) == sum(bool(re.match(r"\| \d", line)) for line in lines)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["number"]) for row in rows()])
def test_every_promise_is_held_by_a_test_that_exists(row: re.Match[str]) -> None:
    """A promise names at least one test that runs, and cases that are there; an open one says so and why."""
    held = [(each["file"], each["name"]) for each in TEST.finditer(row["held"])]
    assert held or row["held"].startswith("open: ")
    assert row["held"].count("::") == len(held), "a name that is not read"
    missing = [f"{file}::{name}" for file, name in held if name not in names_in(file)]
    assert not missing
    assert not [each for each in cases_of(row["held"]) if not _is_there(each)]


def _is_there(case: str) -> bool:
    if case.endswith("…"):
        return any(CASES.glob(f"{case[:-1]}*"))
    return (CASES / case).is_dir() or (CASES / f"{case}.yaml").is_file()


@pytest.mark.parametrize("section", PROMISED)
def test_no_promise_is_left_out(section: int) -> None:
    """Each sentence that was agreed with a must, a never or a number has its row in its section."""
    text = [row["promise"] for row in rows() if row["number"].startswith(f"{section}.")]
    assert not [each for each in PROMISED[section] if not any(each in line for line in text)]


@pytest.mark.parametrize("room", WHOLLY)
def test_every_case_holds_a_promise(room: str) -> None:
    """A story, a condition or a script of the rules that no promise names is either a new promise or needless."""
    there = CASES / room
    stories = {f"{room}/{each.parent.name}/{each.stem}" for each in there.glob("*/*.yaml")}
    found = stories if room == "packs" else {f"{room}/{each.name}" for each in there.iterdir()}
    assert found
    assert not found - set().union(*(cases_of(row["held"]) for row in rows()))


def test_the_statement_stands_in_front() -> None:
    """Who reads a README or starts the program reads first that it supplements certified fire equipment."""
    for name, top in (("README.md", 15), ("README.zh-CN.md", 15), ("gateway/app/greeting.py", None)):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()[:top]
        assert any("辅助监测,不替代消防系统" in each for each in lines), name
