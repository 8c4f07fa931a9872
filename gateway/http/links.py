"""Links of the OpenAPI document: what a POST made is what other paths name.

Each member of its answer that is called as a parameter of a path leads there, when the other
parameters of that path are those of the request itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.http.endpoint import Endpoint, path_names
from gateway.shapes import Schema

DEPTH = 2
"""Members of members are looked at, not deeper."""


def links_of(
    source: Endpoint, endpoints: Iterable[Endpoint], named: Mapping[str, Schema]
) -> dict[str, Any]:
    """Where the answer of an endpoint leads, by the names of the operations."""
    if source.method != "POST" or source.answer is None:
        return {}
    sent = {name: f"$request.path.{name}" for name in path_names(source.path)}
    shape = named[source.answer.__name__]
    made = {
        name: f"$response.body#{pointer}"
        for name, pointer in _members(shape, named)
        if name not in sent
    }
    found = {}
    for target in endpoints:
        names = set(path_names(target.path))
        if names & made.keys() and names <= made.keys() | sent.keys():
            parameters = {name: made.get(name) or sent[name] for name in sorted(names)}
            found[target.name] = {"operationId": target.name, "parameters": parameters}
    return found


def _members(
    shape: Schema, named: Mapping[str, Schema], above: str = ""
) -> Iterator[tuple[str, str]]:
    """Names of members with their JSON pointers; lists are not gone into."""
    for name, schema in shape["properties"].items():
        pointer = f"{above}/{name}"
        if "$ref" not in schema:
            yield name, pointer
        elif pointer.count("/") < DEPTH:
            yield from _members(named[schema["$ref"].rpartition("/")[2]], named, pointer)
