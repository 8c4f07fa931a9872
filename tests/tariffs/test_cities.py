"""City files: those that ship, and every fault of a broken one at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cities import KINDS, City, load_city
from gateway.cli import main
from gateway.errors import ConfigError
from gateway.resources import find_city, list_cities, list_tariffs
from gateway.tariffs.load import load_tariff

EIGHT = [
    "beijing", "chengdu", "guangzhou", "hangzhou", "qingdao", "shanghai", "shenzhen", "wuhan",
]  # fmt: skip

CITY = """
format = 1
id = "town"
title = { zh = "小城", en = "Town" }
currency = "CNY"
zone = "Asia/Shanghai"
languages = ["zh"]
tariffs = ["shanghai"]

[[service]]
kind = "bus"
title = { zh = "公交", en = "Bus" }
media = ["card"]
tariff = "shanghai"
network = "bus"
assumed = "made up"
"""

WriteCity = Callable[..., Path]


@pytest.fixture
def write_city(tmp_path: Path) -> WriteCity:
    def write(*changes: tuple[str, str], more: str = "") -> Path:
        text = CITY + more
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "town.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(name: str) -> City:
    return load_city(find_city(name), list_tariffs())


def test_the_eight_cities_ship() -> None:
    assert sorted(list_cities()) == EIGHT


@pytest.mark.parametrize("name", EIGHT)
def test_a_shipped_city_is_whole(name: str) -> None:
    city = read(name)
    assert [one.kind for one in city.services] == list(KINDS)
    assert set(city.languages) == {"zh", "en"}
    assert any(one.tariff for one in city.services)
    for tariff in city.tariffs:
        source = load_tariff(list_tariffs()[tariff])
        assert (source.currency.code, source.zone) == (city.currency, city.zone)
    for service in city.services:
        assert service.url or service.assumed
        assert service.title["zh"]
        assert service.title["en"]


def test_a_city_is_read(write_city: WriteCity) -> None:
    city = load_city(write_city(), list_tariffs())
    assert (city.city_id, city.zone.key, city.languages) == ("town", "Asia/Shanghai", ("zh",))
    assert city.services[0].network == "bus"
    assert city.services[0].as_dict()["source"] is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('id = "town"', 'id = "village"', "town.toml:3: id: is 'village' (the name of the file"),
        ('"CNY"', '"XYZ"', "town.toml:5: currency: is 'XYZ'"),
        ('"CNY"', '"GBP"', "town.toml:8: tariffs: shanghai is in CNY, not GBP"),
        ("Asia/Shanghai", "Asia/Atlantis", "town.toml:6: zone: 'Asia/Atlantis' is not known"),
        (
            "Asia/Shanghai",
            "Asia/Tokyo",
            "tariffs: shanghai is in the time zone Asia/Shanghai, not Asia/Tokyo",
        ),
        ('["zh"]', '["xx"]', "town.toml:7: languages"),
        ('tariffs = ["shanghai"]', 'tariffs = ["mars"]', "tariffs: there is no tariff 'mars'"),
        ('kind = "bus"', 'kind = "ferry"', "service[0].kind: is 'ferry'"),
        ('media = ["card"]', 'media = ["coin"]', "town.toml:13: service[0].media"),
        (
            'network = "bus"',
            'network = "ferry"',
            "shanghai has no network 'ferry' (one of metro, bus",
        ),
        ('tariff = "shanghai"\n', "", "service[0].network: stands without `tariff`"),
        ('assumed = "made up"', "", "has neither `source` nor `assumed`"),
        ('assumed = "made up"', 'asumed = "x"', "service[0].asumed: is not a known key"),
        ('assumed = "made up"', 'source = { url = "page 3", says = "x" }', "is no address"),
        ('tariffs = ["shanghai"]', 'tariffs = ["wuhan"]', "'shanghai' is not in `tariffs`"),
    ],
)
def test_a_fault_is_told_with_its_place(
    write_city: WriteCity, old: str, new: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_city(write_city((old, new)), list_tariffs())
    assert caught.value.code == "CITY_INVALID"
    assert any(fault in one for one in caught.value.findings), caught.value.findings


def test_all_faults_at_once(write_city: WriteCity) -> None:
    path = write_city(('"CNY"', '"XYZ"'), ('kind = "bus"', 'kind = "ferry"'), ('["zh"]', "[]"))
    with pytest.raises(ConfigError) as caught:
        load_city(path, list_tariffs())
    text = "\n".join(caught.value.findings)
    assert all(key in text for key in ("currency", "service[0].kind", "languages"))


@pytest.mark.parametrize(
    "text", ["format = 1\nid = ", "\xff"], ids=["not toml", "nothing that is known"]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "town.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"town\.toml"):
        load_city(path, list_tariffs())


def test_an_unknown_city() -> None:
    with pytest.raises(ConfigError, match="known are beijing, chengdu"):
        find_city("atlantis")


def test_the_commands(capsys: pytest.CaptureFixture[str], write_city: WriteCity) -> None:
    assert main(["city", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == EIGHT
    assert main(["city", "show", "hangzhou", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["services"][0]["tariff"] == "hangzhou"
    assert main(["city", "show", "hangzhou"]) == 0
    assert "amount of the terminal" in capsys.readouterr().out
    assert main(["city", "list"]) == 0
    assert "杭州 Hangzhou" in capsys.readouterr().out
    assert main(["city", "show", str(write_city(('"CNY"', '"XYZ"'))), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "CITY_INVALID"
    assert "town.toml:5" in error["findings"][0]
