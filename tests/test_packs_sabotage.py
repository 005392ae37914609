"""The golden stories can fail: each of these small mistakes in a shipped file turns a story red."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.app.loading import check_site
from tests.support_packs import CASES, SHIPPED, Stage, parse, unmet

SABOTAGES = [
    ("rules/fire.yaml", "confirmed: true, same: zone", "confirmed: true, same: building",
     "fire/two-zones-do-not-confirm"),
    ("rules/fire.yaml", "{kind: door, point: release, within: building", "{kind: door, point: release, within: site",
     "fire/second-device-in-the-zone-confirms"),
    ("rules/fire.yaml", "ebike-charger, point: on, within: zone", "ebike-charger, point: on, within: room",
     "fire/smoke-in-the-shed-cuts-its-sockets"),
    ("rules/fire.yaml", 'tag: "!shed", ', "", "fire/shed-detector-cuts-and-is-told-once"),
    ("rules/fire.yaml", "{to: duty_second, by: [console, buzzer, sms], after: 30s}",
     "{to: duty_second, by: [console, buzzer, sms], after: 90s}", "fire/first-device-calls-people-and-moves-nothing"),
    ("rules/gas.yaml", "above: 10 %LEL, clear: 8 %LEL", "above: 10 %LEL", "gas/ramp-through-the-levels"),
    ("rules/gas.yaml", "absent: 3m", "absent: 30m", "gas/out-of-range-is-a-fault"),
    ("profiles/gas-g1.yaml", "range: [0, 100], ", "", "gas/out-of-range-is-a-fault"),
    ("rules/charging.yaml", "{limit: leak, else: 30 mA}", "{limit: leak, else: 29 mA}",
     "charging/thirty-milliamps-are-not-more-than-thirty"),
    ("rules/charging.yaml", "else: {residual_current: 0.1 A}, for: 5s", "else: {residual_current: 0.1 A}",
     "charging/a-cut-that-works-is-not-welded"),
    ("rules/charging.yaml", "{limit: session_cut, else: 10h}", "{limit: session_cut, else: 9h}",
     "charging/eight-and-ten-hours"),
    ("rules/charging.yaml", "plugged && on && power <=", "on && power <=",
     "charging/empty-socket-is-left-alone"),
    ("rules/charging.yaml", "{limit: full_after, else: 30m}", "{limit: full_after, else: 15m}",
     "charging/full-is-cut-quietly"),
    ("rules/charging.yaml", "0.05 * limit.rated_power", "0.04 * limit.rated_power", "charging/full-is-cut-quietly"),
    ("rules/charging.yaml", "    yields_to: [socket-hot]\n", "", "charging/a-hot-socket-is-one-line"),
    ("rules/gas.yaml", "    yields_to: [gas-alarm, gas-critical]\n", "", "gas/low-goes-under-high"),
    ("rules/access.yaml", 'tag: "!accessible", ', "", "access/forced-held-tampered"),
    ("rules/access.yaml", "times: 5, within: 2m", "times: 4, within: 2m", "access/five-refusals"),
    ("rules/sos.yaml", "{to: street, by: [sms], after: 180s}", "{to: street, by: [sms], after: 170s}",
     "sos/clocks"),
    ("rules/life.yaml", "    unless: quiet\n", "", "life/no-sign-of-life"),
    ("site.yaml", 'to: "07:00"', 'to: "06:00"', "life/no-sign-of-life"),
    ("rules/upkeep.yaml", "point: battery, below: 15 %", "point: battery, below: 5 %",
     "upkeep/battery-is-work-and-no-noise"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "story"), SABOTAGES, ids=[f"{s[3]}-{n}" for n, s in enumerate(SABOTAGES)]
)
def test_a_small_mistake_turns_its_story_red(tmp_path: Path, file: str, old: str, new: str, story: str) -> None:
    """Whoever changes a limit, a delay or an output of the packs by accident is told by the story it breaks."""
    config = tmp_path / "config"
    shutil.copytree(SHIPPED, config)
    text = (config / file).read_text(encoding="utf-8")
    assert old in text
    (config / file).write_text(text.replace(old, new), encoding="utf-8")
    site = check_site(config).site
    assert site is not None
    acts, wants = parse(CASES / f"{story}.yaml")
    assert unmet(wants, Stage(site).play(acts, max(each.to_s for each in wants) + 0.01))
