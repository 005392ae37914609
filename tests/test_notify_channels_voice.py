"""Spoken messages: a device that takes text, one with recordings, a program on the gateway."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.model import AlarmClass, Command, CommandOutcome, CommandResult, Condition, Notice, Recipient, Rule
from gateway.notify.channels import Channels
from tests.support_rules import now, site

FIRE, FAULT = "fire:p:1", "lost:p:1"


class Speaker:
    """A driver's writing: it notes what it was told and ends it with ``outcome``."""

    def __init__(self, outcome: CommandOutcome = CommandOutcome.DONE) -> None:
        self.outcome = outcome
        self.commands: list[Command] = []

    async def write(self, command: Command) -> CommandResult:
        self.commands.append(command)
        return CommandResult(command.id, self.outcome, now(0).utc)


def channels(address: str, speaker: Speaker) -> Channels:
    rules = tuple(
        Rule(name, name, alarm_class, (), Condition("equals"))
        for name, alarm_class in (("fire", AlarmClass.FIRE), ("lost", AlarmClass.FAULT))
    )
    return Channels(
        replace(site([], []), recipients={"hall": Recipient("hall", "大厅", {"voice": address})}, rules=rules),
        ManualClock(now(0)),
        first_wait_s=0.01,
        writers={"pa/say": speaker.write},
    )


def notice(alarm_id: str = FIRE) -> Notice:
    return Notice("k", alarm_id, "raised", "voice", "hall", "【火警】三号楼,请疏散")


@pytest.mark.parametrize(
    ("address", "alarm_id", "value"),
    [
        ("|point=pa/say", FIRE, "【火警】三号楼,请疏散"),
        ("|point=pa/say|track.fire=3|track.other=9", FIRE, 3),
        ("|point=pa/say|track.fire=3|track.other=9", FAULT, 9),
    ],
)
async def test_device_gets_the_text_or_the_number_of_its_recording(address: str, alarm_id: str, value: object) -> None:
    """A device that speaks gets the words; one with recordings the number for the class; both with a deadline."""
    speaker = Speaker()
    result = await channels(address, speaker).send(notice(alarm_id))
    assert (result.is_accepted, result.state) == (True, "accepted")
    assert [each.value for each in speaker.commands] == [value]
    assert 0 < (speaker.commands[0].expires_at - now(0).utc).total_seconds() <= 30


async def test_a_device_that_does_not_report_is_told_as_such() -> None:
    """Sent and not read back is accepted, and the detail says what is not known."""
    result = await channels("|point=pa/say", Speaker(CommandOutcome.UNCONFIRMED)).send(notice())
    assert result.is_accepted
    assert "has not read back" in result.detail


async def test_a_device_that_fails_is_tried_again_and_then_told() -> None:
    """Four tries, then failed: the announcement was not made."""
    speaker = Speaker(CommandOutcome.FAILED)
    result = await channels("|point=pa/say", speaker).send(notice())
    assert not result.is_accepted
    assert len(speaker.commands) == 4


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("|point=pa/other", "no writable point"),
        ("|point=pa/say|track.sos=1", "no recording for fire"),
        ("|speaker=no-such-program", "is not installed"),
    ],
)
async def test_what_cannot_be_spoken_says_what_to_do(address: str, words: str) -> None:
    """No such point, no recording, no program: refused with the way out."""
    result = await channels(address, Speaker()).send(notice())
    assert not result.is_accepted
    assert words in result.detail


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_program_gets_the_words_and_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speech is made of the text, in Mandarin for Chinese text, and played; when either fails that is told."""
    program(tmp_path / "espeak-ng", f'echo "$@" > {tmp_path}/args\ncat > {tmp_path}/text\necho SOUND')
    program(tmp_path / "aplay", f"cat > {tmp_path}/played")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = channels("|speaker=espeak-ng", Speaker())
    assert (await found.send(notice())).is_accepted
    assert (tmp_path / "text").read_text() == "【火警】三号楼,请疏散"
    assert (tmp_path / "args").read_text().split() == ["-v", "cmn", "--stdin", "--stdout"]
    assert (tmp_path / "played").read_text() == "SOUND\n"
    program(tmp_path / "aplay", "cat > /dev/null; exit 1")
    assert "aplay failed (1)" in (await found.send(notice())).detail
    program(tmp_path / "espeak-ng", "cat > /dev/null")
    assert "made no sound" in (await found.send(notice())).detail


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
async def test_real_speech_is_made_of_chinese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real espeak-ng makes seconds of sound of a notice; what plays it stands in here."""
    program(tmp_path / "aplay", f"cat > {tmp_path}/played")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert (await channels("|speaker=espeak-ng", Speaker()).send(notice())).is_accepted
    sound = (tmp_path / "played").read_bytes()
    assert sound[:4] == b"RIFF"
    assert len(sound) > 22_050 * 2  # more than a second


@pytest.mark.skipif(
    shutil.which("espeak-ng") is None or shutil.which("aplay") is None or Path("/proc/asound/card0").exists(),
    reason="wants espeak-ng and aplay, and no sound card",
)
async def test_without_a_sound_card_nothing_counts_as_played() -> None:
    """espeak-ng by itself would end with success on a box without a sound card: here it is a failure."""
    result = await channels("|speaker=espeak-ng", Speaker()).send(notice())
    assert not result.is_accepted
    assert "check the sound card" in result.detail
