"""A GSM modem on a pseudo-terminal, and a decoder of messages of its own: it shares no code with the gateway."""

from __future__ import annotations

import asyncio
import os
import tty
from dataclasses import dataclass, field
from typing import NamedTuple

GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_ESCAPED = {10: "\f", 20: "^", 40: "{", 41: "}", 47: "\\", 60: "[", 61: "~", 62: "]", 64: "|", 101: "€"}


class Sms(NamedTuple):
    """One message as a phone would read it; ``reference``, ``total``, ``place`` of its concatenation, else 0, 1, 1."""

    number: str
    text: str
    reference: int = 0
    total: int = 1
    place: int = 1
    wants_report: bool = False


def decode(pdu: str) -> Sms:
    """Octet by octet, as the recommendation has it."""
    octets = list(bytes.fromhex(pdu))
    octets = octets[1 + octets[0] :]
    first, _reference, digits, kind = octets[:4]
    assert first & 0x03 == 1, "an SMS-SUBMIT"
    assert first & 0x18 == 0x10, "with a relative validity"
    at = 4 + (digits + 1) // 2
    number = "".join(f"{each & 15:x}{each >> 4:x}" for each in octets[4:at])[:digits]
    coding, length, data = octets[at + 1], octets[at + 3], octets[at + 4 :]
    header = data[: data[0] + 1] if first & 0x40 else []
    binding = (header[3], header[4], header[5]) if header else (0, 1, 1)
    if header:
        assert header[:3] == [5, 0, 3]
    if coding == 8:
        assert length == len(data) <= 140
        text = bytes(data[len(header) :]).decode("utf-16-be")
    else:
        assert length <= 160
        assert len(data) == (length * 7 + 7) // 8
        bits = "".join(f"{each:08b}"[::-1] for each in data)
        septets = [int(bits[i * 7 : i * 7 + 7][::-1], 2) for i in range(length)]
        skipped = -(-len(header) * 8 // 7)
        text, escaped = "", False
        for each in septets[skipped:]:
            text += (GSM_ESCAPED[each] if escaped else GSM[each]) if each != 27 else ""
            escaped = each == 27
    return Sms(("+" if kind == 0x91 else "") + number, text, *binding, bool(first & 0x20))


def delivered(reference: int, number: str, status: int = 0) -> str:
    """The PDU of a status report."""
    digits = number.lstrip("+")
    padded = digits + "F" * (len(digits) % 2)
    swapped = "".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2))
    return f"0006{reference:02X}{len(digits):02X}91{swapped}{'62101251910023' * 2}{status:02X}"


@dataclass
class FakeModem:
    """Answers as a modem does. ``noise`` is said between command and answer; ``refusals`` answer the next messages."""

    has_echo: bool = True
    has_pdu_mode: bool = True
    sim: str = "READY"  # or SIM PIN, SIM PUK, "" for none
    pin: str = "1234"
    registration: str = "1"
    reports: int | None = None  # the status of the report that follows each message
    noise: tuple[str, ...] = ()
    refusals: list[str] = field(default_factory=list)
    is_dumb: bool = False  # hears and says nothing
    asked: list[str] = field(default_factory=list)
    sent: list[Sms] = field(default_factory=list)
    port: str = ""
    _master: int = -1
    _slave: int = -1
    _rest: bytes = b""
    _wants_body: bool = False
    _text_to: str = ""
    _reference: int = 10

    def open(self) -> str:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        return self.port

    def unplug(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    def say(self, *lines: str) -> None:
        os.write(self._master, "".join(f"\r\n{each}\r\n" for each in lines).encode())

    def _hear(self) -> None:
        try:
            self._rest += os.read(self._master, 4096)
        except OSError:
            return
        while self._rest and not self.is_dumb:
            end = b"\x1a" if self._wants_body else b"\r"
            if self._rest[:1] == b"\x1b":
                self._wants_body, self._rest = False, self._rest[1:]
                continue
            body, found, rest = self._rest.partition(end)
            if not found:
                return
            self._rest = rest
            if self.has_echo:
                os.write(self._master, body + found)
            if self._wants_body:
                self._take(body.decode())
            else:
                self._answer(body.decode().strip())

    def _answer(self, command: str) -> None:
        self.asked.append(command)
        if self.noise:
            self.say(*self.noise)
        if command == "ATE0":
            self.has_echo = False
        if command.startswith("AT+CMGS="):
            if self.registration not in {"1", "5"}:
                self.say("+CMS ERROR: 331")
                return
            self._text_to = command.partition("=")[2].strip('"')
            self._wants_body = True
            os.write(self._master, b"\r\n> ")
        elif command == "AT+CPIN?" and self.sim:
            self.say(f"+CPIN: {self.sim}", "OK")
        elif command == "AT+CPIN?":
            self.say("+CME ERROR: 10")
        elif command.startswith("AT+CPIN="):
            is_right = command == f'AT+CPIN="{self.pin}"'
            self.sim = "READY" if is_right else self.sim
            self.say("OK" if is_right else "+CME ERROR: 16")
        elif command == "AT+CREG?":
            self.say(f"+CREG: 0,{self.registration}", "OK")
        elif command == "AT+CMGF=0" and not self.has_pdu_mode:
            self.say("ERROR")
        else:
            self.say("ERROR" if command == "AT+CEREG?" else "OK")

    def _take(self, body: str) -> None:
        self._wants_body = False
        if self.refusals:
            self.say(self.refusals.pop(0))
            return
        if self.has_pdu_mode:
            assert int(self._text_to) == len(body) // 2 - 1, "the length in AT+CMGS"
            sms = decode(body)
        else:
            number, text = (bytes.fromhex(each).decode("utf-16-be") for each in (self._text_to, body))
            sms = Sms(number, text)
        self.sent.append(sms)
        self._reference += 1
        self.say(f"+CMGS: {self._reference}", "OK")
        if self.reports is not None:
            self.say(f"+CDS: 25\r\n{delivered(self._reference, sms.number, self.reports)}")
