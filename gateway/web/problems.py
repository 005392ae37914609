"""Web: errors as problem+json (RFC 9457), in the caller's language; never an input echoed back, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.web.context import web_of
from gateway.web.texts import language_of, sentence

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(Exception):  # noqa: N818 - it is named as in RFC 9457
    """An answer that is not success. ``code`` has a sentence in `gateway.web.texts` unless ``detail`` is given."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: object,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.fields = fields


def language(request: Request) -> str:
    """The language to answer this request in."""
    header = request.headers.get("accept-language", "")
    return language_of(request.query_params.get("lang"), header, web_of(request).language)


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem as application/problem+json."""
    spoken = language(request)
    body = {
        "type": f"urn:shouwang:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail or sentence(problem.code, spoken, **problem.fields),
        **problem.extra,
    }
    headers = {"Content-Language": spoken, "Cache-Control": "no-store", **problem.headers}
    return Response(orjson.dumps(body), problem.status, headers, "application/problem+json")


def answer_problems(app: FastAPI) -> None:
    """Every error of this app leaves as a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(request, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [{"where": ".".join(map(str, each["loc"])), "why": each["msg"]} for each in error.errors()[:20]]
    return problem_response(request, Problem(422, "invalid", extra={"errors": wrong}))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "invalid")
    return problem_response(request, Problem(error.status_code, code, headers=error.headers))


async def _on_bug(request: Request, error: Exception) -> Response:
    del error  # uvicorn logs it with its traceback
    return problem_response(request, Problem(500, "internal"))
