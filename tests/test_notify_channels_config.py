"""What notify.yaml says of a channel is what the channel gets: from the file to the address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.notify.channels.base import Address, NeverError
from tests.support_config import checked, laid_out

NOTIFY = """
recipients:
  duty:
    title: 值班室
    console: ""
    wecom: {file: /etc/shouwang/wecom.url}
    webhook: {credential: hook}
  family:
    title: 家属
    email: {env: FAMILY_MAIL}
    modem: {number: {env: FAMILY_PHONE}, port: /dev/ttyUSB2, baud: 9600, pin: {file: /etc/shouwang/pin}}
  hall: {title: 大厅, voice: {speaker: espeak-ng}}
  yard: {title: 院子, voice: {point: 3-1-01-HALL/siren/track, tracks: {fire: 1, other: 9}}}
  grid_worker: {title: 网格员, apprise: {env: GRID_WORKER}}
"""


def test_every_form_of_the_manual_reaches_its_channel(tmp_path: Path) -> None:
    """References stay references, options stand beside them; a voice's point must be there and be a number."""
    directory = laid_out("valid", tmp_path)
    (directory / "notify.yaml").write_text(NOTIFY, encoding="utf-8")
    profile = directory / "profiles" / "siren.yaml"
    change = 'set: {topic: "siren/{serial}/set", payload: {t: "{value}"}}'
    track = f"  track: {{from: $.track, type: int, writable: true, {change}}}\n"
    profile.write_text(profile.read_text(encoding="utf-8") + track, encoding="utf-8")
    found = checked(directory)
    assert found.site is not None, [each.message.en for each in found.findings]
    people = found.site.recipients

    def address(name: str, channel: str) -> Address:
        return Address.of(people[name], channel)

    assert address("duty", "wecom") == Address("file:/etc/shouwang/wecom.url")
    assert address("duty", "webhook") == Address("credential:hook")
    assert address("family", "email") == Address("env:FAMILY_MAIL")
    assert address("family", "modem") == Address(
        "env:FAMILY_PHONE", {"port": "/dev/ttyUSB2", "baud": "9600", "pin": "file:/etc/shouwang/pin"}
    )
    assert address("hall", "voice") == Address("", {"speaker": "espeak-ng"})
    assert address("yard", "voice").options == {
        "point": "3-1-01-HALL/siren/track",
        "track.fire": "1",
        "track.other": "9",
    }
    warned = {each.message.en for each in found.findings}
    assert "there is no environment variable FAMILY_PHONE" in warned
    assert "there is no file /etc/shouwang/pin" in warned


def test_an_address_is_read_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new secret counts at once; a missing one says which, and never what."""
    path = tmp_path / "hook"
    path.write_text("https://a/#1\nhttps://b/#2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Address("credential:hook").reveal() == ["https://a/#1", "https://b/#2"]
    path.write_text("https://c/#3")
    assert Address(f"file:{path}").reveal() == ["https://c/#3"]
    with pytest.raises(NeverError, match="NOWHERE is not set"):
        Address("env:NOWHERE").reveal()
    with pytest.raises(NeverError, match="has no address"):
        Address("").reveal()


def blocks() -> list[str]:
    text = (Path(__file__).parents[1] / "docs" / "notification.zh-CN.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks())))
def test_examples_of_the_manual_work_when_pasted(number: int, tmp_path: Path) -> None:
    """Every YAML block of the manual, pasted into a good configuration, has no error."""
    block = blocks()[number]
    directory = laid_out("valid", tmp_path)
    if block.startswith("recipients:"):
        base = (directory / "notify.yaml").read_text(encoding="utf-8").splitlines()
        rest = [each for each in base[1:] if each.split(":")[0] + ":" not in block]
        (directory / "notify.yaml").write_text(block + "\n".join(rest) + "\n", encoding="utf-8")
    else:
        (directory / "rules" / "pasted.yaml").write_text(block, encoding="utf-8")
    found = checked(directory)
    assert found.site is not None, [each.message.en for each in found.findings]
