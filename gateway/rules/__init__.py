"""Rules: pure. Points and quality, conditions, the alarm table, the engine. No I/O, no clock."""

from __future__ import annotations

from gateway.rules.alarm import fold
from gateway.rules.engine import Engine
from gateway.rules.linkage import may_open_gas_valve
from gateway.rules.ports import NoticePolicy

__all__ = ["Engine", "NoticePolicy", "fold", "may_open_gas_valve"]
