"""Examples of requests and answers, made from their schemas and example_values.py. A test holds
each of them against its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.http.example_values import ABSENT, ENDS, MEANT, OF_SHAPES
from gateway.schema_check import Schema


def example_of(name: str, named: Mapping[str, Schema]) -> dict[str, Any]:
    """An example of a shape. Of one that takes nothing unknown, a request, only what has to be
    there and what its entry in OF_SHAPES names.

    Raises: LookupError: nothing says what a field is worth.
    """
    schema, own = named[name], OF_SHAPES.get(name, {})
    is_request = schema.get("additionalProperties") is False
    made: dict[str, Any] = {}
    for field, inner in schema["properties"].items():
        if field in own:
            made |= {field: own[field]} if own[field] is not ABSENT else {}
        elif not is_request or field in schema.get("required", ()):
            made[field] = _value(f"{name}.{field}", inner, named)
    return made


def _value(place: str, schema: Schema, named: Mapping[str, Schema]) -> Any:
    field = place.rpartition(".")[2]
    if "$ref" in schema:
        return example_of(schema["$ref"].rpartition("/")[2], named)
    if "anyOf" in schema:
        return _value(place, schema["anyOf"][0], named)
    if schema.get("type") == "array" and "$ref" in schema["items"]:
        return [_value(place, schema["items"], named)]
    if "enum" in schema:
        return MEANT[field] if MEANT.get(field) in schema["enum"] else schema["enum"][0]
    if schema.get("type") == "boolean":
        return False
    if field in MEANT:
        return MEANT[field]
    for end, value in ENDS.items():
        if field.endswith(end):
            return value
    raise LookupError(f"no example is known for {place}")
