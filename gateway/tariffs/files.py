"""Which files a tariff is made of: what it compiles to depends on every one of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path


def list_files(path: Path) -> list[Path]:
    """The tariff's file and those it names, whether they are there or not.

    A file that cannot be read names none: who loads it will say why.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [path]
    return [path, *dict.fromkeys(path.parent / name for name in _names(data))]


def _names(data: dict[str, object]) -> Iterator[str]:
    network = data.get("network")
    if isinstance(network, dict):
        yield from (str(network[key]) for key in ("stations", "lines") if key in network)
    fares = data.get("fare")
    for row in fares if isinstance(fares, list) else ():
        if isinstance(row, dict) and "matrix" in row:
            yield str(row["matrix"])
