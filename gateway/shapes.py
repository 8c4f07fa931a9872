"""Shapes of what goes in and out as JSON: dataclasses whose fields say their bounds.

From a shape come its JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it), the check of a value
against that very schema (gateway/schema_check.py), and the two ways between JSON and objects.
Money is int minor units; nothing here knows floats. Must not import anything of the gateway.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

INT_MAX = 1 << 53
"""Amounts and ids stay exact in JSON readers that know only doubles."""

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """JSON Schema keywords of one field, in an Annotated type."""

    keywords: Mapping[str, Any]


def says(text: str, **keywords: Any) -> Bounds:
    """What a field means (with its unit), and its bounds as JSON Schema keywords."""
    return Bounds({"description": text, **keywords})


def bounded(**keywords: Any) -> Bounds:
    """Bounds only."""
    return Bounds(keywords)


PLAIN = r"^[^\u0000-\u001f\u007f]*$"
"""Text of one line: no control characters."""

AmountMinor = Annotated[int, says("minor units", minimum=1, maximum=INT_MAX)]
SignedMinor = Annotated[int, says("minor units", minimum=-INT_MAX, maximum=INT_MAX)]
InstantUs = Annotated[int, says("microseconds since 1970, UTC", minimum=0, maximum=INT_MAX)]
AccountId = Annotated[int, says("account number", minimum=1, maximum=INT_MAX)]
OperationId = Annotated[
    str, says("operation id, UUID", pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
]
Reference = Annotated[
    str, says("reference of the outside world", minLength=1, maxLength=64, pattern=PLAIN)
]
Note = Annotated[str, says("why, for the audit", maxLength=64, pattern=PLAIN)]
Name = Annotated[str, says("a name", minLength=1, maxLength=100, pattern=PLAIN)]


class Shapes:
    """Collects the named schemas of dataclasses, as OpenAPI's components.

    Args: prefix: where references point. closed: whether unknown members are refused.
    """

    def __init__(self, prefix: str = "#/components/schemas/") -> None:
        self.prefix = prefix
        self.named: dict[str, Schema] = {}
        self._classes: dict[str, tuple[type, bool]] = {}

    def schema(self, kind: Any, *, closed: bool = False) -> Schema:
        """The schema of a type; a dataclass becomes a reference. Raises: TypeError."""
        origin = get_origin(kind)
        if origin is Annotated:
            base, *metadata = get_args(kind)
            return _with_bounds(self.schema(base, closed=closed), metadata)
        if origin in {Union, types.UnionType}:
            return self._optional(kind, closed=closed)
        if origin is Literal:
            return {"type": "string", "enum": list(get_args(kind))}
        if origin in {list, tuple}:
            return {"type": "array", "items": self.schema(get_args(kind)[0], closed=closed)}
        if origin is dict:
            inner = self.schema(get_args(kind)[1], closed=closed)
            return {"type": "object", "additionalProperties": inner}
        return self._simple(kind, closed=closed)

    def _simple(self, kind: Any, *, closed: bool) -> Schema:
        if kind in _TYPES:
            return {"type": _TYPES[kind]}
        if kind is Any:
            return {}
        if is_dataclass(kind) and isinstance(kind, type):
            return self._reference(kind, closed=closed)
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return {"type": "string", "enum": [str(member) for member in kind]}
        raise TypeError(f"no JSON shape for {kind!r}")

    def _optional(self, kind: Any, *, closed: bool) -> Schema:
        inner = [one for one in get_args(kind) if one is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"only `X | None`, not {kind!r}")
        schema = self.schema(inner[0], closed=closed)
        if "type" in schema and "enum" not in schema:
            return {**schema, "type": [schema["type"], "null"]}
        return {"anyOf": [schema, {"type": "null"}]}

    def _reference(self, shape: type, *, closed: bool) -> Schema:
        name = shape.__name__
        known = self._classes.get(name)
        if known is None:
            self._classes[name] = (shape, closed)
            self.named[name] = {}  # so that it may contain itself
            self.named[name] = self._object(shape, closed=closed)
        elif known != (shape, closed):
            raise TypeError(f"two shapes are called {name}")
        return {"$ref": self.prefix + name}

    def _object(self, shape: type, *, closed: bool) -> Schema:
        hints = hints_of(shape)
        properties: dict[str, Schema] = {}
        required: list[str] = []
        for field in shown_fields(shape):
            properties[field.name] = self.schema(hints[field.name], closed=closed)
            if field.default is MISSING and field.default_factory is MISSING:
                required.append(field.name)
            elif field.default is not MISSING and field.default is not None:
                properties[field.name]["default"] = to_json(field.default)
        made: Schema = {"type": "object", "properties": properties}
        if shape.__doc__ and not shape.__doc__.startswith(f"{shape.__name__}("):
            made["description"] = " ".join(shape.__doc__.split())
        if required:
            made["required"] = required
        if closed:
            made["additionalProperties"] = False
        return made


HIDDEN = {"json": False}
"""Metadata of a field that does not go into JSON."""


@cache
def hints_of(shape: type) -> dict[str, Any]:
    """The types of a dataclass's fields. Kept: reading annotations costs more than a request."""
    return get_type_hints(shape, include_extras=True)


def shown_fields(shape: Any) -> list[Field[Any]]:
    """The fields of a dataclass that go into JSON."""
    return _shown(shape if isinstance(shape, type) else type(shape))


@cache
def _shown(shape: type) -> list[Field[Any]]:
    return [field for field in fields(shape) if field.metadata.get("json", True)]


_TYPES: dict[Any, str] = {
    int: "integer",
    str: "string",
    bool: "boolean",
    type(None): "null",
}


def _with_bounds(schema: Schema, metadata: list[Any]) -> Schema:
    made = dict(schema)
    for item in metadata:
        if isinstance(item, Bounds):
            made |= item.keywords
    return made


def from_json(kind: Any, value: Any) -> Any:
    """An object of a shape from a value that was checked against its schema."""
    origin = get_origin(kind)
    if origin is Annotated:
        return from_json(get_args(kind)[0], value)
    if value is None:
        return None
    if origin in {Union, types.UnionType}:
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return from_json(inner, value)
    if origin in {list, tuple}:
        return tuple(from_json(get_args(kind)[0], one) for one in value)
    if origin is dict:
        return {key: from_json(get_args(kind)[1], one) for key, one in value.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        hints = hints_of(kind)
        return kind(**{name: from_json(hints[name], one) for name, one in value.items()})
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    return value


def to_json(value: Any) -> Any:
    """The JSON form of an object of a shape."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in shown_fields(value)}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(one) for key, one in value.items()}
    if isinstance(value, StrEnum):
        return str(value)
    return value
