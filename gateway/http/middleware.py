"""Around every request: an id, errors as problems, headers that browsers heed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.clock import format_operation_id, new_operation_id
from gateway.errors import ApiError, FareGatewayError, InternalError
from gateway.http.problems import problem_response, status_of

log = logging.getLogger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Server": "faregate",
}
BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Faults of our own code: told as INTERNAL_ERROR, with the trace in the log."""


@web.middleware
async def problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """Turn whatever goes wrong into a problem."""
    request_id = format_operation_id(new_operation_id())
    response = await _answer(request, handler, request_id)
    if not response.prepared:
        response.headers["X-Request-Id"] = request_id
    return response


async def _answer(request: web.Request, handler: Next, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except FareGatewayError as error:
        if status_of(error.code) >= 500:
            log.warning("request_failed", extra={"request_id": request_id, **error.as_dict()})
        return problem_response(error, request_id)
    except web.HTTPException as error:
        return _from_aiohttp(error, request_id)
    except BROKEN:
        log.exception("request_broken", extra={"request_id": request_id})
        return problem_response(InternalError(), request_id)


def _from_aiohttp(error: web.HTTPException, request_id: str) -> web.StreamResponse:
    """What the router and the body reader refuse."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted(error.allowed_methods))
        refusal = ApiError("API_METHOD", f"{error.method} is not taken here")
        return problem_response(refusal, request_id, {"Allow": allow})
    codes = {404: "API_NOT_FOUND", 413: "API_TOO_LARGE", 415: "API_MEDIA_TYPE"}
    code = codes.get(error.status, "API_MALFORMED" if error.status < 500 else "INTERNAL_ERROR")
    return problem_response(ApiError(code), request_id)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """A signal: security headers on every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = HEADERS["Server"]
