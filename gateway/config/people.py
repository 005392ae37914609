"""Configuration: notify.yaml (who can be told) and the uplinks of gateway.yaml (which clouds)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from gateway.config.findings import Findings, Say, perhaps
from gateway.config.outside import check_references
from gateway.config.shapes import Gateway, Names, NotifyFile, Shape, custom
from gateway.config.shaping import Part, keys_of, known_keys, shape
from gateway.config.tree import Entry
from gateway.model import Recipient, Uplink

CHANNELS = ("console", "buzzer", "apprise")


def _reference(value: object) -> object:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise custom(
            "E115",
            "通知地址里有口令,不能直接写在这里",
            "the address holds a password and must not stand here",
            "把地址放进文件或环境变量,这里写 {file: 文件} 或 {env: 变量名}",
            "put it into a file or the environment and write {file: path} or {env: NAME}",
        )
    return value


class Reference(Shape):
    """A secret by reference: it never stands in a file that is copied around."""

    file: str | None = None
    env: str | None = None


class RecipientItem(Shape):
    """A person or group; each channel with its address."""

    title: Annotated[str, Field(max_length=200)]
    console: str | None = None
    buzzer: str | None = None
    apprise: Annotated[Reference, BeforeValidator(_reference)] | None = None
    group: Literal["property", "grid", "family", "street"] | None = None
    members: Names | None = None  # other recipients; whether they are there is judged in `duties`
    on_duty: str | None = None


def read_recipients(findings: Findings, file: NotifyFile, entry: Entry) -> dict[str, Recipient]:
    """The recipients of notify.yaml; a channel that is named without an address has the address ""."""
    found = {}
    for name, raw in (file.recipients or {}).items():
        part = Part(entry, ("recipients", name), Say(f"联系人 {name}", f"recipient {name}"))
        item = shape(findings, RecipientItem, raw, part)
        if item is None:  # rules that name it are not wrong for that
            found[name] = Recipient(name, name, dict.fromkeys(CHANNELS, ""))
            continue
        addresses = {each: _address(item, each) for each in CHANNELS if each in raw}
        members, on_duty = tuple(item.members or ()), item.on_duty or ""
        found[name] = Recipient(name, item.title, addresses, item.group or "", members, on_duty)
        check_references(findings, raw, part)
    return found


def _address(item: RecipientItem, channel: str) -> str:
    """Text, or ``file:path`` / ``env:NAME`` for a reference."""
    if channel != "apprise":
        return getattr(item, channel) or ""
    reference = item.apprise
    if reference is None:
        return ""
    return f"file:{reference.file}" if reference.file is not None else f"env:{reference.env}"


class _UplinkType(BaseModel):
    type: str


def read_uplinks(
    findings: Findings, gateway: Gateway, entry: Entry, kinds: Mapping[str, type[BaseModel]]
) -> tuple[Uplink, ...]:
    """The uplinks of gateway.yaml, each checked by its own model."""
    found = []
    for name, raw in (gateway.uplinks or {}).items():
        part = Part(entry, ("gateway", "uplinks", name), Say(f"上行 {name}", f"uplink {name}"))
        uplink = _uplink(findings, name, raw, part, kinds)
        if uplink is not None:
            found.append(uplink)
            check_references(findings, raw, part)
    return tuple(found)


def _uplink(findings: Findings, name: str, raw: Any, part: Part, kinds: Mapping[str, type[BaseModel]]) -> Uplink | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        shape(findings, _UplinkType, raw, part)
        return None
    model = kinds.get(raw["type"])
    if model is None:
        findings.add(
            "E210",
            part.entry.at(*part.path, "type"),
            Say(f'不认识的上行类型 "{raw["type"]}"', f'unknown type of uplink "{raw["type"]}"'),
            subject=part.subject,
            fix=perhaps(raw["type"], kinds, Say("从可用的类型里选一个", "choose one of the known ones")),
            options=sorted(kinds),
        )
        return None
    plain = known_keys(findings, part, raw, ("type", *(k for k in keys_of(model) if k != "type")))
    params = shape(findings, model, {k: v for k, v in plain.items() if k != "type"}, part)
    return None if params is None else Uplink(name, raw["type"], params)
