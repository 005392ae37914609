"""Web: the static console, read once at the start: three kinds of file, no path from a request ever opens one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

from gateway.web.problems import Problem

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_routes(folder: Path = STATIC) -> APIRouter:
    """Routes for ``/`` (index.html) and ``/static/<name>``."""
    files: dict[str, tuple[bytes, str, str]] = {}
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        files[path.name] = (body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    router = APIRouter(include_in_schema=False)

    async def page(request: Request, name: str = "index.html") -> Response:
        if name not in files:
            raise Problem(404, "not_found")
        body, kind, tag = files[name]
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers={**headers, "Content-Type": kind})

    router.add_api_route("/", page, methods=["GET", "HEAD"])
    router.add_api_route("/static/{name}", page, methods=["GET", "HEAD"])
    return router
