"""Room: drivers. What an installer may write about a Modbus bus, profile, point and device, and the checks of it.

Nothing here speaks to a device: the plan of reads is `modbus_plan`, the line is `modbus_line`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from gateway.drivers.base import DriverModel, PointModel
from gateway.drivers.registers import WIDTHS, Scale
from gateway.model.duration import seconds

Table = Literal["coil", "discrete", "input", "holding"]
BIT_TABLES = ("coil", "discrete")
WRITABLE_TABLES = ("coil", "holding")
_ADDRESS = re.compile(r"0x[0-9a-f]{1,4}|\d{1,6}", re.ASCII)
FIRST_MANUAL = {"coil": 0, "discrete": 10_000, "input": 30_000, "holding": 40_000}  # five digits; ×10 for six


def problem(code: str, zh: str, en: str, fix_zh: str, fix_en: str, **context: object) -> PydanticCustomError:
    """An error in both languages, as `gateway.config` shows it."""
    return PydanticCustomError(
        code,
        zh,
        {"en": en.format(**context), "fix_zh": fix_zh, "fix_en": fix_en, **context},
    )


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return seconds(value)
    except ValueError:
        raise problem(
            "E306",
            "{value} 不是时长",
            "{value} is not a duration",
            "写成 500ms、1s、10m 这样",
            "write 500ms, 1s or 10m",
            value=value,
        ) from None


def _number(value: object) -> object:
    """Text to a number for a Literal, which does not convert."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else value


def _unit(value: object) -> object:
    text = str(value).strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
    if not 1 <= number <= 247:
        # Modbus over Serial Line V1.02 §2.2: 0 is broadcast, 248-255 are reserved.
        raise problem(
            "E305",
            "Modbus 站号 {value} 超出范围",
            "Modbus unit {value} is out of range",
            "填 1 到 247 之间的数,与设备拨码一致",
            "write a number from 1 to 247, as set on the device",
            value=text,
        )
    return number


def _address(value: object) -> object:
    """Decimal without leading zeros, or hexadecimal: that says exactly what goes on the wire."""
    text = str(value).strip().lower()
    if not _ADDRESS.fullmatch(text):
        raise problem(
            "E307",
            "Modbus 地址 {value} 不是数",
            "Modbus address {value} is not a number",
            "写十进制数,或 0x 开头的十六进制数",
            "write a decimal number, or hexadecimal with 0x",
            value=text,
        )
    return text if text.startswith("0x") else str(int(text))


Seconds = Annotated[float, BeforeValidator(_duration)]
Timeout = Annotated[Seconds, Field(ge=0.02, le=30)]
Poll = Annotated[Seconds, Field(ge=0.05, le=86_400)]
TcpPort = Annotated[int, Field(ge=1, le=65_535)]


class BusModel(DriverModel):
    """What every Modbus line has."""

    timeout: Timeout = 0.5
    gap: int = Field(default=8, ge=0, le=124)  # registers read along to save a request; ×16 for bits
    delay: Annotated[Seconds, Field(ge=0, le=5)] = 0.0  # silence between an answer and the next request


class TcpBus(BusModel):
    """``type: modbus-tcp``: one host, any number of units behind it."""

    host: str = Field(min_length=1)
    port: TcpPort = 502
    connections: int = Field(default=1, ge=1, le=16)  # units are shared out over them


class RtuOverTcpBus(BusModel):
    """``type: modbus-rtu-over-tcp``: a serial server that passes RTU frames through."""

    host: str = Field(min_length=1)
    port: TcpPort = 502


class RtuBus(BusModel):
    """``type: modbus-rtu``: a serial port of this machine."""

    port: str = Field(min_length=1)  # "/dev/ttyS1"
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stop: Annotated[Literal[1, 2], BeforeValidator(_number)] = 1
    bytesize: Annotated[Literal[7, 8], BeforeValidator(_number)] = 8


class ProfileModel(DriverModel):
    """``via: modbus``: how the model's manual counts and orders."""

    addressing: Literal["pdu", "manual"]
    word_order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = None
    poll: Poll = 1.0
    shared_unit: bool = False  # several devices of the site may answer under one unit


class DeviceModel(DriverModel):
    """One unit on the line."""

    unit: Annotated[int, BeforeValidator(_unit)]


