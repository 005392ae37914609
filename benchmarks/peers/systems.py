"""Who is compared, and how each is started: configured as its manual says for a line that fails, nothing patched.

Node-RED and thingsboard-gateway live in the cache directory, each by itself; ``--install`` puts them there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import node_red, site, systems
from benchmarks.harness import CACHE, BenchError, Child, Lab, find_mosquitto

TB_RELEASE = "thingsboard-gateway==3.8.5"
TB_HOME = CACHE / "tb-gateway"
TB_PYTHON = TB_HOME / "venv" / "bin" / "python"


@dataclass(frozen=True)
class Ports:
    """Where the devices publish, and the line to the platform."""

    field: int
    line: int


@dataclass(frozen=True)
class Peer:
    """One system under the workload. ``is_broker``: the devices' broker is itself what forwards."""

    name: str
    start: Callable[[Lab, Ports], Child]
    missing: Callable[[], str]
    is_broker: bool = False


def _ours(lab: Lab, ports: Ports) -> Child:
    config = lab.dir / "config"
    if not config.exists():
        plan = systems.plan_for(ports.field, smoke_buildings=1, env_buildings=1, sirens=1, platform_port=ports.line)
        site.write(lab.dir, plan)
    return systems.start_gateway(lab, config)


def _node_red(lab: Lab, ports: Ports) -> Child:
    home = lab.dir / "node-red"
    home.mkdir(exist_ok=True)
    (home / "flows.json").write_text(json.dumps(_flow(ports)))
    (home / "settings.js").write_text(node_red.settings())
    node = shutil.which("node")
    assert node
    argv = [node, str(node_red.PROGRAM), "--userDir", str(home), "--settings", str(home / "settings.js"), "flows.json"]
    return lab.spawn("node-red", argv)


def _flow(ports: Ports) -> list[dict[str, Any]]:
    """Whatever the devices say goes to the platform as it came; both sessions are kept by their brokers."""
    broker = {
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "autoConnect": True,
        "usetls": False,
        "protocolVersion": "4",
        "keepalive": "15",
        "cleansession": False,
    }
    node = {"z": "tab", "x": 0, "y": 0, "qos": "1"}
    return [
        {"id": "tab", "type": "tab", "label": "forward", "disabled": False},
        {**broker, "id": "field", "port": str(ports.field), "clientid": "node-red-field"},
        {**broker, "id": "cloud", "port": str(ports.line), "clientid": "node-red-cloud"},
        {
            **node,
            "id": "in",
            "type": "mqtt in",
            "topic": "env/+/up",
            "datatype": "utf8",
            "broker": "field",
            "inputs": 0,
            "nl": False,
            "wires": [["out"]],
        },
        {**node, "id": "out", "type": "mqtt out", "topic": "", "retain": "false", "broker": "cloud", "wires": []},
    ]


def _thingsboard(storage: dict[str, Any]) -> Callable[[Lab, Ports], Child]:
    def start(lab: Lab, ports: Ports) -> Child:
        home = lab.dir / "tb"
        for each in ("config", "data", "logs"):
            (home / each).mkdir(parents=True, exist_ok=True)
        config = home / "config"
        (config / "tb_gateway.json").write_text(json.dumps(_tb_config(ports, storage, home)))
        (config / "mqtt.json").write_text(json.dumps(_tb_connector(ports)))
        shipped = next(TB_HOME.glob("venv/lib/python*/site-packages/thingsboard_gateway/config/logs.json"))
        logs = json.loads(shipped.read_text().replace("./logs/", f"{home}/logs/"))
        (config / "logs.json").write_text(json.dumps(logs))
        code = f"import os; os.chdir({str(home)!r}); from thingsboard_gateway.tb_gateway import main; main()"
        return lab.spawn("tb-gateway", [str(TB_PYTHON), "-c", code], TB_GW_CONFIG_DIR=str(config), PYTHONPATH="")

    return start


def _tb_config(ports: Ports, storage: dict[str, Any], home: Path) -> dict[str, Any]:
    """As shipped, but for the address, the storage, and what would go to the platform beside the readings."""
    paths = {"data_folder_path": f"{home}/data/", "data_file_path": f"{home}/data/"}
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": ports.line,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "maxPayloadSizeBytes": 8196,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
        },
        "storage": {**storage, **{key: path for key, path in paths.items() if key in storage}},
        "grpc": {"enabled": False},
        "connectors": [{"name": "field", "type": "mqtt", "configuration": "mqtt.json"}],
    }


