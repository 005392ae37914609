"""The live view: what the consoles are told after each commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import AlarmClass, DeviceStatus, Now, Quality, Reading, Step
from gateway.web.live import MAX_ALARMS_PER_FRAME, MAX_SUBSCRIBERS, QUEUE_FRAMES, LiveView, Subscriber
from gateway.web.ports import Health, UplinkHealth
from gateway.web.views import alarm_id_of, alarm_key
from tests.support_web import FakeGateway, small_site

NOW = Now(datetime(2026, 1, 1, 12, tzinfo=UTC), 100.0)
LATER = NOW.utc + timedelta(hours=12)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def gateway(counters: Counters) -> FakeGateway:
    return FakeGateway(small_site(), LiveView(counters), SystemClock())


def told(subscriber: Subscriber) -> list[tuple[str, dict[str, Any]]]:
    """Every frame that waits for this console, as (event, body)."""
    frames = []
    while not subscriber.frames.empty():
        event, data, *_ = subscriber.frames.get_nowait().decode().split("\n")
        frames.append((event.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return frames


def listener(live: LiveView) -> Subscriber:
    subscriber = live.subscribe("session", LATER)
    assert subscriber is not None
    return subscriber


def reading(room: str, quality: Quality = Quality.GOOD) -> Reading:
    return Reading(f"3-2-03-{room}/smoke/alarm", None if quality is Quality.BAD else False, NOW.utc, NOW.utc, quality)


def test_a_console_gets_everything_first_and_then_each_change(gateway: FakeGateway) -> None:
    """Nothing falls between the first picture and the changes after it."""
    live = gateway.live
    first = gateway.raise_alarm()
    console = listener(live)
    second = gateway.raise_alarm(room="0302")
    (kind, snapshot), (change_kind, change) = told(console)
    assert (kind, change_kind) == ("snapshot", "change")
    assert [each["id"] for each in snapshot["alarms"]] == [first.id]
    assert [each["id"] for each in change["alarms"]] == [second.id]
    assert change["revision"] == snapshot["revision"] + 1 == live.revision


def test_every_beat_repeats_the_revision_and_the_counts(gateway: FakeGateway) -> None:
    """A screen that missed something can see that it has."""
    console = listener(gateway.live)
    gateway.raise_alarm()
    gateway.raise_alarm(AlarmClass.FAULT)
    gateway.live.beat(NOW, Health(("store",), {"a": True, "b": None}, {"cloud": UplinkHealth(False, 7, NOW.utc)}))
    kind, beat = told(console)[-1]
    assert kind == "beat"
    assert beat["revision"] == gateway.live.revision
    assert (beat["counts"]["by_class"]["fire"], beat["counts"]["by_class"]["fault"]) == (1, 1)
    assert beat["counts"]["untaken"] == 2
    assert beat["reasons"] == ["store"]
    assert beat["lines"] == {"up": 1, "total": 2}
    assert beat["uplinks"]["cloud"] == {
        "is_up": False,
        "backlog": 7,
        "since": "2026-01-01T12:00:00+00:00",
        "certificate_until": None,
    }


def test_a_device_is_unknown_until_it_is_heard(gateway: FakeGateway) -> None:
    """A gateway that has just started does not claim that everything is well; a retained message proves nothing."""
    live = gateway.live
    assert live.counts()["devices"] == {"total": 2, "online": 0, "offline": 0, "unknown": 2}
    live.apply(Step(NOW, readings=[reading("0301", Quality.RETAINED), reading("0302", Quality.BAD)]))
    assert live.counts()["devices"]["unknown"] == 2
    live.apply(Step(NOW, readings=[reading("0301")]))
    assert live.counts()["devices"] == {"total": 2, "online": 1, "offline": 0, "unknown": 1}
    lost = DeviceStatus("3-2-03-0301/smoke", is_online=False, at=NOW.utc, reason="no data for 12 h")
    live.apply(Step(NOW, statuses=[lost, lost._replace(device_id="stranger")]))
    assert live.counts()["devices"] == {"total": 2, "online": 0, "offline": 1, "unknown": 1}
    assert live.device_state("3-2-03-0301/smoke") == ("offline", NOW.utc, "no data for 12 h")
    live.apply(Step(NOW, statuses=[lost._replace(is_online=True)]))
    assert live.device_state("3-2-03-0301/smoke")[0] == "online"


def test_a_reload_keeps_what_is_known_of_the_devices_that_stay(gateway: FakeGateway) -> None:
    """Adding one device does not make the others unknown again."""
    live = gateway.live
    console = listener(live)
    live.apply(Step(NOW, readings=[reading("0301")]))
    live.load(["3-2-03-0301/smoke", "3-2-03-0399/smoke"])
    assert live.counts()["devices"] == {"total": 2, "online": 1, "offline": 0, "unknown": 1}
    assert told(console)[-1][0] == "reload"


def test_an_ended_alarm_leaves_the_list_and_the_counts(gateway: FakeGateway) -> None:
    """The counters equal the list at every moment."""
    alarm = gateway.raise_alarm(AlarmClass.FAULT)
    console = listener(gateway.live)
    gateway.clear(alarm)
    assert gateway.live.counts()["by_class"]["fault"] == len(gateway.live.alarms) == 0
    assert told(console)[-1][1]["alarms"][0]["is_open"] is False


def test_a_slow_console_is_dropped_and_counted_and_delays_nobody(gateway: FakeGateway, counters: Counters) -> None:
    """One hanging browser costs a bounded queue, not the gateway's memory."""
    slow, quick = listener(gateway.live), listener(gateway.live)
    alarm = gateway.raise_alarm()
    for n in range(QUEUE_FRAMES):
        told(quick)
        gateway.tell(alarm.id, "noted", gateway_actor(), {"text": str(n)})
    assert slow.closed.is_set()
    assert not quick.closed.is_set()
    assert gateway.live.subscribers == 1
    assert counters.total("web_streams_dropped", reason="slow") == 1