class ModbusPoint(PointModel):
    """Where a point lives. ``stride`` is the distance to the next of a repeated point, default its own width."""

    table: Table
    address: Annotated[str, BeforeValidator(_address)]
    type: Literal["bool", "int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]
    scale: FiniteFloat = 1.0
    offset: FiniteFloat = 0.0
    bit: Annotated[int, Field(ge=0, le=15)] | None = None  # 0 is the lowest
    stride: Annotated[int, Field(ge=1, le=10_000)] | None = None
    poll: Poll | None = None
    readback: str = ""  # name of the point that shows what a write did; default the point itself
    as_: Literal["text"] | None = Field(default=None, alias="as")  # a number that is a name: of a card
    words: Mapping[int, str] | None = None  # what a number means: {0: denied, 1: granted}
    counter: str = ""  # name of the point that counts up: this one speaks once for each change of it
    _index: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def _fits_its_table(self) -> ModbusPoint:
        in_bits = self.table in BIT_TABLES
        if in_bits and (self.type != "bool" or self.bit is not None):
            raise problem(
                "E308",
                "{table} 表的点只能是 bool,且没有 bit",
                "a point of table {table} is bool and has no bit",
                "写 type: bool,去掉 bit,或换成 holding/input 表",
                "write type: bool without bit, or another table",
                table=self.table,
            )
        if not in_bits and (self.type == "bool") != (self.bit is not None):
            raise problem(
                "E309",
                "寄存器里的 bool 要写 bit,其他类型不能写 bit",
                "a bool in a register needs bit, others have none",
                "例如 type: bool, bit: 0(最低位)",
                "for example type: bool, bit: 0 (the lowest)",
            )
        if self.is_text and (self.type == "bool" or self.type.startswith("float") or not self.scaling.is_identity):
            raise problem(
                "E331",
                "as: text 和 words 只用于整数寄存器,不能有 scale、offset",
                "as: text and words are for whole registers without scale and offset",
                "写 type: uint16 或 uint32",
                "write type: uint16 or uint32",
            )
        if self.scale == 0:
            raise problem(
                "E310", "scale 不能是 0", "scale must not be 0", "写实际倍率,例如 0.1", "write the factor, such as 0.1"
            )
        return self

    @property
    def value_type(self) -> str:
        """What the point's readings carry: bool, int, float or text."""
        if self.is_text:
            return "text"
        if self.type == "bool":
            return "bool"
        is_float = self.type.startswith("float") or not self.scaling.is_whole
        return "float" if is_float else "int"

    @property
    def is_text(self) -> bool:
        """Is the number told as a word?"""
        return self.as_ is not None or self.words is not None

    @property
    def scaling(self) -> Scale:
        """Raw number to value."""
        return Scale(self.scale, self.offset)

    @property
    def span(self) -> tuple[float, float, float, float] | None:
        """The lowest and highest value of its register, their step, and the value of 0; None: no whole number."""
        size = WIDTHS[self.type] * 16
        if self.type == "bool" or self.type.startswith("float"):
            return None
        first, last = (0, 2**size - 1) if self.type.startswith("u") else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)
        decimals = self.scaling.decimals
        low, high = sorted(float(self.scaling.value(raw, decimals)) for raw in (first, last))
        return low, high, abs(self.scale), self.offset

    @property
    def width(self) -> int:
        """In addresses of its table."""
        return WIDTHS[self.type]

    def nth(self, index: int) -> ModbusPoint:
        """The ``index``-th (from 0) of a repeated point: further on by stride; bits go on into the next register."""
        copy = self.model_copy()
        copy._index = index  # noqa: SLF001  # its own class
        return copy

    def bit_place(self) -> tuple[int, int | None]:
        """(registers further on, bit) of this one of a repeated point."""
        if self.bit is None or self.stride is not None:
            return self._index * (self.stride or self.width), self.bit
        return (self.bit + self._index) // 16, (self.bit + self._index) % 16

    def wire_address(self, addressing: str) -> int:
        """The address as it goes on the wire. Raises `AddressError` where it cannot be one."""
        number, is_exact = int(self.address, 0), self.address.startswith("0x")
        if addressing == "pdu":
            looks_manual = self.table != "coil" and manual_to_pdu(self.table, number) is not None
            if number > 65_535 or (looks_manual and not is_exact and number > 9999):
                raise AddressError("E311")
            first = number
        else:
            found = None if is_exact else manual_to_pdu(self.table, number)
            if found is None:
                raise AddressError("E312")
            first = found
        address = first + self.bit_place()[0]
        if address + self.width > 65_536:
            raise AddressError("E313")
        return address


class AddressError(ValueError):
    """An address that cannot go on the wire; its text is the code of the problem."""


def manual_to_pdu(table: str, number: int) -> int | None:
    """40001 or 400001 of a manual to 0; None where the number is not of this table."""
    first = FIRST_MANUAL[table]
    if table == "coil":
        return number - 1 if 1 <= number <= 65_536 else None
    if first < number <= first + 9999:
        return number - first - 1
    if first * 10 < number <= first * 10 + 65_536:
        return number - first * 10 - 1
    return None
