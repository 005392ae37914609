"""Addresses and patterns: what `each:` stands for, and what devices are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.expand import PatternError, expand, place_of
from gateway.model import Place, Site
from tests.support_config import checked, laid_out


def test_the_sketch_is_144_homes_in_order() -> None:
    """The pattern of the manual is 144 addresses, floor by floor, with their zeros."""
    found = expand("3-[1-2]-[01-18]-{floor}[01-04]")
    assert len(found) == len(set(found)) == 144
    assert found[:5] == ["3-1-01-0101", "3-1-01-0102", "3-1-01-0103", "3-1-01-0104", "3-1-02-0201"]
    assert found[-1] == "3-2-18-1804"


@pytest.mark.parametrize(
    ("pattern", "addresses"),
    [
        ("3-1-01-0101", ["3-1-01-0101"]),
        ("[1,3]-1", ["1-1", "3-1"]),
        ("[01,03-05]", ["01", "03", "04", "05"]),
        ("[9-11]", ["9", "10", "11"]),
        ("[098-101]", ["098", "099", "100", "101"]),
        ("[A,B]栋-{building}1", ["A栋-A栋1", "B栋-B栋1"]),
        ("2-[1-2]-B1-CP{unit}", ["2-1-B1-CP1", "2-2-B1-CP2"]),
    ],
)
def test_groups_list_and_count(pattern: str, addresses: list[str]) -> None:
    """Ranges keep their zeros, lists keep their order, references repeat the part before."""
    assert expand(pattern) == addresses


@pytest.mark.parametrize(
    "pattern",
    ["[3-1]", "[a-c]", "[1-", "1-2]", "[]", "[1,,2]", "{floor}-1", "{no}", "[1-9999999]", "[1-999][1-999]", "x" * 300],
)
def test_what_is_no_pattern_is_refused_at_once(pattern: str) -> None:
    """A wrong or far too large pattern is told, not expanded."""
    with pytest.raises(PatternError) as caught:
        expand(pattern)
    assert caught.value.what.zh
    assert caught.value.fix.zh


@given(st.text(alphabet="[]{}-,0123456789floruni 栋", max_size=40))
def test_any_text_expands_or_is_refused(pattern: str) -> None:
    """No pattern gives anything but 1 to 1,000 addresses or a refusal."""
    try:
        found = expand(pattern, 1_000)
    except PatternError:
        return
    assert 1 <= len(found) <= 1_000


def test_parts_of_an_address_are_text() -> None:
    """0301 stays 0301, and what follows the third dash belongs to the room."""
    assert place_of("3-2-03-0301", "A区") == Place("3-2-03-0301", "3", "2", "03", "0301", "A区")
    assert place_of("3-1-B1-CP-01") == Place("3-1-B1-CP-01", "3", "1", "B1", "CP-01")
    assert place_of("门岗") == Place("门岗", "门岗")


@pytest.mark.parametrize("address", ["", "a/b", "a+b", "a#b/c", "a\nb", "a\x00b", "x" * 65, " a", "a[1]"])
def test_an_address_cannot_break_ids_or_topics(address: str) -> None:
    """Slashes, wildcards and control characters never get into an id."""
    with pytest.raises(PatternError):
        place_of(address)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The base configuration."""
    found = checked(laid_out("valid", tmp_path)).site
    assert found is not None
    return found


def test_each_gives_every_device_its_serial(site: Site) -> None:
    """`serial: "SM{at}"` is each device's own address, though the item was checked once."""
    serials = {d.id: d.params.device.serial for d in site.devices.values() if d.kind == "smoke"}
    assert serials["3-2-02-0201/smoke"] == "SM3-2-02-0201"
    assert len(set(serials.values())) == len(serials) == 8


def test_repeated_points_are_numbered_from_one(site: Site) -> None:
    """Ten sockets are power.1 to power.10, each with its own register."""
    points = {p.name: p for p in site.devices["3-1-B1-CP01/ebike-charger"].points}
    assert [name for name in points if name.startswith("power")] == [f"power.{n}" for n in range(1, 11)]
    addresses = [points[f"power.{n}"].params.wire_address("pdu") for n in (1, 2, 10)]
    assert addresses == [16, 17, 25]
    assert points["power.3"].type == "float"
    assert points["power.3"].unit == "W"
    assert points["on.3"].is_writable


def test_what_devices_have_in_common_is_shared(site: Site) -> None:
    """Nine thousand devices of one profile hold one copy of its parameters."""
    first, second = (site.devices[f"3-1-01-010{n}/smoke"] for n in (1, 2))
    assert first.params.profile is second.params.profile
    assert all(a.params is b.params and a.name is b.name for a, b in zip(first.points, second.points, strict=True))


def test_rules_know_their_points(site: Site) -> None:
    """A rule on a kind watches that point of every such device, and of no other."""
    rule = next(each for each in site.rules if each.id == "smoke-fire")
    assert sorted(rule.points) == sorted(f"{d.id}/alarm" for d in site.devices.values() if d.kind == "smoke")
    assert rule.condition.value is True
    assert rule.latches
