"""The bridge has its configuration read by a process apart: the same site, the same words, the same end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway.app.apart import read_apart
from gateway.app.loading import check_site
from gateway.model import Site

CONFIG = Path(__file__).parent.parent / "config"


def test_what_is_read_apart_is_the_same_site() -> None:
    """Devices, rules and the uplinks' parameters come over whole."""

    def read() -> Site:
        site = check_site(CONFIG).site
        assert site is not None
        return site

    apart = read_apart(read)
    assert (apart.devices, apart.uplinks, apart.rules) == (read().devices, read().uplinks, read().rules)


def test_a_configuration_with_errors_ends_the_bridge_with_them(tmp_path: Path) -> None:
    """The findings are printed once, and the exit code is that of `check`."""
    (tmp_path / "gateway.yaml").write_text("gateway: {id: a/b}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "bridge", "--config", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("检查完成") == 1
    assert "Traceback" not in ended.stderr
