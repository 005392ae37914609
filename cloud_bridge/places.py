"""How a platform is named in the configuration: host, topic prefix, and the slips that are told before a start."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from cloud_bridge.settings import wrong


def _host(value: str) -> str:
    name = value.strip()
    is_v6 = name.count(":") > 1 and "/" not in name
    if "/" in name or " " in name or ("@" in name) or (":" in name and not is_v6):
        raise wrong(
            "E410",
            f'"{value[:60]}" 不是主机名',
            f'"{value[:60]}" is no host name',
            "只写主机名或 IP,例如 cloud.example.org;端口另写一行 port:,前面不要 mqtt://,账号写在 username:",
            "write the name or the IP alone, such as cloud.example.org; the port in port:, no mqtt://",
        )
    return name


def _prefix(value: str) -> str:
    if set("+#\0") & set(value) or not all(value.split("/")):
        raise wrong(
            "E411",
            f'"{value[:60]}" 不能作主题的开头',
            f'"{value[:60]}" cannot begin a topic',
            "写成 shouwang 或 city/shouwang:不能有 + 和 #,开头、结尾和中间不能有空的一段",
            "write shouwang or city/shouwang: no + and #, no empty level",
        )
    return value


Host = Annotated[str, Field(min_length=1), AfterValidator(_host)]
Prefix = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"pattern": r"^[^+#/\x00]+(/[^+#/\x00]+)*$"}),
    AfterValidator(_prefix),
]
