"""Room: notify. The dialogue with a GSM modem (AT commands, 3GPP TS 27.005 and 27.007). Whose message it is: `modem`.

Lines that the modem says by itself may stand anywhere between command and answer. PDU mode, which carries Chinese and
long messages; a modem that has none gets text mode in UCS2, with long messages as several short ones.
"""

from __future__ import annotations

import asyncio
import re

from gateway.counters import Counters
from gateway.notify.channels.base import NeverError, NotNowError
from gateway.notify.channels.pdu import StatusReport, status_report, submit
from gateway.notify.channels.serial_line import PROMPT, SerialLine

_ANSWER_S = 5.0
_PIN_S = 20.0
_PROMPT_S = 10.0
_SEND_S = 40.0  # of one part
_SYNC_S, _SYNC_TRIES = 1.0, 3
_CTRL_Z, _ESCAPE = b"\x1a", b"\x1b"
_MOST_REPORTS = 64
_TEXT_MODE = 70 - len("(10/10)")  # characters of one message
_ERROR = re.compile(r"(?:ERROR|\+CM[ES] ERROR:\s*(.*))")
_REGISTERED = {"1", "5", "6", "7"}  # home, roaming; 6 and 7 for short messages only
_NO_SIM = {"10", "13", "15", "310", "313", "315"}
_SIM_LOCKED = {"12", "312", "16"}
_NO_NETWORK = {"30", "31", "38", "42", "331", "332", "512"}
_REFUSALS = {  # +CMS ERROR (3GPP TS 24.011, 27.005) that another try does not mend
    "1": ("空号", "the number does not exist"),
    "8": ("被运营商禁止(可能欠费)", "barred by the operator (unpaid?)"),
    "10": ("被运营商禁止(可能欠费)", "barred by the operator (unpaid?)"),
    "28": ("运营商不认识这个号码", "the operator does not know the number"),
    "29": ("运营商没有给这张卡开通短信", "the operator has not switched on short messages for this SIM"),
    "50": ("这张卡没有开通短信", "this SIM has no short messages"),
    "330": ("SIM 卡里没有短信中心号码", "the SIM has no number of a service centre"),
}


class AtError(Exception):
    """The modem refused a command; ``code`` is its number or words, "" where it gave none."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ModemTalk:
    """One modem. Calls must not overlap; after a failure the next one starts from the beginning."""

    def __init__(self, port: str, baud: int, pin: str, counters: Counters) -> None:
        self._port, self._baud, self._pin = port, baud, pin
        self._counters = counters
        self._line: SerialLine | None = None  # None: to be opened and set up
        self._has_pdu_mode = True
        self._is_pin_used = False  # a wrong PIN three times locks the SIM: it is tried once
        self._is_report_next = False
        self._reports: list[StatusReport] = []

    async def get_ready(self) -> None:
        """The modem answers, has its SIM and is in the network.

        Raises:
            NotNowError, NeverError: which of these is missing, and what to do.
        """
        try:
            if self._line is None or self._line.is_broken:
                self._line = SerialLine(self._port, self._baud)
                await self._set_up()
            await self._want_network()
        except BaseException as error:
            self.close()
            if isinstance(error, AtError):
                raise _in_words(error.code) from None
            raise

    async def send(self, number: str, text: str, reference: int) -> list[int]:
        """Send one message; the network's references of its parts.

        Raises:
            NotNowError, NeverError: the modem or the network refused it, and why.
        """
        try:
            if self._has_pdu_mode:
                parts = submit(number, text, reference)
                return [await self._submit(f"AT+CMGS={each.length}", each.pdu) for each in parts]
            coded = number.encode("utf-16-be").hex().upper()
            pieces = [each.encode("utf-16-be").hex().upper() for each in _pieces(text)]
            return [await self._submit(f'AT+CMGS="{coded}"', each) for each in pieces]
        except AtError as error:
            raise _in_words(error.code) from None
        except BaseException:
            self.close()  # in the middle of something: nobody knows where
            raise

    def reports(self) -> list[StatusReport]:
        """Reports of delivery since the last call."""
        if self._line is not None:
            for each in self._line.drain():
                self._is_aside(each)
        found, self._reports = self._reports, []
        return found

    def close(self) -> None:
        """Give the port back."""
        if self._line is not None:
            self._line.close()
        self._line = None

    async def _set_up(self) -> None:
        await self._sync()
        await self._ask("ATE0")
        await self._ask("AT+CMEE=1", is_needed=False)
        await self._unlock()
        try:
            await self._ask("AT+CMGF=0")
            self._has_pdu_mode = True
        except AtError:
            self._has_pdu_mode = False
            await self._ask("AT+CMGF=1")
            await self._ask('AT+CSCS="UCS2"')
            await self._ask("AT+CSMP=49,167,0,8")
        # Reports come as +CDS as soon as they are there. A modem that refuses sends without them.
        await self._ask("AT+CNMI=2,0,0,1,0", is_needed=False)

    async def _sync(self) -> None:
        """A modem that was left in the middle of a message, or is just waking up, needs more than one AT."""
        assert self._line is not None
        for _ in range(_SYNC_TRIES):
            await self._line.say(_ESCAPE)
            try:
                await self._ask("AT", _SYNC_S)
            except (AtError, NotNowError):
                if self._line.is_broken:
                    raise
                continue
            return
        raise _silent()

    async def _unlock(self) -> None:
        state = _field(await self._ask("AT+CPIN?"), "+CPIN:")
        if state == "READY":
            return
        if state != "SIM PIN":
            raise NeverError(
                f"SIM 卡锁住了({state[:10]}):在手机上用 PUK 解锁",
                f"the SIM is locked ({state[:10]}): unlock it in a phone",
            )
        if not self._pin:
            raise NeverError("SIM 卡要 PIN:在 notify.yaml 里加 pin", "the SIM wants its PIN: add pin in notify.yaml")
        if self._is_pin_used:
            raise NeverError(
                "PIN 不对:改好后重启网关(再错会锁卡)",
                "the PIN is wrong: correct it and restart (trying again would lock the SIM)",
            )
        self._is_pin_used = True
        await self._ask(f'AT+CPIN="{self._pin}"', _PIN_S)

    async def _want_network(self) -> None:
        for command, prefix in (("AT+CREG?", "+CREG:"), ("AT+CEREG?", "+CEREG:")):
            try:
                lines = await self._ask(command)
            except AtError as error:
                if error.code in _NO_SIM | _SIM_LOCKED:
                    raise
                continue
            for each in lines:
                # "+CREG: 2,1" answers; "+CREG: 1" and '+CREG: 1,"1A2B"' are said by the modem itself
                found = re.fullmatch(re.escape(prefix) + r"\s*\d,\s*(\d+)\b.*", each)
                if found and found[1] in _REGISTERED:
                    return
        raise _in_words("331")

    async def _submit(self, command: str, body: str) -> int:
        """One part: command, prompt, body; the network's reference."""
        assert self._line is not None
        await self._line.say(command.encode() + b"\r")
        async with _deadline(_PROMPT_S):
            while (line := await self._line.line()) != PROMPT:
                if line != command and not self._is_aside(line):
                    _refuse(line)
        await self._line.say(body.encode() + _CTRL_Z)
        lines = await self._answer(body, _SEND_S)
        reference = _field(lines, "+CMGS:")
        return int(reference) if reference.isdigit() else 0

    async def _ask(self, command: str, timeout_s: float = _ANSWER_S, *, is_needed: bool = True) -> list[str]:
        """The lines of the answer; raises AtError when it is no."""
        assert self._line is not None
        try:
            await self._line.say(command.encode() + b"\r")
            return await self._answer(command, timeout_s)
        except AtError:
            if is_needed:
                raise
            return []

    async def _answer(self, said: str, timeout_s: float) -> list[str]:
        assert self._line is not None
        found: list[str] = []
        async with _deadline(timeout_s):
            while (line := await self._line.line()) != "OK":
                if line in {said, PROMPT} or line.rstrip("\x1a") == said or self._is_aside(line):
                    continue  # its echo, or something else
                _refuse(line)
                found.append(line)
        return found

    def _is_aside(self, line: str) -> bool:
        """Is it a report of delivery, which comes in two lines whenever it likes? Other lines are left to the asker."""
        if self._is_report_next:
            self._is_report_next = False
            report = status_report(line)
            if report is not None and len(self._reports) < _MOST_REPORTS:
                self._reports.append(report)
            else:
                self._counters.count("modem_reports_lost")
            return True
        self._is_report_next = line.startswith("+CDS:") and "," not in line
        return self._is_report_next


