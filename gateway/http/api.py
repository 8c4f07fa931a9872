"""Puts the endpoints of /v1, their document and its page into an aiohttp application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.config import ApiConfig
from gateway.http.catalogue import all_endpoints
from gateway.http.docs_page import page_response, render_page, style_response
from gateway.http.endpoint import Endpoint, Services
from gateway.http.guard import Authenticator, Guard, Refusals
from gateway.http.idempotency import Keys, RequestBook
from gateway.http.openapi import build_document, render_document
from gateway.http.remote import Proxies
from gateway.http.serving import Server, make_handler
from gateway.shapes import Shapes

if TYPE_CHECKING:
    from gateway.registry.actors import Actor


@dataclass(frozen=True, slots=True)
class Api:
    """What stands behind the API in one process."""

    authenticator: Authenticator
    nobody: Actor
    """Who calls an endpoint without login."""
    book: RequestBook
    services: Services
    close: Callable[[], Awaitable[None]]
    """Called when the application ends."""
    refusals: Refusals | None = None
    """Where it is written down who was refused what."""


def add_api(
    app: web.Application,
    config: ApiConfig,
    api: Api,
    endpoints: Iterable[Endpoint] | None = None,
) -> None:
    """Add every route. Args: endpoints: None = all there are."""
    listed = list(all_endpoints() if endpoints is None else endpoints)
    keys = Keys(api.book)
    server = Server(
        Guard(api.authenticator, config, api.nobody, api.refusals),
        keys,
        api.services.having(keys),
        config.timeout_s,
        Proxies.parse(config.trusted_proxies),
    )
    shapes = Shapes()
    for endpoint in listed:
        handler = make_handler(endpoint, shapes, server)
        app.router.add_route(endpoint.method, endpoint.path, handler)
    _add_document(app, listed)

    async def close(_: web.Application) -> None:
        await api.close()

    app.on_cleanup.append(close)


def _add_document(app: web.Application, endpoints: list[Endpoint]) -> None:
    document = build_document(endpoints, Shapes())
    text, page = render_document(document), render_page(document)

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    async def show_page(_: web.Request) -> web.Response:
        return page_response(page)

    async def show_style(_: web.Request) -> web.Response:
        return style_response()

    app.router.add_get("/v1/openapi.json", show)
    app.router.add_get("/docs", show_page)
    app.router.add_get("/docs/style.css", show_style)
