"""Web: what the routes of one app share. Values only; made once by `gateway.web.app.create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.web.live import LiveView
from gateway.web.ports import GatewayPort, UserStore

if TYPE_CHECKING:  # they need the context themselves
    from gateway.web.auth import Auth
    from gateway.web.bulk import Bulks
    from gateway.web.verbs import Submissions


@dataclass(frozen=True, slots=True)
class Web:
    """The app's parts."""

    port: GatewayPort
    live: LiveView
    users: UserStore
    counters: Counters
    clock: Clock
    auth: Auth
    submissions: Submissions
    bulks: Bulks
    title: str
    language: str


def web_of(connection: HTTPConnection) -> Web:
    """The parts of the app that serves this connection."""
    web: Web = connection.app.state.web
    return web
