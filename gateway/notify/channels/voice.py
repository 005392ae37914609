"""Room: notify. Spoken messages: a public address device behind a point, or a loudspeaker at the gateway itself.

A device that speaks text gets the text; one that has recordings gets the number of the one for this class. The
loudspeaker needs a program for text to speech (espeak-ng) and one that plays (aplay). That it was
played is not that it was heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from gateway.model import SYSTEM, Command, CommandOutcome, CommandResult, Value
from gateway.notify.channels.base import Address, Limit, Line, Message, NeverError, NotNowError, Receipt, both

Write = Callable[[Command], Awaitable[CommandResult]]

_DEADLINE_S = 20.0
_SPEECH_S = 60.0
_PLAYER = "aplay"
_LANGUAGES = {"zh": "cmn", "en": "en"}
_SAID = {
    CommandOutcome.EXPIRED: ("没有及时执行", "too late"),
    CommandOutcome.REFUSED: ("设备拒绝", "the device refused it"),
    CommandOutcome.SUPERSEDED: ("被新的内容取代", "something newer took its place"),
}


class VoiceCarrier:
    """Speaks through points of devices and through a program. One message at a time on each loudspeaker."""

    limit = Limit(width=1, timeout_s=_SPEECH_S + _DEADLINE_S)

    def __init__(self, writers: Mapping[str, Write]) -> None:
        self._writers = writers

    def lines(self, address: Address) -> list[Line]:
        """See `Carrier.lines`."""
        return [Line(address.line, self.limit)]

    async def warm(self) -> None:
        """Nothing is loaded: a program of the system speaks."""

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:  # noqa: ARG002 - one place
        """See `Carrier.carry`."""
        if "speaker" in address.options:
            await _speak(address.options["speaker"], message.text)
            return Receipt()
        point_id = address.options.get("point", "")
        write = self._writers.get(point_id)
        if write is None:
            raise NeverError(
                f"没有可写的点 {point_id}", f"there is no writable point {point_id}: check voice in notify.yaml"
            )
        command = Command(
            f"{message.key}/voice", point_id, _content(address, message), SYSTEM, message.alarm_id,
            message.at + timedelta(seconds=_DEADLINE_S),
        )  # fmt: skip
        return _judged(await write(command))

    async def check(self, address: Address) -> bool:
        """Is the program there? A device has its own state of being online."""
        if "speaker" not in address.options:
            return False
        _program(address.options["speaker"])
        _program(_PLAYER)
        return True


def _content(address: Address, message: Message) -> Value:
    """The text, or the number of a recording when there are any."""
    tracks = {key.removeprefix("track."): value for key, value in address.options.items() if key.startswith("track.")}
    if not tracks:
        return message.text
    name = "" if message.alarm_class is None else message.alarm_class.value
    number = tracks.get(name, tracks.get("other"))
    if number is None:
        raise NeverError(
            f"没有 {name} 的录音编号:在 voice 的 tracks 里加上 {name} 或 other",
            f"there is no recording for {name}: add {name} or other to tracks of voice",
        )
    return int(number)


def _judged(result: CommandResult) -> Receipt:
    if result.outcome is CommandOutcome.DONE:
        return Receipt()
    if result.outcome is CommandOutcome.UNCONFIRMED:  # sent: many such devices report nothing
        return Receipt(detail=both("已发给广播设备,没有回读", "sent to the device, which has not read back"))
    zh, en = _SAID.get(result.outcome, ("设备没有执行", "the device did not do it"))
    raise NotNowError(f"广播没有播出:{zh}", f"the announcement was not made: {en}", is_link=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NeverError(
            f"网关上没有程序 {name}:apt-get install espeak-ng alsa-utils",
            f"the program {name} is not installed: apt-get install espeak-ng alsa-utils",
        )
    return found


async def _speak(name: str, text: str) -> None:
    """Synthesise, then play. In two steps: without a sound card espeak-ng plays nothing and ends with success."""
    language = "zh" if any("\u4e00" <= each <= "\u9fff" for each in text) else "en"
    sound = await _run(name, "-v", _LANGUAGES[language], "--stdin", "--stdout", said=text.encode())
    if not sound:
        raise NotNowError(f"{name} 没有合成出声音", f"{name} made no sound: check its installation")
    await _run(_PLAYER, "-q", "-", said=sound)


async def _run(name: str, *arguments: str, said: bytes) -> bytes:
    """What the program ``name`` answers to ``said``."""
    process = await asyncio.create_subprocess_exec(
        _program(name), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SPEECH_S):
            found, _ = await process.communicate(said)
    except TimeoutError:
        raise NotNowError(f"{name} 没有结束:检查声卡", f"{name} does not end: check the sound card") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise NotNowError(
            f"{name} 出错({process.returncode}):检查声卡和音箱",
            f"{name} failed ({process.returncode}): check the sound card",
        )
    return found
