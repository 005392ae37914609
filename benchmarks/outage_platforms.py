"""The platforms of the outage test: how each is started and killed, who listens on its line, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from benchmarks import outage_series, outage_sparkplug, outage_thingsboard
from benchmarks.cluster import Asked
from benchmarks.cluster_series import Influx, Rename
from benchmarks.crash_field import DEVICES, Field
from benchmarks.harness import Lab
from benchmarks.outage_heard import judge_heard
from benchmarks.outage_verdict import Verdict, judge
from benchmarks.site import address
from benchmarks.witness import Ear, Listener, Record

_BROKER = "platform-broker"


class Platform(Protocol):
    """One platform behind the line."""

    port: int

    @property
    def ear(self) -> Callable[[Record], Listener]:
        """Who listens to each connection."""
        ...

    def uplink(self, port: int) -> str:
        """YAML of the uplink to it, through the line's ``port``."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def start(self) -> None:
        """Start again."""
        ...

    def judge(self, record: Record, devices: Field) -> Verdict:
        """When everything has been told."""
        ...


class OwnJson:
    """``type: mqtt``: a mosquitto, and ids in every message."""

    kind = "mqtt"
    ear: Callable[[Record], Listener] = Ear

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.port = lab.broker(_BROKER)

    def uplink(self, port: int) -> str:
        """YAML."""
        return f"    platform: {{type: {self.kind}, host: 127.0.0.1, port: {port}}}\n"

    def kill(self) -> None:
        """SIGKILL."""
        self._lab.child(_BROKER).kill()

    def start(self) -> None:
        """Start again."""
        self._lab.broker(_BROKER, port=self.port)

    def judge(self, record: Record, devices: Field) -> Verdict:
        """By the ids."""
        return judge(devices.stamps, devices.readings, devices.alarms, record.published, record.told)


class Thingsboard(OwnJson):
    """``type: thingsboard``: a mosquitto, which takes everything and answers nothing."""

    kind = "thingsboard"

    def judge(self, record: Record, devices: Field) -> Verdict:
        """By device, key and instant."""
        return judge_heard(devices.stamps, devices.readings, devices.alarms, outage_thingsboard.read(record))


class Sparkplug(OwnJson):
    """``type: sparkplug``: a mosquitto, and a host application at it."""

    kind = "sparkplug"

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._host = outage_sparkplug.Host(self.port)

    def judge(self, record: Record, devices: Field) -> Verdict:
        """By device, metric and instant; and what the host shows in the end."""
        heard = outage_sparkplug.read(record)
        heard.wrong += self._host.close(_newest(devices), outage_sparkplug.of_last_session(record))
        return judge_heard(devices.stamps, devices.readings, devices.alarms, heard)


def _newest(devices: Field) -> Mapping[str, int]:
    numbers: dict[int, int] = {}
    for each in devices.readings:
        numbers[each % DEVICES] = max(each, numbers.get(each % DEVICES, -1))
    return {f"{address(device)}:env": number for device, number in numbers.items()}


class Series:
    """``type: influxdb``: an InfluxDB, which is asked back for every point."""

    ear: Callable[[Record], Listener] = outage_series.HttpEar

    def __init__(self, lab: Lab) -> None:
        self._server = Influx(lab)
        self._server.start()
        self._rename = Rename(self._server.port)
        self.port = self._rename.port

    def working(self) -> AbstractContextManager[object]:
        """While its proxy runs."""
        return self._rename.working()

    def uplink(self, port: int) -> str:
        """YAML."""
        return f"    platform: {{type: influxdb, url: 'http://127.0.0.1:{port}', bucket: b, org: o}}\n"

    def kill(self) -> None:
        """SIGKILL."""
        self._server.end()

    def start(self) -> None:
        """Start again."""
        self._server.start()

    def judge(self, record: Record, devices: Field) -> Verdict:
        """By series and instant, on the wire and in the server."""
        heard = outage_series.read(record)
        asked = Asked.of(self._server.name, self._server.points(), devices.stamps, devices.readings)
        if not asked.is_clean:
            heard.wrong.append(f"asked back: {asked}")
        return judge_heard(devices.stamps, devices.readings, devices.alarms, heard)


KINDS: Mapping[str, Callable[[Lab], OwnJson | Series]] = {
    "mqtt": OwnJson,
    "sparkplug": Sparkplug,
    "thingsboard": Thingsboard,
    "influxdb": Series,
}


@contextmanager
def platform(kind: str, lab: Lab) -> Iterator[Platform]:
    """One of `KINDS`, started."""
    made = KINDS[kind](lab)
    with made.working() if isinstance(made, Series) else nullcontext():
        yield made
