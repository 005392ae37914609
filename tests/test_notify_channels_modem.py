"""The modem channel over a pseudo-terminal that speaks AT: sent, refused, silent, unplugged, delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import DeviceStatus, Notice, NoticeResult, Recipient
from gateway.notify.channels import Channels
from tests.support_core import until
from tests.support_modem import FakeModem, Sms
from tests.support_rules import now, site

TEXT = "【求助】3-2-03-0301 呼救,10:00:00。"


class Rig:
    """Channels with one person behind one modem."""

    def __init__(self, modem: FakeModem, number: str = "+8613800138000", options: str = "") -> None:
        people = {"family": Recipient("family", "家属", {"modem": f"{number}|port={modem.port}|baud=9600{options}"})}
        self.receipts: list[NoticeResult] = []
        self.statuses: list[DeviceStatus] = []
        self.counters = Counters()
        self.channels = Channels(
            replace(site([], []), recipients=people),
            ManualClock(now(0)),
            counters=self.counters,
            first_wait_s=0.01,
            receipt=self.receipts.append,
            report=self.statuses.append,
        )

    async def send(self, text: str = TEXT, key: str = "k") -> NoticeResult:
        return await self.channels.send(Notice(key, "a", "raised", "modem", "family", text))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialogue's deadlines, shortened."""
    for name, value in {"_ANSWER_S": 0.3, "_PROMPT_S": 0.3, "_SEND_S": 0.5, "_SYNC_S": 0.1}.items():
        monkeypatch.setattr(f"gateway.notify.channels.modem_talk.{name}", value)
    monkeypatch.setattr("gateway.notify.channels.modem._LISTEN_EVERY_S", 0.02)


@pytest.fixture
async def modem() -> AsyncIterator[FakeModem]:
    it = FakeModem()
    it.open()
    yield it
    it.unplug()


@pytest.mark.parametrize("has_echo", [True, False])
async def test_chinese_message_arrives_with_its_words(modem: FakeModem, has_echo: bool) -> None:
    """What the phone reads is the text, whether the modem repeats what it hears or not; a report is asked for."""
    modem.has_echo = has_echo
    rig = Rig(modem)
    result = await rig.send()
    rig.channels.close()
    assert (result.is_accepted, result.state, result.is_final) == (True, "accepted", False)
    assert "report of delivery is awaited" in result.detail
    assert modem.sent == [Sms("+8613800138000", TEXT, wants_report=True)]
    assert rig.statuses == [DeviceStatus("channel/family.modem", True, now(0).utc, "")]


async def test_long_message_comes_in_parts_that_belong_together(modem: FakeModem) -> None:
    """500 characters are eight messages with one reference, in order."""
    rig = Rig(modem)
    assert (await rig.send("火" * 500)).is_accepted
    rig.channels.close()
    assert "".join(each.text for each in modem.sent) == "火" * 500
    assert [(each.place, each.total) for each in modem.sent] == [(n, 8) for n in range(1, 9)]


async def test_modem_without_pdu_mode_gets_text_mode(modem: FakeModem) -> None:
    """A modem that knows text mode only still sends Chinese; the parts of a long message say which they are."""
    modem.has_pdu_mode = False
    rig = Rig(modem)
    assert (await rig.send()).is_accepted
    assert (await rig.send("火" * 100, "long")).is_accepted
    rig.channels.close()
    assert [each.text for each in modem.sent] == [TEXT, "(1/2)" + "火" * 63, "(2/2)" + "火" * 37]


async def test_lines_in_between_are_not_answers(modem: FakeModem) -> None:
    """RING, a registration that is told unasked, a message that comes in: none of them is taken for an answer."""
    modem.noise = ("RING", "+CREG: 2", '+CREG: 2,"1A2B","0C3D"', '+CMTI: "SM",3', "^RSSI: 21")
    rig = Rig(modem)
    assert (await rig.send()).is_accepted
    rig.channels.close()
    assert len(modem.sent) == 1


@pytest.mark.parametrize(("status", "state"), [(0, "delivered"), (0x46, "failed")])
async def test_report_of_the_network_ends_the_notice(modem: FakeModem, status: int, state: str) -> None:
    """Accepted at first; delivered or failed when the network has said so for every part."""
    modem.reports = status
    rig = Rig(modem)
    assert (await rig.send("火" * 100)).state == "accepted"
    await until(lambda: len(rig.receipts) == 1)
    rig.channels.close()
    assert (rig.receipts[0].key, rig.receipts[0].state) == ("k", state)
    assert rig.receipts[0].is_accepted == (state == "delivered")


