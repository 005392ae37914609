"""Configuration: libyaml's complaints in words an installer can act on."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

from gateway.config.findings import Findings, Say, Source, Spot

_FULLWIDTH = {
    "\uff1a": Say("半角的冒号 : 加一个空格", "a half-width colon and a space"),
    "\uff0c": Say("半角的逗号 , 加一个空格", "a half-width comma and a space"),
    "\u201c": Say('半角的引号 "', 'the quote "'),
    "\u201d": Say('半角的引号 "', 'the quote "'),
    "\u3010": Say("半角的方括号 [", "the bracket ["),
    "\u3011": Say("半角的方括号 ]", "the bracket ]"),
    "\u3000": Say("半角的空格", "a half-width space"),
    "\uff5b": Say("半角的花括号 {", "the brace {"),
    "\uff5d": Say("半角的花括号 }", "the brace }"),
    "\uff3b": Say("半角的方括号 [", "the bracket ["),
    "\uff3d": Say("半角的方括号 ]", "the bracket ]"),
    "\uff02": Say('半角的引号 "', 'the quote "'),
    "\uff0d": Say("半角的减号 - 加一个空格", "the sign - and a space"),
    "\u2014": Say("半角的减号 - 加一个空格", "the sign - and a space"),
}
_WIDE_COLON = re.compile("^[ \t\u3000]*(?:- +)*[A-Za-z_][A-Za-z0-9_.-]*[ ]?(\uff1a)")
_WIDE_FIRST = re.compile("^[ \t\u3000]*([\uff0d\u2014])|: *([\uff5b\uff3b\u3010])")  # a dash or brackets that begin
_WIDE_ANY = re.compile(f"[{''.join(_FULLWIDTH)}]")
_NO_SPACE = re.compile(r"^[ \t]*(?:- +)*([A-Za-z_]+:)(?=[^\s/])")


class Words(NamedTuple):
    """What to say instead of libyaml's text."""

    zh: str
    en: str
    fix_zh: str
    fix_en: str
    at_start: bool = False  # the construct's beginning is the place to look at, not where the parser gave up


_TAB = Words("用了制表符(Tab)", "a tab was used", "把 Tab 换成空格,每层缩进两个空格", "use spaces, two per level")
_TOKEN = Words(
    "这个字符不能放在值的开头",
    "a value cannot begin with this character",
    "用引号把值括起来",
    "put the value in quotes",
)
_QUOTE = Words(
    "引号没有配对", "a quote is not closed", "在值的末尾补上同样的引号", "close it with the same quote", at_start=True
)
_SPACE = Words("冒号后面缺少空格", "the space after the colon is missing", '写成 "名称: 值"', 'write "name: value"')
_KNOWN: tuple[tuple[str, Words], ...] = (
    ("tab character", _TAB),
    ("cannot start any token", _TOKEN),
    (
        "could not find expected ':'",
        Words(
            "这一行缺少冒号",
            "this line has no colon",
            '写成 "名称: 值",冒号后面有一个空格',
            'write "name: value", with a space after the colon',
            at_start=True,
        ),
    ),
    (
        "mapping values are not allowed",
        Words(
            "这里不能再出现冒号,或者缩进不对",
            "a colon is not allowed here, or the indentation is wrong",
            "与同级的字段左对齐;值里有冒号时用引号括起来",
            "align with its neighbours; quote a value that contains a colon",
        ),
    ),
    (
        "block sequence entries are not allowed",
        Words(
            "列表的 - 不能跟在冒号同一行",
            "a list's - cannot stand on the line of its key",
            "把 - 放到下一行,缩进两个空格",
            "put the - on the next line, indented by two",
        ),
    ),
    (
        "expected '-' indicator",
        Words(
            "这一行与上面的列表没有对齐",
            "this line does not fit the list above",
            "与上面的 - 左对齐,或缩进到列表项里面",
            "align it with the - above, or indent it into the item",
        ),
    ),
    (
        "',' or ']'",
        Words("方括号 [ 没有配对的 ]", "a [ is not closed", "在列表末尾补上 ]", "close the list with ]", at_start=True),
    ),
    (
        "',' or '}'",
        Words(
            "花括号 { } 里缺少逗号,或没有配对的 }",
            "a comma or the closing } is missing",
            '各项之间用逗号分开,末尾补上 };值里有 { } 的用引号括起来:title: "烟感 {at}"',
            'separate the entries by commas and close with }; quote a value with { } in it: title: "Smoke {at}"',
            at_start=True,
        ),
    ),
    ("unexpected end of stream", _QUOTE),
    (
        "unknown escape",
        Words("双引号里的反斜杠写法不认识", "unknown escape in double quotes", "改用单引号", "use single quotes"),
    ),
    (
        "undefined alias",
        Words(
            "* 引用了没有定义的锚点",
            "* refers to an anchor that is not defined",
            "如果 * 是值的一部分,用引号括起来",
            "if the * belongs to the value, quote it",
        ),
    ),
    (
        "alphabetic or numeric character",
        Words(
            "* 或 & 不能放在值的开头", "a value cannot begin with * or &", "用引号把值括起来", "put the value in quotes"
        ),
    ),
    (
        "second occurrence",
        Words("锚点 & 的名字重复", "an anchor's name is used twice", "换一个名字", "choose another name"),
    ),
    (
        "another document",
        Words(
            "文件里有多个 --- 分隔的部分",
            "the file has several parts divided by ---",
            "删掉 ---,或分成几个文件",
            "delete the ---, or split the file",
        ),
    ),
    (
        "<document start>",
        Words("... 之后还有内容", "there is something after ...", "删掉 ... 这一行", "delete the line ..."),
    ),
    (
        "comment or line break",
        Words(
            "| 或 > 后面还有内容",
            "there is something after | or >",
            "把内容写到下一行,缩进两个空格",
            "write the text on the next line, indented by two",
        ),
    ),
    (
        "tag handle",
        Words(
            "不支持 ! 标签",
            "tags (!) are not supported",
            "去掉 !,或用引号把值括起来",
            "remove the !, or quote the value",
        ),
    ),
    (
        "expected key",
        Words(
            "这里的内容和前面接不上",
            "this does not fit what stands before it",
            "检查缩进是否与同级字段对齐;值里有引号或花括号时,整个值用引号括起来",
            "check the indentation; quote a value that contains quotes or braces",
        ),
    ),
)
_OTHER = Words(
    "YAML 语法不对", "YAML syntax error", "对照旁边的写法改正这一行", "compare this line with its neighbours"
)


