"""Room: rules. The alarm table in words: docs/alarm-table.md is this module's `as_markdown`, never edited by hand.

``python -m gateway.rules.table_text > docs/alarm-table.md`` writes it again; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from gateway.model import AlarmClass, AlarmCondition, Handling, Mark, Verb
from gateway.rules.table import (
    ARGUMENTS,
    DONE,
    EFFECTS,
    ENDINGS,
    FLAGS,
    MARKING,
    SHELVING,
    SOUNDLESS,
    VERBS,
    Code,
    Effect,
    Ending,
    Latch,
    Row,
)

_VERBS = {
    Verb.SILENCE: "消音",
    Verb.TAKE: "接警",
    Verb.VERIFY: "核实",
    Verb.NOTE: "备注",
    Verb.ARRIVE: "到场",
    Verb.CLOSE: "办结",
    Verb.RESET: "复位",
    Verb.SHELVE: "搁置",
    Verb.UNSHELVE: "取消搁置",
    Verb.OPERATE: "操作",
}
_ROLES = {"duty": "值班", "supervisor": "主管", "installer": "安装"}
_MARKS: dict[Mark, tuple[str, str]] = {
    Mark.DISABLED: ("停用", "不再产生报警;已有的报警不响、不通知,照常处置 / raises nothing; what is open goes silent"),
    Mark.OUT_OF_SERVICE: (
        "检修",
        "照常记录,不响、不通知、不联动、不参与确认 / recorded; no sound, notice or command, never confirms",
    ),
    Mark.DRILL: (
        "演练",
        "报警带标记,联动照常,不通知外部人员 / alarms carry the mark; commands run; nobody outside is told",
    ),
    Mark.WALK_TEST: ("走测", "报警带标记,不联动,不参与确认 / alarms carry the mark; no command, never confirms"),
    Mark.COMMISSIONING: ("调试", "报警带标记,不通知外部人员 / alarms carry the mark; nobody outside is told"),
    Mark.AWAY: ("外出", "住户外出,不判断生命体征 / no sign of life is expected"),
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
    Code.FIRES_OPEN: ("本分区还有火警没有结束(哪几条)", "fire alarms of the compartment are still open: which"),
    Code.NO_OUTCOME: ("还没有填写处置结果,请先办结", "the outcome is missing: close it first"),
    Code.MISSING_ARGUMENT: ("缺少必填项", "a required argument is missing"),
    Code.BAD_ARGUMENT: ("填写的内容不对", "an argument is not one of what is expected"),
    Code.BAD_OUTCOME: ("处置结果不在本规则的选项中", "the outcome is not in the rule's vocabulary"),
    Code.ALREADY_SHELVED: ("已经搁置,先取消", "it is shelved already: unshelve it first"),
    Code.NOT_SHELVED: ("没有搁置", "it is not shelved"),
    Code.NOT_SHELVABLE: ("这一类报警或这条规则不许搁置", "its class or rule is never shelved"),
    Code.ROLE_NOT_ALLOWED: ("账号没有这个权限", "the role may not do this"),
    Code.TOO_LONG: ("时间超过上限(上限是多少)", "longer than the limit, which is told"),
    Code.ALREADY_MARKED: ("已经设置过(谁、何时)", "it is set already: by whom, when"),
    Code.NOT_MARKED: ("没有这个标记", "there is no such mark"),
    Code.UNKNOWN_TARGET: ("没有这个地方、设备或测点", "there is no such place, device or point"),
    Code.NOT_OPERABLE: ("这个点不允许这样人工操作", "this may not be set like that by hand"),
    Code.HELD: ("有报警正控制着这个输出", "an open alarm holds this output the other way"),
    Code.NEVER_BY_SOFTWARE: ("燃气阀只能远程关", "software closes a gas valve and never opens it"),
    Code.TOO_MANY_MARKS: ("标记太多", "there are too many marks"),
}

_PARTS = """一条报警有四个互相独立的部分:状态(报警中/已恢复)、处置、锁存、声音。
An alarm has four independent parts: condition, handling, latch, sound."""


_SHOWN = """搁置、归入原因、停止使用是四个部分之外的三个标志:
有其中之一时不响、不通知,四个部分照常变化,取消后显示真实状态。
Shelved, suppressed by a cause and out of service are flags beside the four parts:
with any of them there is no sound and no notice; the parts go on below, and lifting the flag shows them."""


_SHELVED = """搁置的是一条规则在一个测点上的全部报警,到时自动结束。规则可以用 `shelve:` 缩短或禁止。
Shelving is of a rule at its source, over all its alarms, and ends by itself. A rule may shorten or forbid it."""
_MARKED = """标记从不改变报警的状态和锁存,也不结束报警。取消标记后显示真实状态。
A mark never moves the condition or the latch and ends no alarm; lifting it shows the truth."""


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
        "## 四个部分和标志 · Parts and flags",
        _SHOWN,
        _parts_diagram(),
        "## 搁置 · Shelving",
        _SHELVED,
        _table(("类别 class", "谁、最长 who, how long at most"), map(_shelving_row, AlarmClass)),
        "## 标记 · Marks",
        _MARKED,
        _table(("标记 mark", "谁 who", "范围 scope", "最长 at most", "作用 effect"), map(_mark_row, MARKING)),
        "## 结束 · Ending",
        "报警中或锁存中的报警从不结束。An alarm never ends while it is active or latched; then it waits for:",
        "归到原因名下的不再等(生命安全除外)。What is suppressed by its cause waits for nothing (never life safety).",
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


def _shelving_row(each: AlarmClass) -> tuple[str, ...]:
    limits = ", ".join(f"{_ROLES[role]} {role} {longest / 3600:g} h" for role, longest in SHELVING[each].items())
    return f"`{each}`", limits or "从不 never"


def _mark_row(mark: Mark) -> tuple[str, ...]:
    limit = MARKING[mark]
    name, effect = _MARKS[mark]
    longest = "可以没有期限 no end is allowed" if limit.longest_s is None else f"{limit.longest_s / 3600:g} h"
    roles = ", ".join(f"{_ROLES[each]} {each}" for each in limit.roles)
    return f"{name} `{mark}`", roles, ", ".join(f"`{each}`" for each in limit.scopes), longest, effect


def _parts_diagram() -> str:
    """Condition, latch, sound and the flags: each moves by itself, so they are drawn side by side."""
    regions = [_condition_edges(), _latch_edges(), _sound_edges()]
    for on, off in FLAGS.items():
        regions.append([f"[*] --> not_{on}", f"not_{on} --> {on}: {on}", f"{on} --> not_{on}: {off}"])
    lines = ["```mermaid", "stateDiagram-v2", '    state "open" as alarm {']
    for number, region in enumerate(regions):
        lines += ["        --"] * (number > 0) + [f"        {each}" for each in region]
    return "\n".join([*lines, "    }", "```"])


def _condition_edges() -> list[str]:
    kinds = {state: [kind for kind, each in EFFECTS.items() if each.condition is state] for state in AlarmCondition}
    returns, raises = kinds[AlarmCondition.RETURNED], kinds[AlarmCondition.ACTIVE]
    again = [kind for kind in raises if kind != "raised"]
    return ["[*] --> active", f"active --> returned: {', '.join(returns)}", f"returned --> active: {', '.join(again)}"]


def _latch_edges() -> list[str]:
    clears = [kind for kind, each in EFFECTS.items() if each.latch is Latch.CLEAR]
    return ["[*] --> latched", "[*] --> unlatched", f"latched --> unlatched: {', '.join(clears)}"]


def _sound_edges() -> list[str]:
    clears = [kind for kind, each in EFFECTS.items() if each.sound is Latch.CLEAR]
    sounds = [kind for kind, each in EFFECTS.items() if each.sound in {Latch.SET, Latch.AS_RAISED} and kind != "raised"]
    return [
        "[*] --> sounding",
        "[*] --> silent",
        f"sounding --> silent: {', '.join(clears)}",
        f"silent --> sounding: {', '.join(sounds)}",
    ]


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
