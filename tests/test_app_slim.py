"""The bridge's part of a site: every message that an uplink makes is the same as from the whole."""

from __future__ import annotations

import pickle
from pathlib import Path

from cloud_bridge.selection import Selection
from cloud_bridge.series import describe
from cloud_bridge.settings import Common, Only
from cloud_bridge.sparkplug_messages import Composer
from cloud_bridge.sparkplug_roster import Roster
from cloud_bridge.thingsboard_encode import Encoder
from cloud_bridge.thingsboard_reconcile import Reconcile
from gateway.app.loading import check_site
from gateway.app.slim import for_uplinks
from gateway.model import Site

CONFIG = Path(__file__).parent.parent / "config"


def _sites() -> tuple[Site, Site]:
    whole = check_site(CONFIG).site
    assert whole is not None
    return whole, for_uplinks(whole)


def _said(site: Site) -> list[object]:
    """What the uplinks make of a site alone: series, births, descriptions, alarm keys, choices."""
    points = [point.id for device in site.devices.values() for point in device.points]
    selection = Selection(site, Common(only=Only(kinds=("smoke",), buildings=("3",))))
    everyone = Selection(site)
    composer = Composer(Roster(site, everyone), site.id, "e", 8_192, {"births": 0, "historical": 0})
    encoder = Encoder(site, "e", everyone, prefix=None, is_plain=False, together=1)
    reconcile = Reconcile(encoder, site, "e")
    series = describe(site)
    return [
        [series(each) for each in points],
        [selection.keeps(each) for each in points],
        [everyone.keeps(each) for each in points],
        [each.payload.SerializeToString() for each in composer.births(0)],
        [encoder.description(each) for each in site.devices if encoder.name(each)],
        reconcile._alarm_keys(),
        {rule.id: (rule.outcomes, rule.points) for rule in site.rules},
        {rule.id: [part.points for part in rule.condition.parts] for rule in site.rules},
    ]


def test_uplinks_say_the_same_of_the_slim_site() -> None:
    """Nothing that goes up, and nothing that stays, changes by what is left out."""
    whole, slim = _sites()
    assert _said(slim) == _said(whole)
    assert (slim.id, slim.title, slim.data_dir, slim.uplinks) == (whole.id, whole.title, whole.data_dir, whole.uplinks)


def test_what_is_for_drivers_and_people_stays_out() -> None:
    """No telephone number and no parameter of a driver is in the bridge's memory, and it is less than two thirds."""
    whole, slim = _sites()
    assert not slim.recipients
    assert not slim.buses
    assert all(point.params is None for device in slim.devices.values() for point in device.points)
    assert len(pickle.dumps(slim)) < len(pickle.dumps(whole)) * 2 / 3
