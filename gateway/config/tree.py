"""Configuration: YAML text to plain values (every scalar stays text) whose places can be asked for afterwards.

libyaml's composer is used without its Python resolver: 9,000 devices compose in 0.2 s instead of 0.4 s, and the
hooks it calls at each step down bound the depth (unbounded, a file of brackets overflows the C stack).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.cyaml import CParser  # type: ignore[attr-defined] # the C parser is there; the stubs forgot it

from gateway.config.findings import Findings, Say, Source, Spot
from gateway.config.syntax import say_syntax

DEEPEST = 40
Path = Sequence[str | int]


class _TooDeepError(Exception):
    pass


class _Composer(CParser):
    """libyaml's composer; every tag that was not written out is empty."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def resolve(self, _kind: type[Node], _value: object, _implicit: object) -> str:
        """All scalars are text."""
        return ""

    def descend_resolver(self, _parent: object, _index: object) -> None:
        """Called before each step down."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise _TooDeepError

    def ascend_resolver(self) -> None:
        """Called after each step up."""
        self._depth -= 1


class Entry:
    """One mapping or sequence of a file: its plain value, and the place of everything in it."""

    __slots__ = ("_node", "plain", "source")

    def __init__(self, source: Source, node: Node, plain: Any) -> None:
        self.source = source
        self._node = node
        self.plain = plain

    def items(self, key: str) -> Iterator[Entry]:
        """The entries of the list under ``key``; nothing when it is no list."""
        node = _child(self._node, key)
        plain = self.plain.get(key)
        if isinstance(node, SequenceNode) and isinstance(plain, list):
            for each, value in zip(node.value, plain, strict=True):
                yield Entry(self.source, each, value)

    def at(self, *path: str | int) -> Spot:
        """Where the value at ``path`` stands; steps that do not exist are skipped."""
        node = self._node
        for step in path:
            node = _child(node, step) or node
        return self._spot(node)

    def key(self, *path: str | int) -> Spot:
        """Where the last key of ``path`` stands, or the value when it has none."""
        node = self._node
        for step in path[:-1]:
            node = _child(node, step) or node
        if isinstance(node, MappingNode):
            for key, _ in node.value:
                if key.value == path[-1]:
                    return self._spot(key)
        return self.at(*path)

    def inside(self, path: Path, line: int, column: int, width: int = 1) -> Spot:
        """A place within the text at ``path``, counted from 1; the whole text where it is folded or escaped."""
        whole, node = self.at(*path), self._node
        for step in path:
            node = _child(node, step) or node
        style = node.style if isinstance(node, ScalarNode) else ""
        first, last = node.start_mark, node.end_mark
        if style == "|" and first.line + line < len(self.source.lines):
            text = self.source.lines[first.line + line]
            return Spot(self.source, first.line + line + 1, len(text) - len(text.lstrip()) + column, width)
        if line != 1 or first.line != last.line or style not in {None, "", '"', "'"}:
            return whole
        skipped = 1 if style in {'"', "'"} else 0
        return Spot(self.source, whole.line, min(whole.column + skipped + column - 1, last.column), width)

    def steps(self, path: Path) -> tuple[str | int, ...]:
        """``path`` without the steps that do not exist (tags of unions)."""
        node, taken = self._node, []
        for step in path:
            child = _child(node, step)
            if child is not None:
                node = child
                taken.append(step)
        return tuple(taken)

    def _spot(self, node: Node) -> Spot:
        if isinstance(node, MappingNode) and node.value and not node.flow_style:
            node = node.value[0][0]
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else 0
        if width <= 0:
            width = (
                len(self.source.lines[start.line].rstrip()) - start.column if start.line < len(self.source.lines) else 1
            )
        return Spot(self.source, start.line + 1, start.column + 1, max(width, 1))


def parse(source: Source, text: str, findings: Findings) -> Entry | None:
    """The mapping a file consists of, or None with the reasons in ``findings``."""
    composer = _Composer(text)
    try:
        node = composer.get_single_node()
    except yaml.YAMLError as error:
        say_syntax(findings, source, error)
        return None
    except _TooDeepError:
        _say_deep(findings, Spot(source))
        return None
    finally:
        composer.dispose()
    if node is None:
        start = yaml.Mark(source.name, 0, 0, 0, "", 0)
        node = MappingNode("", [], start, start)
    entry = Entry(source, node, None)
    reader = _Reader(entry, findings, budget=len(text) + 100)
    entry.plain = reader.read(node, 0)
    if reader.has_stopped:
        return None
    if not isinstance(entry.plain, dict):
        _say_no_mapping(findings, entry)
        return None
    return entry


class _Reader:
    """Nodes to plain values. The budget of steps is the file's own length: only aliases can exceed it."""

    def __init__(self, entry: Entry, findings: Findings, budget: int) -> None:
        self._entry = entry
        self._findings = findings
        self._left = budget
        self.has_stopped = False
        self._texts: dict[str, str] = {}

    def read(self, node: Node, depth: int) -> Any:
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            return self._stop(node)
        if node.tag:
            self._add(
                "E109",
                node,
                Say(f"不支持标签 {node.tag}", f"tags are not supported: {node.tag}"),
                Say("去掉 !,或用引号把值括起来", "remove the !, or quote the value"),
            )
        if isinstance(node, ScalarNode):
            return self._text(node.value) if node.value or node.style else None
        if isinstance(node, SequenceNode):
            return [self.read(each, depth + 1) for each in node.value]
        assert isinstance(node, MappingNode)
        return self._mapping(node, depth)

    def _text(self, value: str) -> str:
        """A copy, one for equal texts: a site keeps some of them, and the originals pin the memory of all nodes."""
        known = self._texts.get(value)
        if known is None:
            known = value.encode().decode()
            self._texts[known] = known
        return known

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag:
                self._add(
                    "E109",
                    key,
                    Say("字段名必须是简单的文字", "a key must be plain text"),
                    Say("含有 { } [ ] 的值用引号括起来", "quote values that contain { } [ ]"),
                )
                continue
            name = key.value
            if name in found:
                self._say_twice(key, lines[name])
                continue
            lines[name] = key.start_mark.line + 1
            found[name] = self.read(value, depth + 1)
            if self.has_stopped:
                break
        return found

    def _say_twice(self, key: ScalarNode, line: int) -> None:
        self._add(
            "E105",
            key,
            Say(f'字段 "{key.value}" 重复,第 {line} 行已经写过', f'"{key.value}" is repeated, first on line {line}'),
            Say("只保留一个", "keep one of them"),
        )

    def _stop(self, node: Node) -> None:
        if not self.has_stopped:
            self.has_stopped = True
            _say_deep(self._findings, self._entry._spot(node))  # noqa: SLF001 - the reader is the entry's maker

    def _add(self, code: str, node: Node, message: Say, fix: Say) -> None:
        self._findings.add(code, self._entry._spot(node), message, fix=fix)  # noqa: SLF001 - as above


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: Node = node.value[step]
        return child
    return None


