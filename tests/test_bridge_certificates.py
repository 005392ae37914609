"""Certificates of an uplink: their end is known and said 30 days ahead, on the page, in /metrics and by a rule."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.certificates import Endpoint, endpoint_of, ours, theirs
from cloud_bridge.influx_uplink import InfluxParams
from cloud_bridge.mqtt_uplink import MqttParams
from cloud_bridge.settings import Tls
from gateway.app.certificates import Certificates
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.model import Input, Now, Reading, Uplink
from gateway.notify.policy import NoticePolicy
from gateway.rules.engine import Engine
from gateway.store.outbox import CursorStore
from gateway.web.ports import UplinkHealth
from gateway.x509 import until
from tests.support_bridge import Box, bridging, mosquitto, site
from tests.support_bridge import until as wait_until
from tests.support_config import SAMPLE, checked, laid_out
from tests.support_downlink import OwnBox

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class _Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> Now:
        return Now(self.at, 0.0)


def _issue(directory: Path, ca: trustme.CA, name: str, not_after: datetime) -> Path:
    cert = ca.issue_cert("127.0.0.1", not_after=not_after)
    cert.private_key_pem.write_to_path(str(directory / f"{name}.key"))
    for blob in cert.cert_chain_pems:
        blob.write_to_path(str(directory / f"{name}.pem"), append=True)
    return directory / f"{name}.pem"


@pytest.mark.parametrize("end", [datetime(2027, 5, 6, 7, 8, 9, tzinfo=UTC), datetime(2051, 1, 1, tzinfo=UTC)])
def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path, end: datetime) -> None:
    """Both ways to write an instant (from 2050 on another one); of a chain the first to end counts."""
    ca = trustme.CA()
    file = _issue(tmp_path, ca, "client", end)
    assert ours(Tls(cert=str(file))) == end
    _issue(tmp_path, ca, "client", NOW + timedelta(days=900))
    assert ours(Tls(cert=str(file))) == min(end, NOW + timedelta(days=900))
    assert ours(Tls()) is None


def test_what_stands_beside_a_certificate_in_its_file_is_no_matter(tmp_path: Path) -> None:
    """The names that `openssl pkcs12` writes there may be in Chinese."""
    file = _issue(tmp_path, trustme.CA(), "client", NOW + timedelta(days=900))
    file.write_text(f"friendlyName: 阳光花园\n{file.read_text()}", encoding="utf-8")
    assert ours(Tls(cert=str(file))) == NOW + timedelta(days=900)


@pytest.mark.parametrize(("days", "codes"), [(29, ["W405"]), (32, []), (-2, ["W405"])])
def test_check_warns_thirty_days_ahead(tmp_path: Path, days: int, codes: list[str]) -> None:
    """`shouwang check` says it on the day of the visit, as a warning only: the gateway must start all the same."""
    now = SystemClock().now().utc
    end = now + timedelta(days=days)
    begin = min(now, end) - timedelta(days=30)
    cert = trustme.CA().issue_cert("gw", not_before=begin, not_after=end)
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    config = laid_out("certificate-ended", tmp_path)
    text = f"gateway:\n  id: gw\n  uplinks:\n    a: {{type: mqtt, host: h, tls: {{cert: {tmp_path}/client.pem}}}}\n"
    (config / "gateway.yaml").write_text(text, encoding="utf-8")
    found = checked(config)
    assert [each.code for each in found.findings] == codes
    assert found.site is not None


@pytest.mark.parametrize(
    ("unit", "name", "codes"),
    [("gateway", "gw", []), ("gateway", "gw-2", ["W412"]), ("reader", "gw-2", []), (None, "gw-2", [])],
)
def test_check_warns_of_the_certificate_of_another_gateway(
    tmp_path: Path, unit: str | None, name: str, codes: list[str]
) -> None:
    """A nats-server acknowledges what that one may not publish and drops it: nothing else would say so."""
    cert = trustme.CA().issue_cert("h", common_name=name, organization_unit_name=unit)
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    config = laid_out("certificate-ended", tmp_path)
    text = f"gateway:\n  id: gw\n  uplinks:\n    a: {{type: mqtt, host: h, tls: {{cert: {tmp_path}/client.pem}}}}\n"
    (config / "gateway.yaml").write_text(text, encoding="utf-8")
    found = checked(config)
    assert [each.code for each in found.findings] == codes
    assert found.site is not None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_a_platform_sends_is_a_certificate_or_an_error(der: bytes) -> None:
    """No bytes can do more than be refused."""
    with pytest.raises(ValueError, match="no certificate"):
        until(der)


def test_a_certificate_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """At any byte."""
    der = ssl.PEM_cert_to_DER_cert(_issue(tmp_path, trustme.CA(), "x", NOW).read_text("ascii"))
    assert until(der) == NOW
    for size in range(len(der)):
        with pytest.raises(ValueError, match="no certificate"):
            until(der[:size])


@pytest.mark.parametrize(
    ("params", "where"),
    [
        (MqttParams.model_validate({"host": "cloud.example"}), ("cloud.example", 8883)),
        (MqttParams.model_validate({"host": "127.0.0.1"}), None),
        (MqttParams.model_validate({"host": "cloud.example", "insecure": "true"}), None),
        (InfluxParams.model_validate({"url": "https://h:8086", "bucket": "b"}), ("h", 8086)),
        (InfluxParams.model_validate({"url": "http://127.0.0.1:8086", "bucket": "b"}), None),
    ],
)
def test_only_sessions_with_tls_have_certificates(params: Any, where: tuple[str, int] | None) -> None:
    """Nobody is asked for a certificate where the session goes in plaintext."""
    found = endpoint_of(params)
    assert (found[:2] if found else None) == where


async def test_both_ends_are_in_the_status_of_the_uplink(tmp_path: Path) -> None:
    """The bridge finds our end in the file and the platform's in a handshake with a real broker."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    now = datetime.now(UTC).replace(microsecond=0)
    server = _issue(tmp_path, ca, "server", now + timedelta(days=20))
    client = _issue(tmp_path, ca, "client", now + timedelta(days=300))
    lines = f"certfile {server}\nkeyfile {tmp_path}/server.key\ncafile {tmp_path}/ca.pem\nrequire_certificate true"
    tls = {"ca": f"{tmp_path}/ca.pem", "cert": str(client), "key": f"{tmp_path}/client.key"}
    box = Box(tmp_path)
    with mosquitto(tmp_path, lines) as broker:
        assert await theirs(Endpoint("127.0.0.1", broker.port, Tls(**tls))) == now + timedelta(days=20)
        up = Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(broker.port), "tls": tls})
        async with bridging(site(tmp_path, up)):
            await wait_until(lambda: len(box.status("cloud").get("certificates", ())) == 2, "both certificates")
    assert box.status("cloud")["certificates"] == {
        "ours": (now + timedelta(days=300)).isoformat(),
        "theirs": (now + timedelta(days=20)).isoformat(),
    }


