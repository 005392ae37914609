"""Web: from where a page may show pictures: the hosts that the configuration names, and no other. Pure.

The gateway neither fetches nor stores pictures: the browser asks the camera (docs/decisions/0012).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.model import Site


def picture_sources(site: Site) -> tuple[str, ...]:
    """The origins of all configured pictures, for the content security policy."""
    addresses = (urlsplit(each.snapshot) for each in site.devices.values() if each.snapshot)
    return tuple(sorted({f"{each.scheme}://{each.netloc}" for each in addresses}))
