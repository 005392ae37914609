"""The peer: Node-RED from npm in the cache directory, with a flow of mqtt-in → json → switch → mqtt-out at QoS 1."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from benchmarks.harness import CACHE, BenchError, Child, Lab, free_port

RELEASES = {22: "node-red@5.0.7", 18: "node-red@4.1.8"}  # by the oldest Node.js that runs them
HOME = CACHE / "node-red"
PROGRAM = HOME / "node_modules" / "node-red" / "red.js"


def install() -> None:
    """Put Node-RED into the cache once. Raises BenchError when it cannot be had."""
    if PROGRAM.exists():
        return
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise BenchError("the peer needs Node.js and npm: apt-get install nodejs npm (the other figures do not)")
    major = int(subprocess.check_output([node, "--version"], text=True, timeout=10).lstrip("v").split(".")[0])
    release = next((name for oldest, name in RELEASES.items() if major >= oldest), None)
    if release is None:
        raise BenchError(f"Node.js {major} is too old for Node-RED: 18.5 or newer is needed")
    HOME.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--omit=dev", "--prefix", str(HOME), release],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=HOME,
    )
    if done.returncode or not PROGRAM.exists():
        raise BenchError(f"npm could not install {release}: {done.stderr.strip()[-300:]}")


def flow(port: int) -> list[dict[str, Any]]:
    """One tab: whatever is in alarm or above 60 goes out as it came in."""
    common = {"z": "tab", "x": 0, "y": 0}
    listen = {**common, "type": "mqtt in", "qos": "1", "datatype": "utf8", "broker": "field", "inputs": 0, "nl": False}
    return [
        {"id": "tab", "type": "tab", "label": "alarm", "disabled": False},
        {
            "id": "field",
            "type": "mqtt-broker",
            "broker": "127.0.0.1",
            "port": str(port),
            "clientid": "node-red",
            "autoConnect": True,
            "usetls": False,
            "protocolVersion": "4",
            "keepalive": "600",
            "cleansession": True,
        },
        {**listen, "id": "smoke", "topic": "smoke/+/up", "wires": [["decode"]]},
        {**listen, "id": "env", "topic": "env/+/up", "wires": [["decode"]]},
        {
            **common,
            "id": "decode",
            "type": "json",
            "property": "payload",
            "action": "obj",
            "wires": [["alarm", "high"]],
        },
        {**_switch("alarm", "payload.alarm", {"t": "true"}), **common},
        {**_switch("high", "payload.v", {"t": "gt", "v": "60", "vt": "num"}), **common},
        {
            **common,
            "id": "siren",
            "type": "mqtt out",
            "topic": "siren/all/set",
            "qos": "1",
            "retain": "false",
            "broker": "field",
            "wires": [],
        },
    ]


def _switch(name: str, prop: str, rule: dict[str, str]) -> dict[str, Any]:
    return {
        "id": name,
        "type": "switch",
        "property": prop,
        "propertyType": "msg",
        "rules": [rule],
        "checkall": "false",
        "repair": False,
        "outputs": 1,
        "wires": [["siren"]],
    }


def start(lab: Lab, port: int, *, cpus: str = "") -> Child:
    """Run the flow, without editor or web server."""
    install()
    home = lab.dir / "node-red"
    home.mkdir(exist_ok=True)
    (home / "flows.json").write_text(json.dumps(flow(port)))
    (home / "settings.js").write_text(settings())
    node = shutil.which("node")
    assert node
    argv = [node, str(PROGRAM), "--userDir", str(home), "--settings", str(home / "settings.js"), "flows.json"]
    return lab.spawn("node-red", argv, cpus=cpus)


def settings() -> str:
    """Of a Node-RED without editor and web server."""
    options = {
        "uiPort": free_port(),
        "uiHost": "127.0.0.1",
        "httpAdminRoot": False,
        "httpNodeRoot": False,
        "disableEditor": True,
        "telemetry": {"enabled": False},
        "logging": {"console": {"level": "info", "metrics": False, "audit": False}},
    }
    return f"module.exports = {json.dumps(options)};\n"
