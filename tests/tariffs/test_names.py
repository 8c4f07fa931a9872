"""Stations by id and by name, as people type them."""

from __future__ import annotations

import pytest

from gateway.errors import TariffError
from gateway.tariffs.names import normal_name
from gateway.tariffs.units import (
    CURRENCIES,
    AmountError,
    format_amount,
    format_factor,
    parse_amount,
    parse_factor,
)

FOUND = """
苹果园 | 苹果园
苹果园站 | 苹果园
101 | 苹果园
１０１ | 苹果园
Pingguoyuan | 苹果园
pingguo yuan | 苹果园
 PINGGUOYUAN station | 苹果园
Guomao | 国贸
Xi'erqi | 西二旗
xierqi | 西二旗
Military Museum | 军事博物馆
junshi bowuguan | 军事博物馆
T3 | 3号航站楼
Terminal 2 | 2号航站楼
四惠东 | 四惠东
Sihui Dong | 四惠东
北京西站 | 北京西站
Lama Temple | 雍和宫
木樨地(16号线) | 木樨地(16号线)
木樨地（16号线） | 木樨地(16号线)
Muxidi (Line 1) | 木樨地(1号线)
Workers Stadium | 工人体育场
"""


@pytest.mark.parametrize("row", FOUND.split("\n")[1:-1])
def test_found(beijing, row):
    typed, name = row.split(" | ")
    assert beijing.names.get(typed).zh == name


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ("木樨地", ["109 木樨地(1号线)", "木樨地(16号线)"]),
        ("大钟寺", ["大钟寺(12号线)", "大钟寺(13号线)"]),
        ("dazhongsi", ["大钟寺(12号线)", "大钟寺(13号线)"]),
        ("Guanzhuang", ["管庄", "关庄"]),
    ],
)
def test_ambiguous_names_are_refused_with_what_they_may_mean(beijing, typed, candidates):
    with pytest.raises(TariffError) as caught:
        beijing.names.get(typed)
    assert caught.value.code == "TARIFF_STATION_AMBIGUOUS"
    assert len(caught.value.findings) == 2
    for candidate in candidates:
        assert any(candidate in one for one in caught.value.findings)
        assert candidate in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "close"),
    [("苹果圆", "苹果园"), ("Pinguoyuan", "苹果园"), ("Guomau", "国贸"), ("天通苑西", "天通苑")],
)
def test_unknown_names_come_with_close_ones(beijing, typed, close):
    with pytest.raises(TariffError) as caught:
        beijing.names.get(typed)
    assert caught.value.code == "TARIFF_STATION_UNKNOWN"
    assert any(close in one for one in caught.value.findings)


@pytest.mark.parametrize("typed", ["", "   ", "99999", "0", "站", "Station", "\x00", "👻"])
def test_nonsense_is_unknown(beijing, typed):
    with pytest.raises(TariffError) as caught:
        beijing.names.get(typed)
    assert caught.value.code == "TARIFF_STATION_UNKNOWN"


def test_every_name_of_every_station_leads_to_it_or_is_ambiguous(beijing):
    ambiguous = beijing.names.ambiguous()
    assert set(ambiguous) == {"木樨地", "muxidi", "大钟寺", "dazhongsi", "guanzhuang"}
    for station in beijing.source.network.stations:
        assert beijing.names.get(str(station.stop_id)) == station
        for name in station.names:
            if normal_name(name) not in ambiguous:
                assert beijing.names.get(name) == station


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [("3.00", 2, 300), ("3", 2, 300), ("0.5", 2, 50), ("12", 0, 12), ("1000000.00", 2, 10**8)],
)
def test_amounts(text, exponent, minor):
    assert parse_amount(text, exponent) == minor


@pytest.mark.parametrize(
    "text", ["", "3.", ".5", "-1", "+1", "1e3", "3,00", "1000000.01", "3.001", "三", " 3", "9" * 30]
)
def test_bad_amounts(text):
    with pytest.raises(AmountError):
        parse_amount(text, 2)


def test_texts_of_amounts_and_factors():
    assert [format_amount(minor, 2) for minor in (0, 5, 50, 500, -5)] == [
        "0.00", "0.05", "0.50", "5.00", "-0.05",
    ]  # fmt: skip
    assert format_amount(1250, 0) == "1250"
    assert [parse_factor(text) for text in ("0.5", "1", "0.000001")] == [500_000, 1_000_000, 1]
    assert [format_factor(ppm) for ppm in (500_000, 1_000_000, 1, 0)] == [
        "0.5",
        "1",
        "0.000001",
        "0",
    ]
    assert all(code == one.code for code, one in CURRENCIES.items())
