"""Faults in tariffs with layers: each is told with file, line and key, all of them at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import TariffError
from gateway.tariffs.compile import compile_tariff
from gateway.tariffs.load import load_tariff

FILES = Path(__file__).parent / "files"


def copy_of(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A tariff of `files` with texts replaced, beside everything it names."""
    for other in ("net", "calendars"):
        folder = tmp_path / other
        folder.mkdir()
        for file in (FILES / other).iterdir():
            (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    text = (FILES / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{old!r} is not in {name}.toml"
        text = text.replace(old, new, 1)
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def findings_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(TariffError) as caught:
        load_tariff(path)
    assert caught.value.code == "TARIFF_INVALID"
    return tuple(caught.value.findings)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("zones", 'names = ["1", "2", "3"]', 'names = ["1", "2"]', "23 Border: '3' is not a zone"),
        ("zones", "number = 1", "number = 0", "category[1].number: 0 is there twice"),
        ("zones", "number = 0", "number = 2", "category: none has number 0"),
        ("zones", 'name = "child"\nnumber', 'name = "adult"\nnumber', "'adult' is there twice"),
        ("zones", 'days = ["working"]', 'days = ["workdays"]', "'workdays' is not known"),
        ("zones", "until = 09:30:00", "until = 06:30:00", "times[0].until: is `from`"),
        ("zones", 'name = "peak"\ntitle', 'name = "other"\ntitle', "'other' is the rest of time"),
        ("zones", '"300-399"', '"399-300"', "fare_network[1].lines: holds '399-300'"),
        ("zones", '[7, "300-399"]', '[300, "300-399"]', "fare_network[1].lines: 300 is there"),
        ("zones", 'name = "rail"\n', 'name = "rail"\nlines = [1]\n', "0 without `lines`"),
        ("zones", "id = 23", "id = 3", "stop: id 3 is there twice"),
        ("zones", 'en = "Zone 2"', 'en = "Zone 1"', "stop: 'Zone 1' is there twice"),
        ("zones", 'networks = ["bus"]', 'networks = ["tram"]', "fare[0].networks: 'tram' is not"),
        ("zones", 'flat = "1.75"', "", "fare[0]: has 0 forms of price"),
        ("zones", 'flat = "1.75"', 'flat = "1.75"\nof = "rail"', "fare[0]: has 2 forms of price"),
        ("zones", '"1", to = "2"', '"1", to = "9"', "fare[1].zones[1].to: '9' is not a zone"),
        ("zones", 'categories = ["child"]', "categories = []", "factor[0].categories: is empty"),
        ("zones", 'to = "bus"', 'to = "boat"', "transfer[0].to: 'boat' is not known"),
        ("zones", 'effect = "free"', 'effect = "gratis"', "transfer[0].effect: is 'gratis'"),
        ("zones", 'effect = "free"', 'effect = "minus"', "amount: is missing: minus needs it"),
        ("zones", "from_first = true", "from_first = 1", "transfer[0].from_first: is 1"),
        ("zones", 'counter = "day"', 'counter = "days"', "counter: 'days' is not known (did you"),
        ("zones", 'limit = "5.25"', "", "cap[0].limit: write either `limit` or `limits`"),
        ("zones", 'counter = "day"', 'frames = ["noon"]\ncounter = "day"', "frames: 'noon' is not"),
        (
            "zones",
            'counter = "day"',
            'media = ["gold"]\ncounter = "day"',
            "media: 'gold' is not known",
        ),
        ("months", "months = 1", "months = 1\nweeks = 1", "months: stands beside `weeks`"),
        (
            "months",
            'name = "trips"\n',
            'name = "trips"\nfree_trips = "no"\n',
            "free_trips: is 'no'",
        ),
        ("zones", "until_min = 30", "until_min = 1", "same_station_time[1].until_min: does not"),
        ("zones", "times = 2", "time = 2", "same_station_time[2].time: is not a known key (did"),
        ("zones", 'overstay = "two', 'overstay = "three', "must be one of fee, highest, two_high"),
        ("zones", '"day-bus", bought', '"day-rail", bought', "passes[0].name: 'day-rail' is not"),
        ("zones", 'category = "child"\nfrom', 'category = "kid"\nfrom', "category: 'kid' is not"),
        ("zones", '["1.75", "0.00 x 3"]', '["1.75", "0 x x"]', "each: '0 x x' is not a plain"),
        ("zones", '[{ category = "child", from', '[{ category = "kid", from', "concessions[0].cat"),
        ("zones", "until = 2026-03-02T12:00:00", "until = 2026-03-02T10:30:00", "is not behind"),
        ("zones", 'rules = ["cap"]', 'rules = ["capping"]', "rules: 'capping' is not known"),
        ("zones", 'to = "Border"', 'to = "Boarder"', "to: 'Boarder' is not a station"),
        ("distance", 'of = "bus"', 'of = "tram"', "of: 'tram' is no fare with a price of its own"),
        ("distance", 'networks = ["metro"]', 'media = ["emv"]', "distances sent by taps"),
        (
            "distance",
            "to_m = 50000, per_m = 5000",
            "to_m = 50000, per_m = 5",
            "in at most 1000 steps",
        ),
        ("distance", 'rounding = "down"', 'rounding = "floor"', "amounts.rounding: is 'floor'"),
        ("months", 'basis = "trips"\n', 'basis = "trips"\ncrossing = "split"\n', "cut in two"),
        ("months", "after_trips = 15", 'from = "15"', "steps[0].after_trips: is missing"),
        ("months", 'from = "200.00"', 'from = "80.00"', "steps[1].from: does not rise"),
        ("months", "length = 7", "length = 0", "counter[3].length: is 0"),
        ("months", 'week_start = "sunday"', 'week_start = "sun"', "week_start: is 'sun'"),
        ("months", "rides = 2", "rides = 2\nhours = 1\ndays = 1", "pass[0].days: stands beside"),
        ("months", 'window = "month"', 'window = "year"', "counter[0].window: is 'year'"),
        ("network", "net/fares.csv", "net/none.csv", "matrix: net/none.csv cannot be read"),
        ("network", 'fare = "price"', 'fare = "cost"', "net/fares.csv has no column cost"),
        ("network", "[zones]", "[[stop]]\nid = 9\nen = 'X'\n[zones]", "stands beside [network]"),
        ("journeys", 'from_stop = "Gamma"', 'from_stop = "Omega"', "join[0].from_stop: 'Omega'"),
    ],
)
def test_each_fault_is_told(tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    found = findings_of(copy_of(tmp_path, name, (old, new)))
    assert any(said in one for one in found), found


def test_all_faults_at_once_with_their_lines(tmp_path: Path) -> None:
    path = copy_of(
        tmp_path,
        "zones",
        ('flat = "1.75"', "flat = 1.75"),
        ('counter = "bus-day"', 'counter = "bus"'),
        ("minutes = 110", "minutes = 0"),
        ('price = "6.00"', 'price = "6.000"'),
    )
    found = findings_of(path)
    keys = ["fare[0].flat", "longest_stay[1].minutes", "cap[0].counter", "pass[0].price"]
    assert all(any(key in one for one in found) for key in keys)
    lines = path.read_text(encoding="utf-8").splitlines()
    for one in found:
        number = int(re.match(r"zones.toml:(\d+): ", one)[1])  # type: ignore[index]
        key = one.split(": ")[1].rpartition(".")[2]
        assert lines[number - 1].startswith(key)


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (2, "Dong,Nowhere,9.90,2100", "fares.csv:2: B: 'Nowhere' is not a station"),
        (3, "西,东,9.8x,", "fares.csv:3: price: '9.8x' is not a plain decimal number"),
        (4, "Dong,Xi,1.00,", "fares.csv:4: A: the pair 1 → 3 is there twice"),
        (5, "5,1,8.80,4.9 km", "fares.csv:5: metres: '4.9 km' is not whole metres"),
    ],
)
def test_faults_of_a_matrix(tmp_path: Path, line: int, text: str, said: str) -> None:
    path = copy_of(tmp_path, "network")
    csv = tmp_path / "net" / "fares.csv"
    rows = csv.read_text(encoding="utf-8").splitlines()
    rows[line - 1] = text
    csv.write_text("\n".join(rows), encoding="utf-8")
    assert any(said in one for one in findings_of(path))


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("zones", 'highest = "8.60"', "", None),
        (
            "distance",
            "[[factor]]",
            "[journey]\nmissing_check_in = 'highest'\n[[factor]]",
            "highest",
        ),
        (
            "distance",
            'name = "bus"\nnetworks = ["bus"]\nband',
            'name = "x"\nnetworks = ["bus"]\nmedia = ["emv"]\nflat = "1.00"\n'
            '[[fare]]\nname = "bus"\nnetworks = ["bus"]\nband',
            "has no others beside it",
        ),
        ("nights", 'clock_change = "later"', "", None),
        ("nights", "from = 23:00:00", "from = 01:30:00", None),
    ],
)
def test_what_cannot_be_compiled(
    tmp_path: Path, name: str, old: str, new: str, said: str | None
) -> None:
    path = copy_of(tmp_path, name, (old, new))
    if said is None:
        assert compile_tariff(path).layers is not None
        return
    with pytest.raises(TariffError, match=said):
        compile_tariff(path)


def test_a_frame_at_an_hour_that_happens_twice_asks_which(tmp_path: Path) -> None:
    changes = ('clock_change = "later"', ""), ("from = 23:00:00", "from = 01:30:00")
    with pytest.raises(TariffError, match=r"happens (twice|never)"):
        compile_tariff(copy_of(tmp_path, "nights", *changes))