def _say_deep(findings: Findings, spot: Spot) -> None:
    findings.add(
        "E108",
        spot,
        Say(
            f"嵌套太深(超过 {DEEPEST} 层),或者锚点 & * 展开后太大",
            f"nested deeper than {DEEPEST} levels, or anchors expand too far",
        ),
        fix=Say(
            "检查括号和缩进;不要用 * 反复引用大段内容", "check brackets and indentation; do not repeat large parts by *"
        ),
    )


def _say_no_mapping(findings: Findings, entry: Entry) -> None:
    if isinstance(entry.plain, list):
        findings.add(
            "E107",
            entry.at(),
            Say("文件一开头就是列表,缺少列表的名称", "the file begins with a list: the name of the list is missing"),
            fix=Say(
                "第一行写 rules:(设备清单写 devices:),下面各行缩进两个空格",
                "begin with rules: (or devices:) and indent the rest by two",
            ),
        )
        return
    text = entry.plain if isinstance(entry.plain, str) else ""
    wide = "\uff1a" in text
    findings.add(
        "E107",
        entry.at(),
        Say('文件应由 "名称: 值" 组成', 'the file must consist of "name: value" lines'),
        fix=Say("把全角的冒号换成半角的冒号加一个空格", "type a half-width colon and a space")
        if wide
        else Say('第一行写成 "名称: 值",冒号后面有一个空格', 'begin with "name: value", with a space after the colon'),
    )
