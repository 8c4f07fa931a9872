"""Reads a request against what its endpoint declares: path, query, headers, body. All faults at
once, each with its place.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.errors import ApiError
from gateway.http.endpoint import Endpoint, path_names, path_type
from gateway.schema_check import Finding, NotJson, check, escape, parse_json
from gateway.shapes import Schema, Shapes, from_json

FORM = "application/x-www-form-urlencoded"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")
_ETAG = re.compile(r'(W/)?"([!#-~]{0,64})"\Z')
"""Any entity tag (RFC 9110, 8.8.3); ours are strong and hold a version."""
_VERSION = re.compile(r"[1-9][0-9]{0,15}\Z")
_KEY = re.compile(r"[!-~]{1,255}\Z")


class Reader:
    """What one endpoint takes, compiled once."""

    def __init__(self, endpoint: Endpoint, shapes: Shapes) -> None:
        self.endpoint = endpoint
        self.body_schema = (
            shapes.schema(endpoint.body, closed=True) if endpoint.body is not None else None
        )
        self.query_schemas = query_schemas(endpoint, shapes)
        self.path_schemas = {
            name: shapes.schema(path_type(name)) for name in path_names(endpoint.path)
        }
        self._named = shapes.named

    def path(self, request: web.Request) -> dict[str, Any]:
        """Raises: ApiError API_NOT_FOUND: no id looks like that."""
        values: dict[str, Any] = {}
        for name, schema in self.path_schemas.items():
            value = _plain(request.match_info[name], schema)
            if check(value, schema, self._named):
                raise ApiError("API_NOT_FOUND", f"{name} does not look like that")
            values[name] = value
        return values

    def query(self, request: web.Request) -> tuple[Any, list[dict[str, str]]]:
        """The query's shape (None when there are faults), and the faults."""
        faults: list[dict[str, str]] = []
        values: dict[str, Any] = {}
        for name in request.query:
            sent = request.query.getall(name)
            schema = self.query_schemas.get(name)
            pointer = f"/{escape(name)}"
            if schema is None:
                faults.append(_fault("query", Finding(pointer, "unknown", "is not known here")))
            elif len(sent) > 1 and name not in values:
                faults.append(_fault("query", Finding(pointer, "once", "is there twice")))
            else:
                values[name] = _plain(sent[0], schema)
                found = check(values[name], schema, self._named)
                faults += [_fault("query", Finding(pointer, one.rule, one.detail)) for one in found]
        missing = [f for f in self._required_query() if f not in request.query]
        faults += [
            _fault("query", Finding(f"/{name}", "required", "is missing")) for name in missing
        ]
        if faults or self.endpoint.query is None:
            return None, faults
        return from_json(self.endpoint.query, values), []

    def _required_query(self) -> list[str]:
        return [name for name, one in self.query_schemas.items() if one.get("x-required")]

    def body(self, request: web.Request, data: bytes) -> tuple[Any, list[dict[str, str]]]:
        """The body's shape (None when there are faults), and the faults.

        Raises: ApiError API_MEDIA_TYPE, API_MALFORMED.
        """
        if self.body_schema is None:
            if data.strip() not in {b"", b"{}"}:
                raise ApiError("API_MALFORMED", "this takes no body")
            return None, []
        wanted = FORM if self.endpoint.is_form else "application/json"
        if request.content_type != wanted or "Content-Encoding" in request.headers:
            raise ApiError("API_MEDIA_TYPE", f"the body must be {wanted}")
        try:
            value = parse_form(data) if self.endpoint.is_form else parse_json(data)
        except NotJson as error:
            raise ApiError("API_MALFORMED", str(error)) from error
        found = check(value, self.body_schema, self._named)
        if found:
            return None, [_fault("body", one) for one in found]
        return from_json(self.endpoint.body, value), []

    def if_match(self, request: web.Request) -> int:
        """The version in If-Match, 0 without. Raises: ApiError."""
        sent = request.headers.getall("If-Match", [])
        if self.endpoint.if_match == "none" or sent == ["*"]:
            return 0
        if not sent:
            if self.endpoint.if_match == "required":
                raise ApiError("API_PRECONDITION_MISSING", "If-Match is missing")
            return 0
        match = _ETAG.match(sent[0])
        if match is None or len(sent) != 1:
            raise ApiError("API_MALFORMED", "If-Match must be there once, one ETag in quotes")
        if match[1] or not _VERSION.match(match[2]):
            raise ApiError("API_PRECONDITION", "If-Match is no ETag of ours")
        return int(match[2])

    def key(self, request: web.Request) -> str:
        """The Idempotency-Key. Raises: ApiError API_KEY_MISSING."""
        sent = request.headers.getall("Idempotency-Key", [])
        if len(sent) != 1 or not _KEY.match(sent[0]):
            raise ApiError(
                "API_KEY_MISSING", "Idempotency-Key must be there once, 1 to 255 visible characters"
            )
        return sent[0]


def parse_form(data: bytes) -> dict[str, str]:
    """The fields of a form, none twice. Raises: NotJson."""
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data))
    except ValueError as error:
        raise NotJson("the body is no form") from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise NotJson("a field is there twice")
    return values


def query_schemas(endpoint: Endpoint, shapes: Shapes) -> dict[str, Schema]:
    """Schemas of the query's parameters by name; `x-required` marks those without a default."""
    if endpoint.query is None:
        return {}
    whole = Shapes()
    whole.schema(endpoint.query)
    required = whole.named[endpoint.query.__name__].get("required", ())
    hints = get_type_hints(endpoint.query, include_extras=True)
    made: dict[str, Schema] = {}
    for field in fields(endpoint.query):
        schema = shapes.schema(hints[field.name])
        kinds = schema.get("type")
        if isinstance(kinds, list):  # a parameter is there or not: nobody can send null
            schema = {**schema, "type": next(kind for kind in kinds if kind != "null")}
        elif "anyOf" in schema:
            schema = schema["anyOf"][0]
        default = whole.named[endpoint.query.__name__]["properties"][field.name].get("default")
        made[field.name] = schema | ({"default": default} if default is not None else {})
        if field.name in required:
            made[field.name]["x-required"] = True
    return made


def _plain(text: str, schema: Schema) -> Any:
    """The text of a path or a query as the type it should have; itself where that fails."""
    kind = schema.get("type")
    if kind == "integer" and _INTEGER.match(text):
        return int(text)
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def _fault(place: str, finding: Finding) -> dict[str, str]:
    return {
        "part": place,
        "pointer": finding.pointer,
        "rule": finding.rule,
        "detail": finding.detail,
    }


def digest_of(request: web.Request, data: bytes) -> bytes:
    """What makes two requests the same: method, path with query, body."""
    head = f"{request.method} {request.raw_path}\n".encode()
    return hashlib.sha256(head + data).digest()
