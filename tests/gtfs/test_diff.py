"""What a new version of a feed changes: journeys, and rows by their keys with both lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.tariffs.gtfs.columns import COLUMNS
from gateway.tariffs.gtfs.diff import KEYS, diff_feeds
from gateway.tariffs.gtfs.loaded import load
from gateway.tariffs.gtfs.register import register_feed
from gateway.tariffs.gtfs.settings import FeedSettings
from tests.support.feeds import OWN

NEW = {
    "fare_products.txt": "fare_product_id,currency,amount\n"
    "fast,USD,4.00\nbase,USD,2.50\nair,USD,9.00\n",
    "fare_leg_rules.txt": "network_id,from_area_id,to_area_id,fare_product_id,rule_priority\n"
    ",,,base,\nexpress,,,fast,1\n,airport,,air,5\nlocal,,airport,air,6\n",
}
RIDE = {"from_area": "town", "to_area": "town", "date": "2026-03-04", "dep": "08:00:00"}
JOURNEYS = [
    {"id": "local", "legs": [RIDE | {"network_id": "local"}]},
    {"id": "express", "legs": [RIDE | {"network_id": "express"}]},
    {"id": "nowhere", "legs": [RIDE | {"network_id": "moon"}]},
]


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Path, Path]:
    old, new = OWN / "priority", tmp_path / "new"
    shutil.copytree(old, new)
    for name, text in NEW.items():
        (new / name).write_text(text, encoding="utf-8")
    return old, new


def test_every_table_of_fares_has_a_key_made_of_its_columns() -> None:
    assert set(KEYS) == set(COLUMNS)
    assert all(set(key.split()) <= COLUMNS[file] for file, key in KEYS.items())


def test_journeys_that_change_price(versions: tuple[Path, Path]) -> None:
    found = diff_feeds(*map(load, versions), JOURNEYS)
    assert (found.compared, found.is_complete) == (3, True)
    assert [one.as_dict() for one in found.journeys] == [
        {"id": "local", "before": "2.00", "after": "2.50", "reason": ""}
    ]


def test_rows_are_compared_by_their_keys_with_both_lines(versions: tuple[Path, Path]) -> None:
    found = {one.key: one for one in diff_feeds(*map(load, versions), []).rules}
    base = found.pop("fare_products.txt[base, -, -]")
    assert (base.before, base.before_line) == ("amount=2.00", 2)
    assert (base.after, base.after_line) == ("amount=2.50", 3)
    gone = found.pop("fare_leg_rules.txt[-, -, -, airport, -, -, air]")
    assert (gone.before, gone.before_line, gone.after_line) == ("rule_priority=5", 5, 0)
    come = found.pop("fare_leg_rules.txt[-, local, -, airport, -, -, air]")
    assert (come.after, come.before_line, come.after_line) == ("rule_priority=6", 0, 5)
    assert found == {}


def test_rides_are_made_up_without_journeys(versions: tuple[Path, Path]) -> None:
    found = diff_feeds(*map(load, versions))
    assert found.is_complete
    changed = {one.journey_id: (one.before, one.after) for one in found.journeys}
    assert ("2.00", "2.50") in changed.values()
    assert any("local" in str(name) and "town → town" in str(name) for name in changed)
    assert diff_feeds(load(versions[0]), load(versions[0])).as_dict() == {
        "journeys": [],
        "rules": [],
        "compared": found.compared,
        "is_complete": True,
    }


def test_the_command(
    versions: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "journeys.json"
    file.write_text(json.dumps(JOURNEYS), encoding="utf-8")
    kept, _ = register_feed(versions[0], tmp_path / "kept", FeedSettings(tariff_id="town"))
    args = ["tariff", "diff", str(kept), str(versions[1])]
    assert main([*args, "--journeys", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in found["journeys"]] == ["local"]
    assert main([*args, "--journeys", str(file)]) == 1
    assert "1 of 3 journeys change price" in capsys.readouterr().out
    assert main(["tariff", "diff", str(kept), str(versions[0])]) == 0
    assert main(["tariff", "diff", str(kept), "beijing-subway"]) == 2
    assert "two of one kind" in capsys.readouterr().err
