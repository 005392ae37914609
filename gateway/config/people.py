"""Configuration: notify.yaml (who can be told) and the uplinks of gateway.yaml (which clouds)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gateway.config.channels import CHANNELS, ChannelItems, address_of
from gateway.config.findings import Findings, Say, perhaps
from gateway.config.outside import check_references
from gateway.config.shapes import Gateway, Names, NotifyFile
from gateway.config.shaping import Part, keys_of, known_keys, shape
from gateway.config.tree import Entry
from gateway.model import Recipient, Uplink


class RecipientItem(ChannelItems):
    """A person or group; each channel with its address."""

    title: Annotated[str, Field(max_length=200)]
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
        addresses = {each: address_of(item, each) for each in CHANNELS if each in raw}
        members, on_duty = tuple(item.members or ()), item.on_duty or ""
        found[name] = Recipient(name, item.title, addresses, item.group or "", members, on_duty)
        check_references(findings, raw, part)
        if "modem" in raw:
            check_references(findings, raw["modem"], part._replace(path=(*part.path, "modem")))
    return found


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
