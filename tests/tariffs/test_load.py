"""Loading: every fault at once, with file, line, key and hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import TariffError
from gateway.tariffs.load import load_tariff
from gateway.tariffs.reader import locate


def findings_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(TariffError) as caught:
        load_tariff(path)
    assert caught.value.code == "TARIFF_INVALID"
    return caught.value.findings


def line_of(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_the_town_loads(write_town):
    source = load_tariff(write_town())
    assert source.tariff_id == "town"
    assert [station.zh for station in source.network.stations] == ["东", "中", "西", "山", "顶"]
    assert source.network.lines[0].hops_m == (900, 1200, 2000)


def test_all_faults_of_all_files_come_at_once(write_town):
    path = write_town(
        ('currency = "CNY"', 'currency = "RMB"'),
        ('fare = "2.00"', "fare = 2.0"),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Peking"'),
        ('entry_minimum = "2.00"', 'entry_minimun = "2.00"'),
        ('{ at = "中", m = 900 }', '{ at = "中" }'),
        ('{ id = 5, zh = "顶"', '{ id = 4, zh = "顶"'),
    )
    found = findings_of(path)
    wanted = [
        ("lines.toml:9:", "line[0].stations[1].m: is missing"),
        ("stations.toml:9:", "stations[4].id: 4 is there twice"),
        ("town.toml:6:", "currency: is 'RMB'"),
        ("town.toml:", "fare[0].bands[0].fare: is 2.0"),
        ("town.toml:", "time.zone: 'Asia/Peking' is not known"),
        ("town.toml:", "journey.entry_minimun: is not a known key (did you mean entry_minimum?)"),
    ]
    for where, what in wanted:
        assert any(one.startswith(where) and what in one for one in found), (where, what, found)
    assert len(found) == len(wanted), found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1\nid", "format = 2\nid", "format: is 2"),
        ('version = "1"', "version = 1", "version: is 1 (must be text in quotes)"),
        ('version = "1"', 'version = ""', "version: is empty"),
        ("valid_from = 2026-01-01", 'valid_from = "2026-01-01"', "valid_from: is '2026-01-01'"),
        ("valid_from = 2026-01-01", "valid_from = 2024-02-29", "valid_from: is a 29 February"),
        ("valid_from = 2026-01-01", "valid_from = 2026-01-01T00:00:00", "has a time of day"),
        ("valid_years = 1", "valid_years = 0", "valid_years: is 0 (must be 1 to 20)"),
        ("valid_years = 1", "valid_years = true", "valid_years: is True"),
        ("tolerance_m = 100", "tolerance_m = 1.5", "tolerance_m: is 1.5"),
        ('fare = "3.00"', 'fare = "1.00"', "bands[1].fare: is below the fare of the band before"),
        ("to_m = 3000", "to_m = 1000", "bands[1].to_m: 1000 does not rise"),
        ('fare = "3.00"', 'fare = "3.005"', "more than 2 digits after the point"),
        ('fare = "3.00"', 'fare = "-3.00"', "not a plain decimal number"),
        ('fare = "3.00"', 'fare = "٣.00"', "not a plain decimal number"),
        ('lines = ["索道"]', 'lines = ["缆车"]', "'缆车' is not a line"),
        ('name = "cable"\nlines = ["索道"]', 'name = "cable"', "2 groups without `lines`"),
        ('name = "cable"', 'name = "main"', "'main' is there twice"),
        ('zh = "顶", py', 'zh = "山", py', "'山' is there twice"),
        ('{ at = "顶", m = 800 }', '{ at = "項", m = 800 }', "'項' is not in the stations file"),
        ('{ at = "顶", m = 800 }', '{ at = "山", m = 800 }', "'山' is on this line twice"),
        ('[{ at = "山" }, {', '[{ at = "山", m = 3 }, {', "the first station of a line has no"),
        ('en = "Cable car"', 'en = "Cable car"\nloop = true', "stations[0].m: is missing"),
        ("m = 800", "m = 0", "m: is 0 (must be 1 to 200000)"),
        ('stations = "stations.toml"', 'stations = "gone.toml"', "gone.toml: cannot be read"),
        ('[time]\nzone = "Asia/Shanghai"', "[time]", "time.zone: is missing"),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Shanghai"\ncalendar = "x"', "no file x.toml"),
        ("join_within_min = 20", 'join_within_min = "20"', "join_within_min: is '20'"),
        ('id = "town"', 'id = "town', "town.toml:3: is not valid TOML"),
    ],
)
def test_each_fault_is_told(write_town, old, new, said):
    found = findings_of(write_town((old, new)))
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[out_of_station]]\nbetween = ["东", "冬"]', "between: '冬' is not a station"),
        ('[[out_of_station]]\nbetween = ["东"]', "between: must name two stations"),
        (
            '[month]\ntiers = [{ from = "5.00", factor = "1" }, { from = "5.00", factor = "1" }]',
            "month.tiers[1].from: does not rise",
        ),
        ('[month]\ntiers = [{ from = "5.00", factor = "2.5" }]', "'2.5' is more than 2"),
        ("[month]\nowner = 'card'", "month.owner: is 'card' (must be one of account, medium)"),
        ('[amounts]\nround_to = "0.00"', "amounts.round_to: is zero"),
        ("[medium_factors]\nfoo = '1'", "medium_factors.foo: is not a known key"),
        (
            '[[time_discount]]\nname = "x"\ntitle = { zh = "x", en = "x" }\nfactor = "0.5"\n'
            'days = "monday"\nuntil = 07:00:00\ncheck_in_at = ["北"]',
            "time_discount[0].check_in_at: '北' is not a station",
        ),
        ('[[example]]\nname = "x"\nfrom = "东"\nat = 2026-01-01T08:00:00', "expects nothing"),
        ('[[example]]\nname = "x"\nat = 2026-01-01T08:00:00\ntotal = "1.00"', "neither `from`"),
        (
            '[[example]]\nname = "x"\nfrom = "东"\nat = 2026-01-01T08:00:00+08:00\ntotal = "1.00"',
            "example[0].at: has an offset",
        ),
        ("[surprise]\nx = 1", "surprise: is not a known key"),
    ],
)
def test_each_fault_of_an_optional_part_is_told(write_town, more, said):
    found = findings_of(write_town(more=more))
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("year = 2026", "year = 2027", "2026-03-08 is not in 2027"),
        ("working = [2026-03-08]", "working = [2026-03-03]", "2026-03-03 is a holiday too"),
        ('weekend = ["sunday"]', 'weekend = ["sonntag"]', "'sonntag' is not a weekday"),
        ("to = 2026-03-04", "to = 2026-03-01", "to: is before `from`"),
        ("to = 2026-03-04", "to = 2027-03-04", "is not wholly in 2026"),
        ("verified = true", "verified = 1", "verified: is 1"),
    ],
)
def test_faults_of_a_calendar_are_told_with_its_file(write_town, old, new, said):
    path = write_town(
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Shanghai"\ncalendar = "lazy"'), (old, new)
    )
    found = findings_of(path)
    assert any(said in one and one.startswith("lazy.toml:") for one in found), found


def test_a_station_on_no_line_is_told(write_town):
    path = write_town(('en = "Top" },', 'en = "Top" },\n  { id = 6, zh = "北" },'))
    assert any("'北' is on no line" in one for one in findings_of(path))


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    assert "cannot be read" in findings_of(tmp_path / "none.toml")[0]
    (tmp_path / "latin.toml").write_bytes(b"id = '\xe9'")
    assert "is not UTF-8 text" in findings_of(tmp_path / "latin.toml")[0]


def test_lines_are_found():
    text = "a = 1\n[one]\nb = 2\n[[two]]\nc = 3\n[[two]]\nc = [\n  { d = 1 },\n  { d = 2 },\n]\n"
    cases = {
        ("a",): 1,
        ("one",): 2,
        ("one", "b"): 3,
        ("two", 0, "c"): 5,
        ("two", 1): 6,
        ("two", 1, "c"): 7,
        ("two", 1, "c", 0, "d"): 8,
        ("two", 1, "c", 1, "d"): 9,
        ("one", "missing"): 2,
        (): 0,
    }
    assert {path: locate(text, path) for path in cases} == cases
