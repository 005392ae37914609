"""Sparkplug B payloads on the wire: Google's protobuf runtime over the fields this house uses. Pure.

The schema is stated here by field numbers (Sparkplug 3.0, section 6.4.1) instead of generated from the published
``.proto``, which is under another licence. What the metrics are called and mean belongs to `sparkplug_roster`.
The runtime is loaded with the first payload: 6.5 MB that only a site with such an uplink pays (ADR 0019).
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

from gateway.model import Quality, Value

_MAX_COMMAND_BYTES = 65_536
_MAX_COMMANDS = 64  # metrics of one NCMD or DCMD
_SIGN_64 = 1 << 64
_U64 = _SIGN_64 - 1

# (name, number, type of the field in descriptor.proto: 1 double, 2 float, 4 uint64, 8 bool, 9 string, 11 message,
# 12 bytes, 13 uint32); "+" is a repeated field, "|" a member of the oneof ``value``. Fields of the specification that
# are left out (metadata, data sets, templates) are skipped when they come.
_SCHEMA: dict[str, tuple[tuple[str, int, int | str], ...]] = {
    "PropertyValue": (
        ("type", 1, 13),
        ("is_null", 2, 8),
        ("|int_value", 3, 13),
        ("|long_value", 4, 4),
        ("|float_value", 5, 2),
        ("|double_value", 6, 1),
        ("|boolean_value", 7, 8),
        ("|string_value", 8, 9),
    ),
    "PropertySet": (("+keys", 1, 9), ("+values", 2, "PropertyValue")),
    "Metric": (
        ("name", 1, 9),
        ("alias", 2, 4),
        ("timestamp", 3, 4),
        ("datatype", 4, 13),
        ("is_historical", 5, 8),
        ("is_transient", 6, 8),
        ("is_null", 7, 8),
        ("properties", 9, "PropertySet"),
        ("|int_value", 10, 13),
        ("|long_value", 11, 4),
        ("|float_value", 12, 2),
        ("|double_value", 13, 1),
        ("|boolean_value", 14, 8),
        ("|string_value", 15, 9),
        ("|bytes_value", 16, 12),
    ),
    "Payload": (("timestamp", 1, 4), ("+metrics", 2, "Metric"), ("seq", 3, 4), ("uuid", 4, 9), ("body", 5, 12)),
}


class DataType(IntEnum):
    """The types a point can have; the wider ones come later."""

    BOOLEAN = 11
    INT64 = 4
    DOUBLE = 10
    STRING = 12


_WIDTH = {DataType.BOOLEAN: 0, DataType.INT64: 1, DataType.DOUBLE: 2, DataType.STRING: 3}
_SIGNED = {1: 32, 2: 32, 3: 32}  # Int8, Int16, Int32 travel in ``int_value``, as two's complement of 32 bits
_QUALITY_TYPE = 3  # tck-id-payloads-propertyset-quality-value-type
_QUALITIES = {Quality.BAD: 0, Quality.STALE: 500}  # GOOD is not told
_FIELDS = {
    DataType.BOOLEAN: "boolean_value",
    DataType.INT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.STRING: "string_value",
}


class PayloadError(Exception):
    """What came is no Sparkplug payload that can be acted on."""


class Asked(NamedTuple):
    """One metric of an NCMD or DCMD. ``value`` None: none was given."""

    name: str
    alias: int | None
    value: Value | None


class Told(NamedTuple):
    """An NCMD or DCMD."""

    timestamp_ms: int | None
    metrics: tuple[Asked, ...]


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - see the docstring

    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package="spb", syntax="proto2")
    for message, fields in _SCHEMA.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            field: Any = made.field.add(name=name.lstrip("+|"), number=number, label=3 if name[0] == "+" else 1)
            if isinstance(kind, str):
                field.type, field.type_name = 11, f".spb.{kind}"
            else:
                field.type = kind
            if name[0] == "|":
                if not made.oneof_decl:
                    made.oneof_decl.add(name="value")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"spb.{name}")) for name in _SCHEMA}


def payload() -> Any:
    """An empty message; `put` adds metrics, the session adds timestamp and seq."""
    return _classes()["Payload"]()


def put(
    message: Any,
    alias: int,
    kind: DataType,
    value: Value | None,
    at_ms: int,
    *,
    quality: Quality = Quality.GOOD,
    is_historical: bool = False,
) -> Any:
    """Add one metric by its alias; ``value`` must fit ``kind`` (`coerce`). Returns it."""
    metric = message.metrics.add()
    metric.alias = alias
    metric.timestamp = max(0, at_ms)
    if is_historical:
        metric.is_historical = True
    if value is None:
        metric.is_null = True
    elif kind is DataType.INT64:
        metric.long_value = int(value) & _U64
    else:
        setattr(metric, _FIELDS[kind], value)
    code = _QUALITIES.get(quality)
    if code is not None:
        add_property(metric, "Quality", _QUALITY_TYPE).int_value = code
    return metric


def add_property(metric: Any, key: str, kind: int) -> Any:
    """A property of a metric, its value still to be set."""
    metric.properties.keys.append(key)
    return metric.properties.values.add(type=kind)


def type_of(value: Value | None) -> DataType:
    """The narrowest type that holds this value."""
    if value is None or isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64 if -(2**63) <= value < 2**63 else DataType.STRING
    return DataType.DOUBLE if isinstance(value, float) else DataType.STRING


def wider(one: DataType, other: DataType) -> DataType:
    """The type that holds the values of both."""
    return max(one, other, key=_WIDTH.__getitem__)


def coerce(kind: DataType, value: Value | None) -> Value | None:
    """The value as ``kind``, which must not be narrower than its own; beyond 2**53 a double is the nearest there is."""
    if value is None or kind is DataType.BOOLEAN:
        return value
    if kind is DataType.INT64:
        return int(value)
    if kind is DataType.DOUBLE:
        return float(value)
    return value if isinstance(value, str) else _text(value)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def told(body: bytes) -> Told:
    """What a host asks.

    Raises:
        PayloadError: too large, damaged, or with too many metrics.
    """
    if len(body) > _MAX_COMMAND_BYTES:
        raise PayloadError(f"larger than {_MAX_COMMAND_BYTES} bytes")
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - see the docstring

    message = payload()
    try:
        message.ParseFromString(body)
        if len(message.metrics) > _MAX_COMMANDS:
            raise PayloadError(f"more than {_MAX_COMMANDS} metrics")
        metrics = tuple(
            Asked(each.name, each.alias if each.HasField("alias") else None, _value(each)) for each in message.metrics
        )
    except (DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"no Sparkplug payload: {error}") from error
    return Told(message.timestamp if message.HasField("timestamp") else None, metrics)


def _value(metric: Any) -> Value | None:
    field = metric.WhichOneof("value")
    if field is None or metric.is_null or field == "bytes_value":
        return None
    value: Value = getattr(metric, field)
    if field == "long_value":
        # Int64 and whatever came without its type: the platform knows it as Int64 from the birth
        return value - _SIGN_64 if value >= 1 << 63 and metric.datatype in (0, 4) else value  # type: ignore[operator]
    bits = _SIGNED.get(metric.datatype) if field == "int_value" else None
    return value - (1 << bits) if bits and value >= 1 << (bits - 1) else value  # type: ignore[operator]
