"""The tariffs that ship: their examples on both engines, and every number against the facts."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fastpath.layers import Window
from fastpath.types import MediumKind
from gateway.tariffs.examples import run_example
from gateway.tariffs.load import load_tariff
from gateway.tariffs.loaded import LoadedTariff, load
from gateway.tariffs.source import Example, FareGroup
from gateway.tariffs.source_layers import Flat, TapBands
from tests.tariffs.both_engines import BothEngines

ROOT = Path(__file__).resolve().parents[2]
TARIFFS = ROOT / "config" / "tariffs"
FACTS = ROOT.parent / "shared" / "data" / "tariffs.json"
NAMES = sorted(path.stem for path in TARIFFS.glob("*.toml"))
FILE_OF = {
    "cn-beijing-subway": "beijing-subway",
    "cn-beijing-bus": "beijing-bus",
    "cn-shanghai-metro": "shanghai",
    "cn-guangzhou-metro": "guangzhou",
    "cn-shenzhen-metro": "shenzhen",
    "cn-hangzhou-metro": "hangzhou",
    "cn-chengdu-metro": "chengdu",
    "cn-wuhan-metro": "wuhan",
    "cn-qingdao-metro": "qingdao",
    "sg-adult-card-2023-12": "singapore-2023",
    "uk-tfl-2025-03": "london-2025",
    "us-mta-2026-01": "new-york-2026",
}
NOT_SHIPPED = {"kr-seoul-fare-kata"}  # unit tests of somebody, no operator's tariff
BY_DISTANCE = [one for one in FILE_OF if one[:2] in ("cn", "sg")]
WHOLE_TARIFFS = {"guangzhou-2010"}  # a second version beside the one in the facts
EXAMPLES = [
    pytest.param(name, at, id=f"{name}-{one.name}")
    for name in NAMES
    for at, one in enumerate(load_tariff(TARIFFS / f"{name}.toml").examples)
]


@cache
def tariff_of(name: str) -> LoadedTariff:
    return load(TARIFFS / f"{name}.toml")


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    if not FACTS.is_file():
        pytest.skip(f"the facts the tariffs were written from are not here: {FACTS}")
    return {one["id"]: one for one in json.loads(FACTS.read_text(encoding="utf-8"))["tariffs"]}


@pytest.mark.parametrize(("name", "at"), EXAMPLES)
def test_an_example_costs_the_same_on_both_engines(name: str, at: int) -> None:
    tariff = tariff_of(name)
    example = tariff.source.examples[at]
    assert run_example(tariff, example, BothEngines).faults == ()


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_source_and_every_decision_is_named(name: str) -> None:
    source = tariff_of(name).source
    assert source.sources
    assert all(note.what.startswith(("http://", "https://")) for note in source.sources)
    assert source.assumptions


def test_the_facts_are_all_shipped(facts: dict[str, Any]) -> None:
    assert set(facts) - NOT_SHIPPED == set(FILE_OF)
    assert set(FILE_OF.values()) | WHOLE_TARIFFS == set(NAMES)


@pytest.mark.parametrize("key", BY_DISTANCE)
def test_bands_are_those_of_the_facts(key: str, facts: dict[str, Any]) -> None:
    bands, beyond = bands_of(FILE_OF[key])
    unit = 1 if key.startswith("sg") else 100
    rule = facts[key]["rule"]
    assert bands == [(metres(km), fare * unit) for km, fare in rule["bands_upper_inclusive_km"]]
    more = rule["beyond"]
    if isinstance(more, dict):
        assert metres(more["from_km"]) == bands[-1][0]
        assert beyond == (metres(more["per_km"]), more["add"] * unit)
    else:
        assert beyond == (0, 0)  # the table was cut there: no price


@pytest.mark.parametrize("key", BY_DISTANCE)
def test_points_cost_what_the_facts_say(key: str, facts: dict[str, Any]) -> None:
    unit = 1 if key.startswith("sg") else 100
    points = facts[key]["points_km_fare"] + facts[key].get("published_points", [])
    assert points
    for km, fare in points:
        assert price_at(FILE_OF[key], metres(km)) == fare * unit, km


@pytest.mark.parametrize("key", [one for one in BY_DISTANCE if one != "cn-beijing-subway"])
def test_points_are_examples_inside_the_files(key: str, facts: dict[str, Any]) -> None:
    """The subway is priced over its stations; the others take the distance of the tap."""
    rides = {leg.ride_m for one in tariff_of(FILE_OF[key]).source.examples for leg in one.legs}
    points = facts[key]["points_km_fare"] + facts[key].get("published_points", [])
    assert {metres(km) for km, _ in points} <= rides


@pytest.mark.parametrize("key", ["cn-beijing-subway", "cn-guangzhou-metro"])
def test_monthly_tiers_are_those_of_the_facts(key: str, facts: dict[str, Any]) -> None:
    source = tariff_of(FILE_OF[key]).source
    month = facts[key]["monthly_accumulation"]
    wanted = [(amount * 100, ppm(factor)) for amount, factor in month["tiers"]]
    ours = [(tier.from_minor, tier.factor_ppm) for tier in source.tiers]
    assert ours == [step for step in wanted if step != (0, 1_000_000)]
    assert source.rules.tier_split == ("part" in month["tier_chosen_by"])


def test_tiers_of_qingdao_are_those_of_the_facts_and_the_card_s(facts: dict[str, Any]) -> None:
    month = facts["cn-qingdao-metro"]["monthly_accumulation"]
    assert month["basis"] == "actual spend of the card"
    [tier] = tariff_of("qingdao").source.layers.tiers
    assert list(tier.steps) == [(amount * 100, ppm(factor)) for amount, factor in month["tiers"]]
    assert (tier.is_split, tier.scope.media) == (False, (MediumKind.CARD, MediumKind.PHONE))


def test_free_rides_of_chengdu_s_seniors(facts: dict[str, Any]) -> None:
    source = tariff_of("chengdu").source
    [tier], [counter] = source.layers.tiers, source.layers.counters
    free = facts["cn-chengdu-metro"]["extras"]["senior_offpeak_free_trips_per_month"]
    assert tier.steps == ((0, 0), (free, 1_000_000))
    assert counter.window == Window.MONTH
    assert tier.scope == counter.scope
    assert tier.scope.frames == ("other",)


def test_sums_of_beijing_are_examples(facts: dict[str, Any]) -> None:
    totals = {(one.trips, one.total_minor) for one in examples_of("beijing-subway")}
    for fact in facts["cn-beijing-subway"]["monthly_accumulation"]["examples_derived"]:
        trips = int(fact["trips"].split(" x ")[0])
        assert (trips, minor(fact["paid_total"])) in totals


def test_rules_of_beijing(facts: dict[str, Any]) -> None:
    extras = facts["cn-beijing-subway"]["extras"]
    source = tariff_of("beijing-subway").source
    rules = source.rules
    assert rules.same_stop_fare_minor == extras["same_station_exit"] * 100
    assert rules.max_stay_us == extras["max_stay_minutes"] * 60_000_000
    assert rules.overstay_minor == extras["overstay_extra"] * 100
    assert rules.entry_minimum_minor == extras["min_balance_entry"] * 100
    passes = {one.name.removeprefix("beijing-"): one for one in source.layers.passes}
    assert {name: one.price_minor for name, one in passes.items()} == {
        name: price * 100 for name, price in extras["passes"].items()
    }
    assert all(one.duration_us == int(name[:-1]) * 3_600_000_000 for name, one in passes.items())
    bus = facts["cn-beijing-bus"]["extras"]
    source = tariff_of("beijing-bus").source
    assert source.rules.entry_minimum_minor == bus["min_balance_entry"] * 100
    assert {one.name: one.factor_ppm for one in source.layers.factors} == {
        "card": ppm(bus["card_factor_adult"]),
        "student": ppm(bus["card_factor_student"]),
    }


def test_rules_of_other_chinese_cities(facts: dict[str, Any]) -> None:
    change = facts["cn-shanghai-metro"]["extras"]["bus_to_metro_discount"]
    assert transfers("shanghai") == {
        "bus to metro": (change["amount"] * 100, change["within_minutes"])
    }
    assert not tariff_of("shanghai").source.tiers  # the monthly discount is hearsay
    guangzhou = facts["cn-guangzhou-metro"]["extras"]
    assert prices_of("guangzhou", "apm") == guangzhou["apm_flat"] * 100
    assert passes("guangzhou") == {"day": (guangzhou["day_pass"] * 100, 1)}
    shenzhen = facts["cn-shenzhen-metro"]["extras"]
    source = tariff_of("shenzhen").source
    assert source.rules.max_stay_us == shenzhen["max_stay_minutes"] * 60_000_000
    assert factors("shenzhen") == {"card": ppm(shenzhen["card_factor"])}
    normal, _ = bands_of("shenzhen")
    business, _ = bands_of("shenzhen", "business")
    most = shenzhen["business_class_factor_max"]
    assert business == [(end, fare * most) for end, fare in normal]
    hangzhou = facts["cn-hangzhou-metro"]["extras"]
    assert factors("hangzhou")["card"] == ppm(hangzhou["stored_value_factor"])
    assert factors("hangzhou")["60 to 69, pupils"] == ppm(hangzhou["senior60_factor"])
    minutes = transfers("hangzhou")["bus to metro"][1]
    assert minutes == hangzhou["bus_to_metro_transfer_minutes"]
    chengdu = facts["cn-chengdu-metro"]["extras"]
    assert factors("chengdu") == {
        "card": ppm(chengdu["card_factor"]),
        "student": ppm(chengdu["student_factor"]),
    }
    qingdao = facts["cn-qingdao-metro"]["extras"]
    assert passes("qingdao") == {
        "one-day": (qingdao["day_pass"] * 100, 1),
        "three-day": (qingdao["three_day_pass"] * 100, 3),
    }


def test_students_and_cash_of_singapore(facts: dict[str, Any]) -> None:
    extras = facts["sg-adult-card-2023-12"]["extras"]
    student = dict(extras["student"])
    over = student.pop("over")
    bands, _ = bands_of("singapore-2023", "student")
    assert bands == [(metres(km), fare) for km, fare in student.items()]
    assert tap_bands("singapore-2023", "student").beyond_minor == over
    bands, _ = bands_of("singapore-2023", "cash")
    assert bands == [(metres(km), fare) for km, fare in extras["cash_trunk"].items()]


def test_caps_of_london(facts: dict[str, Any]) -> None:
    rule = facts["uk-tfl-2025-03"]["rule"]
    for window, key in (("day", "daily_cap"), ("week", "weekly_cap_mon_sun")):
        wanted = {name: minor(amount) for name, amount in rule[key].items()}
        assert caps("london-2025")[f"bus-{window}"] == {"": wanted.pop("bus")}
        by_zones = caps("london-2025")[f"zones-{window}"]
        assert {shown_zones(zones): limit for zones, limit in by_zones.items()} == wanted


def test_singles_of_london_are_examples(facts: dict[str, Any]) -> None:
    single = facts["uk-tfl-2025-03"]["rule"]["single"]
    totals = {one.total_minor for one in examples_of("london-2025")}
    wanted = (single["zone1_peak"], single["zone1_offpeak"], single["single_zone_not_1_offpeak"])
    assert {minor(one) for one in wanted} <= totals
    assert prices_of("london-2025", "bus") == minor(single["bus_tram"])
    days = facts["uk-tfl-2025-03"]["day_examples_derived"]
    assert {minor(one["paid"]) for one in days} <= totals


def test_times_of_london(facts: dict[str, Any]) -> None:
    rule = facts["uk-tfl-2025-03"]["rule"]
    source = tariff_of("london-2025").source
    assert source.day_start.isoformat("minutes") == rule["day"].split("-")[0]
    stays = [one.limit_us // 60_000_000 for one in source.layers.longest_stays]
    wanted = rule["max_journey_minutes"]
    for place, key in enumerate(("one central zone", "1-2", "1-3")):
        assert stays[place * 3 : place * 3 + 3] == wanted[key][::-1]
    assert {one.stop_id for one in source.network.stations} >= {1, 2, 3, 4, 5, 6}
    walks = source.network.pairs
    pairs = {f"{one.first}>{one.second}": one.window_us // 60_000_000 for one in walks}
    assert pairs == rule["osi_minutes_examples"]


def test_new_york(facts: dict[str, Any]) -> None:
    rule = facts["us-mta-2026-01"]["rule"]
    assert prices_of("new-york-2026", "base") == minor(rule["base"])
    assert prices_of("new-york-2026", "reduced") == minor(rule["reduced"])
    assert prices_of("new-york-2026", "express") == minor(rule["express"])
    limits = {name: limit[""] for name, limit in caps("new-york-2026").items()}
    wanted = rule["rolling_7_day_cap"]
    assert limits == {
        "seven days": minor(wanted["regular"]),
        "seven days reduced": minor(wanted["reduced"]),
        "seven days with express": minor(wanted["all_incl_express"]),
    }
    totals = {(one.trips, one.total_minor) for one in examples_of("new-york-2026")}
    for fact in facts["us-mta-2026-01"]["examples_derived"]:
        trips = fact.get("trips_in_7_days") or fact["reduced_trips"]
        assert (trips, minor(fact["paid"])) in totals


# ---- what the files say ----------------------------------------------------------------------


def metres(km: float | str) -> int:
    return int(Decimal(str(km)) * 1000)


def minor(amount: str) -> int:
    return int(Decimal(amount) * 100)


def ppm(factor: float) -> int:
    return int(Decimal(str(factor)) * 1_000_000)


def examples_of(name: str) -> tuple[Example, ...]:
    return tariff_of(name).source.examples


def main_group(name: str) -> FareGroup | None:
    groups = tariff_of(name).source.network.groups
    return next((one for one in groups if one.is_main), None)


def tap_bands(name: str, fare: str) -> TapBands:
    rows = tariff_of(name).source.layers.fares
    form = next(row.form for row in rows if row.name == fare)
    assert isinstance(form, TapBands)
    return form


def bands_of(name: str, fare: str = "") -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """(to metres, fare) of each band; metres and amount of a step behind them."""
    group = main_group(name)
    if group is not None:
        assert group.beyond is not None
        bands = [(band.to_m, band.fare_minor) for band in group.bands]
        return bands, (group.beyond.per_m, group.beyond.add_minor)
    names = [row.name for row in tariff_of(name).source.layers.fares]
    usual = next(one for one in ("metro", "bus", "adult") if one in names)
    form = tap_bands(name, fare or usual)
    return list(zip(form.to_m, form.fare_minor, strict=True)), (form.per_m, form.add_minor)


def price_at(name: str, at_m: int) -> int:
    """The full price of a distance, worked out anew from what the file says."""
    bands, (per_m, add) = bands_of(name)
    for to_m, fare in bands:
        if at_m <= to_m:
            return fare
    assert per_m, f"{at_m} m has no price"
    steps = -(-(at_m - bands[-1][0]) // per_m)
    return bands[-1][1] + steps * add


def prices_of(name: str, fare: str) -> int:
    form = next(row.form for row in tariff_of(name).source.layers.fares if row.name == fare)
    assert isinstance(form, Flat)
    return form.fare_minor


def transfers(name: str) -> dict[str, tuple[int, int]]:
    rules = tariff_of(name).source.layers.transfers
    return {one.name: (one.amount_minor, one.window_us // 60_000_000) for one in rules}


def factors(name: str) -> dict[str, int]:
    return {one.name: one.factor_ppm for one in tariff_of(name).source.layers.factors}


def passes(name: str) -> dict[str, tuple[int, int]]:
    rules = tariff_of(name).source.layers.passes
    return {one.name: (one.price_minor, one.service_days) for one in rules}


def caps(name: str) -> dict[str, dict[str, int]]:
    rules = tariff_of(name).source.layers.caps
    return {one.name: {" ".join(zones): limit for zones, limit in one.limits} for one in rules}


def shown_zones(zones: str) -> str:
    """ "1 2 3" as "1-3"."""
    names = zones.split()
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
