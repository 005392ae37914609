"""Web: routes of set-up, log-in and accounts. What they check is in `gateway.web.auth`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.model import Actor
from gateway.web.answers import json_answer, told
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import web_of
from gateway.web.problems import Problem
from gateway.web.schemas import LoginBody, SessionOut, SetupBody, UserBody

router = APIRouter(prefix="/api/v1", tags=["accounts"])


@router.get("/session", responses=told(SessionOut))
async def session(request: Request) -> Response:
    """Who is logged in here, if anybody; needs no log-in itself."""
    web = web_of(request)
    mine = await web.auth.session(request)
    return json_answer(
        {
            "title": web.title,
            "language": web.language,
            "timezone": web.port.site().timezone,
            "needs_setup": not await web.users.has_users(),
            "user": mine and mine.user,
            "role": mine and mine.role,
            "expires_at": mine and mine.expires_at,
        }
    )


@router.post("/setup", status_code=204, dependencies=[SAME_SITE], responses={409: {}, 403: {}, 422: {}, 429: {}})
async def set_up(request: Request, body: SetupBody) -> Response:
    """Make the first account with the one-time code, and log in."""
    auth = web_of(request).auth
    return _logged_in(request, await auth.set_up(request, body.code, body.name, body.password))


@router.post("/login", status_code=204, dependencies=[SAME_SITE], responses={403: {}, 409: {}, 422: {}, 429: {}})
async def log_in(request: Request, body: LoginBody) -> Response:
    """Open a session of 12 hours; its cookie is out of reach of scripts."""
    auth = web_of(request).auth
    return _logged_in(request, await auth.log_in(request, body.name, body.password))


@router.post("/logout", status_code=204, dependencies=[SAME_SITE])
async def log_out(request: Request) -> Response:
    """End the session and its event streams."""
    await web_of(request).auth.log_out(request)
    return _logged_in(request, "")


@router.post("/users", status_code=204, dependencies=[SAME_SITE], responses={401: {}, 403: {}, 409: {}, 422: {}})
async def add_user(request: Request, body: UserBody, mine: SignedIn) -> Response:
    """Make a further account; supervisors only."""
    web = web_of(request)
    if mine.role != "supervisor":
        raise Problem(403, "wrong_role", role=mine.role)
    if not await web.users.create(body.name, body.role, await web.auth.passwords.hash(body.password)):
        raise Problem(409, "name_taken")
    await web.users.audit(Actor(mine.user, mine.role, "console"), "user_added", {"name": body.name, "role": body.role})
    return Response(status_code=204)


def _logged_in(request: Request, token: str) -> Response:
    response = Response(status_code=204)
    web_of(request).auth.give_cookie(response, token)
    return response
