"""The gateway's end of the downlink: what a bridge may send, what a platform may ask, and what is on record of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_bridge.ask import Answer, Request
from cloud_bridge.downlink import MAX_LINE, SOCKET_FILE, short_path
from cloud_bridge.settings import Commands
from gateway.app import downlink as server_room
from gateway.app.cloud_requests import asked_of
from gateway.model import Actor, OperatorRequest, Verb
from tests.support_core import until
from tests.support_downlink import OwnBox
from tests.support_operate import LOCK, UNLOCK, VALVE

SMOKE = "3-2-03-0301/smoke/alarm"
FIRE = f"fire:{SMOKE}:1"
COMMANDS = Commands(verbs=(Verb.TAKE, Verb.NOTE, Verb.CLOSE, Verb.OPERATE, Verb.MARK), points=("3-2-01-*", "3-1-B1-*"))

_DRILL = {"mark": "drill", "scope": "site", "reason": "x", "minutes": "9"}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[OwnBox]:
    async with OwnBox(tmp_path, COMMANDS).living() as living:
        yield living


def operate(name: str, point: str = LOCK, value: str = "true", **more: Any) -> Request:
    return Request(name, Verb.OPERATE, args={"point": point, "value": value}, user="li", **more)


def take(name: str, version: int = 1, user: str = "li") -> Request:
    return Request(name, Verb.TAKE, FIRE, version, user=user)


def outcome(answer: Answer) -> object:
    return answer.detail.get("outcome")


async def raw(box: OwnBox) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that says what it likes."""
    with short_path(box.site.data_dir, SOCKET_FILE) as path:
        return await asyncio.open_unix_connection(path)


def line(number: int, **more: Any) -> bytes:
    body = {
        "n": number, "uplink": "cloud", "id": f"raw{number}", "verb": "take", "alarm": "none", "version": 1,
        "args": {}, "user": "li", "deadline_mono_s": 1e9, **more,
    }  # fmt: skip
    return json.dumps(body).encode() + b"\n"


# What is decided


async def test_the_same_way_as_the_console(box: OwnBox) -> None:
    """Taken from the cloud with its version; a stale one hears who did what since; all of it is audited by name."""
    await box.read(SMOKE, True)
    taken = await box.ask(take("a"))
    assert (taken.is_accepted, taken.version) == (True, 2)
    assert box.alarms[FIRE].taken_by == "cloud:li"
    noted = await box.ask(Request("b", Verb.NOTE, FIRE, 2, {"text": "已派人"}, "wang"))
    assert noted.version == 3
    stale = await box.ask(take("c", user="zhao"))
    assert (stale.is_accepted, stale.code, stale.version) == (False, "stale_version", 3)
    assert [(each["kind"], each["who"], each["via"]) for each in stale.detail["between"]] == [
        ("taken", "cloud:li", "cloud"), ("noted", "cloud:wang", "cloud"),
    ]  # fmt: skip
    assert "cloud:li" in stale.detail["words"]["zh"]
    assert "接警" in stale.detail["words"]["zh"]
    assert "taken" in stale.detail["words"]["en"]
    assert [(what, who) for what, who, _ in box.audit()] == [
        ("alarm.take", ["cloud:li", "duty", "cloud"]),
        ("alarm.note", ["cloud:wang", "duty", "cloud"]),
        ("alarm.take", ["cloud:zhao", "duty", "cloud"]),
    ]


async def test_an_operation_is_answered_with_its_end(box: OwnBox) -> None:
    """Done and read back; the same id asked twice at once and again later is done once."""
    both = await asyncio.gather(box.ask(operate("a")), box.ask(operate("a")))
    assert [outcome(each) for each in both] == ["done", "done"]
    assert both[0].detail["readback"] is True
    assert (await box.ask(operate("a"))).detail == both[0].detail
    assert box.written == [(LOCK, True)]


async def test_an_id_that_meant_something_else_is_refused(box: OwnBox) -> None:
    """A platform that counts from 1 again after its own restart must not get the answer to another question."""
    await box.ask(operate("a"))
    other = await box.ask(operate("a", value="false"))
    assert (other.is_accepted, other.code) == (False, "request_id_reused")
    assert box.written == [(LOCK, True)]


