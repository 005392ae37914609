"""Entry point: `shouwang`. The bridge starts without what the other commands need: its process is to stay small."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that was asked for."""
    if sys.argv[1:2] == ["bridge"] and "--help" not in sys.argv:
        from gateway.app.bridge_main import main as bridge  # noqa: PLC0415

        bridge(sys.argv[2:])
    else:
        from gateway.cli import main as commands  # noqa: PLC0415

        commands()


if __name__ == "__main__":
    main()
