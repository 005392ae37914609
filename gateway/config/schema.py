"""Configuration: JSON Schema of the files an installer writes, made from the shapes, for editors.

Descriptions are in `meanings`. What values mean together is not in a schema: `shouwang check` has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.config.calendars import Several, Single
from gateway.config.desk import DriverShape
from gateway.config.meanings import FILES, MEANINGS
from gateway.config.people import RecipientItem
from gateway.config.rule_shapes import RuleItem
from gateway.config.shapes import DURATION_TEXT, DeviceItem, Gateway, PointItem, ProfileItem, SiteFile

Schema = dict[str, Any]
_ANY_TEXT = {"type": ["string", "number", "boolean"]}  # every scalar is read as text: 0301 and on are texts, too
_LEFT_OVER = {"ge", "gt", "le", "lt"}  # what pydantic leaves of bounds behind a conversion: durations have them
_SPARE = {"title", "description", "default", "$defs"}


def schemas(drivers: Mapping[str, DriverShape], uplinks: Mapping[str, type[BaseModel]]) -> dict[str, Schema]:
    """The schema of each kind of file by its name, such as ``rules``."""
    via = {each.via: each for each in drivers.values()}
    return {
        "rules": _file("rules", {"rules": _list(_model(RuleItem))}, ()),
        "notify": _file("notify", {"recipients": _named(_model(RecipientItem))}, ()),
        "site": _file("site", _site(drivers, via), ("site",)),
        "devices": _file("devices", {"devices": _list(_device(via))}, ()),
        "profiles": _profile(via),
        "gateway": _file("gateway", {"gateway": _gateway(uplinks)}, ("gateway",)),
    }


def _file(name: str, properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    described = {key: {"description": MEANINGS[key], **each} for key, each in properties.items()}
    return {**_head(name), **_object(described, required)}


def _head(name: str) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"守望 {FILES[name][0]}",
        "description": FILES[name][1],
    }


def _site(drivers: Mapping[str, DriverShape], via: Mapping[str, DriverShape]) -> dict[str, Schema]:
    own = _model(SiteFile)["properties"]
    buses = [_tagged(name, each.bus) for name, each in drivers.items()]
    calendar = {"anyOf": [_model(Single), _model(Several)]}
    return {**own, "buses": _named({"oneOf": buses}), "calendars": _named(calendar), "devices": _list(_device(via))}


def _device(via: Mapping[str, DriverShape]) -> Schema:
    """Its own keys, and those of every driver: which of them fit is known only with the profile."""
    return _merged(_model(DeviceItem), *(_model(each.device) for each in via.values()), required=("profile", "bus"))


def _profile(via: Mapping[str, DriverShape]) -> Schema:
    kinds = []
    for name, driver in via.items():
        point = _merged(_model(PointItem), _model(driver.point))
        whole = _merged(_model(ProfileItem), _model(driver.profile))
        whole["properties"]["via"] = {"description": MEANINGS["via"], "const": name}
        whole["properties"]["points"] = {"description": MEANINGS["points"], **_named(point), "minProperties": 1}
        kinds.append(whole)
    return {**_head("profiles"), "oneOf": kinds}


def _gateway(uplinks: Mapping[str, type[BaseModel]]) -> Schema:
    found = _model(Gateway)
    found["properties"]["uplinks"] = {
        "description": MEANINGS["uplinks"],
        **_named({"oneOf": [_tagged(name, each) for name, each in uplinks.items()]}),
    }
    return found


def _tagged(name: str, model: type[BaseModel]) -> Schema:
    found = _model(model)
    found["properties"] = {"type": {"description": MEANINGS["type"], "const": name}, **_without(found, "type")}
    for key, each in found["properties"].items():
        each["description"] = MEANINGS.get(f"Uplink.{key}", each["description"])
    found["required"] = sorted({"type", *found.get("required", ())})
    return found


def _without(schema: Schema, key: str) -> Schema:
    return {name: each for name, each in schema["properties"].items() if name != key}


def _merged(*parts: Schema, required: Iterable[str] | None = None) -> Schema:
    properties = {key: each for part in reversed(parts) for key, each in part["properties"].items()}
    needed = required if required is not None else {key for part in parts for key in part.get("required", ())}
    return _object(properties, needed)


def _object(properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**found, "required": sorted(required)} if required else found


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _named(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _model(model: type[BaseModel]) -> Schema:
    """The schema of a model, whole in itself, in words for installers."""
    names, whole = models_json_schema([(model, "validation")], by_alias=True)
    definitions = whole["$defs"]
    root = names[model, "validation"]["$ref"].rpartition("/")[2]
    found = _plain(definitions[root], definitions)
    assert isinstance(found, dict)
    return found


def _plain(node: Any, definitions: Mapping[str, Any], owner: str = "") -> Any:
    """``node`` without references, titles and nulls, every key described, every scalar as it may be written."""
    if isinstance(node, list):
        return [_plain(each, definitions, owner) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _plain(definitions[name], definitions, name)
    if "anyOf" in node:
        return _choice([each for each in node["anyOf"] if each != {"type": "null"}], definitions, owner)
    found = {key: _plain(each, definitions, owner) for key, each in node.items() if key not in _SPARE | {"properties"}}
    if "properties" in node:
        owner = node.get("title", owner)
        found["properties"] = dict(_properties(node["properties"], definitions, owner))
    return _loosened(found)


def _properties(properties: Mapping[str, Any], definitions: Mapping[str, Any], owner: str) -> Iterator[tuple[str, Any]]:
    for key, each in properties.items():
        text = MEANINGS.get(f"{owner}.{key}") or MEANINGS[key]
        yield key, {"description": text, **_plain(each, definitions, owner)}


def _choice(branches: list[Any], definitions: Mapping[str, Any], owner: str) -> Any:
    found = [_plain(each, definitions, owner) for each in branches]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _loosened(node: Schema) -> Schema:
    """What YAML makes of a scalar that we read as text."""
    kind = node.get("type")
    if not _LEFT_OVER.isdisjoint(node):
        is_duration = kind in {"number", "integer"}
        plain = {key: each for key, each in node.items() if key not in _LEFT_OVER}
        return {"type": "string", "pattern": DURATION_TEXT} if is_duration else _loosened(plain)
    if kind == "string" and not {"enum", "const", "pattern"} & node.keys():
        return {**node, **_ANY_TEXT}
    if kind in {"integer", "number"}:
        return {**node, "type": [kind, "string"]}
    if kind == "boolean":
        return {"enum": [True, False, "true", "false"]}
    return node
