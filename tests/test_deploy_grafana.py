"""The dashboards: every query of every panel is asked of a real VictoriaMetrics that a fleet has filled."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulators.fleet import behaviour, measured
from simulators.fleet_cloud import DEPLOY, Certificates, TimeSeriesStore
from simulators.fleet_run import Target, gateway_ids, play
from tests.support_bridge import until
from tests.support_cloud import ask, need_cloud, query, trusting

FILES = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
PANELS = [
    pytest.param(each["expr"], id=f"{name}-{panel['id']}{each['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for each in panel["targets"]
]
SITES = 4
# The fleet has nothing silent; nothing of its kinds stands still for this.
EMPTY_WHEN_ALL_IS_WELL = ("unless", "> 300")


def filled_in(expr: str) -> str:
    """As Grafana sends it: its variables have their values."""
    for name, value in (("$site", "fleet-.*"), ("$__interval", "5m"), ("$__range", "1h")):
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


@dataclasses.dataclass
class Filled:
    url: str
    pki: Certificates


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    need_cloud()
    directory = tmp_path_factory.mktemp("cloud")
    pki = Certificates(directory / "pki")
    pki.server("node")
    pki.reader("grafana")
    for each in gateway_ids(SITES):
        pki.gateway(each)
    store = TimeSeriesStore(directory / "series", pki)
    try:
        store.start()
        import asyncio  # noqa: PLC0415

        asyncio.run(_fill(store, pki))
        yield Filled(store.url, pki)
    finally:
        store.stop()


async def _fill(store: TimeSeriesStore, pki: Certificates) -> None:
    # Few devices, so that each has reported; many alarms, so that each class has its own; one box is unwell.
    how = dataclasses.replace(behaviour(measured(), alarms_per_h=100_000), devices=300)
    tally = await play(SITES, how, Target(series=("127.0.0.1", store.port), certificates=pki.path), 4, 1)
    assert tally.counts["written"] > 2000, tally.as_dict()
    gateway = gateway_ids(1)[0]
    unwell = [
        f"{kind},device={kind}/x,site=- online=false" for kind in ("uplink", "line", "channel")
    ] + ["gateway,device=gateway/box,site=- time_ok=false", "gateway,device=gateway/box,site=- disk_ok=false",
         "smoke,device=low,site=- battery=3", "smoke,device=lost,site=- online=false"]  # fmt: skip
    unwell += [f"alarm_event,class={each},rule=r,device=d,point=p,site=- open=true,version=1i"
               for each in ("fire", "gas", "sos", "fault")]  # fmt: skip
    status, _ = ask(f"{store.url}/api/v2/write", trusting(pki, gateway), "\n".join(unwell).encode())
    assert status == 204

    def is_visible() -> bool:
        ask(f"{store.inner_url}/internal/force_flush", trusting(pki))
        return bool(query(store.url, trusting(pki, "grafana"), 'last_over_time(smoke_battery{device="low"}[1h])'))

    await until(is_visible, "the lines can be asked")


@pytest.mark.parametrize("expr", PANELS)
def test_every_panel_shows_something(filled: Filled, expr: str) -> None:
    """VictoriaMetrics takes the query and has an answer to it; those that show trouble only are empty in good times."""
    found = query(filled.url, trusting(filled.pki, "grafana"), filled_in(expr))
    if not any(each in expr for each in EMPTY_WHEN_ALL_IS_WELL):
        assert found, expr


def test_the_figures_are_right(filled: Filled) -> None:
    """Of what is known to be there the panels say the number."""
    grafana = trusting(filled.pki, "grafana")

    def value(name: str, number: int) -> float:
        panel = next(each for each in DASHBOARDS[name]["panels"] if each["id"] == number)
        found = query(filled.url, grafana, filled_in(panel["targets"][0]["expr"]))
        return sum(float(each["value"][1]) for each in found)

    assert value("uplinks", 1) == SITES
    assert value("uplinks", 2) == 0
    assert value("boxes", 1) == SITES
    assert value("boxes", 2) == value("boxes", 3) == 1
    assert value("devices", 3) == 1
    assert value("alarms", 1) >= 1
    assert 299 * SITES <= value("devices", 1) <= 302 * SITES


def test_a_gateway_that_fell_silent_is_listed(filled: Filled) -> None:
    """The list of silent gateways is empty for good reason: one that was heard an hour ago is in it."""
    grafana = trusting(filled.pki, "grafana")
    panel = next(each for each in DASHBOARDS["uplinks"]["panels"] if each["id"] == 2)
    later = filled_in(panel["targets"][0]["expr"]).replace("[5m]", "[1ms]")
    assert float(query(filled.url, grafana, later)[0]["value"][1]) == SITES


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_loaded(name: str) -> None:
    """What Grafana needs is there, ids are single, panels do not lie on each other, nothing names a machine."""
    of = DASHBOARDS[name]
    assert of["uid"] == f"shouwang-{name}"
    assert {"title", "schemaVersion", "panels", "templating", "time"} <= of.keys()
    ids = [each["id"] for each in of["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for each in of["panels"]
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) <= 23
    assert all(each["datasource"]["uid"] == "${datasource}" for each in of["panels"])
    assert not re.search(r"https?://", json.dumps(of))
    assert all(re.search(r"[\u4e00-\u9fff]", each["title"]) for each in of["panels"])


def test_provisioning_names_what_is_there() -> None:
    """The data sources verify and show a certificate; both files are YAML that says so."""
    for path in (DEPLOY / "grafana" / "provisioning").rglob("*.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["apiVersion"] == 1
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/shouwang.yaml").read_text(encoding="utf-8"))
    for each in sources["datasources"]:
        assert each["url"].startswith("https://")
        assert each["jsonData"]["tlsAuth"]
        assert each["jsonData"]["tlsAuthWithCACert"]
        assert "tlsSkipVerify" not in each["jsonData"]
    assert Path(DEPLOY / "grafana" / "dashboards").is_dir()
