"""The time-series store that we ship, started as it is: nginx with client certificates before VictoriaMetrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import Uplink
from simulators.fleet_cloud import Certificates, TimeSeriesStore
from tests.support_bridge import GATEWAY, Box, bridging, device, site, until
from tests.support_cloud import ask, need_cloud, query, trusting

OTHER = "gw-2"


class Cloud:
    def __init__(self, directory: Path) -> None:
        self.pki = Certificates(directory / "pki")
        self.pki.server("node")
        self.pki.reader("grafana")
        for each in (GATEWAY, OTHER):
            self.pki.gateway(each)
        self.store = TimeSeriesStore(directory / "series", self.pki)

    def write(self, name: str, lines: bytes, arguments: str = "org=o&bucket=b&precision=ns") -> int:
        return ask(f"{self.store.url}/api/v2/write?{arguments}", trusting(self.pki, name), lines)[0]

    def query(self, promql: str) -> list[tuple[str, float]]:
        """(site, value) of every series there is."""
        ask(f"{self.store.inner_url}/internal/force_flush", trusting(self.pki))
        found = query(self.store.url, trusting(self.pki, "grafana"), promql)
        return sorted((each["metric"].get("site", ""), float(each["value"][1])) for each in found)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    need_cloud()
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        cloud.store.start()
        yield cloud
    finally:
        cloud.store.stop()


async def test_the_bridge_writes_by_its_certificate_and_every_point_is_there(cloud: Cloud, tmp_path: Path) -> None:
    """The real uplink through nginx; asked back through nginx by the reader's certificate."""
    box = Box(tmp_path)
    for start in range(0, 1000, 100):
        box.readings(1, start=start, each=100)
    box.alarms(1)
    files = {"ca": "ca.pem", "cert": f"{GATEWAY}.pem", "key": f"{GATEWAY}.key"}
    tls = {key: str(cloud.pki.path / name) for key, name in files.items()}
    up = Uplink("history", "influxdb", {"url": cloud.store.url, "bucket": "b", "org": "o", "tls": tls})
    devices = (device("3-1-B1-CP01", "ebike", [("power.1", "float")]),)
    async with bridging(site(tmp_path, up, devices=devices)):
        await until(lambda: box.settled("history") == box.last(), "settled")
    await until(
        lambda: cloud.query('sum(count_over_time({__name__="ebike_power.1"}[2y])) by (site)') == [(GATEWAY, 1000.0)],
        "every reading",
    )
    assert cloud.query("count(last_over_time(alarm_event_version[2y])) by (site)") == [(GATEWAY, 1.0)]


async def test_nobody_writes_in_anothers_name(cloud: Cloud) -> None:
    """The label ``site`` is the certificate's: neither the line nor the address can say otherwise."""
    lines = f"forged,site={OTHER},device=d value=1".encode()
    assert cloud.write(GATEWAY, lines) == 204
    assert cloud.write(GATEWAY, b"forged,device=e value=2", f"org=o&bucket=b&extra_label=site={OTHER}") == 204
    await until(lambda: len(cloud.query("forged_value")) == 2, "both lines")
    assert {name for name, _ in cloud.query("forged_value")} == {GATEWAY}


def test_gateways_write_and_readers_read(cloud: Cloud) -> None:
    """No certificate: nothing. A gateway can't query, a reader can't write; what administers is not there at all."""
    assert cloud.write("", b"x value=1") == 400
    assert cloud.write("grafana", b"x value=1") == 403
    asked = f"{cloud.store.url}/api/v1/query?query=up"
    assert ask(asked, trusting(cloud.pki, OTHER))[0] == 403
    assert ask(asked, trusting(cloud.pki))[0] == 400
    for path in ("/api/v1/admin/tsdb/delete_series?match[]=x", "/snapshot/create", "/internal/force_flush", "/metrics"):
        assert ask(f"{cloud.store.url}{path}", trusting(cloud.pki, "grafana"))[0] == 404, path
    assert cloud.query("x_value") == []


async def test_a_repeat_is_stored_once(cloud: Cloud) -> None:
    """The bridge sends again what was not answered: the same instant and value counts once."""
    line = f"repeated,device=d value=3 {time.time_ns() // 1_000_000_000 - 60}000000000".encode()
    assert [cloud.write(GATEWAY, line) for _ in range(3)] == [204, 204, 204]
    await until(lambda: cloud.query("count_over_time(repeated_value[10m])") == [(GATEWAY, 1.0)], "one point")
