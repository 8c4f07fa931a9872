"""A feed as a tariff that stands beside the others, and the two commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastpath.api import CompiledTariff
from gateway.bootstrap import compile_tariffs
from gateway.cli import build_cli
from gateway.errors import TariffError
from gateway.tariffs.gtfs.loaded import load
from gateway.tariffs.gtfs.register import is_feed_file, read_registered, register_feed
from gateway.tariffs.gtfs.settings import SWITCH_NAMES, FeedSettings, Switches
from tests.support.feeds import OWN, MakeFeed
from tests.support.plane import load_settings, make_folder

CATEGORIES = "rider_category_id,is_default_fare_category\n"
PRODUCTS = "fare_product_id,rider_category_id,amount,currency\nsingle,a,2,EUR\nsingle,b,1,EUR\n"


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(build_cli(), arguments, catch_exceptions=False)
    return done.exit_code, done.stdout


def test_a_registered_feed_is_the_feed(tmp_path: Path) -> None:
    source = OWN / "timeframes"
    switches = Switches(timeframe_end_included=True)
    settings = FeedSettings(
        "night-bus",
        version="7",
        switches=switches,
        passes=frozenset({"a", 'b"\\'}),
        media={"card": "x"},
        category_fallback=True,
    )
    path, loaded = register_feed(source, tmp_path / "tariffs", settings)
    assert is_feed_file(path)
    assert loaded.settings == FeedSettings(**{
        name: getattr(settings, name) for name in settings.__slots__ if name != "categories"
    }, categories=loaded.built.riders.categories)  # fmt: skip
    assert loaded.built.spec == load(source, loaded.settings).built.spec


def test_the_same_feed_gives_the_same_files(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        register_feed(OWN / "zones_v1", folder, FeedSettings("zones"))
    assert [file.name for file in sorted((tmp_path / "one").iterdir())] == [
        "zones.gtfs.zip",
        "zones.toml",
    ]
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_categories_keep_their_numbers(tmp_path: Path, make_feed: MakeFeed) -> None:
    settings = FeedSettings("town")
    feed = make_feed(fare_products=PRODUCTS, rider_categories=CATEGORIES + "a,1\nb,0\n")
    _, first = register_feed(feed, tmp_path / "t", settings)
    feed = make_feed(fare_products=PRODUCTS, rider_categories=CATEGORIES + "c,0\nb,1\na,0\n")
    _, second = register_feed(feed, tmp_path / "t", settings)
    assert first.built.riders.categories == ("a", "b")
    assert second.built.riders.categories == ("a", "b", "c")


def test_a_broken_feed_is_not_written(tmp_path: Path, make_feed: MakeFeed) -> None:
    feed = make_feed(fare_leg_rules="fare_product_id\nlost\n")
    with pytest.raises(TariffError):
        register_feed(feed, tmp_path / "t", FeedSettings("town"))
    assert not (tmp_path / "t").exists()


def test_settings_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('format = 1\nkind = "gtfs"\nid = "x"\nfeed = "x.zip"\nsize = 1\n')
    with pytest.raises(TariffError) as raised:
        read_registered(path)
    assert raised.value.code == "TARIFF_INVALID"


def test_import_command(tmp_path: Path) -> None:
    source = str(OWN / "riders")
    options = ("--id", "riders", "--into", str(tmp_path), "--pass", "year", "--json")
    status, said = run("tariff", "import-gtfs", source, *options, "--switch", "product_held")
    report = json.loads(said)
    assert status == 0
    assert report["categories"] == {"0": "adult", "1": "child", "2": "senior"}
    _, settings = read_registered(Path(report["tariff"]))
    assert settings.passes == {"year"}
    assert settings.switches == Switches(product_held=True)


def test_like_otp_is_every_switch(tmp_path: Path) -> None:
    source = str(OWN / "riders")
    run("tariff", "import-gtfs", source, "--id", "r", "--into", str(tmp_path), "--like-otp")
    _, settings = read_registered(tmp_path / "r.toml")
    assert all(getattr(settings.switches, name) for name in SWITCH_NAMES)


def test_import_command_tells_what_is_wrong(tmp_path: Path, make_feed: MakeFeed) -> None:
    feed = make_feed(fare_leg_rules="fare_product_id\nlost\n")
    status, said = run("tariff", "import-gtfs", str(feed), "--into", str(tmp_path), "--json")
    report = json.loads(said)
    assert status == 1
    assert [one["code"] for one in report["findings"]] == ["GTFS_REFERENCE"]


def test_quote_command(tmp_path: Path) -> None:
    folder = OWN / "held"
    options = ("--journeys", str(folder / "journeys.json"), "--json")
    status, said = run("quote", "--feed", str(folder), *options, "--all-options")
    quotes = json.loads(said)
    assert status == 0
    assert [one["total"] for one in quotes] == ["6.00", "6.00"]
    assert quotes[0]["legs"][0]["options"][0]["fare_product_id"] == "b"
    status, said = run("quote", "--feed", str(folder), *options, "--switch", "product_held")
    assert status == 1
    assert [one["as_expected"] for one in json.loads(said)] == [False, True]


def test_a_gateway_compiles_it_from_its_settings(tmp_path: Path) -> None:
    """As after a restart: the slot names the tariff, its folder is where tariffs are looked for."""
    folder = tmp_path / "tariffs"
    _, loaded = register_feed(OWN / "zones_v1", folder, FeedSettings("zones"))
    data = tmp_path / "gateway"
    config = make_folder(data)
    (data / "gateway.toml").write_text(
        f'[tariffs]\ndirs = ["{folder}"]\n[tariffs.slots]\n3 = "zones"\n'
    )
    config = load_settings(data)
    [(slot, compiled)] = compile_tariffs(config)
    assert slot == 3
    assert compiled.digest == CompiledTariff.build(loaded.built.spec).digest
    assert compile_tariffs(config)[0][1].digest == compiled.digest, "kept, not compiled again"


def test_it_is_listed_and_checked_like_any_tariff(tmp_path: Path) -> None:
    register_feed(OWN / "riders", tmp_path, FeedSettings("riders"))
    status, said = run("tariff", "list", "--dir", str(tmp_path), "--json")
    rows = {one["name"]: one for one in map(json.loads, said.splitlines())}
    assert (status, rows["riders"]["ok"], rows["riders"]["currency"]) == (0, True, "EUR")
    status, said = run("tariff", "check", "riders", "--dir", str(tmp_path), "--json")
    assert status == 0
    assert any("GTFS_SEVERAL_PRODUCTS" in one for one in json.loads(said)["warnings"])
