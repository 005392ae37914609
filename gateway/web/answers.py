"""Web: how answers are put on the wire and announced in OpenAPI."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from fastapi import Response
from pydantic import BaseModel

from gateway.model import Site
from gateway.web.schemas import ProblemOut


def json_answer(body: Any, status: int = 200) -> Response:
    """JSON; instants as ISO 8601 in UTC."""
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store"}, "application/json")


def told(model: type[BaseModel], *errors: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route: its answer, and the problems it may give."""
    problem = {"model": ProblemOut, "description": "problem+json"}
    return {200: {"model": model}, **dict.fromkeys(errors, problem)}


def zone_of(site: Site) -> tzinfo:
    """The site's time zone: the times in sentences are those of the clock on the wall."""
    return ZoneInfo(site.timezone)
