"""What `faregate tariff` shows and finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastpath._tariff import CompiledTariff
from gateway.tariffs.catalogue import check_tariff, compile_summary, list_tariffs, show_tariff
from gateway.tariffs.loaded import load

TARIFFS = Path(__file__).resolve().parents[2] / "config" / "tariffs"
PATHS = {path.stem: path for path in TARIFFS.glob("*.toml")}
RIDE = """
[[example]]
name = "a ride"
from = "东"
to = "西"
at = 2026-05-04T08:00:00
"""


@pytest.mark.parametrize("name", sorted(PATHS))
def test_shipped_tariffs_are_sound_and_compile(name):
    report = check_tariff(PATHS[name])
    assert report["ok"], report["findings"]
    tariff = load(PATHS[name])
    assert tariff.source.tariff_id == name == PATHS[name].stem
    assert tariff.source.sources
    assert compile_summary(tariff)["digest"] == report["digest"]


@pytest.mark.parametrize("name", sorted(PATHS))
def test_the_compiled_engine_takes_what_is_compiled_here(name, beijing, beijing_bus):
    tariff = {"beijing-subway": beijing, "beijing-bus": beijing_bus}.get(name) or load(PATHS[name])
    blob = CompiledTariff.build(tariff.spec)
    assert CompiledTariff.build(load(PATHS[name]).spec).digest == blob.digest


def test_warnings_say_what_a_person_should_know(beijing):
    report = check_tariff(beijing.path)
    text = "\n".join(report["warnings"])
    assert "assumption, journey.join_within_min: no source gives a time limit" in text
    assert "calendar china has no holidays for 2027, 2028, 2029, 2030, 2031" in text
    assert "126 管庄, 1505 关庄" in text


def test_assumptions_are_about_keys_that_are_there(beijing):
    text = beijing.path.read_text(encoding="utf-8")
    for note in beijing.source.assumptions:
        last = note.what.rpartition(".")[2]
        assert last in text.replace(f'key = "{note.what}"', ""), note.what


def test_an_example_that_fails_is_a_finding_with_its_line(write_town):
    path = write_town(more=RIDE + 'distance_m = 2000\ntotal = "9.00"\n')
    report = check_tariff(path)
    line = path.read_text(encoding="utf-8").splitlines().index("[[example]]") + 1
    assert report["ok"] is False
    assert report["findings"] == [
        f"town.toml:{line}: example 'a ride': costs 3.00, expected 9.00; is 2100 m, expected 2000 m"
    ]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('reason = "already_in"', "reason is ok, expected already_in"),
        ('total = "3.00"\nbalance = "1.99"', "is refused: insufficient_balance"),
    ],
)
def test_an_example_is_about_its_reason_too(write_town, more, fault):
    report = check_tariff(write_town(more=RIDE + more))
    assert fault in report["findings"][0]


def test_faults_of_a_file_are_findings(write_town):
    report = check_tariff(write_town(('currency = "CNY"', "currency = 1")))
    assert report["ok"] is False
    assert report["findings"][0].startswith("town.toml:6: currency: is 1")


def test_the_list_goes_on_behind_a_broken_file(write_town):
    broken = write_town(("valid_years = 1", "valid_years = 99"))
    rows = list_tariffs({**PATHS, "town": broken})
    assert [row["name"] for row in rows] == sorted([*PATHS, "town"])
    assert [row["name"] for row in rows if not row["ok"]] == ["town"]
    assert rows[1]["stations"] == 425
    json.dumps(rows, ensure_ascii=False)


def test_everything_is_shown(beijing, beijing_bus):
    shown = show_tariff(beijing, stations=True)
    assert len(shown["stations"]) == 425
    assert {one["name"] for one in shown["fares"]} == {
        "main", "xijiao", "capital-airport", "daxing-airport",
    }  # fmt: skip
    assert shown["monthly_tiers"][0] == {"from": "100.00", "factor": "0.8"}
    assert shown["time_discounts"][0]["until"] == "07:00:00"
    assert shown["flat"] is None
    assert show_tariff(beijing_bus)["flat"] is None
    json.dumps([shown, show_tariff(beijing_bus)], ensure_ascii=False)
