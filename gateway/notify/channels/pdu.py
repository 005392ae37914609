"""Room: notify. Short messages as a modem takes them (3GPP TS 23.040, 23.038). Pure: text to hexadecimal and back.

What a modem is told and what it answers is in `modem`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SUBMIT, _RELATIVE_VALIDITY, _WANTS_REPORT, _HAS_HEADER = 0x01, 0x10, 0x20, 0x40
_ONE_DAY = 0xA7  # validity: what could not be delivered by then is old news
_INTERNATIONAL, _UNKNOWN = 0x91, 0x81
_UCS2 = 0x08
_MOST_PARTS = 10
_NUMBER = re.compile(r"\+?\d{3,20}", re.ASCII)
# The default alphabet, and what it reaches through an escape: each of these counts twice.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE = 0x1B
_EXTENDED = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F,
    "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65,
}  # fmt: skip
_SEPTETS = {each: bytes([code]) for code, each in enumerate(_BASIC) if code != _ESCAPE} | {
    each: bytes([_ESCAPE, code]) for each, code in _EXTENDED.items()
}


class Part(NamedTuple):
    """One message on the air: ``length`` is what AT+CMGS wants to know."""

    length: int
    pdu: str


class StatusReport(NamedTuple):
    """What the network says of a message it took: ``is_delivered`` None while it goes on trying."""

    reference: int
    number: str
    is_delivered: bool | None


def is_number(text: str) -> bool:
    """Is ``text`` a telephone number: digits, with a + before the country or without?"""
    return _NUMBER.fullmatch(text) is not None


def submit(number: str, text: str, reference: int) -> list[Part]:
    """``text`` to ``number`` in as many parts as it needs, at most ten; ``reference`` (0 to 255) binds them."""
    is_basic = all(each in _SEPTETS for each in text)
    units = [_SEPTETS[each] if is_basic else each.encode("utf-16-be", "replace") for each in text]
    alone, shared = (160, 153) if is_basic else (140, 134)
    pieces = [units] if sum(map(len, units)) <= alone else _cut(units, shared)[:_MOST_PARTS]
    parts = []
    for place, piece in enumerate(pieces, start=1):
        header = bytes([5, 0, 3, reference, len(pieces), place]) if len(pieces) > 1 else b""
        parts.append(_part(number, header, b"".join(piece), is_basic=is_basic))
    return parts


def status_report(pdu: str) -> StatusReport | None:
    """The report in ``pdu``; None when it is none."""
    try:
        data = bytes.fromhex(pdu)
        at = 1 + data[0]  # after the service centre
        if data[at] & 0x03 != 0x02:
            return None
        reference, digits = data[at + 1], data[at + 2]
        last = at + 4 + (digits + 1) // 2
        number = data[at + 4 : last].hex()
        swapped = "".join(number[i + 1] + number[i] for i in range(0, len(number), 2))[:digits]
        status = data[last + 14]  # after two times of seven octets
    except (ValueError, IndexError):
        return None
    is_delivered = True if status < 0x20 else None if status < 0x40 else False
    return StatusReport(reference, swapped, is_delivered)


def _cut(units: list[bytes], most: int) -> list[list[bytes]]:
    """Pieces of at most ``most``; a character is never cut in two."""
    pieces: list[list[bytes]] = [[]]
    size = 0
    for each in units:
        if size + len(each) > most:
            pieces.append([])
            size = 0
        pieces[-1].append(each)
        size += len(each)
    return pieces


def _part(number: str, header: bytes, units: bytes, *, is_basic: bool) -> Part:
    first = _SUBMIT | _RELATIVE_VALIDITY | _WANTS_REPORT | (_HAS_HEADER if header else 0)
    if is_basic:
        fill = -len(header) * 8 % 7  # septets begin on a boundary of seven bits
        length = (len(header) * 8 + fill) // 7 + len(units)
        body = header + _packed(units, fill)
    else:
        length = len(header) + len(units)
        body = header + units
    coding = 0 if is_basic else _UCS2
    data = bytes([first, 0]) + _address(number) + bytes([0, coding, _ONE_DAY, length]) + body
    return Part(len(data), "00" + data.hex().upper())  # 00: the service centre is the SIM's


def _packed(septets: bytes, fill: int) -> bytes:
    value = 0
    for place, each in enumerate(septets):
        value |= each << (fill + 7 * place)
    return value.to_bytes((fill + 7 * len(septets) + 7) // 8, "little")


def _address(number: str) -> bytes:
    digits = number.lstrip("+")
    padded = digits + "F" * (len(digits) % 2)
    swapped = "".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2))
    kind = _INTERNATIONAL if number.startswith("+") else _UNKNOWN
    return bytes([len(digits), kind]) + bytes.fromhex(swapped)
