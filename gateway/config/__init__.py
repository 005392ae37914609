"""Configuration: YAML that remembers the place of every value, shapes, cross references.

`check` reads a directory and tells everything that is wrong with it; `load` is the same for callers who want a
`Site` or an exception. The table of drivers and of uplinks is an argument: this room knows no protocol.
"""

from __future__ import annotations

from gateway.config.findings import ConfigErrors, Finding, Say, Spot
from gateway.config.loading import Checked, check, load
from gateway.config.render import as_json, render

__all__ = ["Checked", "ConfigErrors", "Finding", "Say", "Spot", "as_json", "check", "load", "render"]
