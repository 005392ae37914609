"""Small sites for tests of the shell, made from YAML with the real tables."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from gateway.app.loading import check_site
from gateway.model import Site

GATEWAY = """
gateway:
  id: gw1
  data_dir: {data}
  web: {{host: 127.0.0.1, port: {web}}}
"""

SITE = """
site: 测试小区
timezone: Asia/Shanghai
buses:
  field: {{type: mqtt, host: 127.0.0.1, port: {port}}}
"""

PROFILES = {
    "smoke": """
        profile: smoke
        title: 烟感
        kind: smoke
        via: mqtt
        topic: "smoke/{serial}/up"
        time: $.ts
        offline_after: 12h
        points:
          alarm: {from: $.alarm, type: bool, class: fire}
          temp: {from: $.temp, type: float, unit: "°C", range: [-40, 125]}
        """,
    "siren": """
        profile: siren
        title: 声光报警器
        kind: siren
        via: mqtt
        topic: "siren/{serial}/up"
        offline_after: 12h
        points:
          "on": {from: $.on, type: bool, writable: true, set: {topic: "siren/{serial}/set", payload: {on: "{value}"}}}
        """,
    "sos": """
        profile: sos
        title: 呼救按钮
        kind: sos
        via: mqtt
        topic: "zigbee2mqtt/{serial}"
        availability: {topic: "zigbee2mqtt/{serial}/availability", from: $.state}
        offline_after: 12h
        points:
          pressed: {from: $.action, type: text, class: sos, event: true, ignore: [""]}
          lamp:
            from: $.lamp
            type: bool
            writable: true
            set: {topic: "zigbee2mqtt/{serial}/set", payload: {lamp: "{value}"}}
          battery: {from: $.battery, type: int, unit: "%", range: [0, 100]}
        """,
}

DEVICES = """
devices:
  - {each: "3-2-03-03[01-20]", profile: smoke, bus: field, serial: "SM{at}"}
  - {each: "3-2-03-03[01-20]", profile: siren, bus: field, serial: "SR{at}"}
  - {at: 3-2-03-0301, profile: sos, bus: field, serial: B1}
"""

RULES = """
rules:
  - rule: smoke-fire
    title: 烟感火警
    when: {kind: smoke, point: alarm, is: true}
    raise: {class: fire, latch: true, text: 烟感报警}
    do: [{kind: siren, point: "on", within: room, value: true, safety: true, expires: 5s}]
    tell: [{to: duty, by: [console]}]
    outcomes: [真实火警, 误报, 测试]
  - rule: hot
    title: 高温
    when: {kind: smoke, point: temp, above: 60, clear: 55}
    raise: {class: warning, text: 温度过高}
  - rule: sos
    title: 一键呼救
    when: {kind: sos, point: pressed, changed_to: emergency}
    raise: {class: sos, latch: true, text: 求助}
    do: [{point: lamp, within: device, value: true, safety: true, expires: 5s, until: reset}]
"""


def write_site(directory: Path, port: int, *, web_port: int = 0, uplinks: str = "", buses: str = "") -> Path:
    """A configuration directory: twenty smoke detectors with sirens and one button on the broker at ``port``."""
    config = directory / "config"
    for each in ("devices", "profiles", "rules"):
        (config / each).mkdir(parents=True, exist_ok=True)
    gateway = GATEWAY.format(data=directory / "data", web=web_port or 8080)
    if uplinks:
        gateway += "  uplinks:\n" + uplinks
    (config / "gateway.yaml").write_text(gateway, encoding="utf-8")
    (config / "site.yaml").write_text(SITE.format(port=port) + buses, encoding="utf-8")
    for name, text in PROFILES.items():
        (config / "profiles" / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")
    (config / "devices" / "all.yaml").write_text(DEVICES, encoding="utf-8")
    (config / "rules" / "all.yaml").write_text(RULES, encoding="utf-8")
    (config / "notify.yaml").write_text('recipients: {duty: {title: 值班室, console: ""}}\n', encoding="utf-8")
    return config


def site_at(config: Path) -> Site:
    """The checked site; fails with the findings where there are any errors."""
    checked = check_site(config)
    assert checked.site is not None, [each.message.en for each in checked.findings]
    return checked.site