def say_syntax(findings: Findings, source: Source, error: yaml.YAMLError) -> None:
    """Note ``error`` as one finding at the place where the installer has to look."""
    problem = str(getattr(error, "problem", None) or error)
    words = next((each for part, each in _KNOWN if part in problem), _OTHER)
    first, last = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    mark = first if words.at_start and first is not None else last
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    if words is _TOKEN and line < len(source.lines) and source.lines[line][column : column + 1] == "%":
        words = words._replace(fix_zh="百分号写在数的后面,例如 20 %", fix_en="the sign goes behind the number: 20 %")
    end = max(line, last.line if last is not None else line)
    guess = (
        _tab(source, line, words)
        or _typed_wide(source, line, end, is_list="',' or" in problem)
        or _no_space(source, line)
        or _open_quote(source, end)
    )
    if guess is not None:
        spot, words = guess
    else:
        width = len(source.lines[line].rstrip()) - column if words.at_start and line < len(source.lines) else 1
        spot = Spot(source, line + 1, column + 1, max(width, 1))
    findings.add("E103", spot, Say(words.zh, words.en), fix=Say(words.fix_zh, words.fix_en))


Guess = tuple[Spot, Words]


def _typed_wide(source: Source, first: int, last: int, *, is_list: bool) -> Guess | None:
    """A full-width colon after a key near the trouble; inside a list's brackets any full-width sign."""
    lines = source.lines
    for number in range(max(0, first - 1), min(len(lines), last + 1)):
        if found := _WIDE_COLON.search(lines[number]):
            return _wide(Spot(source, number + 1, found.start(1) + 1), found[1])
        if found := _WIDE_FIRST.search(lines[number]):
            group = 1 if found[1] else 2
            return _wide(Spot(source, number + 1, found.start(group) + 1), found[group])
    if is_list and first < len(lines) and (found := _WIDE_ANY.search(lines[first].split("#")[0])):
        return _wide(Spot(source, first + 1, found.start() + 1), found[0])
    return None


def _wide(spot: Spot, char: str) -> Guess:
    zh, en = _FULLWIDTH[char]
    return spot, Words(f"用了全角的 {char}", f"the full-width {char} was typed", f"换成{zh}", f"type {en}")


def _no_space(source: Source, line: int) -> Guess | None:
    for number in (line, line - 1):
        if 0 <= number < len(source.lines) and (found := _NO_SPACE.search(source.lines[number])):
            return Spot(source, number + 1, found.start(1) + 1, len(found[1])), _SPACE
    return None


def _open_quote(source: Source, last: int) -> Guess | None:
    """A line up to the trouble with an odd number of double quotes: the parser noticed long after it."""
    for number, line in enumerate(source.lines[: last + 1]):
        text = re.sub(r"(^|\s)#.*", "", line).replace('\\"', "")
        if text.count('"') % 2 and "'" not in text:
            column = text.rindex('"')
            return Spot(source, number + 1, column + 1, len(text.rstrip()) - column), _QUOTE
    return None


def _tab(source: Source, line: int, words: Words) -> Guess | None:
    """The first tab in the indentation on or just before ``line`` (from 0), where that can be the reason."""
    if words not in {_TAB, _TOKEN, _OTHER}:
        return None
    for number in range(max(0, line - 1), min(len(source.lines), line + 2)):
        text = source.lines[number]
        indent = text[: len(text) - len(text.lstrip())]
        if "\t" in indent:
            return Spot(source, number + 1, indent.index("\t") + 1), _TAB
    return None