async def test_the_first_answer_after_a_restart(tmp_path: Path) -> None:
    """The gateway is killed after the act: the same id gets the first answer, and the door is opened once."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        first = await box.ask(operate("a"))
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        again = await box.ask(operate("a", expires_in_s=5.0))
        assert (again.detail["command"], outcome(again)) == (first.detail["command"], "done")
        assert box.written == []


async def test_an_id_from_before_a_restart_answers_no_other_question(tmp_path: Path) -> None:
    """The record knows what the id was for: nobody hears "done" of a door that was never moved, or of an alarm."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        await box.read(SMOKE, True)
        assert (await box.ask(take("t"))).is_accepted
        assert outcome(await box.ask(operate("a"))) == "done"
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        next_fire = f"fire:{SMOKE}:2"
        wrong = (operate("a", value="false"), take("a"), operate("t"), Request("t", Verb.TAKE, next_fire, 1))
        for other in wrong:
            answer = await box.ask(other)
            assert (answer.is_accepted, answer.code) == (False, "request_id_reused"), other
        assert box.written == []
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        assert outcome(await box.ask(operate("a"))) == "done"  # what it was for, still
        assert (await box.ask(take("t"))).is_accepted
        assert box.written == []


async def test_an_operation_under_way_at_a_kill_is_ended_and_told_after_it(tmp_path: Path) -> None:
    """Accepted, not yet done, killed: the restart carries it out within its deadline, and the same id hears the end."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        box.is_slow = True
        asking = asyncio.ensure_future(box.ask(operate("a", expires_in_s=20.0)))
        await until(lambda: box.counters.total("operations") == 1)
        await until(lambda: len(box.audit()) == 1)
    assert (await asking).code == "no_answer"
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        again = await box.ask(operate("a", expires_in_s=20.0))
        assert (again.is_accepted, outcome(again)) == (True, "done")
        assert box.written == [(LOCK, True)]


async def test_late_is_refused_and_never_done(box: OwnBox) -> None:
    """A deadline that has passed: refused by the engine, on record, nothing written."""
    late = await box.ask(operate("a", expires_in_s=-0.5))
    assert late.code == "expired"
    assert (await box.ask(operate("ages ago", expires_in_s=-1e300))).code == "expired"
    assert "太晚" in late.detail["words"]["zh"]
    assert box.written == []
    assert [what for what, _, _ in box.audit()] == ["point.operate"] * 2
    box.is_slow = True
    slow = await box.ask(operate("b", expires_in_s=0.2))
    assert slow.is_accepted is True
    assert outcome(slow) == "unknown"  # never "done" before it is known


async def test_a_gas_valve_is_never_opened(box: OwnBox) -> None:
    """Not although the point's list, the uplink's verbs and its points all allow it; closing it is fine."""
    opening = await box.ask(operate("a", f"{VALVE}/closed", "false"))
    assert (opening.is_accepted, opening.code) == (False, "never_by_software")
    assert "燃气" in opening.detail["words"]["zh"]
    closing = await box.ask(operate("b", f"{VALVE}/closed", "true"))
    assert outcome(closing) == "done"
    assert box.written == [(f"{VALVE}/closed", True)]


async def test_what_a_fire_holds_the_cloud_does_not_undo(box: OwnBox) -> None:
    """A door that a fire has released stays released: the refusal names the fire."""
    await box.read(SMOKE, True)
    await until(lambda: (LOCK, True) in box.written)
    held = await box.ask(operate("a", value="false"))
    assert (held.code, held.detail["alarm"]) == ("held", FIRE)
    assert box.written == [(LOCK, True)]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Request("a", Verb.RESET, FIRE, 1), "verb_not_allowed"),
        (operate("a", f"{SMOKE[:-5]}test"), "point_not_allowed"),
        (operate("a", ""), "point_not_allowed"),
        (Request("a", Verb.OPERATE, args={"point": LOCK, "value": "true", "force": "yes"}), "invalid"),
        (Request("a", Verb.MARK, FIRE, 1, _DRILL), "invalid"),
        (Request("a", Verb.MARK, args=_DRILL), "role_not_allowed"),
        (Request("", Verb.TAKE, FIRE, 1), "invalid"),
        (Request("a", Verb.TAKE, FIRE, -1), "invalid"),
        (Request("a\n", Verb.TAKE, FIRE, 1), "invalid"),
        (Request("a", Verb.NOTE, FIRE, 1, {"text": "x" * 2001}), "invalid"),
        (operate("a", f"{UNLOCK}x"), "unknown_target"),
        (Request("a", Verb.TAKE, "fire:nowhere:1", 1), "unknown_alarm"),
    ],
)  # fmt: skip
async def test_what_is_outside_the_list_is_refused(box: OwnBox, request_: Request, code: str) -> None:
    """Verb, point, argument, role, shape: refused with its code, in both languages; nothing happens to anything."""
    await box.read(SMOKE, True)
    before = list(box.written)
    answer = await box.ask(request_)
    assert (answer.is_accepted, answer.code) == (False, code)
    assert answer.detail["words"]["zh"].startswith("没有")
    assert box.alarms[FIRE].version == 1
    assert box.written == before


async def test_an_uplink_without_commands_is_not_heard(box: OwnBox) -> None:
    """Nor one that is not configured at all: whatever the bridge says, the gateway looks into its own list."""
    for number, uplink in enumerate(("deaf", "cloud2")):
        reader, writer = await raw(box)
        writer.write(line(number, uplink=uplink))
        answer = json.loads(await asyncio.wait_for(reader.readline(), 5))
        assert (answer["n"], answer["code"]) == (number, "commands_off")
        writer.close()
    assert (await box.downlink.ask_for("deaf", None)(take("a"))).code == "commands_off"


async def test_refusals_before_the_engine_are_on_record_at_a_bounded_pace(box: OwnBox) -> None:
    """One line a second at most; the others are counted: a platform gone mad must not fill the disk."""
    for number in range(10):
        await box.ask(Request(f"a{number}", Verb.RESET, FIRE, 1))
    await until(lambda: len(box.audit()) == 1)
    assert box.audit()[0][0] == "cloud.refused"
    assert box.counters.total("cloud_refusals_not_on_record") == 9
    assert box.counters.total("cloud_requests_refused", code="verb_not_allowed", uplink="cloud") == 10


async def test_a_name_leaves_the_box_only_where_it_may(tmp_path: Path) -> None:
    """A refusal says 值班 or 主管 instead of somebody's name, unless the uplink may have personal data."""
    for is_personal in (False, True):
        directory = tmp_path / str(is_personal)
        directory.mkdir()
        async with OwnBox(directory, COMMANDS, is_personal=is_personal).living() as box:
            await box.read(SMOKE, True)
            await box.port.submit(_at_the_console(box))
            for code, version in (("stale_version", 1), ("already_taken", 2)):
                answer = await box.ask(take(f"a{version}", version))
                assert answer.code == code
                told = json.dumps([dict(answer.detail)], ensure_ascii=False)
                assert ("张三" in told) is is_personal
                assert "值班" in answer.detail["words"]["zh"] or is_personal


