"""Checks a JSON value against the schemas that gateway/shapes.py makes: all faults at once, each
with its JSON pointer. Knows the keywords those schemas use and no others.

Stricter than JSON Schema where money needs it: 1.0 is not an integer, true is not 1.
Must not import anything of the gateway.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Schema = Mapping[str, Any]
FINDINGS_MAX = 50
"""More faults than that help nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: where (JSON pointer), which keyword, and what would be right."""

    pointer: str
    rule: str
    detail: str


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class NotJson(ValueError):
    """The bytes are not the JSON that is accepted here."""


def parse_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no member twice, no NaN, no lone surrogates, no NUL. Raises: NotJson."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_constant
        )
        text = json.dumps(value, ensure_ascii=False)
        text.encode("utf-8")
    except UnicodeError as error:
        raise NotJson("the text is not valid UTF-8") from error
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except ValueError as error:
        raise NotJson(str(error)) from error
    if _NUL.search(text):
        raise NotJson("NUL is not accepted in text")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson("a member is there twice")
    return made


def _no_constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON")


def check(value: Any, schema: Schema, named: Mapping[str, Schema]) -> list[Finding]:
    """Every fault of a value, at most FINDINGS_MAX of them."""
    found: list[Finding] = []
    for finding in _check(value, schema, named, ""):
        found.append(finding)
        if len(found) == FINDINGS_MAX:
            break
    return found


def _check(
    value: Any, schema: Schema, named: Mapping[str, Schema], pointer: str
) -> Iterator[Finding]:
    if "$ref" in schema:
        schema = named[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        yield from _check_any(value, schema["anyOf"], named, pointer)
        return
    kinds = schema.get("type")
    if kinds is not None:
        allowed = [kinds] if isinstance(kinds, str) else kinds
        if not any(_IS[kind](value) for kind in allowed):
            yield Finding(pointer, "type", f"must be {' or '.join(allowed)}")
            return
    if value is None:
        return
    for keyword, test in _TESTS.items():
        if keyword in schema and (fault := test(value, schema[keyword])):
            yield Finding(pointer, keyword, fault)
    if isinstance(value, dict):
        yield from _check_object(value, schema, named, pointer)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check(item, schema.get("items", {}), named, f"{pointer}/{index}")


def _check_any(
    value: Any, options: list[Schema], named: Mapping[str, Schema], pointer: str
) -> Iterator[Finding]:
    """`X or null` is the only choice there is: the faults of X are what helps."""
    if value is not None or {"type": "null"} not in options:
        yield from _check(value, options[0], named, pointer)


def _check_object(
    value: dict[str, Any], schema: Schema, named: Mapping[str, Schema], pointer: str
) -> Iterator[Finding]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Finding(f"{pointer}/{escape(name)}", "required", "is missing")
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        below = f"{pointer}/{escape(name)}"
        if name in properties:
            yield from _check(item, properties[name], named, below)
        elif others is False:
            yield Finding(below, "additionalProperties", "is not known here")
        elif isinstance(others, dict):
            yield from _check(item, others, named, below)


def escape(name: str) -> str:
    """A member's name inside a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


_IS: dict[str, Callable[[Any], bool]] = {
    "integer": lambda value: type(value) is int,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # JSON Schema's `$` is the end of the text; Python's also matches before a last newline.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _at_least(what: str) -> Callable[[Any, Any], str]:
    return lambda value, low: "" if len(value) >= low else f"must have at least {low} {what}"


def _at_most(what: str) -> Callable[[Any, Any], str]:
    return lambda value, high: "" if len(value) <= high else f"must have at most {high} {what}"


def _differ(value: list[Any], _: object) -> str:
    return "" if len({str(one) for one in value}) == len(value) else "must differ from each other"


_TESTS: dict[str, Callable[[Any, Any], str]] = {
    "enum": lambda value, wanted: "" if value in wanted else f"must be one of {', '.join(wanted)}",
    "minimum": lambda value, low: "" if value >= low else f"must be at least {low}",
    "maximum": lambda value, high: "" if value <= high else f"must be at most {high}",
    "minLength": _at_least("characters"),
    "maxLength": _at_most("characters"),
    "pattern": lambda value, rule: "" if _compiled(rule).search(value) else f"must match {rule}",
    "minItems": _at_least("items"),
    "maxItems": _at_most("items"),
    "maxProperties": _at_most("members"),
    "uniqueItems": _differ,
}
