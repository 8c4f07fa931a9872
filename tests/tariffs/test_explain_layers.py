"""Each rule that acted is named with its file and line: in quotes, and for journal records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastpath.api import CompiledTariff
from fastpath.types import Act, Op, Rule
from gateway.cli import main
from gateway.tariffs.explain import explain
from gateway.tariffs.explain_record import RecordExplainer, facts_of, tariff_key_of
from gateway.tariffs.explain_rows import RideFacts
from gateway.tariffs.explained import SingleRequest, quote_single
from gateway.tariffs.files import list_files
from gateway.tariffs.loaded import LoadedTariff, load
from gateway.tariffs.quote import quote_journeys

FILES = Path(__file__).parent / "files"


@pytest.fixture(scope="module")
def zones() -> LoadedTariff:
    return load(FILES / "zones.toml")


def line_text(file: str, line: object) -> str:
    assert isinstance(line, int)
    return (FILES / file).read_text(encoding="utf-8").splitlines()[line - 1]


def test_a_quote_names_price_row_and_factor(zones: LoadedTariff) -> None:
    request = SingleRequest("Zone 1", "Zone 3", "2026-03-02T08:00", category="child")
    explained = quote_single(zones, request)
    notes = {note.rule: note for note in explained.notes}
    assert explained.leg.fare_minor == 190
    assert set(notes) == {Rule.LEG_RULE, Rule.LEG_FACTOR}
    price, factor = notes[Rule.LEG_RULE], notes[Rule.LEG_FACTOR]
    assert 'touched = 3, fare = "3.80"' in line_text(price.file, price.line)
    assert (price.en, price.zh) == ("price: rail peak, 3 zones", "票价：rail peak, 3 zones")
    assert line_text(factor.file, factor.line) == "[[factor]]"
    assert factor.zh.endswith("儿童半价")
    text = "\n".join(explained.lines())
    assert "Children" in text
    assert f"zones.toml:{price.line} fare[1].zones[2]" in text


def test_every_ride_of_a_journey_says_why(zones: LoadedTariff) -> None:
    bus = {"network_id": "bus", "date": "2026-03-02"}
    times = ["08:00:00", "08:30:00", "10:00:00", "12:00:00", "14:00:00"]
    journey = {"id": 1, "legs": [{**bus, "dep": time} for time in times]}
    quoted = quote_journeys([zones], [journey], explained=True)[0]
    legs = quoted["legs"]
    assert isinstance(legs, list)
    assert [leg["fare"] for leg in legs] == ["1.75", "0.00", "1.75", "1.75", "0.00"]
    rules = [[note["rule"] for note in leg["why"]] for leg in legs]
    assert rules[1] == ["leg_rule", "transfer"]
    assert rules[4] == ["leg_rule", "cap"]
    hopper, cap = legs[1]["why"][1], legs[4]["why"][1]
    assert (hopper["en"], hopper["zh"]) == ("transfer: Hopper", "换乘优惠：免费换乘")
    assert line_text("zones.toml", hopper["line"]) == "[[transfer]]"
    assert cap["en"] == "cap reached: Daily bus cap"
    assert cap["key"] == "cap[0]"


def test_a_row_of_a_matrix_is_named_by_its_csv_file() -> None:
    tariff = load(FILES / "network.toml")
    request = SingleRequest("西", "东", "2026-03-02T12:00", "2026-03-02T12:10", category="table")
    note = next(one for one in quote_single(tariff, request).notes if one.rule is Rule.LEG_RULE)
    assert (note.file, note.line) == ("net/fares.csv", 3)
    assert "9.80" in line_text(note.file, note.line)


def test_a_record_of_the_journal_is_explained_by_its_tariff_key(
    zones: LoadedTariff, tmp_path: Path
) -> None:
    compiled = CompiledTariff.build(zones.spec)
    broken = tmp_path / "broken.toml"
    broken.write_text("format = 9", encoding="utf-8")
    explainer = RecordExplainer({"a": broken, "b": FILES / "months.toml", "c": zones.path})
    acts = (Act.LEG << 24 | 1, Act.TRANSFER << 24, Act.PERIOD << 24 | 1)
    rules = int(Rule.LEG_RULE | Rule.TRANSFER | Rule.CAP | Rule.SUBSIDY)
    notes = explainer.explain(rules=rules, acts=acts, tariff_key=tariff_key_of(compiled))
    assert [note.rule for note in notes] == [
        Rule.SUBSIDY,
        Rule.LEG_RULE,
        Rule.TRANSFER,
        Rule.CAP,
    ]
    assert [note.key for note in notes[1:]] == ["fare[0]", "transfer[0]", "cap[1]"]
    assert notes[1].text("en").startswith("price: bus  [zones.toml:")
    unknown = explainer.explain(rules=rules, acts=acts, tariff_key=1)
    assert [note.rule for note in unknown] == [note.rule for note in notes]
    assert not any(note.line for note in unknown)


def test_comments_may_change_without_another_key(zones: LoadedTariff, tmp_path: Path) -> None:
    text = zones.path.read_text(encoding="utf-8")
    path = tmp_path / zones.path.name
    path.write_text(f"# one line more\n{text}", encoding="utf-8")
    moved = load(path)
    assert CompiledTariff.build(moved.spec).digest == CompiledTariff.build(zones.spec).digest
    first, second = zones.source.layers.origins[0], moved.source.layers.origins[0]
    assert second.line == first.line + 1


def test_the_command_in_one_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "journeys.json"
    leg = {"from_stop": "Zone 1", "to_stop": "Zone 2", "date": "2026-03-02", "dep": "08:00:00"}
    journeys = [{"id": "x", "rider_category_id": "child", "legs": [leg]}]
    file.write_text(json.dumps(journeys), encoding="utf-8")
    args = ["quote", "--tariff", str(FILES / "zones.toml"), "--journeys", str(file), "--explain"]
    assert main([*args, "--language", "en"]) == 0
    english = capsys.readouterr().out
    assert main([*args, "--language", "zh"]) == 0
    chinese = capsys.readouterr().out
    assert "1.75 GBP" in english
    assert "factor of category, medium or time: Children  [zones.toml:" in english
    assert "儿童半价  [zones.toml:" in chinese
    assert "Children" not in chinese


@pytest.mark.parametrize("category", ["pensioner", "7"])
def test_a_category_nobody_declared_has_no_price(zones: LoadedTariff, category: str) -> None:
    leg = {"from_stop": "1", "to_stop": "2", "date": "2026-03-02", "dep": "08:00:00"}
    journey = {"id": 1, "rider_category_id": category, "legs": [leg]}
    quoted = quote_journeys([zones], [journey])[0]
    assert (quoted["total"], quoted["reason"]) == (None, "unknown_rider_category")


def test_a_record_as_journal_show_prints_it(zones: LoadedTariff) -> None:
    key = tariff_key_of(CompiledTariff.build(zones.spec))
    items = [{"type": "cell"}, {"type": "acts", "acts": ["leg 1", "transfer 0"]}]
    rules = int(Rule.LEG_RULE | Rule.TRANSFER | Rule.LEG_FACTOR)
    record = {"rules": rules, "tariff_key": key, "items": items}
    why = RecordExplainer({"zones": zones.path}).explain_shown(record)
    assert [(one["rule"], one["key"]) for one in why] == [
        ("leg_rule", "fare[0]"),
        ("transfer", "transfer[0]"),
        ("leg_factor", "factor.child"),
    ]


def test_files_of_a_tariff() -> None:
    found = {path.relative_to(FILES).as_posix() for path in list_files(FILES / "network.toml")}
    assert found == {"network.toml", "net/stations.toml", "net/lines.toml", "net/fares.csv"}
    assert list_files(FILES / "months.toml") == [FILES / "months.toml"]
    assert list_files(FILES / "none.toml") == [FILES / "none.toml"]


# --- the cited line says the rule --------------------------------------------------------------

SHIPPED = Path(__file__).parents[2] / "config" / "tariffs"
MORNING = {"date": "2025-11-26", "dep": "10:00:00", "arr": "10:30:00"}
LONG = MORNING | {"from_stop": "Bank", "arr": "12:30:00"}
TO_ZONE_1, TO_ZONE_2 = LONG | {"to_stop": "Bayswater"}, LONG | {"to_stop": "Zone 2"}
NEXT = {"date": "2025-11-26", "dep": "10:35:00", "arr": "11:00:00"}
METRES = {"date": "2026-11-25", "dep": "08:00:00", "distance_m": 12_000}
SUBWAY = {"from_stop": "苹果园", "to_stop": "国贸", "date": "2026-11-25", "dep": "08:00:00"}
BY_TUBE = [
    MORNING | {"from_stop": "Bank", "to_stop": "Bayswater"},
    NEXT | {"from_stop": "Queensway", "to_stop": "Zone 3"},
]
ROWS = [
    (
        "london-2025",
        [TO_ZONE_2],
        "overstay",
        'zones = ["1", "2"]\nminutes = 100',
    ),
    (
        "london-2025",
        [TO_ZONE_1],
        "overstay",
        'zones = ["1"]\nminutes = 90',
    ),
    ("london-2025", BY_TUBE, "out_of_station", '["Bayswater", "Queensway"]'),
    ("london-2025", BY_TUBE, "leg_rule", 'from = "1", to = "3"'),
    ("shenzhen", [METRES], "distance_band", 'name = "metro"'),
    ("shenzhen", [METRES], "given_distance", 'name = "metro"'),
    ("shenzhen", [METRES], "leg_factor", 'name = "card"'),
    ("shanghai", [METRES], "beyond_bands", 'name = "metro"'),
    ("beijing-subway", [SUBWAY], "monthly_tier", "0.8"),
    ("beijing-subway", [SUBWAY], "distance_band", "[[fare]]"),
]


@pytest.mark.parametrize(("tariff", "legs", "rule", "text"), ROWS, ids=lambda one: str(one)[:20])
def test_the_line_named_is_the_row_that_acted(
    tariff: str, legs: list[dict[str, object]], rule: str, text: str
) -> None:
    loaded = load(SHIPPED / f"{tariff}.toml")
    journey = {"id": 1, "legs": legs}
    quoted = quote_journeys([loaded], [journey], month_paid_minor=120_00, explained=True)[0]
    assert quoted["total"] is not None, quoted
    last = quoted["legs"][-1]["why"]
    note = next(one for one in last if one["rule"] == rule)
    assert note["key"]
    lines = loaded.path.read_text(encoding="utf-8").splitlines()
    assert text in "\n".join(lines[note["line"] - 1 : note["line"] + 3])


def test_what_the_file_does_not_say_has_no_line(zones: LoadedTariff) -> None:
    notes = explain(Rule.ENTRY_MINIMUM | Rule.OFFLINE_ACCEPTED, zones.source)
    assert [(one.file, one.key, one.line) for one in notes] == [("", "", 0), ("", "", 0)]
    assert notes[0].text("en") == "the balance must reach the entry minimum"


def test_no_row_is_named_when_several_may_have_acted() -> None:
    loaded = load(SHIPPED / "london-2025.toml")
    asked = Rule.OVERSTAY | Rule.OUT_OF_STATION
    unknown = explain(asked, loaded.source, spec=loaded.spec)
    assert [one.line for one in unknown] == [0, 0]
    met = RideFacts(entry_stop=loaded.names.get("Queensway").stop_id)
    (pair,) = explain(Rule.OUT_OF_STATION, loaded.source, spec=loaded.spec, facts=met)
    assert pair.zh == "出站换乘，连续计价：Bayswater - Queensway"


def test_a_concession_is_named_by_its_category(zones: LoadedTariff) -> None:
    (note,) = explain(Rule.CONCESSION, zones.source, spec=zones.spec)
    assert (note.key, note.zh) == ("category.child", "按优惠资格计价：儿童")
    assert line_text(note.file, note.line + 1) == 'name = "child"'


def test_a_record_says_where_and_when_its_ride_was() -> None:
    assert facts_of(Op.CHECK_IN, stop=7, other_stop=3, at_us=5) == RideFacts(
        entry_us=5, entry_stop=7
    )
    assert facts_of(Op.CHECK_OUT, stop=7, other_stop=3, at_us=5) == RideFacts(
        exit_us=5, origin_stop=3, exit_stop=7
    )
    assert facts_of(Op.RERATE, stop=7, other_stop=3, at_us=5) == RideFacts()
