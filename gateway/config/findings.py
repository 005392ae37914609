"""Configuration: what the checker found, and where. How it is written out is in `render`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST = 1_000  # findings kept of one check; the rest is only counted
_NEAR = 0.6  # difflib's ratio from which a name is taken for a misspelling


class Say(NamedTuple):
    """One sentence in both languages."""

    zh: str = ""
    en: str = ""


NOTHING = Say()
HIDDEN = "***"
ALLOWED = Say("可用", "allowed")
DEFINED = Say("已定义", "defined")


class Source(NamedTuple):
    """One file as it was read: the name shown to people and its lines without line ends."""

    name: str
    lines: Sequence[str]


class Spot(NamedTuple):
    """A place in a file; line and column count from 1, width is in characters."""

    source: Source
    line: int = 0  # 0: the file as a whole
    column: int = 0
    width: int = 1

    @property
    def brief(self) -> str:
        """``file:line`` for a mention inside another message."""
        return f"{self.source.name}:{self.line}" if self.line else self.source.name


def hidden(spot: Spot) -> Spot:
    """The same place with what stands there replaced by `HIDDEN`: a secret must not reach a screen or a log."""
    lines = list(spot.source.lines)
    if not 0 < spot.line <= len(lines):
        return spot
    line, start = lines[spot.line - 1], spot.column - 1
    lines[spot.line - 1] = line[:start] + HIDDEN + line[start + spot.width :]
    return spot._replace(source=Source(spot.source.name, lines), width=len(HIDDEN))


@dataclass(frozen=True, slots=True)
class Finding:
    """One error (``E...``) or warning (``W...``) with its place and the way out."""

    code: str
    spot: Spot
    message: Say
    subject: Say = NOTHING  # "设备 3-2-03-0301": whom it concerns
    fix: Say = NOTHING
    options: tuple[str, ...] = ()  # what may stand there
    options_label: Say = ALLOWED

    @property
    def is_error(self) -> bool:
        """Warnings do not keep a configuration from being used."""
        return self.code.startswith("E")


class ConfigErrors(Exception):  # noqa: N818 - it carries many
    """The configuration cannot be used. Carries every finding, warnings too."""

    def __init__(self, findings: Sequence[Finding], dropped: int = 0) -> None:
        super().__init__("\n".join(f"{f.spot.brief}: {f.code} {f.message.en}" for f in findings[:20]))
        self.findings = tuple(findings)
        self.dropped = dropped


class Findings:
    """Collects what is found, at most `MOST`; ``dropped`` counts the rest."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.errors = 0
        self.dropped = 0

    def add(
        self,
        code: str,
        spot: Spot,
        message: Say,
        *,
        subject: Say = NOTHING,
        fix: Say = NOTHING,
        options: Iterable[str] = (),
        options_label: Say = ALLOWED,
    ) -> None:
        """Note one finding; ``code`` begins with E (error) or W (warning)."""
        found = Finding(code, spot, message, subject, fix, tuple(options), options_label)
        self.errors += found.is_error
        if len(self._kept) < MOST:
            self._kept.append(found)
        else:
            self.dropped += 1

    def sorted(self) -> tuple[Finding, ...]:
        """By file, line and column, each finding once."""
        return tuple({_order(each): each for each in sorted(self._kept, key=_order)}.values())


def _order(found: Finding) -> tuple[str, int, int, str, str]:
    return found.spot.source.name, found.spot.line, found.spot.column, found.code, found.message.en


def nearest(name: str, among: Iterable[str]) -> str:
    """The name ``name`` was probably meant to be, or nothing."""
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=_NEAR)
    return close[0] if close else ""


def perhaps(
    name: str, among: Iterable[str], otherwise: Say = NOTHING, defined: Mapping[str, Spot] | None = None
) -> Say:
    """The fix for an unknown name: the nearest known one, with the place where that is defined."""
    close = nearest(name, among)
    if not close:
        return otherwise
    spot = defined.get(close) if defined else None
    zh = f"(定义在 {spot.brief})" if spot else ""
    en = f" (defined in {spot.brief})" if spot else ""
    return Say(f'是不是 "{close}"?{zh}', f'did you mean "{close}"?{en}')