def gateway_actor() -> Any:
    from gateway.model import SYSTEM  # noqa: PLC0415 - only this test notes

    return SYSTEM


def test_a_flood_is_told_as_load_again(gateway: FakeGateway) -> None:
    """Thousands of alarms at once are one picture for all, not a huge frame in every queue."""
    one = gateway.raise_alarm()
    console = listener(gateway.live)
    flood = {str(n): one for n in range(MAX_ALARMS_PER_FRAME + 1)}
    gateway.live.apply(Step(NOW, alarms=flood))
    assert told(console)[-1] == ("reload", {"revision": gateway.live.revision})


def test_the_number_of_consoles_is_limited(gateway: FakeGateway, counters: Counters) -> None:
    """Opening tabs for ever is refused, not suffered."""
    for _ in range(MAX_SUBSCRIBERS):
        listener(gateway.live)
    assert gateway.live.subscribe("session", LATER) is None
    assert counters.total("web_streams_refused") == 1


def test_a_stream_ends_with_its_session(gateway: FakeGateway) -> None:
    """Twelve hours after the log-in the screen asks for the password again, also if it was never reloaded."""
    console = listener(gateway.live)
    gateway.live.beat(NOW._replace(utc=LATER), Health())
    assert console.closed.is_set()
    assert gateway.live.subscribers == 0


@pytest.mark.parametrize("alarm_id", ["smoke-fire:3-2-03-0301/smoke/alarm:1", "规则:a/b#c?d%2F../power.10:12", "x"])
def test_an_alarms_key_survives_a_url(alarm_id: str) -> None:
    """Ids hold slashes, colons and Chinese; their key holds nothing a proxy would touch."""
    key = alarm_key(alarm_id)
    assert alarm_id_of(key) == alarm_id
    assert key.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("key", ["", "=", "a", "YQ==", "_-", "Zm9v\n", "é"])
def test_a_key_that_is_none_is_no_alarm(key: str) -> None:
    """A mangled address is 'no such alarm', never an error."""
    assert alarm_id_of(key) in (None, "")