class _deadline:  # noqa: N801 - reads as a verb, like asyncio.timeout
    """``asyncio.timeout`` that says it in the words of this room."""

    def __init__(self, delay_s: float) -> None:
        self._timeout = asyncio.timeout(delay_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._timeout.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            raise _silent() from None


def _silent() -> NotNowError:
    return NotNowError(
        "调制解调器没有回答:检查电源、线和波特率",
        "the modem does not answer: check its power, cable and baud rate",
        is_link=True,
    )


def _refuse(line: str) -> None:
    found = _ERROR.fullmatch(line)
    if found:
        raise AtError((found[1] or "").strip())


def _field(lines: list[str], prefix: str) -> str:
    """What stands behind ``prefix``; "" when no line begins so."""
    return next((each[len(prefix) :].strip() for each in lines if each.startswith(prefix)), "")


def _in_words(code: str) -> NotNowError | NeverError:
    """+CME and +CMS codes for people. Unknown ones may pass by themselves."""
    if code in _NO_SIM or code.startswith("SIM not inserted"):
        return NotNowError("没有 SIM 卡,或卡坏了", "there is no SIM, or it is broken", is_link=True)
    if code in _SIM_LOCKED:
        return NeverError(
            "SIM 卡锁住了或 PIN 不对:在手机上解锁", "the SIM is locked or the PIN wrong: unlock it in a phone"
        )
    if code in _NO_NETWORK:
        return NotNowError(
            "手机网络没有信号:检查天线、SIM 卡和欠费",
            "no mobile network: check the antenna, the SIM and that it is paid",
            is_link=True,
        )
    shown = code if code.isdigit() else "-"
    if code in _REFUSALS:
        zh, en = _REFUSALS[code]
        return NeverError(f"短信被拒({shown}):{zh}", f"the message was refused ({shown}): {en}")
    return NotNowError(f"调制解调器没有发出去({shown})", f"the modem did not send it ({shown})")


def _pieces(text: str) -> list[str]:
    """For text mode, which cannot bind parts: each says which it is."""
    if len(text) <= 70:
        return [text]
    cut = [text[i : i + _TEXT_MODE] for i in range(0, len(text), _TEXT_MODE)][:10]
    return [f"({place}/{len(cut)}){each}" for place, each in enumerate(cut, start=1)]
