"""The settings as pydantic sees them: it checks the plain dataclasses in place."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from gateway.config.tree import Config

SETTINGS: TypeAdapter[Config] = TypeAdapter(Config)


@cache
def json_schema() -> dict[str, Any]:
    """JSON schema of the file, for editors; kept in config/schema/. Do not change it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | SETTINGS.json_schema()


def setting_schema(dotted: str) -> dict[str, Any] | None:
    """The schema of one section or setting, what it says in one line; None: no such one."""
    schema = json_schema()
    node: dict[str, Any] | None = schema
    for part in dotted.split("."):
        node = (node or {}).get("properties", {}).get(part) or (node or {}).get(
            "additionalProperties"
        )
        if not isinstance(node, dict):
            return None
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if node and "description" in node:
        return node | {"description": " ".join(node["description"].split())}
    return node
