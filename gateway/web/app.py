"""Web: puts the parts together into one FastAPI app. Routes, views and checks are in the other files of this room."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI

from gateway import __version__
from gateway.clock import Clock
from gateway.counters import Counters
from gateway.web import accounts, api, bulk, marks, operations, passes, places, probes, reports, uplinks, verbs
from gateway.web.auth import Auth, Passwords
from gateway.web.context import Web
from gateway.web.limits import FailureLimiter
from gateway.web.live import BEAT_S, LiveView
from gateway.web.pages import page_routes
from gateway.web.pictures import picture_sources
from gateway.web.ports import GatewayPort, UserStore
from gateway.web.problems import answer_problems
from gateway.web.shield import Shield
from gateway.web.verbs import Submissions

log = structlog.get_logger(__name__)


def create_app(
    port: GatewayPort,
    live: LiveView,
    users: UserStore,
    counters: Counters,
    clock: Clock,
    *,
    title: str,
    language: str = "zh",
    setup_code: str = "",
    is_https: bool = False,
) -> FastAPI:
    """The console and the API of one gateway.

    ``setup_code`` lets whoever can read it make the first account; empty when there are accounts already.
    The heartbeat runs while the app does (its lifespan). No documentation pages: FastAPI's load scripts from
    elsewhere, which a gateway without internet cannot, and its content security policy forbids.
    """
    app = FastAPI(
        title="守望 Shouwang",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    live.speak_of(port.site)
    auth = Auth(users, clock, setup_code, is_https, Passwords(), FailureLimiter(), asyncio.Lock())
    submissions = Submissions(port)
    bulks = bulk.Bulks(submissions, clock, counters)
    app.state.web = Web(port, live, users, counters, clock, auth, submissions, bulks, title, language)
    for routes in (
        accounts.router,
        verbs.router,
        bulk.router,
        operations.router,
        marks.router,
        api.router,
        passes.router,
        places.router,
        reports.router,
        uplinks.router,
        probes.router,
        page_routes(),
    ):
        app.include_router(routes)
    answer_problems(app)
    app.add_middleware(Shield, is_https=is_https, pictures=picture_sources(port.site()))
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(_beat(app.state.web), name="web-heartbeat")
    try:
        yield
    finally:
        app.state.web.live.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(web: Web) -> None:
    """A beat that fails is not sent: the screens then say that they are stale, which is true."""
    is_well = True
    while True:
        try:
            web.live.beat(web.clock.now(), web.port.health())
        except Exception:  # the console must hear of it by silence, not by the loss of the web server
            if is_well:
                log.exception("heartbeat failed")
            is_well = False
        else:
            is_well = True
        await asyncio.sleep(BEAT_S)
