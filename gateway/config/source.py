"""Configuration: files as text. Size, encoding and kind of file are checked here; YAML is `syntax` and `tree`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from gateway.config.findings import Findings, Say, Source, Spot

LARGEST = 5_000_000  # bytes of one file: 50,000 devices listed one by one
MOST_FILES = 500
_BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as libyaml counts lines
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_KINDS = ("devices", "profiles", "rules")


class Files:
    """The YAML files of one configuration directory, and the digest over what was read."""

    def __init__(self, directory: Path, findings: Findings) -> None:
        self._directory = directory
        self._findings = findings
        self._hash = hashlib.sha256()
        self._seen = 0

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents of the files read so far, in the order of reading."""
        return self._hash.hexdigest()

    def name(self, path: Path) -> str:
        """How ``path`` is shown: as the user named the directory, with forward slashes."""
        return path.as_posix()

    def listing(self, kind: str) -> list[Path]:
        """The YAML files under ``kind``, sorted by name."""
        found = sorted(p for p in (self._directory / kind).rglob("*") if p.suffix == ".yaml")
        if len(found) > MOST_FILES:
            spot = Spot(Source(self.name(self._directory / kind), ()))
            self._findings.add(
                "E108",
                spot,
                Say(f"有 {len(found)} 个文件,最多 {MOST_FILES} 个", f"{len(found)} files, at most {MOST_FILES}"),
                fix=Say("把几个文件合成一个", "join some of them"),
            )
        return found[:MOST_FILES]

    def strays(self) -> list[Path]:
        """YAML files that nothing reads: a misspelt name or directory would pass in silence."""
        roots = {"gateway.yaml", "site.yaml", "notify.yaml"}
        found = []
        for path in sorted(self._directory.glob("*")):
            if path.is_dir() and path.name not in _KINDS:
                found += sorted(p for p in path.glob("*") if p.suffix == ".yaml")[:5]
            elif path.suffix == ".yaml" and path.name not in roots:
                found.append(path)
        return found

    def say_misnamed(self) -> None:
        """Files that look read and are not: ``.yml`` among the others."""
        roots = [self._directory, *(self._directory / kind for kind in _KINDS)]
        for path in sorted(found for root in roots for found in root.glob("*.yml"))[:MOST_FILES]:
            self._findings.add(
                "E116",
                Spot(Source(self.name(path), ())),
                Say("扩展名是 .yml,没有读这个文件", "this file ends in .yml and was not read"),
                fix=Say(f"改名为 {path.with_suffix('.yaml').name}", f"rename it to {path.with_suffix('.yaml').name}"),
            )

    def read(self, path: Path) -> tuple[Source, str] | None:
        """The text of ``path``, or None when it cannot be read as text; the reason is a finding."""
        source = Source(self.name(path), ())
        data = self._bytes(path, source)
        if data is None:
            return None
        relative = path.relative_to(self._directory).as_posix().encode()
        self._hash.update(b"%d %s %d\n" % (len(relative), relative, len(data)))
        self._hash.update(data)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._say_encoding(source, data, error.start)
            return None
        source = Source(source.name, _BREAKS.split(text))
        return (source, text) if self._is_text(source) else None

    def _bytes(self, path: Path, source: Source) -> bytes | None:
        try:
            if not path.is_file():  # also a FIFO, which would never answer
                self._say_missing(path, source)
                return None
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            self._findings.add(
                "E101",
                Spot(source),
                Say(f"打不开这个文件({error.strerror})", f"cannot open this file ({error.strerror})"),
                fix=Say("检查文件的权限", "check the file's permissions"),
            )
            return None
        if len(data) > LARGEST:
            self._findings.add(
                "E108",
                Spot(source),
                Say(f"文件超过 {LARGEST // 1_000_000} MB", f"the file is larger than {LARGEST // 1_000_000} MB"),
                fix=Say("分成几个文件,或用 each: 一次写一批设备", "split it, or use each: for many equal devices"),
            )
            return None
        return data

    def _say_missing(self, path: Path, source: Source) -> None:
        if path.exists():
            what, fix = (
                Say("不是普通文件", "not a regular file"),
                Say("换成普通的文本文件", "put a plain text file here"),
            )
        else:
            what, fix = Say("没有这个文件", "there is no such file"), Say(f"新建 {path.name}", f"create {path.name}")
        self._findings.add("E101", Spot(source), what, fix=fix)

    def _say_encoding(self, source: Source, data: bytes, start: int) -> None:
        """Name the encoding that was probably used, and the first line that shows it."""
        line = data.count(b"\n", 0, start) + 1
        begin = data.rfind(b"\n", 0, start) + 1
        raw = data.split(b"\n")
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            name, lines = "UTF-16", [""] * len(raw)
        else:
            name, lines = _guess(data, raw)
        column = len(data[begin:start].decode("utf-8", "replace")) + 1
        what = Say(f"文件是 {name} 编码,不是 UTF-8", f"the file is {name}, not UTF-8")
        fix = Say(
            '用编辑器"另存为",编码选 UTF-8,再检查一次',
            'use "save as" in your editor with encoding UTF-8, then check again',
        )
        if not name:
            what = Say("文件不是 UTF-8 文本", "the file is not UTF-8 text")
        self._findings.add("E102", Spot(Source(source.name, lines), line, column), what, fix=fix)

    def _is_text(self, source: Source) -> bool:
        for number, line in enumerate(source.lines, 1):
            if found := _CONTROL.search(line):
                code = ord(found[0])
                self._findings.add(
                    "E102",
                    Spot(source, number, found.start() + 1),
                    Say(f"有不能显示的控制字符(U+{code:04X})", f"contains a control character (U+{code:04X})"),
                    fix=Say(
                        "删掉这个字符;如果整个文件都是乱码,它不是文本文件",
                        "delete it; if all looks garbled, this is no text file",
                    ),
                )
                return False
        return True


def _guess(data: bytes, raw: Sequence[bytes]) -> tuple[str, list[str]]:
    """The likely encoding and the lines in it; no name when it is not Chinese text at all."""
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "", [line.decode("utf-8", "replace") for line in raw]
    return "GBK", [line.decode("gb18030", "replace").rstrip("\r") for line in raw]
