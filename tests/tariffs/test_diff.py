"""What a new version changes: journeys and rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.tariffs.diff import diff_tariffs
from gateway.tariffs.loaded import LoadedTariff, load
from tests.tariffs.test_load_layers import copy_of

FILES = Path(__file__).parent / "files"
CHANGES = (
    ('version = "1"', 'version = "2"'),
    ('flat = "1.75"', 'flat = "1.85"'),
    ('touched = 3, fare = "3.80"', 'touched = 3, fare = "4.00"'),
    ("within_min = 60\n", "within_min = 90\n"),
    ("[[example]]", '[[counter]]\nname = "new"\nwindow = "month"\n\n[[example]]'),
)
BUS_TWICE = {
    "id": "bus, bus after 70 minutes",
    "legs": [
        {"network_id": "bus", "date": "2026-03-02", "dep": "08:00:00"},
        {"network_id": "bus", "date": "2026-03-02", "dep": "09:10:00"},
    ],
}
INSIDE = {
    "id": "zone 1 only",
    "legs": [{"from_area": "1", "to_area": "1", "date": "2026-03-02", "dep": "08:00:00"}],
}
NOWHERE = {"id": "nowhere", "legs": [{"from_stop": "99", "to_stop": "1", "date": "2026-03-02"}]}


@pytest.fixture
def versions(tmp_path: Path) -> tuple[LoadedTariff, LoadedTariff]:
    return load(FILES / "zones.toml"), load(copy_of(tmp_path, "zones", *CHANGES))


def test_journeys_that_change_price(versions: tuple[LoadedTariff, LoadedTariff]) -> None:
    found = diff_tariffs(*versions, [BUS_TWICE, INSIDE, NOWHERE])
    assert found.compared == 3
    assert [one.as_dict() for one in found.journeys] == [
        {"id": BUS_TWICE["id"], "before": "3.50", "after": "1.85", "reason": ""}
    ]


def test_rules_by_name_with_the_lines_of_both_files(
    versions: tuple[LoadedTariff, LoadedTariff],
) -> None:
    found = {one.key: one for one in diff_tariffs(*versions, []).rules}
    assert set(found) == {
        "fare[bus].flat",
        "fare[rail peak].zones[2].fare",
        "transfer[hopper].within_min",
        "counter[new].name",
        "counter[new].window",
    }
    hopper = found["transfer[hopper].within_min"]
    assert (hopper.before, hopper.after) == ("60", "90")
    for tariff, line in zip(versions, (hopper.before_line, hopper.after_line), strict=True):
        assert "within_min" in tariff.path.read_text(encoding="utf-8").splitlines()[line - 1]
    assert (found["counter[new].name"].before_line, found["counter[new].name"].before) == (0, "")


def test_rides_are_made_up_for_all_stops_categories_and_frames(
    versions: tuple[LoadedTariff, LoadedTariff],
) -> None:
    found = diff_tariffs(*versions)
    changed = {str(one.journey_id): (one.before, one.after) for one in found.journeys}
    assert found.is_complete
    assert found.compared == 2 * 2 * (16 + 4)
    assert changed["1 → 3 rail adult peak"] == ("3.80", "4.00")
    assert changed["3 → 1 rail child peak"] == ("1.90", "2.00")
    assert "1 → 3 rail adult other" not in changed
    assert len(changed) == 4 + 16


def test_distances_about_the_ends_of_the_bands(tmp_path: Path) -> None:
    before = load(FILES / "distance.toml")
    after = load(copy_of(tmp_path, "distance", ("per_m = 8000", "per_m = 7999")))
    changed = {str(one.journey_id) for one in diff_tariffs(before, after).journeys}
    assert any("adult" in one and "58000 m" in one for one in changed)


def test_the_same_file_changes_nothing() -> None:
    for path in sorted(FILES.glob("*.toml")):
        tariff = load(path)
        found = diff_tariffs(tariff, tariff)
        assert (found.journeys, found.rules) == ((), ())
        assert found.compared > 0


def test_the_command_says_so_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, file = copy_of(tmp_path, "zones", *CHANGES), tmp_path / "journeys.json"
    file.write_text(json.dumps([BUS_TWICE, INSIDE]), encoding="utf-8")
    args = ["tariff", "diff", str(FILES / "zones.toml"), str(new), "--journeys", str(file)]
    assert main(args) == 1
    assert "1 of 2 journeys change price" in capsys.readouterr().out
    assert main([*args, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["journeys"][0]["after"] == "1.85"
    assert main(["tariff", "diff", str(new), str(new), "--journeys", str(file)]) == 0
