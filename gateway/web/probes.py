"""Web: what machines ask: /healthz and /metrics."""

from __future__ import annotations

import base64
import binascii

from fastapi import APIRouter, Request, Response

from gateway.web.answers import json_answer, told
from gateway.web.context import web_of
from gateway.web.limits import is_loopback
from gateway.web.metrics import Exposition
from gateway.web.problems import Problem
from gateway.web.schemas import HealthOut

router = APIRouter(tags=["probes"])

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@router.get("/healthz", responses={**told(HealthOut), 503: {"model": HealthOut}})
async def healthz(request: Request) -> Response:
    """Can the gateway do its job? No log-in, and no more than that."""
    health = web_of(request).port.health()
    body = {"reasons": health.reasons, "notes": health.notes}
    if health.reasons:
        return json_answer({"status": "unavailable", **body}, 503)
    return json_answer({"status": "ok", **body})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: {}})
async def metrics(request: Request) -> Response:
    """Prometheus exposition: free on the machine itself, elsewhere with a log-in or HTTP basic authentication."""
    web = web_of(request)
    if not _is_local(request) and await web.auth.session(request) is None:
        name, password = _basic(request)
        await web.auth.check_password(request, name, password)
    exposition = Exposition(web.counters, web.live)
    return Response(exposition.text(), headers={"Cache-Control": "no-store", "Content-Type": exposition.content_type})


def _is_local(request: Request) -> bool:
    """From this machine, and not handed on by a proxy that runs on it."""
    is_forwarded = any(each in request.headers for each in _FORWARDED)
    return request.client is not None and is_loopback(request.client.host) and not is_forwarded


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon or len(name) > 32 or len(password) > 128:
        raise Problem(401, "not_signed_in", headers={"WWW-Authenticate": 'Basic realm="shouwang", charset="UTF-8"'})
    return name, password
