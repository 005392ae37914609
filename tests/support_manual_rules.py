"""Rules that a new user wrote from the manual: tests/cases/manual-rules, each with what they expect of them.

A case has the text of a rules file, and a script (`tests.support_packs`) to be played on the demo site with it.
"""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from gateway.config import Checked
from tests.support_config import SAMPLE, checked

CASES = Path(__file__).parent / "cases" / "manual-rules"
MANUAL = (SAMPLE.parent / "docs" / "configuration.zh-CN.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
_CALENDARS = re.findall(r"```yaml\ncalendars:\n(.*?)```", MANUAL, re.DOTALL)


def names() -> list[str]:
    """Every case."""
    return sorted(path.stem for path in CASES.glob("[0-9]*.yaml"))


def text_of(name: str) -> str:
    """The rules as they were written."""
    found: str = yaml.safe_load((CASES / f"{name}.yaml").read_text("utf-8"))["rules"]
    return found


def lay_out(into: Path, texts: dict[str, str]) -> Path:
    """The demo site with the manual's calendars and these files of rules."""
    target = into / "config"
    shutil.copytree(SAMPLE, target)
    with (target / "site.yaml").open("a", encoding="utf-8") as file:
        file.write("".join(_CALENDARS))  # its last section is that of the calendars
    for name, text in texts.items():
        (target / "rules" / f"{name}.yaml").write_text(text, "utf-8")
    return target


@functools.cache
def together() -> Checked:
    """All of them in one site: nobody has only one rule."""
    with tempfile.TemporaryDirectory() as folder:
        return checked(lay_out(Path(folder), {f"mine-{name}": text_of(name) for name in names()}))


@functools.cache
def of_the_manual() -> Checked:
    """The demo site with the rules, devices and profiles of the manual in place of its own rules."""
    with tempfile.TemporaryDirectory() as folder:
        rules = [text.removeprefix("rules:\n") for text in BLOCKS if text.startswith("rules:\n")]
        target = lay_out(Path(folder), {})
        for own in (target / "rules").glob("*.yaml"):
            own.unlink()  # some have names that the manual uses too
        (target / "rules" / "manual.yaml").write_text("rules:\n" + "".join(rules), "utf-8")
        for text in BLOCKS:
            if found := re.match(r"# (\S+\.yaml)\n", text):
                (target / found[1]).write_text(text, "utf-8")
        return checked(target)
