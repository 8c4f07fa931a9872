"""Shared pieces: the shipped Beijing tariff, and a small town for tests that break things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.tariffs.loaded import LoadedTariff, load

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"

TOWN = """
format = 1
id = "town"
version = "1"
title = { zh = "小城", en = "Town" }
currency = "CNY"
valid_from = 2026-01-01
valid_years = 1

[time]
zone = "Asia/Shanghai"

[network]
stations = "stations.toml"
lines = "lines.toml"

[[fare]]
name = "main"
tolerance_m = 100
bands = [{ to_m = 1000, fare = "2.00" }, { to_m = 3000, fare = "3.00" }]
beyond = { per_m = 1000, add = "0.50" }

[[fare]]
name = "cable"
lines = ["索道"]
flat = "10.00"

[journey]
entry_minimum = "2.00"
exit_overdraft = true
join_within_min = 20
"""

STATIONS = """
format = 1
as_of = "2026-01"
stations = [
  { id = 1, zh = "东", py = "Dong" },
  { id = 2, zh = "中", py = "Zhong" },
  { id = 3, zh = "西", py = "Xi" },
  { id = 4, zh = "山", py = "Shan", en = "Hill" },
  { id = 5, zh = "顶", py = "Ding", en = "Top" },
]
"""

LINES = """
format = 1
as_of = "2026-01"

[[line]]
code = 1
zh = "一线"
en = "Line 1"
stations = [{ at = "东" }, { at = "中", m = 900 }, { at = "西", m = 1200 }, { at = "山", m = 2000 }]

[[line]]
code = 2
zh = "索道"
en = "Cable car"
stations = [{ at = "山" }, { at = "顶", m = 800 }]
"""

CALENDAR = """
format = 1
id = "lazy"
weekend = ["sunday"]

[[year]]
year = 2026
verified = true
source = "made up"
holidays = [{ name = "Spring", from = 2026-03-02, to = 2026-03-04 }]
working = [2026-03-08]
"""

WriteTown = Callable[..., Path]


@pytest.fixture
def write_town(tmp_path: Path) -> WriteTown:
    """Writes the town's files, each changed by replacing texts, and gives the tariff's path."""

    def write(
        *changes: tuple[str, str],
        more: str = "",
        stations: str = STATIONS,
        lines: str = LINES,
        calendar: str = CALENDAR,
    ) -> Path:
        texts = {
            "town.toml": TOWN + more,
            "stations.toml": stations,
            "lines.toml": lines,
            "calendars/lazy.toml": calendar,
        }
        for old, new in changes:
            hit = [name for name, text in texts.items() if old in text]
            assert hit, f"{old!r} is nowhere in the town"
            texts[hit[0]] = texts[hit[0]].replace(old, new)
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "town.toml"

    return write


@pytest.fixture(scope="session")
def beijing() -> LoadedTariff:
    """The shipped subway tariff."""
    return load(CONFIG / "tariffs" / "beijing-subway.toml")


@pytest.fixture(scope="session")
def beijing_bus() -> LoadedTariff:
    """The shipped bus tariff."""
    return load(CONFIG / "tariffs" / "beijing-bus.toml")
