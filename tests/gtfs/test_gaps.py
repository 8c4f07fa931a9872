"""Rules that count or measure over several transfers, as the text says (docs/gtfs.md)."""

from __future__ import annotations

from pathlib import Path

from gateway.tariffs.gtfs.loaded import load
from gateway.tariffs.gtfs.quote import quote_journeys
from tests.support.feeds import OWN


def total(folder: Path, *legs: tuple[str, str, str]) -> object:
    asked = [
        {"network_id": network, "date": "2026-03-04", "dep": dep, "arr": arr}
        for network, dep, arr in legs
    ]
    return quote_journeys(load(folder), [{"id": 1, "legs": asked}])[0]["total"]


def test_count_of_a_rule_begins_with_its_first_match() -> None:
    legs = (
        ("a", "10:00:00", "10:10:00"),
        ("b", "10:20:00", "10:30:00"),
        ("b", "10:40:00", "10:50:00"),
    )
    assert total(OWN / "transfers", *legs) == "2.50"


def test_arrival_window_of_many_transfers_begins_with_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    folder.mkdir()
    for file in (OWN / "durations").glob("*.txt"):
        text = file.read_text().replace("G2,G2,1,", "G2,G2,-1,")
        (folder / file.name).write_text(text)
    legs = (
        ("d2", "10:00:00", "10:20:00"),
        ("d2", "10:30:00", "10:40:00"),
        ("d2", "10:55:00", "11:05:00"),
    )
    assert total(folder, *legs) == "2.00"
