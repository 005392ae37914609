"""Two readers of one configuration: the gateway's and the simulator's, which share no code on purpose."""

from __future__ import annotations

from simulators.site import load as load_simulated
from tests.support_config import SAMPLE, checked

_FAMILY = {"bool": "bool", "int": "number", "float": "number", "text": "text"}


def test_the_simulator_plays_the_devices_the_gateway_expects() -> None:
    """The same devices on the same lines with the same points, serials and units, in the same order."""
    site = checked(SAMPLE).site
    assert site is not None
    played = load_simulated(SAMPLE)
    written = {
        name: device for name, device in site.devices.items() if device.bus_id
    }  # the others are the gateway's own
    assert list(played.devices) == list(written)
    assert played.buses.keys() == site.buses.keys()
    for name, device in written.items():
        twin = played.devices[name]
        assert (twin.bus, twin.kind, twin.profile) == (device.bus_id, device.kind, device.profile)
        assert {p.name: _FAMILY[p.type] for p in twin.points.values()} == {
            p.name: _FAMILY[p.type] for p in device.points
        }
        if site.buses[device.bus_id].type == "mqtt":
            assert twin.serial == device.params.device.serial
        else:
            assert twin.unit == device.params.device.unit
            addresses = {p.name: p.params.wire_address(device.params.profile.addressing) for p in device.points}
            assert {p.name: p.register.address for p in twin.points.values() if p.register} == addresses
