"""Web: every sentence the API answers with, Chinese first. Pure; which one is said is decided elsewhere.

A refusal says who did what when, and what is left to do (console.md). The codes of refused verbs come from the
alarm table in `gateway.rules`; one without a sentence here is still told, by its code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from gateway.model import SYSTEM, AlarmEvent

LANGUAGES = ("zh", "en")

SENTENCES: dict[str, tuple[str, str]] = {
    "not_signed_in": ("请先登录。", "Log in first."),
    "wrong_password": ("姓名或密码不对,请重新输入。", "Name or password is wrong: enter them again."),
    "wrong_code": (
        "一次性代码不对。它写在网关数据目录的 setup-code 文件里,演示时也显示在终端里。",
        "The one-time code is wrong. It is in the file setup-code of the data directory (demo: also in the terminal).",
    ),
    "weak_password": (
        "密码至少 8 位,并且至少用三种不同的字符。",
        "The password needs 8 characters or more, at least three of them different.",
    ),
    "too_many_tries": ("尝试次数过多,请 {seconds} 秒后再试。", "Too many tries: wait {seconds} s and try again."),
    "not_set_up": (
        "还没有账号,请先用一次性代码建立第一个账号。",
        "No account yet: create the first one with the one-time code.",
    ),
    "already_set_up": ("已经设置过账号,请直接登录。", "Accounts exist already: log in."),
    "name_taken": ("这个姓名已有账号,请换一个。", "This name has an account already: choose another."),
    "wrong_role": (
        "您的账号({role})不能做这项操作,请找值班人员或主管。",
        "Your role ({role}) may not do this: ask duty staff.",
    ),
    "cross_site": (
        "请求不是从本页面发出的,已拒绝。程序调用须带请求头 X-Shouwang: 1。",
        "This request did not come from the console and was refused. Programs must send the header X-Shouwang: 1.",
    ),
    "not_found": ("没有这一项。", "There is no such thing here."),
    "no_such_alarm": ("没有这条报警,请刷新画面。", "There is no such alarm: reload the screen."),
    "method_not_allowed": ("这个地址不支持这种请求方法。", "This address does not take that method."),
    "invalid": ("请求内容有误,请按 errors 逐项改正。", "The request is wrong: correct each item under errors."),
    "too_large": ("请求内容太大。", "The request body is too large."),
    "too_many_consoles": ("打开的画面太多,请关掉不用的。", "Too many consoles are open: close those not needed."),
    "one_by_one": (
        "没有执行,一条也没有:选中的里面有 {n} 条火警、燃气、求助或治安报警,这些只能看清后逐条处理。",
        "Nothing was done: {n} of them are fire, gas, calls for help or security. Handle each of those by itself.",
    ),
    "bulk_busy": (
        "没有执行:别的批量操作还没有做完,请稍后再按。",
        "Not done: other requests on many alarms are still under way. Press again in a moment.",
    ),
    "request_id_reused": (
        "这个 request_id 已用于另一个操作,请换新的再试。",
        "This request_id was used for something else: use a new one.",
    ),
    "no_answer": (
        "网关没有及时回答,操作可能生效也可能没有:请看报警的状态,可用同一个 request_id 重试。",
        "No answer in time; it may or may not have happened: look at the alarm, or repeat the same request_id.",
    ),
    "internal": ("网关内部出错,已记入日志。", "The gateway has an internal error; it is in the log."),
}

# Keys are the codes of `gateway.rules.table`.
REFUSALS: dict[str, tuple[str, str]] = {
    "stale_version": (
        "没有执行:{who} {when} 已{what}。画面已更新,请看清后再操作。",
        "Not done: {who} {when} {what}. The screen is up to date now: look again before you act.",
    ),
    "unknown_alarm": SENTENCES["no_such_alarm"],
    "already_ended": (
        "没有执行:这条报警已经结束({who} {when} {what}),请到记录里查看。",
        "Not done: this alarm has ended ({who} {when} {what}); it is in the records.",
    ),
    "expired": ("没有执行:操作到达太晚,请再按一次。", "Not done: it came too late. Press again."),
    "already_taken": (
        "没有执行:{who} {when} 已接警。",
        "Not done: {who} took this alarm at {when}.",
    ),
    "already_closed": (
        "没有执行:这条报警 {who} {when} 已办结。",
        "Not done: {who} closed this alarm at {when}.",
    ),
    "already_silent": ("这条报警的声音已经停了。", "This alarm is silent already."),
    "not_taken": ("没有执行:还没有人接警,请先按「接警」。", "Not done: nobody has taken this alarm. Take it first."),
    "not_latched": ("没有执行:这条报警没有保持,不用复位。", "Not done: this alarm is not latched and needs no reset."),
    "condition_active": (
        "不能复位:探测器仍在报警,请先到现场排除原因。",
        "Not reset: the detector is still in alarm. Remove the cause on site first.",
    ),
    "fires_open": (
        "不能复位:本分区还有火警没有结束:{alarms}。请先到现场排除,逐条办结、复位这些火警。",
        "Not reset: fire alarms of this compartment are still open: {alarms}. Deal with them, close and reset each.",
    ),
    "no_outcome": (
        "不能复位:还没有处理结果,请先「办结」(选结果、写原因)。",
        "Not reset: the outcome is missing. Close the alarm with outcome and cause first.",
    ),
    "missing_argument": ("没有执行:请把结果和原因填全。", "Not done: fill in everything that is asked."),
    "bad_argument": (
        "没有执行:填写的内容不合要求,请改正。",
        "Not done: what was filled in is not acceptable. Correct it.",
    ),
    "bad_outcome": ("没有执行:请从列表里选处理结果。", "Not done: choose the outcome from the list."),
    "already_shelved": (
        "没有执行:这条报警已经搁置。要改时间请先取消搁置,看清现在的状态。",
        "Not done: this alarm is shelved already. To change the time, unshelve it and look at its true state first.",
    ),
    "not_shelved": ("没有执行:这条报警没有搁置。", "Not done: this alarm is not shelved."),
    "not_shelvable": (
        "没有执行:这一类报警(或这条规则)不允许搁置。",
        "Not done: alarms of this class, or of this rule, are never shelved.",
    ),
    "role_not_allowed": (
        "没有执行:您的账号没有这个权限,请找主管。",
        "Not done: your role may not do this. Ask a supervisor.",
    ),
    "too_long": ("没有执行:时间太长,最多 {longest} 分钟。", "Not done: too long. At most {longest} minutes."),
    "already_marked": (
        "没有执行:{who} {when} 已经设置过。要改请先取消。",
        "Not done: {who} set it at {when}. Lift it first to change it.",
    ),
    "not_marked": ("没有执行:没有这个标记,请刷新画面。", "Not done: there is no such mark. Reload the screen."),
    "unknown_target": ("没有执行:没有这个地方、设备或测点。", "Not done: there is no such place, device or point."),
    "not_operable": (
        "没有执行:这个点不允许这样操作。",
        "Not done: this may not be set like that by hand.",
    ),
    "held": (
        "没有执行:报警「{title}」({place})正控制着它,请先处理报警。",
        "Not done: the alarm {title} ({place}) holds it. Handle the alarm first.",
    ),
    "never_by_software": (
        "没有执行:燃气阀只能远程关,开阀要有人到现场。",
        "Not done: a gas valve is never opened from afar. Send somebody to the spot.",
    ),
    "too_many_marks": ("没有执行:标记太多,请先取消不用的。", "Not done: too many marks. Lift those not needed first."),
}

_MAKES = {
    "take": "taken", "verify": "verified", "note": "noted", "operate": "operated", "arrive": "arrived",
    "close": "closed", "reset": "reset", "silence": "silenced", "shelve": "shelved", "unshelve": "unshelved",
}  # fmt: skip
_MADE_BY = {
    "already_taken": "taken", "already_closed": "closed", "already_silent": "silenced",
    "already_shelved": "shelved", "not_shelved": "unshelved",
}  # fmt: skip

KINDS: dict[str, tuple[str, str]] = {
    "raised": ("报警", "raised"),
    "reraised": ("再次报警", "raised again"),
    "returned": ("恢复", "returned to normal"),
    "taken": ("接警", "taken"),
    "verified": ("核实", "verified"),
    "noted": ("备注", "noted"),
    "operated": ("操作", "operated"),
    "arrived": ("到场", "arrived"),
    "closed": ("办结", "closed"),
    "reset": ("复位", "reset"),
    "silenced": ("消音", "silenced"),
    "withdrawn": ("撤销", "withdrawn"),
    "confirmed": ("火警确认", "fire confirmed"),
    "shelved": ("搁置", "shelved"),
    "unshelved": ("取消搁置", "unshelved"),
    "suppressed": ("归入其原因报警", "suppressed by its cause"),
    "unsuppressed": ("不再归入其它报警", "no longer suppressed"),
    "out_of_service": ("检修/停用", "out of service"),
    "in_service": ("恢复使用", "back in service"),
    "unmarked": ("不再是测试", "no longer a test"),
    "mark": ("设置标记", "marked"),
    "escalated": ("无人接警,升级", "escalated: nobody has taken it"),
    "unverified": ("超时未核实", "not verified in time"),
}

CONDITIONS: dict[str, tuple[str, str]] = {
    "active": ("仍在报警", "still in alarm"),
    "returned": ("已恢复,未复位", "recovered, not reset"),
}

ROLE_NAMES: dict[str, tuple[str, str]] = {
    "duty": ("值班", "duty"),
    "supervisor": ("主管", "supervisor"),
    "installer": ("安装", "installer"),
}


def language_of(asked: str | None, header: str, default: str) -> str:
    """``?lang=`` first, then the first known language of Accept-Language, then the site's."""
    if asked in LANGUAGES:
        return asked
    for part in header[:200].lower().split(","):
        tag = part.strip()[:2]
        if tag in LANGUAGES:
            return tag
    return default


