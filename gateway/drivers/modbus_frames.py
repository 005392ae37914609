"""Room: drivers. Modbus frames: requests encoded once, answers checked strictly.

pymodbus builds the frames and counts transactions; what is trusted is decided here, because its own framers
answer for more than a gateway may believe: they take transaction id 0 for any request, drop a serial answer that
comes in one piece with a foreign frame, and close the connection over one unknown function code.
Sources: Modbus Application Protocol V1.1b3, Modbus over Serial Line V1.02, Modbus Messaging on TCP/IP V1.0b.
The connection is `modbus_wire`; who is asked when belongs in `modbus_line`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

MAX_STRAY = 64  # frames nobody asked for, in a row, before the peer counts as a flood
MAX_WAITING_BYTES = 1024  # on a serial line, for the end of a frame of at most 256
_MBAP = struct.Struct(">HHHB")


class Request(ModbusPDU):
    """One request, encoded once and sent as often as wanted."""

    def __init__(self, unit: int, function: int, body: bytes, head: bytes, size: int) -> None:
        """A good answer starts with ``head`` after its function code and has ``size`` bytes after that."""
        super().__init__(dev_id=unit)
        self.function_code = function
        self.body = body
        self.head = head
        self.size = size

    @property
    def answer_bytes(self) -> int:
        """Length of a good answer from its function code on."""
        return 1 + len(self.head) + self.size

    def encode(self) -> bytes:
        """What follows the function code."""
        return self.body


class Answer(ModbusPDU):
    """What came back: the bytes after the head, or the exception's code, or what is wrong with the frame."""

    def __init__(self, request: Request, pdu: bytes, transaction: int) -> None:
        super().__init__(dev_id=request.dev_id, transaction_id=transaction)
        self.body = pdu[1 + len(request.head) :]
        self.wrong = ""
        if len(pdu) == 2 and pdu[0] == request.function_code | 0x80:
            self.exception_code = pdu[1]
        elif pdu[:1] != bytes((request.function_code,)):
            self.wrong = "wrong_function"
        elif len(pdu) != request.answer_bytes or not pdu.startswith(request.head, 1):
            self.wrong = "wrong_length"


def read_request(unit: int, function: int, start: int, count: int, size: int) -> Request:
    """Functions 1 to 4; ``size`` is the bytes of values in a good answer."""
    return Request(unit, function, struct.pack(">HH", start, count), bytes((size,)), size)


def write_coil(unit: int, address: int, *, is_on: bool) -> Request:
    """Function 5; a good answer repeats the address. What became of the value is for the read back to say."""
    head = struct.pack(">H", address)
    return Request(unit, 5, head + (b"\xff\x00" if is_on else b"\x00\x00"), head, 2)


def write_registers(unit: int, address: int, values: bytes) -> Request:
    """Function 6 for one register, 16 for more; ``values`` as they travel, 2 bytes a register."""
    if len(values) == 2:
        head = struct.pack(">H", address)
        return Request(unit, 6, head + values, head, 2)
    head = struct.pack(">HH", address, len(values) // 2)
    return Request(unit, 16, head + bytes((len(values),)) + values, head, 0)


class Pending:
    """The request that waits for an answer, and the frames that were none."""

    def __init__(self, on_fault: Callable[[str], None]) -> None:
        self.request: Request | None = None
        self._on_fault = on_fault
        self._stray = 0

    @property
    def is_flooded(self) -> bool:
        """Does the peer send nothing but what nobody asked for?"""
        return self._stray > MAX_STRAY

    def trusted(self, answer: Answer) -> Answer:
        """An answer to the request: the peer is in its senses."""
        self._stray = 0
        return answer

    def fault(self, reason: str) -> None:
        """Count a frame that is no answer."""
        self._stray += 1
        self._on_fault(reason)


class TcpFrames(Pending, FramerSocket):
    """Modbus TCP frames: transaction id, protocol id, length and unit must all be right."""

    def __init__(self, on_fault: Callable[[str], None]) -> None:
        Pending.__init__(self, on_fault)
        FramerSocket.__init__(self, DecodePDU(False))

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, Answer | None]:  # noqa: N802
        """(bytes used up, the answer to the pending request or None)."""
        used = 0
        while len(data) - used > _MBAP.size and not self.is_flooded:
            transaction, protocol, length, unit = _MBAP.unpack_from(data, used)
            if protocol or not 2 <= length <= 254:
                self.fault("garbage")
                return len(data), None
            end = used + 6 + length
            if end > len(data):
                break
            pdu = data[used + 7 : end]
            used = end
            if self.request is None:
                self.fault("unexpected")
            elif transaction != exp_tid:
                self.fault("wrong_transaction")
            elif unit != exp_devid:
                self.fault("wrong_unit")
            else:
                return used, self.trusted(Answer(self.request, pdu, transaction))
        return (len(data) if self.is_flooded else used), None

    def verdict(self, rest: bytes) -> str:
        """Why no answer came, from the bytes that are left."""
        return "short_frame" if rest else "timeout"


class RtuFrames(Pending, FramerRTU):
    """Serial frames: finds the one answer that is expected among whatever else is on the line."""

    def __init__(self, on_fault: Callable[[str], None]) -> None:
        Pending.__init__(self, on_fault)
        FramerRTU.__init__(self, DecodePDU(False))

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, Answer | None]:  # noqa: ARG002, N802
        """(bytes used up, the answer to the pending request or None)."""
        if (request := self.request) is None or len(data) > MAX_WAITING_BYTES:
            self.fault("unexpected" if request is None else "garbage")
            return len(data), None
        for at in range(len(data) - 4):
            size = self._frame_bytes(request, data, at)
            if size and at + size <= len(data) and self._is_sound(data[at : at + size]):
                if at:
                    self.fault("foreign_frame")
                return len(data), self.trusted(Answer(request, data[at + 1 : at + size - 2], 0))
        return 0, None

    def verdict(self, rest: bytes) -> str:
        """Why no answer came, from the bytes that are left."""
        if not rest or self.request is None:
            return "timeout"
        if rest[0] == self.request.dev_id:
            size = self._frame_bytes(self.request, rest, 0) if len(rest) > 1 else 0
            return "crc" if size and len(rest) >= size else "short_frame"
        return "wrong_unit" if len(rest) > 4 and self._is_sound(rest) else "garbage"

    @staticmethod
    def _frame_bytes(request: Request, data: bytes, at: int) -> int:
        """Length of the expected frame if one could start at ``at``, else 0."""
        if data[at] != request.dev_id:
            return 0
        if data[at + 1] == request.function_code | 0x80:
            return 5
        return request.answer_bytes + 3 if data[at + 1] == request.function_code else 0

    @staticmethod
    def _is_sound(frame: bytes) -> bool:
        return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