def _at_the_console(box: OwnBox) -> OperatorRequest:
    now = box.clock.now().utc
    actor = Actor("张三", "duty", "console")
    return OperatorRequest("web/1", actor, Verb.TAKE, FIRE, 1, now, now + timedelta(seconds=10))


# What a bridge may send


async def test_the_socket_is_ours_alone_and_its_path_may_be_long(tmp_path: Path) -> None:
    """Mode 0600 before anybody can connect; a data directory beyond the 107 bytes of a socket's address works; a
    socket left behind by a killed gateway is replaced."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    left = socket.socket(socket.AF_UNIX)
    with short_path(str(directory), SOCKET_FILE) as path:
        left.bind(path)
    left.close()
    async with OwnBox(directory, COMMANDS).living() as box:
        await until(lambda: stat.S_IMODE((directory / SOCKET_FILE).stat().st_mode) == 0o600)
        assert outcome(await box.ask(operate("a"))) == "done"
    assert not (directory / SOCKET_FILE).exists()


@pytest.mark.parametrize(
    "bad",
    [
        b"hello\n", b"\x00\xff\n", b"{}\n", b"[]\n", b'{"n":true}\n', b"x" * (MAX_LINE + 1), b"[" * 50_000 + b"\n",
        b'{"n":1' + b" " * MAX_LINE + b"}\n",
    ],
    ids=["words", "bytes", "empty", "list", "no number", "endless", "deep", "long"],
)  # fmt: skip
async def test_garbage_ends_its_connection_and_nothing_else(box: OwnBox, bad: bytes) -> None:
    """What makes no sense is hung up on, counted, and the next bridge is served."""
    reader, writer = await raw(box)
    writer.write(bad)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert box.counters.total("downlink_hang_ups", reason="garbage") == 1
    assert outcome(await box.ask(operate("a"))) == "done"


async def test_half_a_line_that_hangs_is_given_up(box: OwnBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge that stops in the middle of a line, or drips, is hung up on; others go on meanwhile."""
    monkeypatch.setattr(server_room, "_HALF_LINE_S", 0.3)
    reader, writer = await raw(box)
    writer.write(line(1)[:-20])
    assert outcome(await box.ask(operate("a"))) == "done"
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            writer.write(b" ")
            await asyncio.sleep(0.05)  # dripping is the subject
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert box.counters.total("downlink_hang_ups", reason="half_line") == 1


