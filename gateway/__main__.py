"""The command line: `shouwang`."""

from __future__ import annotations


def main() -> None:
    """Entry point."""
