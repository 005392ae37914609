"""What whoever starts the gateway on a terminal needs to know: where the page is, and how to log in first."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.model import Site


def greet(site: Site, code: Path) -> None:
    """A few lines on a terminal; nothing in a log, where the code would stay."""
    if not sys.stdout.isatty():
        return
    lines = [f"值班页 Console      http://{site.web_host}:{site.web_port}/"]
    if code.exists():
        lines.append(f"首次登录 First login  {code.read_text(encoding='utf-8').strip()}  (一次性代码 one-time code)")
    lines.append("辅助监测,不替代消防系统。Ctrl-C 结束 ends.")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
