"""Feeds for tests: those of tests/data/gtfs and those beside the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "data" / "gtfs"
SHARED = ROOT.parent / "shared" / "data"

MakeFeed = Callable[..., Path]
MINIMAL = {
    "fare_products": "fare_product_id,amount,currency\nsingle,2.00,EUR\n",
    "fare_leg_rules": "leg_group_id,fare_product_id\nG,single\n",
}


def shared_folder(*parts: str) -> Path:
    """A folder of data beside the project; without it the test is skipped, and says so."""
    folder = SHARED.joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED: {folder} is not there")
    return folder


def read_journeys(file: Path) -> list[dict[str, object]]:
    """The journeys of a file."""
    journeys: list[dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))
    return journeys
