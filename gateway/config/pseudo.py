"""Configuration: kinds of devices that are the gateway's own: lines, uplinks, channels, the box itself.

Rules name them as they name other kinds. The devices themselves are made in `builtin`.
"""

from __future__ import annotations

from collections.abc import Mapping

from yaml import MappingNode, Mark

from gateway.config.desk import ONLINE, Mould, Profile
from gateway.config.findings import Source
from gateway.config.tree import Entry

_KINDS: Mapping[str, tuple[str, ...]] = {
    "line": (),
    "uplink": ("certificate_ok",),
    "channel": (),
    "gateway": ("time_ok", "disk_ok"),
}
_START = Mark("", 0, 0, 0, "", 0)
_NOWHERE = Entry(Source("", ()), MappingNode("", [], _START, _START), {})


def switch(name: str) -> Mould:
    """A built-in point: true or false, read only."""
    return Mould(
        name, f"/{name}", name, "bool", "", None, "", None, None, is_writable=False, is_event=False, params=None
    )


PSEUDO: Mapping[str, Profile] = {
    kind: Profile(kind, kind, kind, "", None, tuple(map(switch, (ONLINE, *points))), None, _NOWHERE)
    for kind, points in _KINDS.items()
}
