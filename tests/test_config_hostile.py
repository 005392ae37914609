"""Files that were not written to be read: size, depth, encodings, odd files. Refused with words, never with a crash."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from gateway.app.loading import check_site
from gateway.config import Checked, render
from gateway.counters import Counters
from gateway.notify.policy import NoticePolicy
from gateway.rules.engine import Engine
from tests.support_config import CASES, checked, laid_out
from tests.support_site import write_site


def with_file(tmp_path: Path, name: str, data: bytes) -> Checked:
    """The base configuration with one file replaced."""
    directory = laid_out("valid", tmp_path)
    (directory / name).write_bytes(data)
    return checked(directory)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b"- " * 200_000 + b"x",
        b"{a: " * 200_000 + b"1" + b"}" * 200_000,
        b"? " * 200_000,
        b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 300)),
    ],
    ids=["open", "lists", "dashes", "maps", "questions", "indent"],
)
def test_deep_nesting_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file of brackets does not overflow the parser's stack."""
    found = with_file(tmp_path, "site.yaml", data)
    assert found.site is None
    assert found.findings[0].code in {"E103", "E108"}


def test_a_10_mb_file_is_refused_unread(tmp_path: Path) -> None:
    """Someone's video in the place of site.yaml costs one error."""
    found = with_file(tmp_path, "site.yaml", b"a: b\n" * 2_000_000)
    assert [each.code for each in found.findings] == ["E108"]


