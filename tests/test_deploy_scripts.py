"""The shell scripts of the cloud side, by hand as the manual has them: slips are said, and throw nobody out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support_broker import need

DEPLOY = Path(__file__).parent.parent / "deploy"


def _run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(DEPLOY / script), *words], capture_output=True, text=True, check=False, timeout=20
    )


def test_the_last_gateway_of_the_list_counts_without_a_line_end(tmp_path: Path) -> None:
    """An editor that ends no last line must not shut the newest gateway out."""
    listed = tmp_path / "gateways.txt"
    listed.write_bytes(b"gw-1\r\n# a note\n\ngw-2")
    done = _run("nats/users.sh", str(listed))
    assert done.returncode == 0, done.stderr
    assert [name for name in ("gw-1", "gw-2") if f'"CN={name},OU=gateway"' in done.stdout] == ["gw-1", "gw-2"]
    assert done.stdout.endswith("]\n")


def test_a_list_that_is_not_there_makes_no_users(tmp_path: Path) -> None:
    """A misspelt name is an error, not a cluster into which nobody may come."""
    for words in ((str(tmp_path / "gatways.txt"),), ()):
        done = _run("nats/users.sh", *words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "gateways.txt" in done.stderr


def test_a_certificate_without_its_ca_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """Else the second try would be refused for the key of the first."""
    need("openssl", is_there=shutil.which("openssl") is not None)
    done = _run("pki/make-certs.sh", str(tmp_path), "gateway", "gw-1")
    assert done.returncode == 1
    assert "ca.key" in done.stderr
    assert list(tmp_path.iterdir()) == []