def _tb_connector(ports: Ports) -> dict[str, Any]:
    device = {
        "deviceNameExpressionSource": "topic",
        "deviceNameExpression": "(?<=env/)(.*?)(?=/up)",
        "deviceProfileExpressionSource": "constant",
        "deviceProfileExpression": "default",
    }
    return {
        "broker": {
            "host": "127.0.0.1",
            "port": ports.field,
            "clientId": "tb-gateway",
            "version": 5,
            "maxMessageNumberPerWorker": 10,
            "maxNumberOfWorkers": 100,
            "cleanSession": False,
            "cleanStart": False,
            "sessionExpiryInterval": 3600,
            "security": {"type": "anonymous"},
        },
        "mapping": [
            {
                "topicFilter": "env/+/up",
                "subscriptionQos": 1,
                "converter": {
                    "type": "json",
                    "deviceInfo": device,
                    "sendDataOnlyOnChange": False,
                    "timeout": 60_000,
                    "attributes": [],
                    "timeseries": [{"type": "double", "key": "v", "value": "${v}"}],
                },
            }
        ],
    }


def _mosquitto(tuning: str) -> Callable[[Lab, Ports], Child]:
    def start(lab: Lab, ports: Ports) -> Child:
        path = lab.dir / "bridge.conf"
        path.write_text(
            f"listener {ports.field} 127.0.0.1\nallow_anonymous true\nlog_type error\nuser root\n"
            + tuning.format(home=lab.dir)
            + f"connection up\naddress 127.0.0.1:{ports.line}\ntopic env/# out 1\nnotifications false\n"
            "bridge_attempt_unsubscribe false\nrestart_timeout 1 2\n"
        )
        return lab.spawn("mosquitto-bridge", [find_mosquitto(), "-c", str(path)])

    return start


_TUNED = (
    "max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 100\n"
    "persistence true\npersistence_location {home}/\nautosave_interval 1\n"
)


def _no_mosquitto() -> str:
    try:
        find_mosquitto()
    except BenchError as error:
        return str(error)
    return ""


def _no_thingsboard() -> str:
    return "" if TB_PYTHON.exists() else f"{TB_RELEASE} is not in {TB_HOME}: run with --install"


def _no_node_red() -> str:
    if not shutil.which("node"):
        return "Node.js is missing: apt-get install nodejs npm"
    return "" if node_red.PROGRAM.exists() else "Node-RED is not in the cache: run with --install"


_FILE = {"type": "file", "data_folder_path": "", "max_file_count": 10, "max_read_records_count": 10}
_SQLITE = {"type": "sqlite", "data_file_path": "", "messages_ttl_check_in_hours": 1, "messages_ttl_in_days": 7}

PEERS = {
    each.name: each
    for each in (
        Peer("shouwang", _ours, lambda: systems.is_available(systems.System.OURS)),
        Peer("node-red", _node_red, _no_node_red),
        Peer("tb-gateway-file", _thingsboard({**_FILE, "max_records_per_file": 10_000}), _no_thingsboard),
        Peer("tb-gateway-sqlite", _thingsboard(_SQLITE), _no_thingsboard),
        Peer("mosquitto-untuned", _mosquitto(""), _no_mosquitto, is_broker=True),
        Peer("mosquitto-tuned", _mosquitto(_TUNED), _no_mosquitto, is_broker=True),
    )
}


def install() -> list[str]:
    """Put into the cache what can be had; what could not."""
    failed = []
    try:
        node_red.install()
    except BenchError as error:
        failed.append(str(error))
    if not TB_PYTHON.exists():
        TB_HOME.mkdir(parents=True, exist_ok=True)
        for argv in (
            [sys.executable, "-m", "venv", str(TB_HOME / "venv")],
            [str(TB_PYTHON), "-m", "pip", "install", "--quiet", "--prefer-binary", TB_RELEASE],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
            if done.returncode:
                shutil.rmtree(TB_HOME, ignore_errors=True)
                return [*failed, f"pip could not install {TB_RELEASE}: {done.stderr.strip()[-300:]}"]
    return failed
