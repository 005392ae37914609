"""JSON Schema of the configuration: current, in Chinese, and of one mind with the check."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.app.schemas import texts
from tests.support_config import CASES, SAMPLE, checked, laid_out
from tests.test_config_manual import BLOCKS

SCHEMAS = SAMPLE.parent / "docs" / "schema"
KINDS = ("rules", "notify", "site", "devices", "profiles", "gateway")
_CHINESE = re.compile("[\u4e00-\u9fff]")


class _Core(yaml.SafeLoader):
    """YAML as editors read it (1.2): on, off, yes and dates are texts, numbers are numbers."""


_Core.yaml_implicit_resolvers = {
    key: [each for each in found if not each[0].endswith(("bool", "timestamp", "merge"))]
    for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def read(text: str) -> Any:
    """A file as an editor sees it."""
    return yaml.load(text, _Core)


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    """The published schema of a kind of file."""
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"config-{kind}.v1.json").read_text("utf-8")))


def complaints(kind: str, text: str) -> list[str]:
    """What an editor underlines."""
    return [f"{'/'.join(map(str, each.path))}: {each.message}" for each in validator(kind).iter_errors(read(text))]


def kind_of(path: Path) -> str:
    """By directory, or by name."""
    return path.parent.name if path.parent.name in KINDS else path.stem


def test_the_published_schemas_are_those_of_the_shapes() -> None:
    """``python -m gateway.app.schemas`` would change nothing."""
    assert {name: (SCHEMAS / name).read_text("utf-8") for name in texts()} == texts()
    for kind in KINDS:
        jsonschema.Draft202012Validator.check_schema(validator(kind).schema)


def _properties(node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, dict):
        yield from node.get("properties", {}).items()
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _properties(each)


def test_every_key_is_explained_in_chinese() -> None:
    """Whoever points at a key in an editor reads what it is for."""
    found = [each for kind in KINDS for each in _properties(validator(kind).schema)]
    assert len(found) > 200
    assert [key for key, each in found if not _CHINESE.search(each["description"])] == []


@pytest.mark.parametrize("path", sorted(SAMPLE.rglob("*.yaml")), ids=lambda path: path.name)
def test_an_editor_has_nothing_to_say_of_the_demo_site(path: Path) -> None:
    """Every file of the demo site fits its schema."""
    assert complaints(kind_of(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("\n")[1].strip()[:30])
def test_an_editor_has_nothing_to_say_of_the_manual(text: str) -> None:
    """Every block of the manual fits the schema of its file."""
    named = re.match(r"# (\S+\.yaml)\n", text)
    key = text.partition(":")[0]
    kind = kind_of(Path(named[1])) if named else {"calendars": "site", "recipients": "notify"}.get(key, key)
    assert complaints(kind, f"site: x\n{text}" if kind == "site" else text) == []


_GOOD = ("valid", "forms-valid")


@pytest.mark.parametrize("case", _GOOD)
def test_what_the_check_accepts_an_editor_accepts(case: str, tmp_path: Path) -> None:
    """Good configurations have no line underlined."""
    directory = laid_out(case, tmp_path)
    for path in directory.rglob("*.yaml"):
        assert complaints(kind_of(path), path.read_text("utf-8")) == [], path


@pytest.mark.parametrize(
    "case",
    [
        "nested-typo",
        "calendar-day",
        "notify-channel-typo",
        "when-times-once",
        "when-devices-scope-typo",
        "bad-duration",
        "missing-keys",
        "group-name",
    ],
)
def test_what_an_editor_can_see_it_underlines(case: str, tmp_path: Path) -> None:
    """Misspelt keys, words that are no choice, numbers out of bounds, missing keys: red before the check is run."""
    directory = laid_out(case, tmp_path)
    wrong = {each.spot.source.name for each in checked(directory).findings if each.is_error}
    assert wrong
    for name in wrong:
        assert complaints(kind_of(Path(name)), Path(name).read_text("utf-8")), (CASES / case, name)
