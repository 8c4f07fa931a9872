"""Which of JSON and CSV an Accept header likes better (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re

_WEIGHT = re.compile(r"q=(?:(1)(?:\.0{0,3})?|0(?:\.([0-9]{0,3}))?)\Z", re.IGNORECASE)
CSV = ("text/csv", "text/*", "*/*")
JSON = ("application/json", "application/*", "*/*")
"""The most exact name first."""


def wants_csv(accept: str) -> bool:
    """Whether CSV is liked better, or as well and named more exactly. Without a wish it is JSON."""
    weights = dict(_read_one(part) for part in accept.split(",") if part.strip())
    csv, json = _liking(CSV, weights), _liking(JSON, weights)
    return csv[0] > json[0] or (csv[0] == json[0] > 0 and csv[1] > json[1])


def _liking(names: tuple[str, ...], weights: dict[str, int]) -> tuple[int, int]:
    """How much (0..1000), and how exactly it was named."""
    for distance, name in enumerate(names):
        if name in weights:
            return weights[name], -distance
    return 0, -len(names)


def _read_one(part: str) -> tuple[str, int]:
    """A media type and its weight in thousandths; a weight that cannot be read is 0."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    weight = 1000
    for parameter in parameters:
        if parameter.lower().startswith("q="):
            found = _WEIGHT.match(parameter)
            weight = (
                0 if found is None else 1000 if found[1] else int((found[2] or "").ljust(3, "0"))
            )
    return name.lower(), weight
