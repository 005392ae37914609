"""Configuration: findings as an installer reads them, in Chinese or English, and as data.

The shape is one everybody's editor and grep can use: ``file:line:column: 错误 E104: whom: what``, the lines with
a caret, one sentence of what to do, what may stand there. Text from files is shown without control characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from gateway.config.findings import HIDDEN, Finding, Say, Spot

_SECRET = re.compile(  # a value that is no reference {...}; in a flow it ends at a comma or bracket
    r"""(?:(?:pass\w*|pwd|\w*token\w*|\w*secret\w*|apprise|口令|密码"""
    r"""|\b(?:email|sms|wecom|dingtalk|feishu|webhook|number|pin))['"]?\s*[:\uff1a]\s*)"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s{"'&*#][^,}\n]*)""",
    re.IGNORECASE,
)
_MOST = 20
_WIDEST = 100  # columns of a source line


def render(findings: Sequence[Finding], lang: str = "zh", running: str | None = None, dropped: int = 0) -> str:
    """Everything found, and a summary that says whether anything changed and what is running now.

    ``running`` names what the site runs on now, for example ``第 37 版(06-11 14:02, 王工)``; None: nothing is.
    """
    shown = _chosen(findings)
    blocks = [_block(each, lang) for each in shown]
    rest = len(findings) - len(shown) + dropped
    if rest:
        blocks.append(
            _pick(Say(f"还有 {rest} 个,改好上面这些再检查一次。", f"{rest} more: correct these and check again."), lang)
        )
    blocks.append(_summary(findings, dropped, lang, running))
    return "\n\n".join(blocks) + "\n"


def as_json(findings: Sequence[Finding], lang: str = "zh") -> list[dict[str, Any]]:
    """The same fields as data, all of them."""
    return [
        {
            "file": f.spot.source.name,
            "line": f.spot.line,
            "column": f.spot.column,
            "severity": "error" if f.is_error else "warning",
            "code": f.code,
            "subject": _pick(f.subject, lang),
            "message": _pick(f.message, lang),
            "fix": _pick(f.fix, lang),
            "allowed": list(f.options),
        }
        for f in findings
    ]


def _chosen(findings: Sequence[Finding]) -> list[Finding]:
    """The first twenty; warnings make way for errors."""
    if len(findings) <= _MOST:
        return list(findings)
    errors = [each for each in findings if each.is_error][:_MOST]
    room = _MOST - len(errors)
    kept = {id(each) for each in errors} | {id(e) for e in [w for w in findings if not w.is_error][:room]}
    return [each for each in findings if id(each) in kept]


def _block(found: Finding, lang: str) -> str:
    spot = found.spot
    place = f"{_clean(spot.source.name)}:{spot.line}:{spot.column}" if spot.line else _clean(spot.source.name)
    severity = _pick(Say("错误", "error") if found.is_error else Say("警告", "warning"), lang)
    who = _clean(_pick(found.subject, lang))
    what = _clean(_pick(found.message, lang))
    lines = [f"{place}: {severity} {found.code}: {who + (':' if lang == 'zh' else ': ') if who else ''}{what}"]
    lines += _excerpt(spot)
    if fix := _clean(_pick(found.fix, lang)):
        lines.append(f"  {_pick(Say('改法', 'fix'), lang)}: {fix}")
    if found.options:
        lines.append(f"  {_pick(found.options_label, lang)}: {_clean(', '.join(found.options))}")
    return "\n".join(lines)


def _excerpt(spot: Spot) -> list[str]:
    """The line with a caret under it and the line before; wide characters take two columns."""
    if not 0 < spot.line <= len(spot.source.lines):
        return []
    line, start = _without_secrets(spot.source.lines[spot.line - 1], spot.column - 1)
    first = _first_shown(line, start, spot.width)
    cut = "…" if first else ""
    before, marked = _clean(line[first:start]), _clean(line[start : start + spot.width])
    room = max(1, _WIDEST - _columns(cut + before))
    caret = " " * _columns(cut + before) + "^" * min(room, max(1, _columns(marked)))
    found = []
    if spot.line > 1:
        above = spot.source.lines[spot.line - 2]
        found.append(f"{spot.line - 1:>6} | {_fitted(_clean(_without_secrets(above)[0]))}")
    found.append(f"> {spot.line:>4} | {_fitted(cut + _clean(line[first:]))}".rstrip())
    found.append(f"       | {caret}")
    return [each.rstrip() for each in found]


def _without_secrets(line: str, start: int = 0) -> tuple[str, int]:
    """The line without plain secrets, and where what stood at ``start`` stands now."""
    found = _SECRET.search(line)
    if not found:
        return line, start
    begin, end = found.span("value")
    if not line[: found.start()].strip(" -") and line[begin] not in "\"'":
        end = len(line)  # no flow: a comma is part of it
    if start >= end:
        start += len(HIDDEN) - (end - begin)
    return f"{line[:begin]}{HIDDEN}{line[end:]}", min(start, begin) if begin < start < end else start


def _first_shown(line: str, start: int, width: int) -> int:
    """Where a very long line begins to be shown, so that the caret is seen."""
    is_far = _columns(_clean(line[: start + min(width, 10)])) > _WIDEST
    return max(0, start - _WIDEST // 4) if is_far else 0


def _fitted(text: str) -> str:
    columns = 0
    for i, char in enumerate(text):
        columns += _width(char)
        if columns > _WIDEST:
            return text[:i] + "…"
    return text


def _clean(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(
        "    "
        if c == "\t"
        else c
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else "\ufffd"
        for c in text
    )


def _columns(text: str) -> int:
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _summary(findings: Sequence[Finding], dropped: int, lang: str, running: str | None) -> str:
    errors = sum(each.is_error for each in findings)
    warnings = len(findings) - errors
    errors += dropped
    count = Say(
        f"检查完成: {errors} 个错误, {warnings} 个警告。",
        f"Check finished: errors: {errors}, warnings: {warnings}.",
    )
    after = Say("可以使用。", " It can be used.")
    if errors and running:
        after = Say(
            f"新配置没有生效;现场仍按 {running}运行。", f" Nothing was changed; the site still runs on {running}."
        )
    elif errors:
        after = Say("这份配置没有生效。", " This configuration is not in use.")
    return _pick(Say(count.zh + after.zh, count.en + after.en), lang)


def _pick(say: Say, lang: str) -> str:
    return (say.en or say.zh) if lang == "en" else (say.zh or say.en)
