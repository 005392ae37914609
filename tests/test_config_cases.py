"""Broken configurations and what an installer reads about them, word by word: tests/cases/config/<name>."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.config import ConfigErrors, as_json, load, render
from gateway.drivers.table import DRIVERS
from tests.support_config import CASES, RUNNING, SAMPLE, checked, laid_out, names, rendered


@pytest.mark.parametrize("case", names())
def test_the_message_is_exactly_this(case: str, tmp_path: Path) -> None:
    """Every mistake is told at its place, with what to do, in these words."""
    assert rendered(case, tmp_path) == (CASES / case / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", names())
def test_english_says_as_much(case: str, tmp_path: Path) -> None:
    """With --lang en every finding of this room has a sentence and a fix of its own in English."""
    for found in checked(laid_out(case, tmp_path)).findings:
        assert found.message.en != found.message.zh
        if not found.code.startswith("E3"):  # those are the drivers' words
            assert found.fix.en != found.fix.zh


def test_the_demo_site_has_nothing_to_complain_about() -> None:
    """The configuration that `shouwang run --config config` starts has no error and no warning."""
    found = checked(SAMPLE)
    assert found.site is not None
    assert render(found.findings) == "检查完成: 0 个错误, 0 个警告。可以使用。\n"


def test_the_demo_site_is_the_promised_one() -> None:
    """Three buildings, about 200 devices of all six kinds, and the room the demo sets on fire."""
    site = checked(SAMPLE).site
    assert site is not None
    assert "3-2-03-0301/smoke" in site.devices
    assert {d.place.building for d in site.devices.values()} >= {"1", "2", "3"}
    kinds = {d.kind for d in site.devices.values()}
    assert kinds >= {"smoke", "gas", "sos", "siren", "buzzer", "door", "ebike-charger", "ev-charger"}
    assert 180 <= len(site.devices) <= 260
    overload = next(rule for rule in site.rules if rule.id == "socket-overload")
    assert len(overload.points) == 40
    assert "3-1-B1-CP01/ebike-charger/power.10" in overload.points


def test_load_raises_everything_at_once(tmp_path: Path) -> None:
    """A caller that wants a site gets one exception with all three errors of the sketch."""
    with pytest.raises(ConfigErrors) as caught:
        load(laid_out("three-errors", tmp_path), DRIVERS, {})
    assert [each.code for each in caught.value.findings] == ["E104", "E201", "E305"]


def test_at_most_twenty_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    """A wall of errors is cut at twenty, and says how many more there are."""
    directory = laid_out("valid", tmp_path)
    items = "".join(f"  - {{at: 9-1-01-{n:04d}, profile: nosuch, bus: mqtt1}}\n" for n in range(30))
    (directory / "devices" / "more.yaml").write_text(f"devices:\n{items}", encoding="utf-8")
    text = render(checked(directory).findings, "zh", RUNNING)
    assert text.count(": 错误 E202") == 20
    assert "还有 10 个" in text
    assert text.endswith(f"检查完成: 30 个错误, 0 个警告。新配置没有生效;现场仍按 {RUNNING}运行。\n")


def test_findings_are_bounded(tmp_path: Path) -> None:
    """Nine thousand wrong devices do not make nine thousand findings; those left out are counted."""
    directory = laid_out("valid", tmp_path)
    items = "".join(f"  - {{at: 9-1-01-{n:04d}, profile: nosuch, bus: mqtt1}}\n" for n in range(3000))
    (directory / "devices" / "more.yaml").write_text(f"devices:\n{items}", encoding="utf-8")
    found = checked(directory)
    assert (len(found.findings), found.dropped) == (1000, 2000)
    assert "检查完成: 3000 个错误" in render(found.findings, dropped=found.dropped)


def test_json_has_the_same_fields(tmp_path: Path) -> None:
    """A program reads the same place, code, words and choices as a person."""
    (first, *_) = as_json(checked(laid_out("unknown-via", tmp_path)).findings)
    assert {
        key: first[key] for key in ("line", "column", "severity", "code", "subject", "message", "fix", "allowed")
    } == {
        "line": 4,
        "column": 6,
        "severity": "error",
        "code": "E203",
        "subject": "档案 smoke-a1",
        "message": '不认识的接入方式 "mqt"',
        "fix": '是不是 "mqtt"?',
        "allowed": ["modbus", "mqtt"],
    }


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    """The same files give the same digest; one changed byte or a renamed file gives another."""
    directory = laid_out("valid", tmp_path)
    first, second = checked(directory).site, checked(directory).site
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    shutil.move(directory / "rules" / "fire.yaml", directory / "rules" / "smoke.yaml")
    renamed = checked(directory).site
    (directory / "notify.yaml").write_bytes((directory / "notify.yaml").read_bytes() + b"#\n")
    changed = checked(directory).site
    assert renamed is not None
    assert changed is not None
    assert len({first.digest, renamed.digest, changed.digest}) == 3


def test_a_copy_with_bom_is_the_same_configuration(tmp_path: Path) -> None:
    """Windows Notepad's byte order mark changes nothing but the digest."""
    plain = checked(laid_out("valid", tmp_path / "a")).site
    marked = checked(laid_out("bom-file", tmp_path / "b")).site
    assert plain is not None
    assert marked is not None
    assert plain.devices.keys() == marked.devices.keys()
