"""The OpenAPI 3.1 document, made from the endpoints: docs/openapi.json and /v1/openapi.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gateway.errors import CODES
from gateway.http.endpoint import AS_OF_POSITION, AS_OF_SEQ, Endpoint, path_names, path_type
from gateway.http.examples import example_of
from gateway.http.links import links_of
from gateway.http.problems import CONTENT_TYPE, status_of, title_of
from gateway.http.reading import FORM, query_schemas
from gateway.shapes import OperationId, Shapes, SignedMinor, hints_of, says

API_VERSION = "1.0.0"

DESCRIPTION = """\
Accounts, purses, holds, credit, media, statements and events of one fare gateway. Amounts are \
integer minor units, instants are microseconds UTC. Errors are RFC 9457 problems with a stable \
`code`. Every POST needs an `Idempotency-Key`; the same key with the same request gets the first \
answer. What a time-out left open is told by `GET /v1/requests/{key}`."""

TAGS = {
    "meta": "The document itself, and what became of a request.",
    "oauth": "Short tokens for clients.",
    "session": "Riders sign in, and show a second factor.",
    "persons": "Persons, their accounts, media and consents.",
    "keys": "API keys and clients.",
    "tenants": "Organisations, and who is paid.",
    "approvals": "What waits for a second pair of eyes.",
    "accounts": "Accounts and their purses: opened, shown, closed.",
    "money": "Credits, payments, refunds, adjustments.",
    "holds": "Value reserved, then captured or given back.",
    "freezes": "Blocks with reason, actor and expiry.",
    "media": "Cards, phones and other media of an account.",
    "credit": "Credit line, statements, instalments, write-off.",
    "rules": "Automatic top-ups and budgets.",
    "reports": "Statements and statistics from the ledger.",
    "books": "Settlements, and the breaks that reconciliation found.",
    "audit": "Who changed what, signed checkpoints.",
    "delivery": "Commands to peers, and those that died.",
    "events": "What happened, in order; webhooks.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One wrong place of a request."""

    pointer: Annotated[str, says("JSON pointer into that part (RFC 6901)")]
    rule: Annotated[str, says("keyword of the schema that is not met")]
    detail: str
    part: Annotated[str, says("body or query")] = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedOperation:
    """The journal's record of a refusal."""

    op: str
    account_id: Annotated[int, says("account number", minimum=0)]
    amount_minor: SignedMinor
    balance_minor: SignedMinor
    position: int
    ts_us: int
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error, as RFC 9457 shapes it."""

    type: Annotated[str, says("where the code is explained", format="uri-reference")]
    title: Annotated[str, says("what to show a rider, in English")]
    title_zh: Annotated[str, says("the same in Chinese")]
    status: Annotated[int, says("HTTP status", minimum=400, maximum=599)]
    detail: str
    instance: Annotated[str, says("this one answer", format="uri-reference")]
    code: Annotated[str, says("stable; docs/errors.md lists them")]
    hint: Annotated[str, says("what to do about it")]
    retryable: Annotated[bool, says("whether sending it again, with the same key, may help")]
    retry: Annotated[Literal["never", "safe", "unknown"], says("what is known of its effect")]
    request_id: str
    faults: tuple[Fault, ...] = ()
    operation_id: OperationId = ""
    approval_id: Annotated[str, says("the proposal that waits for a second pair of eyes")] = ""
    operation: RefusedOperation | None = None


def build_document(endpoints: Iterable[Endpoint], shapes: Shapes) -> dict[str, Any]:
    """The whole document. Cost: tens of milliseconds; once a process."""
    shapes.schema(Problem)
    listed = list(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, shapes)
    for endpoint in listed:
        if links := links_of(endpoint, listed, shapes.named):
            responses = paths[endpoint.path][endpoint.method.lower()]["responses"]
            responses[str(endpoint.status)]["links"] = links
    shapes.named[Problem.__name__]["examples"] = [example_of(Problem.__name__, shapes.named)]
    used = {endpoint.tag for endpoint in listed}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "faregate",
            "version": API_VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name, "description": TAGS.get(name, "")}
            for name in [*TAGS, *sorted(used - set(TAGS))]
            if name in used
        ],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(shapes.named.items())),
            "examples": {
                name: {"value": example_of(name, shapes.named)} for name in _shown_shapes(listed)
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, an access token, or a rider's session.",
                }
            },
        },
    }


def render_document(document: dict[str, Any]) -> str:
    """As the file is kept."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _operation(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": list(_parameters(endpoint, shapes)),
        "responses": _responses(endpoint, shapes),
    }
    if endpoint.scopes:
        made["description"] = f"Scopes: {', '.join(f'`{scope}`' for scope in endpoint.scopes)}."
    if endpoint.public:
        made["security"] = []
    if endpoint.body is not None:
        schema = shapes.schema(endpoint.body, closed=True)
        content = {"schema": schema, **_examples(schema)}
        made["requestBody"] = {
            "required": True,
            "content": {FORM if endpoint.is_form else "application/json": content},
        }
    return made


