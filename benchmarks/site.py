"""The community that is measured: generated configuration, addresses and payloads. Only a profile's names are shared.

A room address is ``<building>-<unit>-<floor>-<floor><room>``: 4 units of 25 floors of 10 rooms are 1,000 per building.
Building 1 has smoke detectors and sirens; each of buildings 1–9 has one temperature sensor per room.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOMS_PER_BUILDING = 1000
GATEWAY_ID = "bench"
DISCARD = 9  # a port where nobody listens: what waits for it stays in the outbox
RACK_POINTS = 100  # readings in one message of a rack

_FIELD = "bus: field\n    "

_PROFILES = {
    "smoke": """
profile: smoke
title: 独立式感烟报警器
kind: smoke
via: mqtt
topic: "smoke/{serial}/up"
time: $.ts
offline_after: 12h
points:
  alarm: {from: $.alarm, type: bool, class: fire}
  removed: {from: $.removed, type: bool, class: fault}
  battery: {from: $.bat, type: int, unit: "%", range: [0, 100]}
""",
    "siren": """
profile: siren
title: 声光警报器
kind: siren
via: mqtt
topic: "siren/{serial}/up"
offline_after: 12h
points:
  on: {from: $.on, type: bool, writable: true, set: {topic: "siren/{serial}/set", payload: {on: "{value}"}}}
""",
    "env": """
profile: env
title: 温度传感器
kind: env
via: mqtt
topic: "env/{serial}/up"
time: $.ts
offline_after: 12h
points:
  v: {from: $.v, type: float, unit: "°C"}
""",
    "rack": """
profile: rack
title: 多点采集箱
kind: rack
via: mqtt
topic: "rack/{serial}/up"
time: $.ts
offline_after: 12h
points:
"""
    + "".join(f"  p{n:03}: {{from: $.p{n:03}, type: float}}\n" for n in range(RACK_POINTS)),
}

_RULES = """
rules:
  - rule: smoke-fire
    title: 烟感火警
    when: {kind: smoke, point: alarm, is: true}
    raise: {class: fire, latch: true, text: 烟感报警}
    do:
      - {kind: siren, point: on, within: room, value: true, safety: true, expires: 10s}
    tell:
      - {to: duty, by: [console], after: 0s}
    outcomes: [真实火警, 误报, 测试]
"""

_HOT_RULE = """
  - rule: too-hot
    title: 温度过高
    when: {kind: env, point: v, above: 60, clear: 55}
    raise: {class: warning, text: 温度过高}
    do:
      - {kind: siren, point: on, within: room, value: true, safety: false, expires: 10s}
    tell:
      - {to: duty, by: [console], after: 0s}
    outcomes: [真实, 误报]
"""

_RACK_RULE = """
  - rule: rack-hot
    title: 采集箱温度过高
    when: {kind: rack, point: p000, above: 60, clear: 55}
    raise: {class: warning, text: 温度过高}
    tell:
      - {to: duty, by: [console], after: 0s}
    outcomes: [真实, 误报]
