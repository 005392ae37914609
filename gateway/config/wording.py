"""Configuration: pydantic's error types in words an installer can act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.config.findings import NOTHING, Say

OWN = re.compile(r"[EW]\d{3}")  # codes that our models raise themselves
Wording = tuple[Say, Say]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else "{...}" if isinstance(value, Mapping) else "[...]"
    return text if len(text) <= 40 else text[:39] + "…"


def _wants(zh: str, en: str, fix_zh: str, fix_en: str) -> Callable[[str, Mapping[str, Any]], Wording]:
    return lambda value, _ctx: (
        Say(f'"{value}" 不是{zh}', f'"{value}" is not {en}'),
        Say(fix_zh, fix_en),
    )


def _bound(value: str, limit: float) -> tuple[str, str, str]:
    """What was written, the limit, and what it is: a duration has become seconds by the time it is judged."""
    is_time = value == "[...]"
    return ("", f"{limit:g}s", "时长") if is_time else (f"{value} ", f"{limit:g}", "数")


def _at_least(value: str, ctx: Mapping[str, Any]) -> Wording:
    least = ctx["ge"] if "ge" in ctx else ctx.get("gt")
    more = "不小于" if "ge" in ctx else "大于"
    shown, limit, what = _bound(value, least or 0)
    return Say(f"{shown}太小", f"{shown}is too small".strip()), Say(
        f"填{more} {limit} 的{what}",
        f"write a {'duration' if what == '时长' else 'number'} {'>=' if 'ge' in ctx else '>'} {limit}",
    )


def _at_most(value: str, ctx: Mapping[str, Any]) -> Wording:
    most = ctx["le"] if "le" in ctx else ctx.get("lt")
    less = "不大于" if "le" in ctx else "小于"
    shown, limit, what = _bound(value, most or 0)
    return Say(f"{shown}太大", f"{shown}is too large".strip()), Say(
        f"填{less} {limit} 的{what}",
        f"write a {'duration' if what == '时长' else 'number'} {'<=' if 'le' in ctx else '<'} {limit}",
    )


def _sized(key: str, what: Say, fix: Say) -> Callable[[str, Mapping[str, Any]], Wording]:
    return lambda _value, ctx: (Say(what.zh.format(ctx[key]), what.en.format(ctx[key])), fix)


_NUMBER = _wants("数", "a number", "只写数字,例如 10 或 0.5", "write digits only, such as 10 or 0.5")
_INT = _wants("整数", "a whole number", "只写整数,例如 10", "write a whole number, such as 10")
_BOOL = _wants("开关值", "true or false", "写 true 或 false", "write true or false")
_TEXT = _wants("一段文字", "a text", "写一个值,不要写成列表或 {...}", "write one value, not a list or {...}")
_LIST = _wants("列表", "a list", "每项一行,以 - 开头;或写成 [甲, 乙]", "one entry a line, beginning with -; or [a, b]")
_MAP = _wants(
    '由 "名称: 值" 组成',
    'made of "name: value"',
    '写成 "名称: 值",冒号后面有一个空格',
    'write "name: value", with a space after the colon',
)
_CHOICE = _wants("可以用的值", "one of the allowed values", "从可用的值里选一个", "choose one of the allowed values")

_KNOWN: Mapping[str, Callable[[str, Mapping[str, Any]], Wording]] = {
    "int_parsing": _INT,
    "int_type": _INT,
    "int_from_float": _INT,
    "int_parsing_size": _INT,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": _BOOL,
    "bool_type": _BOOL,
    "string_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _MAP,
    "mapping_type": _MAP,
    "model_type": _MAP,
    "model_attributes_type": _MAP,
    "literal_error": _CHOICE,
    "enum": _CHOICE,
    "union_tag_invalid": _CHOICE,
    "greater_than": _at_least,
    "greater_than_equal": _at_least,
    "less_than": _at_most,
    "less_than_equal": _at_most,
    "string_too_short": lambda _v, _c: (Say("没有填值", "the value is empty"), Say("填上这个值", "fill it in")),
    "string_too_long": _sized(
        "max_length", Say("太长,最多 {} 个字", "too long, at most {} characters"), Say("写短一些", "make it shorter")
    ),
    "too_short": _sized(
        "min_length", Say("至少要有 {} 项", "at least {} entries"), Say("补上缺少的项", "add what is missing")
    ),
    "too_long": _sized("max_length", Say("最多 {} 项", "at most {} entries"), Say("删掉多余的项", "remove some")),
    "one_secret": lambda _v, _c: (
        Say("口令的三种写法只能写一种", "a secret is named in one way only"),
        Say(
            "只留一个:{file: 口令文件}、{env: 环境变量名} 或 {credential: systemd 凭据名}",
            "keep one of {file: path}, {env: NAME}, {credential: name}",
        ),
    ),
    "multiple_of": _sized(
        "multiple_of", Say("不是 {} 的倍数", "not a multiple of {}"), Say("改成它的倍数", "write a multiple of it")
    ),
}


def words_for(error: Mapping[str, Any]) -> Wording:
    """(what is wrong, what to do) for one of pydantic's errors, or for one that our own models raised."""
    kind, ctx = error["type"], error.get("ctx") or {}
    if OWN.fullmatch(kind):
        return Say(error["msg"], str(ctx.get("en", error["msg"]))), Say(
            str(ctx.get("fix_zh", "")), str(ctx.get("fix_en", ""))
        )
    value = error["input"]
    if value is None:
        return Say("没有填值", "the value is empty"), Say("填上这个值,或删掉这一行", "fill it in, or delete the line")
    if kind in _KNOWN:
        return _KNOWN[kind](_shown(value), ctx)
    message = error["msg"].removeprefix("Value error, ")
    return Say(
        f'"{_shown(value)}" 不能用在这里({message})', f'"{_shown(value)}" cannot be used here ({message})'
    ), NOTHING


def choices(error: Mapping[str, Any]) -> tuple[str, ...]:
    """The allowed values, where pydantic tells them: as text like ``'pdu' or 'manual'``."""
    ctx = error.get("ctx") or {}
    expected = str(ctx.get("expected") or ctx.get("expected_tags") or "")
    return tuple(re.findall(r"'([^']*)'", expected)) or tuple(re.findall(r"[\w.-]+", expected.replace(" or ", " ")))
