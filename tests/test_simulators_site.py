"""The simulators' own reading of an installer's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.addresses import AddressError, expand
from simulators.names import find_device, find_point
from simulators.profiles import convert, duration_s
from simulators.site import load
from simulators.spec import Register, SimError
from tests.support_sim import CASE, config_at

SAMPLE = Path(__file__).parents[1] / "config"


def test_a_pattern_stands_for_its_addresses_in_order() -> None:
    """An installer who writes one line gets the homes of a whole building, zeros kept."""
    found = expand("3-[1-2]-[09-10]-{floor}[01,03]")
    assert found[:4] == ["3-1-09-0901", "3-1-09-0903", "3-1-10-1001", "3-1-10-1003"]
    assert len(found) == 8


@pytest.mark.parametrize("pattern", ["3-[5-1]", "3-[a-b]", "[1-999]-[1-999]"])
def test_an_impossible_pattern_is_refused(pattern: str) -> None:
    """A pattern that cannot be expanded, or would fill the memory, is an error and not a hang."""
    with pytest.raises(AddressError):
        expand(pattern)


def test_the_same_files_give_the_devices_their_view() -> None:
    """Topics, serials with their zeros, registers and units come out of the profile."""
    site = load(CASE)
    assert len(site.devices) == 17
    smoke = site.devices["3-2-03-0301/smoke"]
    assert (smoke.topic, smoke.points["battery"].path) == ("smoke/SM3-2-03-0301/up", ("data", "list", 1))
    assert site.devices["3-2-03-0301/sos"].serial == "00123"
    assert site.devices["3-1-B1-CP01/ebike"].points["power.10"].register == Register("input", 25, "uint16", scale=0.1)
    orders = site.devices["3-1-B1-CP02/meter"].points
    assert [orders[name].register.address for name in ("abcd", "cdab") if orders[name].register] == [0, 2]  # type: ignore[union-attr]
    flags = [orders[f"flag.{n}"].register for n in (1, 2, 3)]
    assert [(each.address, each.bit) for each in flags if each] == [(30, 14), (30, 15), (31, 0)]


def test_the_sample_configuration_can_be_played() -> None:
    """The demo's site has its 200 devices, and each of them something to say or a register to read."""
    site = load(SAMPLE)
    assert len(site.devices) > 190
    assert all(device.topic or device.unit for device in site.devices.values())


def test_a_wrong_name_says_what_was_probably_meant() -> None:
    """A slip in a device's or point's name costs one more try, not a search."""
    site = load(CASE)
    with pytest.raises(SimError, match="3-2-03-0301/smoke"):
        find_device(site, "3-2-03-031/smoke")
    with pytest.raises(SimError, match=r"power\.3"):
        find_point(site.devices["3-1-B1-CP01/ebike"], "powr.3")
    with pytest.raises(SimError, match="several devices"):
        find_device(site, "3-2-03-0301")
    assert find_device(site, "3-1-B1-CP01/ebike/power.3")[1] == "power.3"
    assert find_device(site, "3-1-B1-CP01")[0].id == "3-1-B1-CP01/ebike"


@pytest.mark.parametrize("damage", ["buses: [", "buses: {field: {host: x}}", "site: 1\nbuses: 3"])
def test_a_broken_file_is_a_sentence(tmp_path: Path, damage: str) -> None:
    """The simulator sends people with a broken configuration to `shouwang check`."""
    config = config_at(tmp_path)
    (config / "site.yaml").write_text(damage, "utf-8")
    with pytest.raises(SimError, match="shouwang check"):
        load(config)


def test_words_become_values() -> None:
    """What a person types on the command line is a value of the point's type, or refused."""
    assert (convert("true", "bool"), convert("0", "bool"), convert("12", "int")) == (True, False, 12)
    assert (duration_s("1m30s"), duration_s("500ms"), duration_s("2")) == (90.0, 0.5, 2.0)
    for text, kind in (("maybe", "bool"), ("x", "int"), ("", "float"), ("nan", "float"), ("inf", "float")):
        with pytest.raises(SimError):
            convert(text, kind)
    with pytest.raises(SimError):
        duration_s("soon")