async def test_a_line_in_pieces_is_a_line(box: OwnBox) -> None:
    """Whatever the pieces, the answer is the same."""
    reader, writer = await raw(box)
    for piece in (line(1)[:7], line(1)[7:] + line(2)[:30], line(2)[30:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    found = [json.loads(await asyncio.wait_for(reader.readline(), 5)) for _ in range(2)]
    assert {each["n"] for each in found} == {1, 2}
    assert {each["code"] for each in found} == {"unknown_alarm"}
    writer.close()


async def test_a_flood_is_read_at_a_limited_pace(box: OwnBox) -> None:
    """Two thousand lines at once: two hundred are taken at once and two hundred a second after that, twenty of them go
    to the engine, and an alarm is raised at once."""
    reader, writer = await raw(box)
    begin_s = box.clock.now().mono_s
    writer.write(b"".join(map(line, range(2000))))
    for _ in range(300):
        assert await asyncio.wait_for(reader.readline(), 5)
    async with asyncio.timeout(0.5):
        await box.read(SMOKE, True)
    assert FIRE in box.alarms
    assert box.clock.now().mono_s - begin_s > 0.4
    taken = 200 + 200 * (box.clock.now().mono_s - begin_s)
    assert box.counters.total("cloud_requests") <= taken + 5
    assert box.counters.total("requests_refused") <= taken / 10 + 5
    writer.close()


async def test_who_does_not_read_answers_is_not_read(box: OwnBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests a bridge sends that stands still in its reading, their answers fill no memory."""
    monkeypatch.setattr(server_room, "_LINES_PER_S", 1e6)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as deaf, short_path(box.site.data_dir, SOCKET_FILE) as path:
        deaf.setblocking(False)
        deaf.connect(path)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await loop.sock_sendall(deaf, b"".join(map(line, range(40_000))))
        assert outcome(await box.ask(operate("a"))) == "done"  # others are served


async def test_the_oldest_connection_makes_room(box: OwnBox) -> None:
    """Forgotten connections never shut out the bridge that works."""
    idle = [await raw(box) for _ in range(9)]
    assert outcome(await box.ask(operate("a"))) == "done"
    assert box.counters.total("downlink_hang_ups", reason="too_many") >= 5
    for _, writer in idle:
        writer.close()


async def test_a_socket_that_was_removed_is_made_again(box: OwnBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody cleans up the directory: the server notices and says so; its supervisor starts it again."""
    monkeypatch.setattr(server_room, "_LOOK_EVERY_S", 0.05)
    other = server_room.DownlinkServer(box.site.data_dir, box.requests, box.clock, box.counters)
    task = asyncio.create_task(other.run())
    path = Path(box.site.data_dir) / SOCKET_FILE
    await asyncio.sleep(0.1)  # it listens
    path.unlink()
    with pytest.raises(server_room.DownlinkGone):
        await asyncio.wait_for(task, 5)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = ("n", "uplink", "id", "verb", "alarm", "version", "args", "user", "deadline_mono_s")


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES) | _VALUES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_is_a_request_or_no_request(body: object) -> None:
    """Invariant: every JSON value is either a request whose fields are of their types and bounds, or a ValueError."""
    try:
        asked = asked_of(body)
    except ValueError:
        return
    assert asked.verb in set(Verb)
    assert 0 < len(asked.id) <= 200
    assert asked.id.isprintable()
    assert asked.version >= 0
    assert all(isinstance(each, str) for each in asked.args.values())