"""


def address(index: int, building: int = 1) -> str:
    """The ``index``-th room (0–999) of a building."""
    unit, rest = divmod(index % ROOMS_PER_BUILDING, 250)
    floor, room = divmod(rest, 10)
    return f"{building}-{unit + 1}-{floor + 1:02}-{floor + 1:02}{room + 1:02}"


def everywhere(first: int, last: int, units: int = 4) -> str:
    """The ``each:`` pattern of all rooms of buildings ``first`` to ``last``."""
    return f"[{first}-{last}]-[1-{units}]-[01-25]-{{floor}}[01-10]"


def smoke_topic(at: str) -> str:
    """Where the smoke detector of a room reports."""
    return f"smoke/SM{at}/up"


def smoke_payload(at: str, ts_ms: int, *, alarm: bool = True) -> bytes:
    """What it reports; every value is told each time, as such devices do."""
    word = "true" if alarm else "false"
    return f'{{"sn":"SM{at}","alarm":{word},"removed":false,"bat":93,"ts":{ts_ms}}}'.encode()


def env_topic(at: str) -> str:
    """Where the temperature sensor of a room reports."""
    return f"env/EN{at}/up"


def env_payload(value: float, ts_ms: int) -> bytes:
    """One temperature."""
    return b'{"v":%.6g,"ts":%d}' % (value, ts_ms)


def hot_payload(at: str, ts_ms: int) -> bytes:
    """A temperature above the threshold, of a sensor that names itself."""
    return f'{{"sn":"EN{at}","v":99,"ts":{ts_ms}}}'.encode()


def rack_payload(first: float, ts_ms: int) -> bytes:
    """`RACK_POINTS` values in one message, the first one under the threshold rule."""
    rest = ",".join(f'"p{n:03}":{20 + n / 10:.1f}' for n in range(1, RACK_POINTS))
    return f'{{"p000":{first:.4f},{rest},"ts":{ts_ms}}}'.encode()


@dataclass(frozen=True)
class Plan:
    """How big the community is and what it is connected to."""

    field_port: int
    web_port: int
    smoke_buildings: int = 1  # 1,000 smoke detectors and sirens each
    env_buildings: int = 9  # 1,000 temperature sensors each
    sirens: int = 1  # buildings with a siren in every room
    racks: int = 0  # 10 where there are any
    platform_port: int = DISCARD
    units: int = 4  # per building, of 250 rooms each
    uplinks: str = ""  # YAML of the uplinks; "" means one, `platform`, to the platform's port


def _devices(plan: Plan) -> str:
    lines = ["devices:"]

    def every(last: int, profile: str, serial: str) -> None:
        if last:
            where = everywhere(1, last, plan.units)
            lines.append(f'  - each: "{where}"\n    profile: {profile}\n    {_FIELD}serial: "{serial}{{at}}"')

    every(plan.smoke_buildings, "smoke", "SM")
    every(plan.env_buildings, "env", "EN")
    every(plan.sirens, "siren", "SR")
    if plan.racks:
        lines.append(f'  - each: "1-1-01-{{floor}}[01-10]"\n    profile: rack\n    {_FIELD}serial: "RK{{at}}"')
    return "\n".join(lines) + "\n"


def write(folder: Path, plan: Plan, *, keeps_all: bool = False) -> Path:
    """Write the configuration; its directory. ``keeps_all``: a second uplink never settles, the outbox keeps all."""
    config = folder / "config"
    for each in ("devices", "profiles", "rules"):
        (config / each).mkdir(parents=True, exist_ok=True)
    (config / "gateway.yaml").write_text(
        f"gateway:\n  id: {GATEWAY_ID}\n  data_dir: {folder / 'data'}\n"
        f"  web: {{host: 127.0.0.1, port: {plan.web_port}}}\n  uplinks:\n"
        + (plan.uplinks or f"    platform: {{type: mqtt, host: 127.0.0.1, port: {plan.platform_port}}}\n")
        + (f"    nobody: {{type: mqtt, host: 127.0.0.1, port: {DISCARD}}}\n" if keeps_all else "")
    )
    (config / "site.yaml").write_text(
        "site: 测量小区\ntimezone: Asia/Shanghai\nbuses:\n"
        f"  field: {{type: mqtt, host: 127.0.0.1, port: {plan.field_port}}}\n"
    )
    (config / "notify.yaml").write_text('recipients:\n  duty: {title: 值班室, console: ""}\n')
    (config / "devices" / "all.yaml").write_text(_devices(plan))
    (config / "rules" / "all.yaml").write_text(
        _RULES + (_HOT_RULE if plan.env_buildings else "") + (_RACK_RULE if plan.racks else "")
    )
    wanted = {"siren": plan.sirens, "smoke": plan.smoke_buildings, "env": plan.env_buildings, "rack": plan.racks}
    for name, is_wanted in wanted.items():
        if is_wanted:
            (config / "profiles" / f"{name}.yaml").write_text(_PROFILES[name])
    return config