def _examples(schema: dict[str, Any]) -> dict[str, Any]:
    """Where the example of a named shape stands."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return {"examples": {name: {"$ref": f"#/components/examples/{name}"}}} if name else {}


def _shown_shapes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Names of the shapes that are a whole body or a whole answer."""
    shapes = (shape for one in endpoints for shape in (one.body, one.answer))
    return sorted({shape.__name__ for shape in shapes if shape is not None})


def _parameters(endpoint: Endpoint, shapes: Shapes) -> Iterator[dict[str, Any]]:
    for name in path_names(endpoint.path):
        schema = shapes.schema(path_type(name))
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in query_schemas(endpoint, shapes).items():
        plain = {key: value for key, value in schema.items() if key != "x-required"}
        yield {
            "name": name,
            "in": "query",
            "required": bool(schema.get("x-required")),
            "schema": plain,
        }
    if endpoint.needs_key:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "a new random text for each new request",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    if endpoint.if_match != "none":
        yield {
            "name": "If-Match",
            "in": "header",
            "required": endpoint.if_match == "required",
            "description": "ETag of the account as it was read",
            "schema": {"type": "string", "pattern": '^([*]|(W/)?"[!#-~]{0,64}")$'},
        }


def _responses(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status in sorted({endpoint.status, *endpoint.more_statuses}):
        made[str(status)] = _success(endpoint, status, shapes)
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes_of(endpoint)):
        by_status.setdefault(status_of(code), []).append(code)
    for status, codes in sorted(by_status.items()):
        made[str(status)] = _failure(status, codes)
    return made


def _success(endpoint: Endpoint, status: int, shapes: Shapes) -> dict[str, Any]:
    said: dict[str, Any] = {"description": endpoint.summary}
    if endpoint.answer is not None and status != 204:
        schema = shapes.schema(endpoint.answer)
        said["content"] = {"application/json": {"schema": schema, **_examples(schema)}}
        if endpoint.has_csv:
            said["content"]["text/csv"] = {"schema": {"type": "string"}}
    headers: dict[str, Any] = {}
    if endpoint.has_version:
        headers["ETag"] = {"description": "version", "schema": {"type": "string"}}
    if endpoint.has_csv and "as_of" in hints_of(endpoint.answer):
        for name in (AS_OF_POSITION, AS_OF_SEQ):
            headers[name] = {"description": "of a CSV: `as_of`", "schema": {"type": "integer"}}
    if endpoint.needs_key:
        headers["Idempotent-Replayed"] = {
            "description": "true = the first answer of an earlier request with this key",
            "schema": {"type": "string", "enum": ["true"]},
        }
    return said | ({"headers": headers} if headers else {})


def _failure(status: int, codes: list[str]) -> dict[str, Any]:
    lines = "; ".join(f"`{code}`: {CODES.get(code) or title_of(code).lower()}" for code in codes)
    made: dict[str, Any] = {
        "description": lines,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {429, 503}:
        made["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "string"}},
        }
    return made


def codes_of(endpoint: Endpoint) -> set[str]:
    """Every code that may be answered."""
    codes = {*endpoint.errors, "INTERNAL_ERROR", "API_RATE_LIMITED", "API_TIMEOUT", "API_OFF"}
    codes |= {"API_MALFORMED", "API_INVALID", "API_TOO_LARGE", "DATABASE_ERROR"}
    if not endpoint.public:
        codes |= {"AUTH_MISSING", "AUTH_INVALID", "AUTH_EXPIRED", "AUTH_SCOPE"}
    if endpoint.body is not None:
        codes.add("API_MEDIA_TYPE")
    if path_names(endpoint.path):
        codes.add("API_NOT_FOUND")
    if endpoint.needs_key:
        codes |= {"API_KEY_MISSING", "API_KEY_REUSED", "API_KEY_IN_FLIGHT"}
        codes |= {"API_KEY_SPENT"} if endpoint.is_secret else set()
    if endpoint.if_match != "none":
        codes.add("API_PRECONDITION")
    if endpoint.if_match == "required":
        codes.add("API_PRECONDITION_MISSING")
    return codes