def test_an_alias_bomb_costs_nothing(tmp_path: Path) -> None:
    """Ten lines that stand for 10^10 values are refused."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = with_file(tmp_path, "site.yaml", "\n".join(lines).encode())
    assert "E108" in [each.code for each in found.findings]


def test_anchors_of_reasonable_size_work(tmp_path: Path) -> None:
    """Saying the same plan twice by an anchor is fine."""
    rules = (CASES / "_base" / "rules" / "fire.yaml").read_text(encoding="utf-8")
    rules = rules.replace("outcomes: [", "outcomes: &o [") + "    outcomes: *o\n"
    found = with_file(tmp_path, "rules/fire.yaml", rules.encode())
    assert found.site is not None
    assert found.site.rules[0].outcomes == found.site.rules[1].outcomes == ("真实火警", "误报")


def test_a_fifo_does_not_hang_the_check(tmp_path: Path) -> None:
    """A file that never answers is no configuration."""
    directory = laid_out("valid", tmp_path)
    (directory / "site.yaml").unlink()
    os.mkfifo(directory / "site.yaml")
    assert [each.code for each in checked(directory).findings] == ["E101"]


def test_no_directory_is_a_message(tmp_path: Path) -> None:
    """A wrong --config says so."""
    (found,) = checked(tmp_path / "nowhere").findings
    assert found.code == "E101"
    assert "没有这个目录" in render([found])


def test_nothing_in_a_message_reaches_the_terminal(tmp_path: Path) -> None:
    """Escape sequences in keys, values and file names are shown, not obeyed."""
    data = b'"\\e[31mkey": 1\nsite: "x\\e]0;title\\a"\n'
    directory = laid_out("valid", tmp_path)
    (directory / "site.yaml").write_bytes(data)
    (directory / "\x1b[2J.yaml").write_bytes(data)
    text = render(checked(directory).findings)
    assert "\x1b" not in text
    assert "\x07" not in text


def test_every_damaged_byte_is_survived(tmp_path: Path) -> None:
    """Whatever single damage a file takes, the check answers, and every finding has a place in a file."""
    rng = random.Random(20251121)
    names = [path.relative_to(CASES / "_base") for path in sorted((CASES / "_base").rglob("*.yaml"))]
    directory = laid_out("valid", tmp_path)
    for _ in range(300):
        name = rng.choice(names)
        good = (CASES / "_base" / name).read_bytes()
        at, length = rng.randrange(len(good)), rng.choice([0, 1, 1, 2, 10])
        damage = rng.choice(
            [b"", b" ", b"\t", b"\n", b":", b"-", b"[", b"{", b'"', b"&a ", b"*a", b"!x ", b"\xff", b"#"]
        )
        (directory / name).write_bytes(good[:at] + damage + good[at + length :])
        found = checked(directory)
        assert found.site is not None or found.findings
        assert all(render(found.findings, lang) for lang in ("zh", "en"))
        (directory / name).write_bytes(good)


def test_every_swapped_value_is_survived(tmp_path: Path) -> None:
    """A list, a mapping or nothing in the place of any value is an error at that value, never a crash."""
    directory = laid_out("valid", tmp_path)
    for path in sorted((CASES / "_base").rglob("*.yaml")):
        target = directory / path.relative_to(CASES / "_base")
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            key, colon, _ = line.partition(": ")
            for odd in ("[a, b]", "{a: b}", "", '""', "[[1], {x: }]", "99999999999999999999", "-1", "nan", "\u3000"):
                if colon:
                    changed = [*lines[:number], f"{key}: {odd}", *lines[number + 1 :]]
                    target.write_text("\n".join(changed), encoding="utf-8")
                    found = checked(directory)
                    assert found.site is not None or found.findings
                    if found.site is not None:  # the engine has nothing to add to what the check said
                        Engine(found.site, counters=Counters(), policy=NoticePolicy(found.site))
        target.write_text("\n".join(lines), encoding="utf-8")


def test_every_swapped_value_of_a_condition_is_survived(tmp_path: Path) -> None:
    """The same for each value of every form of condition, and for each value of a calendar."""
    directory = laid_out("forms-valid", tmp_path)
    for name in ("rules/more.yaml", "site.yaml", "notify.yaml"):
        target = directory / name
        good = target.read_text(encoding="utf-8")
        for place in re.finditer(r"(?<=: )(?![{\[])([^,{}\[\]\n]+)", good):
            for odd in ("[a, b]", "{a: b}", "", '""', "99999999999999999999", "-1", "nan"):
                target.write_text(good[: place.start()] + odd + good[place.end() :], encoding="utf-8")
                found = checked(directory)
                assert found.site is not None or found.findings
                assert all(render(found.findings, lang) for lang in ("zh", "en"))
                if found.site is not None:  # the engine has nothing to add to what the check said
                    Engine(found.site, counters=Counters(), policy=NoticePolicy(found.site))
        target.write_text(good, encoding="utf-8")


@pytest.mark.parametrize(
    "lines",
    [
        "password: hunter2",
        "password: 'hunter2, again'",
        'password: "hunter2',
        "password: [hunter2]",
        "password:\n      hunter2",
        "password: |\n      hunter2",
        "passwrod: hunter2",
        "token: hunter2",
        "password: hunter2: x",
        "password: a,hunter2\n    port: x",
    ],
)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_password_is_never_repeated(tmp_path: Path, lines: str, lang: str) -> None:
    """Whoever writes a secret into the file is told so, without it: others see the screen, and logs are sent around."""
    text = f"site: x\nbuses:\n  mqtt1:\n    type: mqtt\n    host: 127.0.0.1\n    username: gw\n    {lines}\n"
    found = with_file(tmp_path, "site.yaml", text.encode())
    assert found.errors
    assert "hunter2" not in render(found.findings, lang)
    assert "hunter2" not in str([each.message for each in found.findings])


@pytest.mark.parametrize("zone", ["3栋|充电棚", "3栋\\n充电棚", " 3栋", "\\u202e3栋", "   "])
def test_a_zone_that_cannot_be_part_of_a_key_is_refused(tmp_path: Path, zone: str) -> None:
    """The gateway's timers are named by their group: a zone with a bar in it would have ended it at the first alarm."""
    directory = write_site(tmp_path, 1883)
    path = directory / "devices" / "all.yaml"
    path.write_text(path.read_text("utf-8").replace("profile: smoke,", f'profile: smoke, zone: "{zone}",'), "utf-8")
    found = check_site(directory)
    assert found.site is None
    assert "E111" in [each.code for each in found.findings]
