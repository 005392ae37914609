"""`shouwang run --no-bridge` and `shouwang bridge`: two programs that somebody else starts and limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support_bridge import free_port, mosquitto, platform, until
from tests.support_process import GatewayProcess


async def test_a_bridge_alone_serves_a_gateway_that_starts_none(tmp_path: Path) -> None:
    """The gateway starts no child of its own; what it keeps goes out as soon as the other program runs."""
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        config, port = tmp_path / "config", free_port()
        write_config(config, tmp_path / "data", port=port, broker=broker.port)
        gateway = GatewayProcess(config, port, "--no-bridge")
        bridge = None
        try:
            gateway.start()
            assert not (tmp_path / "data" / "bridge.lock").exists()
            bridge = subprocess.Popen([sys.executable, "-m", "gateway", "bridge", "--config", str(config)])
            await until(lambda: seen.of("telemetry"), "what the gateway says of itself arrives", 30)
        finally:
            gateway.end()
            if bridge is not None:
                bridge.kill()
                bridge.wait()


def test_on_a_disk_that_cannot_be_written_it_says_so_and_ends(tmp_path: Path) -> None:
    """A sentence with what to do, and no traceback."""
    config = tmp_path / "config"
    write_config(config, tmp_path / "data" / "inside", port=1)
    (tmp_path / "data").write_text("no directory")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "bridge", "--config", str(config)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 1
    assert "磁盘要能写" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_whichever_is_started_first_a_bridge_of_each_kind_says_what_it_does(tmp_path: Path) -> None:
    """The bridge alone waits for its gateway; a gateway that is told to start its own beside it goes on without, and
    what it keeps goes out all the same."""
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        config, port = tmp_path / "config", free_port()
        write_config(config, tmp_path / "data", port=port, broker=broker.port)
        gateway = GatewayProcess(config, port)
        with subprocess.Popen([sys.executable, "-m", "gateway", "bridge", "--config", str(config)]) as bridge:
            try:
                await until((tmp_path / "data" / "bridge.lock").exists, "the bridge holds its lock", 30)
                gateway.start()
                await until(lambda: seen.of("telemetry"), "what the gateway says of itself arrives", 30)
                await until(lambda: "已有一个云桥" in gateway.log.read_text(), "the second bridge says why it ends", 40)
                assert bridge.poll() is None
            finally:
                gateway.end()
                bridge.kill()


def write_config(config: Path, data: Path, *, port: int, broker: int = 9) -> None:
    config.mkdir()
    (config / "site.yaml").write_text("site: 阳光花园\ntimezone: Asia/Shanghai\n", encoding="utf-8")
    (config / "notify.yaml").write_text("recipients: {duty: {title: 值班室}}\n", encoding="utf-8")
    (config / "gateway.yaml").write_text(
        f"gateway:\n  id: gw-1\n  data_dir: {data}\n  web: {{host: 127.0.0.1, port: {port}}}\n"
        f"  uplinks:\n    cloud: {{type: mqtt, host: 127.0.0.1, port: {broker}}}\n",
        encoding="utf-8",
    )
