"""From aiohttp's requests to handlers and back: one function for every endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import ApiError, FareGatewayError, Retry
from gateway.http.accept import wants_csv
from gateway.http.endpoint import Answer, Call, CsvFile, Endpoint, Services
from gateway.http.guard import Guard, caller_of
from gateway.http.idempotency import Keys
from gateway.http.problems import status_of
from gateway.http.reading import Reader, digest_of
from gateway.http.remote import HEADER, Proxies
from gateway.shapes import Shapes, to_json
from gateway.wallet.book import BookEntry

if TYPE_CHECKING:
    from gateway.registry.actors import Actor

AioHandler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


REPLAYED = "Idempotent-Replayed"
KEPT_HEADERS = ("ETag", "Location")


@dataclass(frozen=True, slots=True)
class Server:
    """What all endpoints share."""

    guard: Guard
    keys: Keys
    services: Services
    timeout_s: float
    proxies: Proxies


def make_handler(endpoint: Endpoint, shapes: Shapes, server: Server) -> AioHandler:
    """The aiohttp handler of an endpoint. It raises FareGatewayError; a middleware answers."""
    reader = Reader(endpoint, shapes)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(server.timeout_s):
                return await _serve(reader, server, request)
        except TimeoutError as error:
            raise ApiError("API_TIMEOUT", "it took too long", retry=Retry.UNKNOWN) from error

    return handle


async def _serve(reader: Reader, server: Server, request: web.Request) -> web.Response:
    endpoint = reader.endpoint
    remote = server.proxies.caller(request.remote or "", request.headers.getall(HEADER, ()))
    actor = await server.guard.admit(endpoint, request.headers, remote)
    call, data = await _read(reader, server, request, actor)
    call = replace(call, remote=remote)
    try:
        if not endpoint.needs_key:
            return render(endpoint, await endpoint.handler(call))
        return await _serve_once(endpoint, server, call, digest_of(request, data))
    except FareGatewayError as error:
        server.guard.note_refused(actor, endpoint, request.path, error)
        raise


async def _read(
    reader: Reader, server: Server, request: web.Request, actor: Actor
) -> tuple[Call, bytes]:
    """Everything the request says, checked: faults before preconditions (RFC 9110, 13.2.1).

    Raises: ApiError with all faults.
    """
    path = reader.path(request)
    data = await request.read()
    query, faults = reader.query(request)
    body, more = reader.body(request, data)
    if faults or more:
        raise ApiError("API_INVALID", "the request does not fit its schema", faults=faults + more)
    call = Call(
        services=server.services,
        actor=actor,
        path=path,
        query=query,
        body=body,
        key=reader.key(request) if reader.endpoint.needs_key else "",
        if_match=reader.if_match(request),
        headers=request.headers,
        wants_csv=reader.endpoint.has_csv and wants_csv(request.headers.get("Accept", "")),
    )
    return call, data


async def _serve_once(
    endpoint: Endpoint, server: Server, call: Call, digest: bytes
) -> web.Response:
    caller, key = caller_of(call.actor), call.key
    async with server.keys.hold(caller, key, endpoint.name, digest) as entry:
        if given := _given_before(endpoint, entry):
            return given
        keyed = replace(call, operation_id=entry.operation_id, digest=digest)
        account_id = int(call.path.get("account_id", 0))
        book = server.keys.book
        try:
            value = await endpoint.handler(keyed)
        except FareGatewayError as error:
            book.settle(caller, key, status_of(error.code), account_id=account_id)
            raise
        response = render(endpoint, value)
        if _is_kept(value):
            answer = b"" if endpoint.is_secret or endpoint.is_personal else _pack(response)
            await book.keep(caller, key, response.status, answer, account_id=account_id)
        else:
            book.settle(caller, key, response.status, account_id=account_id)
        if endpoint.is_personal and _is_success(entry.status):
            response.headers[REPLAYED] = "true"
        return response


def _given_before(endpoint: Endpoint, entry: BookEntry) -> web.Response | None:
    """The first answer, where it was kept. Raises: ApiError API_KEY_SPENT: it was a secret."""
    if entry.answer:
        return _unpack(entry.answer)
    if endpoint.is_secret and _is_success(entry.status):
        said = "this request was answered before, with what is shown once"
        raise ApiError("API_KEY_SPENT", said)
    return None


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _is_kept(value: Any) -> bool:
    """Whether no record of the journal tells the answer again."""
    return not isinstance(value, Answer) or value.replayed is None


def _pack(response: web.Response) -> bytes:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    body = response.body if isinstance(response.body, bytes) else b""
    said = {"status": response.status, "headers": kept, "body": body.decode()}
    return json.dumps(said, ensure_ascii=False).encode()


def _unpack(answer: bytes) -> web.Response:
    said = json.loads(answer)
    headers = {**said["headers"], REPLAYED: "true"}
    if not said["body"]:
        return web.Response(status=said["status"], headers=headers)
    return web.Response(
        body=said["body"].encode(),
        status=said["status"],
        headers=headers,
        content_type="application/json",
    )


def render(endpoint: Endpoint, value: Any) -> web.Response:
    """What a handler returned, as JSON; a file as it is."""
    answer = value if isinstance(value, Answer) else Answer(value=value)
    headers = dict(answer.headers)
    if endpoint.has_csv:
        headers["Vary"] = "Accept"
    if answer.version:
        headers["ETag"] = f'"{answer.version}"'
    if answer.replayed:
        headers[REPLAYED] = "true"
    status = answer.status or endpoint.status
    if status == 204:
        return web.Response(status=204, headers=headers)
    if isinstance(answer.value, CsvFile):
        return _render_file(answer.value, status, headers)
    body = json.dumps(to_json(answer.value), ensure_ascii=False, separators=(",", ":"))
    return web.Response(
        body=body.encode(), status=status, headers=headers, content_type="application/json"
    )


def _render_file(file: CsvFile, status: int, headers: dict[str, str]) -> web.Response:
    headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    return web.Response(
        body=file.text.encode(),
        status=status,
        headers=headers,
        content_type="text/csv",
        charset="utf-8",
    )
