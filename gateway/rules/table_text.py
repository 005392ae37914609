"""Room: rules. The alarm table in words: docs/alarm-table.md is this module's `as_markdown`, never edited by hand.

``python -m gateway.rules.table_text > docs/alarm-table.md`` writes it again; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from gateway.model import AlarmClass, AlarmCondition, Handling, Verb
from gateway.rules.table import ARGUMENTS, DONE, EFFECTS, ENDINGS, SOUNDLESS, VERBS, Code, Effect, Ending, Latch, Row

_VERBS = {
    Verb.SILENCE: "消音",
    Verb.TAKE: "接警",
    Verb.VERIFY: "核实",
    Verb.NOTE: "备注",
    Verb.ARRIVE: "到场",
    Verb.CLOSE: "办结",
    Verb.RESET: "复位",
}
_HANDLINGS = {
    Handling.NEW: "未接警",
    Handling.TAKEN: "已接警",
    Handling.VERIFYING: "核实中",
    Handling.HANDLING: "处置中",
    Handling.CLOSED: "已办结",
}
_CONDITIONS = {AlarmCondition.ACTIVE: "报警中", AlarmCondition.RETURNED: "已恢复"}
_ENDINGS = {
    Ending.CLOSED: "办结 closed",
    Ending.TAKEN: "接警 taken",
    Ending.NOTHING: "(随源) nothing: follows its source",
}
_LATCHES = {Latch.KEEP: "", Latch.SET: "on", Latch.CLEAR: "off", Latch.AS_RAISED: "as the rule and class say"}
_CODES: dict[Code, tuple[str, str]] = {
    Code.UNKNOWN_ALARM: ("没有这条报警", "there is no such alarm"),
    Code.ALREADY_ENDED: ("这条报警已经结束", "the alarm has ended; its record stays as it is"),
    Code.STALE_VERSION: ("别人已先处理(谁、何时、做了什么)", "somebody was first: who, what, when"),
    Code.EXPIRED: ("请求过期,请重新操作", "the request came too late; do it again"),
    Code.ALREADY_TAKEN: ("已有人接警", "somebody has taken it"),
    Code.ALREADY_CLOSED: ("已经办结", "it is closed"),
    Code.ALREADY_SILENT: ("已经消音", "it is silent"),
    Code.NOT_TAKEN: ("请先接警", "take it first"),
    Code.NOT_LATCHED: ("无需复位", "there is nothing to reset"),
    Code.CONDITION_ACTIVE: ("探测器仍在报警", "the detector is still in alarm"),
    Code.NO_OUTCOME: ("还没有填写处置结果,请先办结", "the outcome is missing: close it first"),
    Code.MISSING_ARGUMENT: ("缺少必填项", "a required argument is missing"),
    Code.BAD_ARGUMENT: ("填写的内容不对", "an argument is not one of what is expected"),
    Code.BAD_OUTCOME: ("处置结果不在本规则的选项中", "the outcome is not in the rule's vocabulary"),
}

_PARTS = """一条报警有四个互相独立的部分:状态(报警中/已恢复)、处置、锁存、声音。
An alarm has four independent parts: condition, handling, latch, sound."""


def as_markdown() -> str:
    """The whole document."""
    parts = [
        "# 报警状态表 · The alarm table",
        "由 `gateway/rules/table.py` 生成,请勿手改。Generated from `gateway/rules/table.py`; do not edit.",
        _PARTS,
        "## 处置 · Handling",
        _diagram(),
        "## 操作 · Verbs",
        "第一行适用的算数。The first line that fits decides.",
        _table(("操作 verb", "需要 needs", "处置 handling", "其它 when else", "结果 result"), map(_verb_row, VERBS)),
        "## 事件 · Events",
        "空格表示不变。An empty cell stays as it is.",
        _table(("事件 event", "状态 condition", "处置 handling", "锁存 latch", "声音 sound"), map(_event_row, EFFECTS)),
        "## 结束 · Ending",
        "报警中或锁存中的报警从不结束。An alarm never ends while it is active or latched; then it waits for:",
        _table(("类别 class", "还要 waits for", "声音 sound"), map(_ending_row, AlarmClass)),
        "## 拒绝 · Refusals",
        _table(("代码 code", "中文", "English"), ((f"`{code}`", *_CODES[code]) for code in Code)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _verb_row(row: Row) -> tuple[str, ...]:
    every = set(row.handling) == set(Handling)
    handling = "任何 any" if every else ", ".join(f"{_HANDLINGS[each]} {each}" for each in row.handling)
    result = f"→ `{row.event}`" if row.event else "✗ " + ", ".join(f"`{each}`" for each in row.codes)
    needs = ", ".join(f"`{each}`" for each in ARGUMENTS[row.verb]) if row.event else ""
    return f"{_VERBS[row.verb]} `{row.verb}`", needs, handling, "; ".join(_others(row)), result


def _others(row: Row) -> Iterable[str]:
    if row.condition is not None:
        yield f"{_CONDITIONS[row.condition]} {row.condition}"
    if row.is_latched is not None:
        yield "锁存 latched" if row.is_latched else "未锁存 unlatched"
    if row.is_sounding is not None:
        yield "响 sounding" if row.is_sounding else "静 silent"


def _event_row(kind: str) -> tuple[str, ...]:
    effect: Effect = EFFECTS[kind]
    handling = "new" if kind == "raised" else ", ".join(f"{a} → {b}" for a, b in effect.handling)
    return f"`{kind}`", str(effect.condition or ""), handling, _LATCHES[effect.latch], _LATCHES[effect.sound]


def _ending_row(each: AlarmClass) -> tuple[str, ...]:
    return f"`{each}`", _ENDINGS[ENDINGS[each]], "从不 never" if each in SOUNDLESS else "有 yes"


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> new: raised"]
    for kind, effect in EFFECTS.items():
        lines += [f"    {a} --> {b}: {kind}" for a, b in effect.handling]
    for ending, states in DONE.items():
        classes = ", ".join(each for each, waits in ENDINGS.items() if waits is ending)
        lines += [f"    {each} --> [*]: {classes}" for each in Handling if each in states]
    return "\n".join([*lines, "```"])


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
