"""What is wrong or suspicious: code, file, line and field, all at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.errors import TariffError
from gateway.tariffs.gtfs.findings import CODES, Finding, Severity
from gateway.tariffs.gtfs.loaded import inspect, load
from gateway.tariffs.gtfs.settings import FeedSettings
from tests.support.feed_cases import ERRORS, LEGS, PRODUCTS, TRANSFERS, WARNINGS, Tables
from tests.support.feeds import ROOT, MakeFeed


def found_in(folder: Path) -> list[tuple[str, str, int]]:
    return [(one.code, one.file.removesuffix(".txt"), one.line) for one in inspect(folder)]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0]}-{case[2]}-{case[4]}")
def test_errors(make_feed: MakeFeed, case: tuple[str, Tables, str, int, str]) -> None:
    code, tables, file, line, field = case
    folder = make_feed(**tables)
    found = [one for one in inspect(folder) if one.code == code]
    assert [(one.file.removesuffix(".txt"), one.line, one.field) for one in found] == [
        (file, line, field)
    ]
    assert CODES[code][0] is Severity.ERROR
    with pytest.raises(TariffError) as raised:
        load(folder)
    assert raised.value.code == "TARIFF_FEED"
    assert any(code in one for one in raised.value.findings)


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case[0])
def test_warnings(make_feed: MakeFeed, case: tuple[str, Tables, str, int]) -> None:
    code, tables, file, line = case
    folder = make_feed(**tables)
    assert (code, file, line) in found_in(folder)
    assert code in {one.code for one in load(folder).warnings}, "a warning stops nothing"


def test_a_sound_feed_has_no_findings(make_feed: MakeFeed) -> None:
    assert inspect(make_feed()) == []


def test_everything_is_told_at_once(make_feed: MakeFeed) -> None:
    folder = make_feed(
        fare_products=PRODUCTS + "single,,,x,EUR\n,,,1,EUR\n",
        fare_leg_rules=LEGS + "G,,,,,lost\n",
        fare_transfer_rules=TRANSFERS + "G,G,,60,,7,\n",
    )
    with pytest.raises(TariffError) as raised:
        load(folder)
    told = [one.split(": ")[:3] for one in raised.value.findings]
    assert [":".join(one[:2]) for one in told] == [
        "fare_leg_rules.txt:2:fare_product_id",
        "fare_products.txt:2:amount",
        "fare_products.txt:3:fare_product_id",
        "fare_transfer_rules.txt:2:duration_limit_type",
        "fare_transfer_rules.txt:2:fare_transfer_type",
        "fare_transfer_rules.txt:2:transfer_count",
    ]


def test_validity_must_make_sense(make_feed: MakeFeed) -> None:
    settings = FeedSettings(valid_from=date(2026, 1, 2), valid_until=date(2026, 1, 2))
    assert [one.code for one in inspect(make_feed(), settings)] == ["GTFS_SETTING"]


def test_every_code_is_in_the_document() -> None:
    text = (ROOT / "docs" / "gtfs.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in text] == []


def test_a_finding_says_where(make_feed: MakeFeed) -> None:
    one = Finding("GTFS_AMOUNT", "fare_products.txt", 7, "amount", "is 'x'")
    assert str(one).startswith("fare_products.txt:7: amount: GTFS_AMOUNT: is 'x' (")
    assert one.as_dict()["severity"] == "error"
