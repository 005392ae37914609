"""Configuration: what it points at outside its own directory: secrets, TLS files, the page's address.

All of it is warnings: a configuration may be checked on another machine than the one it is for.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.config.findings import Findings, Say
from gateway.config.shapes import Web
from gateway.config.shaping import Part
from gateway.config.tree import Entry
from gateway.x509 import first_end

_TLS_FILES = ("ca", "cert", "key")
_SOON = timedelta(days=30)


def check_references(findings: Findings, raw: Any, part: Part) -> None:
    """Warn of secrets (``{file: path}``, ``{env: NAME}``) and TLS files under ``raw`` that are not here."""
    for name, value in raw.items() if isinstance(raw, Mapping) else ():
        if not isinstance(value, Mapping):
            continue
        here = part._replace(path=(*part.path, name))
        for key in _TLS_FILES if name == "tls" else ("file",):
            if isinstance(value.get(key), str):
                _check_file(findings, value[key], here._replace(path=(*here.path, key)))
        if name == "tls" and isinstance(value.get("cert"), str):
            _check_certificate(findings, value["cert"], here._replace(path=(*here.path, "cert")))
        if name != "tls" and isinstance(value.get("env"), str):
            _check_variable(findings, value["env"], here._replace(path=(*here.path, "env")))


def _check_file(findings: Findings, name: str, part: Part) -> None:
    try:
        if not name or Path(name).is_file():
            return
    except PermissionError:
        return  # another user's directory: only the gateway itself can tell
    findings.add(
        "W401",
        part.entry.at(*part.path),
        Say(f"没有文件 {name}", f"there is no file {name}"),
        subject=part.subject,
        fix=Say(
            "放好这个文件;相对路径从启动时的当前目录算起",
            "put it there; a relative path counts from the directory the gateway is started in",
        ),
    )


def _check_certificate(findings: Findings, name: str, part: Part) -> None:
    """Warn of a client certificate that the other side will refuse, now or soon: never an error, the gateway starts."""
    try:
        end = first_end(Path(name))
    except OSError:
        return  # not there, which is said already, or for the gateway's own user only
    except ValueError:
        end = None
    now = SystemClock().now().utc
    if end is not None and end - now > _SOON:
        return
    if end is None:
        code, said = "W404", Say(f"{name} 里没有证书", f"{name} holds no certificate")
    elif end <= now:
        code, said = "W405", Say(f"证书 {name} 已于 {end:%F} 过期", f"the certificate {name} expired on {end:%F}")
    else:
        code, said = "W405", Say(f"证书 {name} 将于 {end:%F} 到期", f"the certificate {name} expires on {end:%F}")
    findings.add(
        code,
        part.entry.at(*part.path),
        said,
        subject=part.subject,
        fix=Say(
            "换上新的 PEM 证书:证书无效时对方会拒绝连接,报警和数据都传不过去",
            "put a new PEM certificate there: without a valid one the other side refuses us, alarms and data alike",
        ),
    )


def _check_variable(findings: Findings, name: str, part: Part) -> None:
    if name in os.environ:
        return
    findings.add(
        "W402",
        part.entry.at(*part.path),
        Say(f"没有环境变量 {name}", f"there is no environment variable {name}"),
        subject=part.subject,
        fix=Say(
            f"启动网关之前设好 {name},例如写在 systemd 的 EnvironmentFile 里",
            f"set {name} before the gateway starts, for example in systemd's EnvironmentFile",
        ),
    )


def check_web(findings: Findings, web: Web, entry: Entry) -> None:
    """Warn when the page, which has no TLS, would be reached over a network."""
    try:
        is_local = web.host == "localhost" or ipaddress.ip_address(web.host).is_loopback
    except ValueError:
        is_local = False
    if is_local:
        return
    findings.add(
        "W403",
        entry.at("gateway", "web", "host"),
        Say(
            f"值班页还没有加密(TLS),{web.host} 上的密码和操作在网络里能被看到",
            f"the page has no TLS yet: on {web.host} passwords and actions can be read on the network",
        ),
        fix=Say(
            "写 127.0.0.1;要从别的电脑打开,在前面加一个带 TLS 的反向代理(例如 nginx)",
            "write 127.0.0.1; for other computers put a reverse proxy with TLS (such as nginx) in front",
        ),
    )
