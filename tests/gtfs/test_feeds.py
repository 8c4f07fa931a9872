"""Every journey of every feed costs what its file says, by the engine that decides taps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.errors import TariffError
from gateway.tariffs.gtfs.loaded import LoadedFeed, load
from gateway.tariffs.gtfs.quote import Options, quote_journeys
from gateway.tariffs.gtfs.settings import SWITCH_NAMES, FeedSettings, Switches
from tests.support.feeds import OWN, MakeFeed, read_journeys, shared_folder

TEXT = "journeys"
FILES = sorted(
    file for file in OWN.glob("*/*.json") if file.stem == TEXT or file.stem in SWITCH_NAMES
)
EXAMPLES = ("bart", "maryland", "muni", "wmata", "zakroczym")


def load_for(file: Path) -> LoadedFeed:
    """The feed of a file of journeys, with the switch the file is named after."""
    settings = file.parent / "settings.json"
    passes = json.loads(settings.read_text())["passes"] if settings.exists() else ()
    switches = Switches(**({} if file.stem == TEXT else {file.stem: True}))
    return load(file.parent, FeedSettings(switches=switches, passes=frozenset(passes)))


def surprises(quotes: list[dict[str, object]]) -> dict[object, object]:
    """Journeys that do not cost what they must."""
    return {one["id"]: one for one in quotes if not one["as_expected"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_own_feeds(file: Path) -> None:
    quotes = quote_journeys(load_for(file), read_journeys(file))
    assert quotes
    assert surprises(quotes) == {}


def is_refused(file: Path) -> bool:
    """Whether the text refuses the feed that the switch is for."""
    try:
        load(file.parent)
    except TariffError as error:
        return error.code == "TARIFF_FEED"
    return False


def test_each_switch_has_journeys_for_both_positions() -> None:
    for name in SWITCH_NAMES:
        changed = [file for file in FILES if file.stem == name]
        assert changed, name
        assert all((file.parent / f"{TEXT}.json").is_file() or is_refused(file) for file in changed)


def test_each_switch_changes_a_fare() -> None:
    """The journeys of a switch fail without it."""
    for file in (one for one in FILES if one.stem != TEXT and not is_refused(one)):
        quotes = quote_journeys(load(file.parent), read_journeys(file))
        assert surprises(quotes), file


@pytest.mark.parametrize("name", EXAMPLES)
def test_published_examples(name: str) -> None:
    folder = shared_folder("fares_v2_examples", name)
    quotes = quote_journeys(load(folder), read_journeys(folder / "journeys.json"))
    assert quotes
    assert surprises(quotes) == {}


def test_a_quote_names_the_rows() -> None:
    file = OWN / "transfers" / "journeys.json"
    quotes = quote_journeys(load_for(file), read_journeys(file))
    first = next(one for one in quotes if one["id"] == "type-0")
    legs = first["legs"]
    assert isinstance(legs, list)
    assert [(one["file"], one["line"]) for one in legs[0]["rules"]] == [
        ("fare_leg_rules.txt", 2),
        ("fare_products.txt", 2),
    ]
    assert [(one["file"], one["line"]) for one in legs[1]["rules"]] == [
        ("fare_leg_rules.txt", 3),
        ("fare_products.txt", 3),
        ("fare_transfer_rules.txt", 2),
        ("fare_products.txt", 6),
    ]
    assert [leg["fare"] for leg in legs] == ["2.00", "0.50"]


def test_a_product_with_a_duration_is_no_single_ride(make_feed: MakeFeed) -> None:
    folder = make_feed(
        fare_products="fare_product_id,amount,currency,duration_amount\n"
        "day,1.50,EUR,1\nsingle,2.00,EUR,\n",
        fare_leg_rules="fare_product_id\nday\nsingle\n",
    )
    leg = {"date": "2026-03-04", "dep": "10:00:00"}
    [quote] = quote_journeys(load(folder), [{"id": 1, "legs": [leg]}], Options(all_options=True))
    assert quote["total"] == "2.00"
    legs = quote["legs"]
    assert isinstance(legs, list)
    assert [(one["fare_product_id"], one["is_pass"]) for one in legs[0]["options"]] == [
        ("day", True),
        ("single", False),
    ]


def test_what_is_not_sold_to_a_category_may_fall_back(make_feed: MakeFeed) -> None:
    folder = make_feed(
        rider_categories="rider_category_id,is_default_fare_category\nadult,1\nchild,0\n",
        fare_products="fare_product_id,rider_category_id,amount,currency\nsingle,adult,2,EUR\n",
    )
    journey = {
        "id": 1,
        "rider_category_id": "child",
        "legs": [{"date": "2026-03-04", "dep": "10:00:00"}],
    }
    totals = [
        quote_journeys(load(folder, settings), [journey])[0]["total"]
        for settings in (FeedSettings(), FeedSettings(category_fallback=True))
    ]
    assert totals == [None, "2.00"]


def test_a_feed_says_why_in_words_with_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "journeys.json"
    journeys = [
        one for one in read_journeys(OWN / "transfers" / "journeys.json") if one["id"] == "type-0"
    ]
    file.write_text(json.dumps(journeys), encoding="utf-8")
    args = ["quote", "--feed", str(OWN / "transfers"), "--journeys", str(file), "--explain"]
    assert main([*args, "--language", "zh"]) == 0
    chinese = capsys.readouterr().out
    assert "票价  [fare_leg_rules.txt:2]" in chinese
    assert "换乘优惠  [fare_transfer_rules.txt:2]" in chinese
    assert "票种：change, 0.50  [fare_products.txt:6 change]" in chinese
    assert "product:" not in chinese
    assert main([*args, "--json"]) == 0
    (quoted,) = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in quoted["legs"][1]["why"]][-2:] == ["transfer", "transfer"]
    for leg in quoted["legs"]:
        for note in leg["why"]:
            lines = (OWN / "transfers" / note["file"]).read_text(encoding="utf-8").splitlines()
            assert note["key"] in lines[note["line"] - 1]
