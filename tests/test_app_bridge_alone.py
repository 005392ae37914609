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
        config.mkdir()
        (config / "site.yaml").write_text("site: 阳光花园\ntimezone: Asia/Shanghai\n", encoding="utf-8")
        (config / "notify.yaml").write_text("recipients: {duty: {title: 值班室}}\n", encoding="utf-8")
        (config / "gateway.yaml").write_text(
            f"gateway:\n  id: gw-1\n  data_dir: {tmp_path / 'data'}\n  web: {{host: 127.0.0.1, port: {port}}}\n"
            f"  uplinks:\n    cloud: {{type: mqtt, host: 127.0.0.1, port: {broker.port}}}\n",
            encoding="utf-8",
        )
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