def sentence(code: str, language: str, **fields: object) -> str:
    """The sentence of ``code`` in ``language`` with its fields filled in."""
    if "role" in fields:
        fields["role"] = _pick(ROLE_NAMES.get(str(fields["role"])), language) or fields["role"]
    return _pick(SENTENCES[code], language).format(**fields)


def conflict(verb: str, code: str, seen: int, events: Sequence[AlarmEvent]) -> AlarmEvent | None:
    """Which event stands in the way of ``verb`` by somebody who saw version ``seen``; ``events`` oldest first.

    What made the state that refuses it; else the same act by somebody else since then; else the last act of a person
    since then (a device that returns meanwhile is no answer to who was first); else the last event.
    """
    wanted = _MADE_BY.get(code, "" if code != "stale_version" else _MAKES.get(verb, ""))
    newer = [each for each in events if each.version > seen]
    same = [each for each in (newer if code == "stale_version" else events) if each.kind == wanted]
    people = [each for each in newer if each.actor.role != SYSTEM.role]
    found = same or people or events
    return found[-1] if found else None


def refusal(
    code: str, detail: Mapping[str, Any], language: str, zone: tzinfo, because: AlarmEvent | None = None
) -> str:
    """Why a verb was refused, in full sentences, from the reply's code and detail.

    ``detail`` names the last act on the alarm (who, what, when as ISO 8601), and under ``codes`` every reason where
    there are several: all of them are told at once. ``because`` is the event that stands in the way, where known.
    """
    when = because.at.isoformat() if because else str(detail.get("when", ""))
    what = because.kind if because else str(detail.get("what", ""))
    fields = {
        "who": because.actor.name if because else detail.get("who", ""),
        "what": kind_name(what, language),
        "when": datetime.fromisoformat(when).astimezone(zone).strftime("%H:%M:%S") if when else "",
        "longest": detail.get("longest_minutes", ""),
        "title": detail.get("title", ""),
        "place": detail.get("place", ""),
        "alarms": _named(detail.get("alarms", ()), int(detail.get("more", 0)), language),
    }
    codes = [str(each) for each in detail.get("codes", ())] or [code]
    return " ".join(_refusal(each, language).format(**fields) for each in codes)


def kind_name(kind: str, language: str) -> str:
    """An alarm event's kind in words."""
    return _pick(KINDS.get(kind), language) or kind


def _named(alarms: Sequence[Mapping[str, str]], more: int, language: str) -> str:
    """Alarms in a sentence: where, what, and whether the cause is still there."""
    words = [
        f"{each['place']} {each['title']}({_pick(CONDITIONS.get(each['condition']), language)})" for each in alarms
    ]
    if more > 0:
        words.append(_pick((f"另 {more} 条", f"{more} more"), language))
    return _pick(("、", ", "), language).join(words)


def _refusal(code: str, language: str) -> str:
    unknown = (f"没有执行({code})。", f"Not done ({code}).")
    return _pick(REFUSALS.get(code, unknown), language)


def _pick(pair: tuple[str, str] | None, language: str) -> str:
    return "" if pair is None else pair[LANGUAGES.index(language)]