async def test_a_platform_that_is_not_who_it_says_tells_no_date(tmp_path: Path) -> None:
    """The handshake for the date is verified like any other."""
    ca, other = trustme.CA(), trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = _issue(tmp_path, ca, "server", datetime.now(UTC) + timedelta(days=20))
    trusted = Tls(ca=str(tmp_path / "ca.pem"))
    with (
        mosquitto(tmp_path, f"certfile {server}\nkeyfile {tmp_path}/server.key") as broker,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        await theirs(Endpoint("127.0.0.1", broker.port, trusted))


def test_thirty_days_ahead_it_is_said_once_and_taken_back_when_renewed() -> None:
    """A reading at each change, days in /metrics; of an uplink without TLS nothing."""
    told: list[Input] = []
    clock, counters = _Clock(), Counters()
    watcher = Certificates(told.append, clock, counters)
    end = NOW + timedelta(days=31)
    for day in (0, 0.5, 1, 2, 20):
        clock.at = NOW + timedelta(days=day)
        watcher.seen({"cloud": UplinkHealth(True, 0, None, end), "plain": UplinkHealth(True, 0)})
    assert [(each.point_id, each.value, each.at) for each in told if isinstance(each, Reading)] == [
        ("uplink/cloud/certificate_ok", True, NOW),
        ("uplink/cloud/certificate_ok", False, NOW + timedelta(days=1)),
    ]
    assert counters.gauges["uplink_certificate_days", (("uplink", "cloud"),)] == 11
    watcher.seen({"cloud": UplinkHealth(True, 0, None, end + timedelta(days=365))})
    assert isinstance(told[-1], Reading)
    assert told[-1].value is True


def test_the_shipped_rules_raise_it_as_maintenance() -> None:
    """It goes to the work list of whoever looks after the box, and ends by itself with the new certificate."""
    demo = checked(SAMPLE).site
    assert demo is not None
    engine = Engine(demo, counters=Counters(), policy=NoticePolicy(demo))
    for second, value in ((0, False), (120, True)):  # in its first minute nothing ends
        now = Now(NOW + timedelta(seconds=second), float(second))
        reading = Reading("uplink/platform/certificate_ok", value, now.utc, now.utc)
        engine.step([reading], now, lambda _commands, _now: None)
        found = [each for each in engine.alarms.values() if each.rule_id == "uplink-certificate"]
        assert bool(found) is not value
        assert all(each.alarm_class.value == "maintenance" for each in found)


async def test_of_both_ends_the_first_counts(tmp_path: Path) -> None:
    """Whichever of the two ends sooner ends the session: that day is shown, and warned of."""
    ends = [NOW + timedelta(days=each) for each in (300, 20)]
    seen: list[UplinkHealth] = []
    async with OwnBox(tmp_path, None).living() as box:
        store = CursorStore(str(tmp_path))
        for first, second in (ends, reversed(ends)):
            told = {"state": "up", "since": NOW.isoformat(), "at": NOW.isoformat(), "backlog": {}}
            certificates = {"ours": first.isoformat(), "theirs": second.isoformat()}
            store.set_status("cloud", {**told, "certificates": certificates})
            looks = len(seen) + 1
            watching = asyncio.create_task(box.port.watch_uplinks(60, lambda told: seen.append(told["cloud"])))
            await wait_until(lambda wanted=looks: len(seen) == wanted, "a look")  # type: ignore[misc]
            watching.cancel()
        store.close()
    assert [each.certificate_until for each in seen] == [ends[1], ends[1]]
