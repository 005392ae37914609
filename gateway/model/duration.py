"""Durations as people write them: ``500ms``, ``1s``, ``10m``, ``12h``, ``2d``. Pure text to seconds, nothing else."""

from __future__ import annotations

import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHAPE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)


def seconds(text: str) -> float:
    """Seconds of ``text``: one number and one of ms, s, m, h, d. Raises ValueError for anything else."""
    found = _SHAPE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration: write for example 500ms, 1s, 10m or 12h")
    return float(found[1]) * _UNITS_S[found[2]]
