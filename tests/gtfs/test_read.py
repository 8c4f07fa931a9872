"""Folders, zip files and the CSV inside them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gateway.errors import TariffError
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.loaded import load
from gateway.tariffs.gtfs.read import open_feed
from tests.support.feeds import MINIMAL, MakeFeed


def zip_of(path: Path, *, folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in MINIMAL.items():
            archive.writestr(f"{folder}{name}.txt", text)
    return path


def test_a_zip_file_is_as_good_as_a_folder(tmp_path: Path, make_feed: MakeFeed) -> None:
    zipped = load(zip_of(tmp_path / "feed.zip"))
    assert zipped.feed.leg_rules == load(make_feed()).feed.leg_rules


def test_tables_in_a_folder_of_a_zip_file_are_warned_about(tmp_path: Path) -> None:
    loaded = load(zip_of(tmp_path / "feed.zip", folder="inner/"))
    assert [one.code for one in loaded.warnings] == ["GTFS_FOLDER"]


def test_byte_order_mark_quotes_and_line_ends(make_feed: MakeFeed) -> None:
    folder = make_feed()
    text = (
        "\ufefffare_product_id,fare_product_name,amount,currency\r\n"
        '"single","One ""ride"", any\nway", 2.00 ,EUR\r\n'
        "\r\n"
        "other,Other,3.00,EUR"
    )
    (folder / "fare_products.txt").write_bytes(text.encode())
    table = open_feed(folder, Findings()).find_table("fare_products.txt", Findings())
    assert table is not None
    assert [row.line for row in table.rows] == [2, 5]
    assert table.rows[0].values["fare_product_name"] == 'One "ride", any\nway'
    assert table.rows[0].values["amount"] == "2.00"


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"fare_product_id,amount,currency\nsingle,\xff,EUR\n", "GTFS_UNREADABLE", 0),
        (b"", "GTFS_CSV", 0),
        (b'fare_product_id,amount,currency\nsingle,2.00,"EUR\n', "GTFS_CSV", 2),
        (b"fare_product_id,amount,currency\nsingle,2.00,EUR,x\n", "GTFS_CSV", 2),
        (b"fare_product_id,amount,amount,currency\nsingle,2,2,EUR\n", "GTFS_COLUMN", 1),
        (b"fare_product_id,currency\nsingle,EUR\n", "GTFS_COLUMN", 1),
    ],
)
def test_what_is_no_csv(make_feed: MakeFeed, content: bytes, code: str, line: int) -> None:
    folder = make_feed()
    (folder / "fare_products.txt").write_bytes(content)
    with pytest.raises(TariffError) as raised:
        load(folder)
    where = f"fare_products.txt:{line}" if line else "fare_products.txt:"
    assert any(code in one and one.startswith(where) for one in raised.value.findings)


@pytest.mark.parametrize("name", ["missing", "feed.zip"])
def test_what_is_no_feed(tmp_path: Path, name: str) -> None:
    (tmp_path / "feed.zip").write_bytes(b"no zip file")
    with pytest.raises(TariffError) as raised:
        load(tmp_path / name)
    assert raised.value.code == "TARIFF_FEED"
    assert "GTFS_UNREADABLE" in raised.value.findings[0] + raised.value.findings[-1]
