"""Room: drivers. One connection to Modbus units: one request at a time, a checked answer or the reason for none.

pymodbus carries: sockets and serial ports, transaction ids, time-outs. It is told to neither retry nor reconnect
nor close a line over missed answers: a dead unit must not cost the others their connection.
Frames belong in `modbus_frames`; who is asked when belongs in `modbus_line`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType

from gateway.drivers.base import DriverError
from gateway.drivers.modbus_frames import Answer, Request, RtuFrames, TcpFrames
from gateway.drivers.modbus_params import BusModel, RtuBus, RtuOverTcpBus, TcpBus

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it dumps the last frames with every error

NEVER = 2**62  # answers missed before pymodbus closes the line of all units: we decide that
CONNECT_S = 3.0
SETTLE_S = 0.05  # after a missed serial answer: what comes late belongs to nobody
MAX_CHUNK = 1 << 20  # the frames bound what they keep; pymodbus would drop a burst with our answer in it


class NoAnswer(Exception):  # noqa: N818  # it says what happened, as in the counters
    """No usable answer; ``reason`` is from the closed set of the counter ``modbus_errors``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Refused(Exception):  # noqa: N818
    """The unit answered with an exception; ``code`` is the exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        self.reason = f"exception_{code:02x}" if 1 <= code <= 0x0B else "exception_other"


class TooLate(Exception):  # noqa: N818
    """The deadline passed before the frame could leave: nothing was sent."""


class Wire:
    """One connection. Made anew by every `connect`, so that nothing of a lost one can reach its successor."""

    def __init__(self, params: BusModel, on_fault: Callable[[str], None]) -> None:
        self._params = params
        self._on_fault = on_fault
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._frames: TcpFrames | RtuFrames | None = None
        self._is_serial = not isinstance(params, TcpBus)
        self._silence_s = _silence_s(params)
        self._quiet_until_s = 0.0

    @property
    def is_connected(self) -> bool:
        """Is there a connection, as far as one can know?"""
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        """Open the line. Raises DriverError."""
        self.close()
        frames = (RtuFrames if self._is_serial else TcpFrames)(self._on_fault)
        try:
            client = self._make_client()
            client.ctx.framer = frames
            client.ctx.max_buffer_size = MAX_CHUNK
            client.set_max_no_responses(NEVER)
            is_up = await client.connect()
        except (ValueError, RuntimeError) as error:  # a speed or name the system does not know
            raise DriverError(f"{self._name} cannot be opened: {error}") from error
        if not is_up:
            raise DriverError(
                f"{self._name} cannot be opened: check cable, power, address and that nobody else uses it"
            )
        self._client, self._frames = client, frames

    def close(self) -> None:
        """Drop the line."""
        if self._client is not None:
            self._client.close()
            self._client = self._frames = None

    async def ask(self, request: Request, timeout_s: float) -> bytes:
        """The values of a good answer. Raises NoAnswer, Refused."""
        client, frames = self._client, self._frames
        if client is None or frames is None or not client.connected:
            raise NoAnswer("connection")
        if frames.is_flooded:
            self.close()
            raise NoAnswer("flood")
        client.ctx.comm_params.timeout_connect = timeout_s
        frames.request = request
        try:
            answer = await client.execute(False, request)
        except ConnectionException:
            raise NoAnswer("connection") from None
        except ModbusException:
            self._hush(SETTLE_S if self._is_serial else 0)
            raise NoAnswer(frames.verdict(client.ctx.recv_buffer)) from None
        finally:
            frames.request = None
        self._hush(0)
        assert isinstance(answer, Answer)
        if answer.wrong:
            raise NoAnswer(answer.wrong)
        if answer.exception_code:
            raise Refused(answer.exception_code)
        return answer.body

    async def settle(self) -> None:
        """Wait for the silence that the line needs between frames."""
        rest_s = self._quiet_until_s - asyncio.get_running_loop().time()
        if rest_s > 0:
            await asyncio.sleep(rest_s)

    def _hush(self, more_s: float) -> None:
        if self._silence_s or more_s:
            self._quiet_until_s = asyncio.get_running_loop().time() + self._silence_s + more_s

    def _on_connection(self, is_up: bool) -> None:  # noqa: FBT001  # pymodbus calls it so
        """Fail the pending request at once when the line is lost: pymodbus would wait for its time-out."""
        client, frames = self._client, self._frames
        if is_up or client is None or frames is None or frames.request is None:
            return
        if not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ConnectionException("lost"))

    @property
    def _name(self) -> str:
        params = self._params
        if isinstance(params, RtuBus):
            return params.port
        assert isinstance(params, TcpBus | RtuOverTcpBus)
        return f"{params.host}:{params.port}"

    def _make_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        params = self._params
        if isinstance(params, RtuBus):
            return AsyncModbusSerialClient(
                params.port,
                baudrate=params.baud,
                parity=params.parity,
                stopbits=params.stop,
                bytesize=params.bytesize,
                timeout=CONNECT_S,
                reconnect_delay=0,
                retries=0,
                trace_connect=self._on_connection,
            )
        assert isinstance(params, TcpBus | RtuOverTcpBus)
        return AsyncModbusTcpClient(
            params.host,
            port=params.port,
            framer=FramerType.RTU if self._is_serial else FramerType.SOCKET,
            timeout=CONNECT_S,
            reconnect_delay=0,
            retries=0,
            trace_connect=self._on_connection,
        )


def _silence_s(params: BusModel) -> float:
    """Modbus over Serial Line V1.02 §2.5.1.1: 3.5 characters of 11 bits, and 1.75 ms above 19200 baud."""
    if isinstance(params, RtuBus):
        return max(params.delay, 3.5 * 11 / params.baud, 0.00175)
    return params.delay
