"""Messages of a modem: read back by a decoder that shares nothing with the coder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notify.channels.pdu import is_number, status_report, submit
from tests.support_modem import GSM, GSM_ESCAPED, decode, delivered

_BASIC = st.text(st.sampled_from([*(each for each in GSM if each != "\x1b"), *GSM_ESCAPED.values()]), max_size=900)
_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)


@given(text=_BASIC | _ANY, reference=st.integers(0, 255))
def test_what_is_coded_is_what_a_phone_reads(text: str, reference: int) -> None:
    """Invariant: the parts in their order are the beginning of the text, whole where it fits ten messages."""
    parts = [decode(each.pdu) for each in submit("+8613800138000", text, reference)]
    whole = "".join(each.text for each in parts)
    assert text.startswith(whole)
    assert len(parts) == 10 or whole == text
    assert [each.place for each in parts] == list(range(1, len(parts) + 1))
    assert {each.total for each in parts} == {len(parts)}
    assert {(each.number, each.wants_report) for each in parts} == {("+8613800138000", True)}
    assert len(parts) == 1 or {each.reference for each in parts} == {reference}


def test_known_messages() -> None:
    """The example everybody has: hellohello, and two characters of UCS2; lengths without the service centre."""
    part = submit("+46708251358", "hellohello", 0)[0]
    assert (part.length, part.pdu) == (23, "0031000B916407281553F80000A70AE8329BFD4697D9EC37")
    assert submit("10086", "你好", 0)[0].pdu == "00310005810180" + "F6" + "0008A7" + "044F60597D"


@pytest.mark.parametrize(("length", "parts"), [(70, 1), (71, 2), (134, 2), (135, 3), (500, 8)])
def test_chinese_is_cut_at_70_and_67(length: int, parts: int) -> None:
    """The longest text of a notice goes in eight parts."""
    assert len(submit("13800138000", "火" * length, 7)) == parts


@pytest.mark.parametrize("text", ["Fire at 3-2-03-0301. " * 20, "[3-2]{x}€" * 30, "a" * 153 + "€" * 80, "a" * 161])
def test_long_latin_text_keeps_its_bits_in_place(text: str) -> None:
    """Septets begin on their own boundary behind the header, and an escape is never cut from its character."""
    parts = [decode(each.pdu) for each in submit("+8613800138000", text, 7)]
    assert len(parts) > 1
    assert "".join(each.text for each in parts) == text


def test_a_pair_of_surrogates_is_never_cut() -> None:
    """A character of two units at the border of a part goes whole into the next one."""
    parts = [decode(each.pdu) for each in submit("13800138000", "火" * 66 + "😀" + "警" * 40, 7)]
    assert [each.text for each in parts] == ["火" * 66, "😀" + "警" * 40]


@pytest.mark.parametrize(("status", "is_delivered"), [(0, True), (1, True), (0x20, None), (0x41, False), (0x60, False)])
def test_status_report_says_what_became_of_it(status: int, is_delivered: bool | None) -> None:
    """Delivered, still trying, failed: by the ranges of the recommendation."""
    report = status_report(delivered(77, "+8613800138000", status))
    assert report is not None
    assert (report.reference, report.number, report.is_delivered) == (77, "8613800138000", is_delivered)


@given(st.text(alphabet="0123456789ABCDEFxyz ", max_size=80))
def test_no_line_of_a_modem_breaks_the_reader(line: str) -> None:
    """Invariant: anything at all is a report or is none."""
    status_report(line)


@pytest.mark.parametrize("text", ["", "+", "12", "abc", "138 0013", "1" * 21, "138;110", '1"2345', "１３８"])
def test_what_is_no_number_never_reaches_the_modem(text: str) -> None:
    """A number is digits, because it becomes a part of a command."""
    assert not is_number(text)
