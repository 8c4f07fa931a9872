"""Quotes, single and in lists, and the example journeys inside the shipped files."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.types import Rule
from gateway.errors import TariffError
from gateway.tariffs.examples import run_example
from gateway.tariffs.explain import TEXTS, explain, rule_names
from gateway.tariffs.explained import SingleRequest, quote_single
from gateway.tariffs.load import load_tariff
from gateway.tariffs.loaded import LoadedTariff, load
from gateway.tariffs.quote import quote_journeys

TARIFFS = Path(__file__).resolve().parents[2] / "config" / "tariffs"
SHIPPED = {path.stem: load_tariff(path) for path in sorted(TARIFFS.glob("*.toml"))}
EXAMPLES = [
    pytest.param(name, at, id=f"{name}-{one.name}")
    for name, source in SHIPPED.items()
    for at, one in enumerate(source.examples)
]


@pytest.mark.parametrize(("name", "at"), EXAMPLES)
def test_examples_inside_the_files(name, at, beijing, beijing_bus):
    tariff = {"beijing-subway": beijing, "beijing-bus": beijing_bus}.get(name)
    result = run_example(tariff or load(TARIFFS / f"{name}.toml"), SHIPPED[name].examples[at])
    assert result.faults == ()


def test_there_are_examples_enough():
    assert len(SHIPPED["beijing-subway"].examples) >= 25
    assert all(source.examples for source in SHIPPED.values())


def journey(*legs: dict[str, object], **fields: object) -> dict[str, object]:
    return {"id": "j", "legs": list(legs), **fields}


def leg(start, end, dep="08:00:00", arr="08:40:00", day="2026-11-23", **fields):
    return {"from_stop": start, "to_stop": end, "date": day, "dep": dep, "arr": arr, **fields}


def total(tariffs, *legs, **fields):
    answer = quote_journeys(tariffs, [journey(*legs, **fields)])[0]
    return answer["total"] or answer["reason"]


def test_the_answer_in_full(beijing):
    asked = journey(leg("苹果园", "国贸"), id="a")
    assert quote_journeys((beijing,), [asked]) == [
        {
            "id": "a",
            "total": "6.00",
            "currency": "CNY",
            "legs": [
                {
                    "network_id": "beijing-subway",
                    "from_stop": 101,
                    "from": {"zh": "苹果园", "en": "Pingguoyuan"},
                    "to_stop": 119,
                    "to": {"zh": "国贸", "en": "Guomao"},
                    "dep": "2026-11-23T08:00:00+08:00",
                    "arr": "2026-11-23T08:40:00+08:00",
                    "fare": "6.00",
                    "distance_m": 25637,
                    "rules": ["distance_band"],
                    "goes_on": False,
                }
            ],
        }
    ]


def test_absent_keys_and_nulls_are_the_same(beijing):
    short = {"id": 1, "legs": [{"from_stop": "101", "to_stop": "119", "date": "2026-11-23",
                                "dep": "08:00:00"}]}  # fmt: skip
    nulls = dict.fromkeys(("rider_category_id", "fare_media_id"))
    full = {**short, **nulls, "legs": [{**short["legs"][0], **dict.fromkeys(
        ("network_id", "from_area", "to_area", "arr"))}]}  # fmt: skip
    answers = quote_journeys((beijing,), [short, full])
    assert answers[0] == answers[1]
    assert answers[0]["total"] == "6.00"


def test_answers_are_json(beijing, beijing_bus):
    asked = [journey(leg("国贸", "T3")), journey(leg("?", "国贸")), journey()]
    text = json.dumps(quote_journeys((beijing, beijing_bus), asked), ensure_ascii=False)
    assert [one["total"] for one in json.loads(text)] == ["28.00", None, None]


JOURNEYS = """
5.00 | 苹果园>木樨地(1号线) 08:00-08:30, 木樨地(16号线)>国家图书馆 08:45-09:00 | joined on foot
8.00 | 苹果园>木樨地(1号线) 08:00-08:30, 木樨地(16号线)>国家图书馆 09:01-09:15 | too late
6.00 | 苹果园>国贸 08:00-08:45, 国贸>三元桥 08:50-09:05 | changing trains
9.00 | 苹果园>国贸 08:00-08:45, 国贸>三元桥 10:50-11:05 | a long stop between: 6.00 and 3.00
28.00 | 国贸>三元桥 08:00-08:15, 三元桥>T3 08:20-08:50 | train and airport line
12.00 | 苹果园>国贸 08:00-08:45, 国贸>苹果园 18:00-18:45 | there and back in the evening
2.50 | 土桥>国贸 06:30-07:30 | early bird on a working day
5.00 | 土桥>国贸 07:00-07:50 | after seven
2.50 | 土桥>四惠 06:30-07:20, 四惠>国贸 07:25-07:30 | early, changing inside
9.00 | 苹果园>国贸 08:00-12:30 | too long inside
3.00 | 国贸>国贸 08:00-08:10 | same station
6.00 | 苹果园>国贸 23:30-24:20 | after midnight
6.00 | 苹果园>国贸 24:10-25:00 | wholly after midnight
"""


@pytest.mark.parametrize("row", JOURNEYS.split("\n")[1:-1])
def test_journeys_of_several_legs(beijing, row):
    expected, text, _ = row.split(" | ")
    legs = []
    for one in text.split(", "):
        stops, times = one.rsplit(" ", 1)
        dep, arr = times.split("-")
        legs.append(leg(*stops.split(">"), f"{dep}:00", f"{arr}:00"))
    answer = quote_journeys((beijing,), [journey(*legs)])[0]
    assert answer["total"] == expected, answer
    assert len(answer["legs"]) == len(legs)
    assert sum(Decimal(one["fare"]) for one in answer["legs"]) == Decimal(expected)


def test_a_leg_without_arrival_ends_before_the_next_begins(beijing):
    first = leg("苹果园", "国贸", arr=None)
    assert total((beijing,), first, leg("国贸", "三元桥", "08:20:00", "08:40:00")) == "6.00"


def test_a_bus_and_the_subway(beijing, beijing_bus):
    both = (beijing, beijing_bus)
    bus = leg(None, None, "09:00:00", None, network_id="beijing-bus")
    assert total(both, leg("苹果园", "国贸"), bus) == "7.00"
    assert total(both, bus, fare_media_id="emv") == "2.00"
    assert total(both, bus, {**bus, "dep": "09:00:30"}) == "passback"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"legs": None}, "no_legs"),
        ({"legs": []}, "no_legs"),
        ({"legs": ["x"]}, "bad_leg"),
        (
            {"rider_category_id": "student", "legs": [leg("国贸", "苹果园")]},
            "unknown_rider_category",
        ),
        ({"fare_media_id": "shell"}, "unknown_fare_media"),
        ({"legs": [leg("木樨地", "国贸")]}, "tariff_station_ambiguous"),
        ({"legs": [leg("Nowhere", "国贸")]}, "tariff_station_unknown"),
        ({"legs": [leg("国贸", None)]}, "unknown_stop"),
        ({"legs": [leg("国贸", ["苹果园"])]}, "bad_value"),
        ({"legs": [leg("国贸", True)]}, "bad_value"),
        ({"legs": [leg("国贸", "苹果园", network_id="mtr")]}, "unknown_network"),
        ({"legs": [leg("国贸", "苹果园", dep=None)]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", dep="8:00")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", dep="08:60:00")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", dep="99:00:00")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", day="2026-02-30")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", day=None)]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", arr="07:00:00")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园"), leg("国贸", "苹果园", "08:20:00")]}, "bad_time"),
        ({"legs": [leg("国贸", "苹果园", day="2024-12-31")]}, "tariff_not_loaded"),
        ({"legs": [leg("国贸", "苹果园", day="2031-01-01")]}, "tariff_not_loaded"),
    ],
)
def test_what_cannot_be_priced_has_a_reason(beijing, fields, reason):
    good = journey(leg("苹果园", "国贸"), id="good")
    answers = quote_journeys((beijing,), [{"id": "bad", **fields}, good])
    assert answers[0]["id"] == "bad"
    assert answers[0]["total"] is None
    assert answers[0]["reason"] == reason
    assert answers[0]["detail"]
    assert answers[1]["total"] == "6.00"


@pytest.mark.parametrize("data", [None, {}, "x", 3])
def test_not_a_list(beijing, data):
    with pytest.raises(TariffError) as caught:
        quote_journeys((beijing,), data)
    assert caught.value.code == "TARIFF_JOURNEYS"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "legs", "from_stop", "to_stop", "date", "dep", "arr", "x"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(items=st.lists(JSON, max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_json_gets_an_answer_for_each_entry(beijing, items):
    answers = quote_journeys((beijing,), items)
    assert len(answers) == len(items)
    assert all(one["total"] is None and one["reason"] for one in answers)
    json.dumps(answers)


def single(tariff, start="苹果园", end="国贸", at="2026-11-23T08:00", **fields):
    return quote_single(tariff, SingleRequest(start, end, at, **fields))


def test_one_ride_explained(beijing):
    said = single(beijing).as_dict()
    assert (said["fare"], said["distance_m"], said["day"]) == ("6.00", 25637, "working day")
    assert said["rides"][0]["band"] == "25637 m, up to 32000 m"
    assert [one["line"]["en"] for one in said["path"]] == ["Line 1"]
    rule = said["rules"][0]
    assert (rule["rule"], rule["file"], rule["key"]) == (
        "distance_band",
        "beijing-subway.toml",
        "fare.main",
    )
    text = (TARIFFS / "beijing-subway.toml").read_text(encoding="utf-8").splitlines()
    assert text[rule["line"] - 1] == "[[fare]]"
    assert text[rule["line"]] == 'name = "main"'
    assert "6.00 CNY" in next(single(beijing).lines())


@pytest.mark.parametrize(
    ("start", "end", "fields", "fare_and_text"),
    [
        ("北京南站", "新宫", {}, ("3.00", "94 m over, within the tolerance")),
        ("朝阳公园", "永丰", {}, ("7.00", "32100 m, over 32000 m")),
        ("国贸", "T3", {}, ("28.00", "25.00  capital-airport: one price for the line")),
        ("国贸", "T3", {}, ("28.00", "首都机场线: 三元桥 → 3号航站楼, 27981 m")),
        ("土桥", "国贸", {"at": "2026-11-23T06:30"}, ("2.50", "× 0.5  Early bird")),
        ("苹果园", "国贸", {"month_paid": "120.00"}, ("4.80", "× 0.8  120.00 already paid")),
        ("苹果园", "国贸", {"until": "2026-11-23T12:01"}, ("9.00", "stayed longer than allowed")),
        ("国贸", "国贸", {}, ("3.00", "left at the station of entry")),
        ("复兴门", "牛街", {}, ("3.00", "walk")),
        ("101", "Guomao", {"at": "2027-10-01T08:00"}, ("6.00", "weekends only")),
        ("苹果园", "国贸", {"at": "2026-10-01T08:00"}, ("6.00", "National Day")),
        ("苹果园", "国贸", {"at": "2026-11-23T00:00:00+00:00"}, ("6.00", "2026-11-23 08:00")),
    ],
)
def test_what_an_explanation_shows(beijing, start, end, fields, fare_and_text):
    fare, seen = fare_and_text
    explanation = single(beijing, start, end, **fields)
    assert explanation.as_dict()["fare"] == fare
    assert seen in "\n".join(explanation.lines())
    json.dumps(explanation.as_dict())


def test_a_boarding_explained(beijing_bus):
    explanation = single(beijing_bus, "", "")
    assert explanation.as_dict()["fare"] == "1.00"
    assert "Half price with the card" in "\n".join(explanation.lines())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"start": "木樨地"}, "TARIFF_STATION_AMBIGUOUS"),
        ({"end": "Narnia"}, "TARIFF_STATION_UNKNOWN"),
        ({"at": "tomorrow"}, "TARIFF_QUOTE"),
        ({"at": "2019-01-01T08:00"}, "TARIFF_QUOTE"),
        ({"medium": "shell"}, "TARIFF_QUOTE"),
        ({"month_paid": "many"}, "TARIFF_QUOTE"),
        ({"end": ""}, "TARIFF_QUOTE"),
    ],
)
def test_a_ride_that_cannot_be_priced(beijing, fields, code):
    with pytest.raises(TariffError) as caught:
        single(beijing, **fields)
    assert caught.value.code == code
    assert caught.value.hint


def test_every_rule_has_a_text_in_both_languages(beijing):
    assert set(TEXTS) == set(Rule)
    notes = explain(Rule(sum(Rule)), beijing.source)
    assert [note.rule for note in notes] == list(Rule)
    assert all(note.en and note.zh for note in notes)
    assert len(rule_names(Rule(sum(Rule)))) == len(set(Rule))
    of_the_file = {note.key for note in notes if note.line}
    assert {"month.tiers", "journey.same_station", "out_of_station", "time_discount"} <= of_the_file


def test_a_tariff_without_plenty_of_anything(write_town):
    town = load(write_town())
    assert isinstance(town, LoadedTariff)
    day = {"day": "2026-05-04"}
    assert total((town,), leg("东", "西", **day)) == "3.00"
    assert total((town,), leg("Dong", "Top", **day)) == "14.00"
