"""Configuration: pydantic models over entries, with every complaint at its place in the file.

A misspelt key is reported once, at the key, and then read as what it was meant to be: so one run also finds what
is wrong further down, and nobody is told that the key they did write is missing.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway.config import hints
from gateway.config.findings import NOTHING, Findings, Say, hidden, nearest, perhaps
from gateway.config.tree import Entry
from gateway.config.wording import OWN, choices, words_for

_MASKED = "E115"
_NO_PARTS = {"model_type", "model_attributes_type", "list_type"}
M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]


_STRANGER = Say("删掉这个字段,或改成可用的字段", "delete this key, or use an allowed one")
_GLUED = Say("冒号用半角的 :,后面加一个空格", "write a colon and then a space")
_TORN = Say(  # {text: over the limit, cut off}: the comma made a key of the rest
    "删掉它;如果它是前一个值的一部分(值里有逗号),把整个值用引号括起来",
    "delete it; if it belongs to the value before (which has a comma), quote that value",
)


class Part(NamedTuple):
    """A piece of an entry on its way through a model: where it stands, and whom its errors concern."""

    entry: Entry
    path: Path = ()
    subject: Say = NOTHING


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys an installer may write for ``model``."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def known_keys(findings: Findings, part: Part, plain: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    """``plain`` with only allowed keys; a misspelt one takes the name it was meant to have."""
    if not plain.keys() - set(allowed):
        return dict(plain)
    return _repaired(findings, part, plain, allowed)


def shape(findings: Findings, model: type[M], plain: Any, part: Part) -> M | None:
    """``plain`` as a ``model``; None, with the reasons in ``findings``, when it cannot be made into one."""
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    if any(each["type"] == "extra_forbidden" for each in errors):
        plain = _without_unknown(findings, model, plain, part, errors)
        try:
            return model.model_validate(plain)
        except ValidationError as error:
            errors = error.errors(include_url=False)
    for each in _worth_saying(errors, part):
        _say(findings, model, each, part)
    return None


def _repaired(findings: Findings, part: Part, plain: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    kept = {key: value for key, value in plain.items() if key in allowed}
    for key, value in plain.items():
        if key in allowed:
            continue
        free = [each for each in allowed if each not in kept]
        way_out = hints.way_out(key, allowed)
        meant = "" if way_out else hints.key_for(key, free) or nearest(key, free)
        is_glued = value is None and any(key.startswith((f"{each}:", f"{each}：")) for each in allowed)
        if meant and not is_glued:
            fix = Say(f'是不是 "{meant}"?', f'did you mean "{meant}"?')
        else:
            fix = _GLUED if is_glued else way_out or (_STRANGER if value is not None else _TORN)
        findings.add(
            "E104",
            part.entry.key(*part.path, key),
            Say(f'不认识的字段 "{key}"', f'unknown key "{key}"'),
            subject=part.subject,
            fix=fix,
            options=allowed,
        )
        if meant:
            kept[meant] = value
    return kept


def _without_unknown(findings: Findings, model: type[BaseModel], plain: Any, part: Part, errors: Sequence[Any]) -> Any:
    plain = copy.deepcopy(plain)
    levels = dict.fromkeys(tuple(e["loc"][:-1]) for e in errors if e["type"] == "extra_forbidden")
    for level in levels:
        steps = part.entry.steps(part.path + level)[len(part.path) :]
        here = plain
        for step in steps:
            here = here[step]
        here_part = part._replace(path=part.path + steps)
        _put_in(findings, model, level, here, here_part)
        fixed = _repaired(findings, here_part, here, _keys_at(model, level))
        here.clear()
        here.update(fixed)
    return plain


def _put_in(findings: Findings, model: type[BaseModel], level: Sequence[str | int], here: Any, part: Part) -> None:
    """Keys that stand beside the empty key they belong to: told once, and put where they were meant to be."""
    known = _keys_at(model, level)
    for owner in [key for key, value in here.items() if value is None and key in known]:
        inner = _keys_at(model, (*level, owner))
        lost = [key for key in here if key not in known and key in inner]
        if inner == known or not lost:
            continue
        findings.add(
            "E104",
            part.entry.key(*part.path, lost[0]),
            Say(f'"{lost[0]}" 属于上面的 "{owner}",缩进不够', f'"{lost[0]}" belongs to "{owner}" above: indent it'),
            subject=part.subject,
            fix=Say(
                f"{'、'.join(lost)} 前面各加两个空格,放到 {owner} 下面",
                f"indent {', '.join(lost)} by two, below {owner}",
            ),
        )
        here[owner] = {key: here.pop(key) for key in lost}


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys allowed at ``path`` below ``model``; steps that are no field (indices, tags) stay where they are."""
    here = [model]
    for step in path:
        named = [m for each in here for m in _models_under(each, step)]
        here = named or here
    return list(dict.fromkeys(key for each in here for key in keys_of(each)))