async def test_a_report_that_never_comes_ends_as_not_known(modem: FakeModem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for reports is over: the last word is that nobody knows, and it is not a failure."""
    monkeypatch.setattr("gateway.notify.channels.modem._REPORTS_S", 0.1)
    rig = Rig(modem)
    assert not (await rig.send()).is_final
    await until(lambda: len(rig.receipts) == 1)
    rig.channels.close()
    last = rig.receipts[0]
    assert (last.key, last.is_accepted, last.state, last.is_final) == ("k", True, "accepted", True)
    assert "not known" in last.detail


async def test_more_messages_than_are_listened_for_end_as_not_known(
    modem: FakeModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of too many that are awaited is given up, and said."""
    monkeypatch.setattr("gateway.notify.channels.modem._MOST_AWAITED", 2)
    rig = Rig(modem)
    for number in range(3):
        await rig.send(key=f"k{number}")
    rig.channels.close()
    assert [(each.key, each.state) for each in rig.receipts] == [("k0", "accepted")]


async def test_a_report_that_is_faster_than_the_answer_is_the_last_word(modem: FakeModem) -> None:
    """The network says no before the modem has said that it was sent: failed comes after accepted, not before."""
    modem.reports = 0x46
    rig = Rig(modem)
    order: list[str] = []
    rig.channels._modems._receipt = lambda each: order.append(each.state)
    order.append((await rig.send()).state)
    await until(lambda: len(order) == 2)
    rig.channels.close()
    assert order == ["accepted", "failed"]


async def test_a_report_of_an_older_message_delivers_no_newer_one(modem: FakeModem) -> None:
    """References repeat: a report that was left from long ago is forgotten, not taken for the newer message's."""
    rig = Rig(modem)
    await rig.send()
    port = rig.channels._modems._modems[modem.port]
    long_ago_s = asyncio.get_running_loop().time() - 60.0
    port._early["00138000", 12] = True, long_ago_s  # the reference of the next one
    await rig.send(key="newer")
    await until(lambda: not port._early)
    assert set(port._awaited) == {"k", "newer"}
    rig.channels.close()


async def test_one_part_delivered_is_not_delivered(modem: FakeModem) -> None:
    """A long message counts as delivered when its last part is; until then nothing is told."""
    rig = Rig(modem)
    await rig.send("火" * 100)
    modem.say("+CDS: 25", "0006" + "0B" + "0D91683108108300F0" + "62101251910023" * 2 + "00")
    await until(lambda: rig.channels._modems._modems[modem.port]._awaited["k"].missing == {("00138000", 12)})
    assert rig.receipts == []
    modem.say("+CDS: 25", "0006" + "0C" + "0D91683108108300F0" + "62101251910023" * 2 + "00")
    await until(lambda: [each.state for each in rig.receipts] == ["delivered"])
    rig.channels.close()


@pytest.mark.parametrize(
    ("set_up", "words"),
    [
        (lambda m: setattr(m, "sim", ""), "there is no SIM"),
        (lambda m: setattr(m, "sim", "SIM PUK"), "unlock it in a phone"),
        (lambda m: setattr(m, "sim", "SIM PIN"), "add pin in notify.yaml"),
        (lambda m: setattr(m, "registration", "2"), "no mobile network"),
        (lambda m: setattr(m, "registration", "3"), "no mobile network"),
        (lambda m: setattr(m, "is_dumb", True), "does not answer"),
        (lambda m: m.refusals.extend(["+CMS ERROR: 8"]), "barred by the operator"),
        (lambda m: m.refusals.extend(["+CMS ERROR: 38"] * 4), "no mobile network"),
        (lambda m: m.refusals.extend(["+CMS ERROR: 500"] * 4), "did not send it (500)"),
    ],
)
async def test_what_is_wrong_is_told(modem: FakeModem, set_up: Callable[[FakeModem], None], words: str) -> None:
    """No SIM, locked, no network, refused, dead: failed with the reason and the way out, and the channel in trouble."""
    set_up(modem)
    rig = Rig(modem)
    result = await rig.send()
    rig.channels.close()
    assert (result.is_accepted, result.state) == (False, "failed")
    assert words in result.detail
    assert "13800138000" not in result.detail
    assert [each.is_online for each in rig.statuses] == [False]
    assert modem.sent == []


async def test_refusal_that_passes_costs_no_message(modem: FakeModem) -> None:
    """The network is busy twice; the third try goes out, once."""
    modem.refusals = ["+CMS ERROR: 42", "+CMS ERROR: 500"]
    rig = Rig(modem)
    assert (await rig.send()).is_accepted
    rig.channels.close()
    assert len(modem.sent) == 1
    assert rig.counters.total("notice_retries", channel="modem") == 2


async def test_pin_is_given_and_a_wrong_one_only_once(modem: FakeModem, tmp_path: Path) -> None:
    """The right PIN opens the SIM; a wrong one is never tried again, which would lock the card."""
    modem.sim = "SIM PIN"
    (tmp_path / "pin").write_text("9999\n")
    rig = Rig(modem, options=f"|pin=file:{tmp_path / 'pin'}")
    assert "PIN" in (await rig.send()).detail
    assert "PIN" in (await rig.send(key="again")).detail
    assert modem.asked.count('AT+CPIN="9999"') == 1
    rig.channels.close()
    (tmp_path / "pin").write_text("1234\n")
    rig = Rig(modem, options=f"|pin=file:{tmp_path / 'pin'}")
    assert (await rig.send()).is_accepted
    rig.channels.close()


async def test_unplugged_modem_comes_back_by_itself(modem: FakeModem) -> None:
    """The cable is pulled: failed with the name of the port; another try after it is back works."""
    rig = Rig(modem)
    assert (await rig.send()).is_accepted
    modem.unplug()
    result = await rig.send(key="gone")
    assert not result.is_accepted
    assert modem.port in result.detail
    back = FakeModem()
    back.open()
    people = rig.channels._site.recipients
    rig.channels._site = replace(
        rig.channels._site,
        recipients={"family": replace(people["family"], addresses={"modem": f"10086|port={back.port}"})},
    )
    assert (await rig.send(key="back")).is_accepted
    rig.channels.close()
    back.unplug()
    assert [each.is_online for each in rig.statuses] == [True, False, True]


async def test_two_messages_at_once_take_turns(modem: FakeModem) -> None:
    """A modem does one thing at a time: people are told one after the other, checks in between."""
    rig = Rig(modem)
    checks = [asyncio.create_task(rig.channels.check_links()) for _ in range(5)]
    results = await asyncio.gather(*(rig.send(f"{TEXT}{n}", f"k{n}") for n in range(5)))
    await asyncio.gather(*checks)
    rig.channels.close()
    assert all(each.is_accepted for each in results)
    assert {each.text for each in modem.sent} == {f"{TEXT}{n}" for n in range(5)}


async def test_link_check_asks_and_sends_nothing(modem: FakeModem) -> None:
    """SIM and network are looked at; nobody gets a message; trouble of the link ends with the check."""
    modem.registration = "2"
    rig = Rig(modem)
    await rig.channels.check_links()
    modem.registration = "5"
    await rig.channels.check_links()
    rig.channels.close()
    assert modem.sent == []
    assert [each.is_online for each in rig.statuses] == [False, True]


@pytest.mark.parametrize("number", ["", "12", '10086";+CMGD=1'])
async def test_what_is_no_number_is_refused(modem: FakeModem, number: str) -> None:
    """An address that is no telephone number never becomes part of a command."""
    rig = Rig(modem, number)
    result = await rig.send()
    rig.channels.close()
    assert not result.is_accepted
    assert modem.sent == []
    assert not any("CMGD" in each for each in modem.asked)


async def test_port_that_is_not_there(tmp_path: Path) -> None:
    """No such port: said by its name, and no exception."""
    modem = FakeModem(port=str(tmp_path / "ttyUSB9"))
    rig = Rig(modem)
    result = await rig.send()
    rig.channels.close()
    assert "ttyUSB9" in result.detail


def test_modem_speaks_on_the_loop_of_the_product() -> None:
    """The gateway runs on uvloop: the same dialogue works there."""

    async def talk() -> None:
        modem = FakeModem()
        modem.open()
        rig = Rig(modem)
        result = await rig.send()
        rig.channels.close()
        modem.unplug()
        assert result.is_accepted, result.detail
        assert [each.text for each in modem.sent] == [TEXT]

    uvloop.run(talk())