def _models_under(model: type[BaseModel], step: str | int) -> Iterator[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if step in (name, field.alias):
            yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, list, tuple, dict, Mapping) or get_args(annotation):
        for each in get_args(annotation):
            yield from _models_in(each)


def _literals(model: type[BaseModel], key: str) -> list[str]:
    """What may stand under ``key`` of ``model``, where that is a closed list."""
    for name, field in model.model_fields.items():
        if key == (field.alias or name) and get_origin(field.annotation) is Literal:
            return [str(each) for each in get_args(field.annotation)]
    return []


def _worth_saying(errors: Iterable[Any], part: Part) -> list[Any]:
    """Without what the failed branches of a union say about a value that another branch went deeper into."""
    placed = [(part.entry.steps(part.path + tuple(e["loc"])), e) for e in errors]
    paths = [path for path, _ in placed]
    kept, seen = [], set()
    for path, error in placed:
        is_shallow = error["type"].endswith("_type") and any(
            p[: len(path)] == path and len(p) > len(path) for p in paths
        )
        key = (path, error["loc"][-1:] if error["type"] == "missing" else ())
        if not is_shallow and key not in seen:
            seen.add(key)
            kept.append(error)
    return kept


def _say(findings: Findings, model: type[BaseModel], error: Mapping[str, Any], part: Part) -> None:
    path = part.path + tuple(error["loc"])
    if error["type"] == "missing":
        name = str(error["loc"][-1])
        findings.add(
            "E106",
            part.entry.at(*path[:-1]),
            Say(f'缺少字段 "{name}"', f'the key "{name}" is missing'),
            subject=part.subject,
            fix=Say(f'加一行 "{name}: ..."', f'add a line "{name}: ..."'),
            options=_literals(model, name) if len(error["loc"]) == 1 else (),
        )
        return
    message, fix = words_for(error)
    field = next((str(step) for step in reversed(error["loc"]) if isinstance(step, str)), "")
    is_own = OWN.fullmatch(error["type"]) is not None
    if field and not is_own:
        message = Say(f"{field}: {message.zh}", f"{field}: {message.en}")
    options: Sequence[str] = () if is_own else choices(error)
    if error["type"] in {"model_type", "model_attributes_type"}:
        options = _keys_at(model, error["loc"])
    code = error["type"] if is_own else "E107"
    spot = part.entry.key(*path[:-1]) if path[-1:] == ("[key]",) else part.entry.at(*path)
    if {"file", "env"} <= set(options):  # a secret that stands here itself: neither text nor line may repeat it
        code, options = _MASKED, ()
        message = Say(f"{field}: 口令不能直接写在配置里", f"{field}: a secret must not stand in the configuration")
        fix = Say("写成 {file: 口令文件} 或 {env: 环境变量名}", "write {file: path} or {env: NAME}")
    elif options and isinstance(error["input"], str):
        word = hints.word_for(error["input"], options)
        fix = Say(f"写 {word}", f"write {word}") if word else perhaps(error["input"], options, fix)
    if isinstance(error["input"], str) and error["type"] in _NO_PARTS and (sample := hints.sample_of(field)):
        fix = Say(f"例如 {sample}", f"for example {sample}")
    findings.add(
        code,
        hidden(spot) if code == _MASKED else spot,
        message,
        subject=part.subject,
        fix=fix,
        options=options,
    )
