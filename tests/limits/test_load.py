"""Files of limits: every fault at once, those that ship, and their examples on both engines."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fastpath.limits import AMOUNTS, NO_LIMIT
from fastpath.reference_limits import LimitVersion, find_limits
from fastpath.reference_model import Account
from gateway.errors import ConfigError
from gateway.limits.catalogue import check_limits, list_limits, show_limits
from gateway.limits.compile import compile_limits, day_start_us
from gateway.limits.examples import run_example
from gateway.limits.load import load_limits
from gateway.limits.source import LimitSource
from gateway.resources import find_limits as find_file
from gateway.resources import list_limits as list_files
from gateway.tariffs.calendar import instant_us
from tests.limits.both import LimitedAccount, at

GOOD = """\
format = 1
id = "town"
version = "1"
title = { zh = "小镇", en = "Town" }
currency = "CNY"
zone = "Asia/Shanghai"
sources = [{ url = "https://town.example/limits", says = "all of it" }]

[[tier]]
number = 1
title = { zh = "一", en = "one" }

[[profile]]
tier = 1
from = 2026-03-01
payment = "10.00"
day = "20.00"
source = "https://town.example/limits"

[[example]]
name = "the day"
tier = 1
steps = [
  { at = 2026-03-01T10:00:00, pay = "10.00" },
  { at = 2026-03-01T10:00:01, pay = "10.00" },
  { at = 2026-03-01T10:00:02, pay = "0.01", reason = "limit_exceeded" },
  { at = 2026-03-01T10:00:03, back = 1 },
  { at = 2026-03-01T10:00:04, pay = "10.00" },
]
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write the town's file with some texts replaced."""

    def run(*replaced: tuple[str, str]) -> Path:
        text = GOOD
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "town.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return run


def findings_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_limits(path)
    assert caught.value.code == "LIMITS_INVALID"
    return caught.value.findings


def test_the_town_loads(write) -> None:
    source = load_limits(write())
    assert (source.limits_id, source.zone.key) == ("town", "Asia/Shanghai")
    assert source.profiles[0].amounts == (1000, 2000, *[NO_LIMIT] * 4)
    assert check_limits(write())["ok"] is True


def test_all_faults_come_at_once(write) -> None:
    path = write(
        ('id = "town"', 'id = "city"'),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Peking"'),
        ("number = 1", "number = 16"),
        ('payment = "10.00"', "payment = 10.0"),
        ('source = "https://town.example/limits"', 'source = "hearsay"'),
        (
            'pay = "10.00" },\n  { at = 2026-03-01T10:00:01',
            'paid = "10.00" },\n  { at = 2026-03-01T10:00:01',
        ),
        ('reason = "limit_exceeded"', 'reason = "too_much"'),
    )
    found = findings_of(path)
    wanted = [
        ("town.toml:2:", "id: is 'city'"),
        ("town.toml:6:", "zone: 'Asia/Peking' is not known"),
        ("town.toml:10:", "tier[0].number: is 16"),
        ("town.toml:14:", "profile[0].tier: 1 is no [[tier]] of this file"),
        ("town.toml:16:", "profile[0].payment: is 10.0"),
        ("town.toml:18:", "profile[0].source: 'hearsay' is not in `sources`"),
        ("town.toml:", "example[0].tier: 1 is no [[tier]] of this file"),
        ("town.toml:", "does not do one thing"),
        ("town.toml:", "pay: is missing"),
        ("town.toml:", "paid: is not a known key"),
        ("town.toml:", "reason: is 'too_much'"),
    ]
    for where, what in wanted:
        assert any(one.startswith(where) and what in one for one in found), (where, what, found)
    assert len(found) == len(wanted), found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('payment = "10.00"\nday = "20.00"\n', "", "limits nothing"),
        ('day = "20.00"', "unlimited = true", "limits and `unlimited` do not go together"),
        ('day = "20.00"', 'day = "9.99"', "payment: is above `day`"),
        ('day = "20.00"', 'month = "9.99"', "payment: is above `month`"),
        ("from = 2026-03-01", 'from = "2026-03-01"', "profile[0].from: is '2026-03-01'"),
        ("back = 1", "back = 4", "back: is 4"),
        ("back = 1", 'back = 1, pay = "1.00"', "does not do one thing"),
        ("[[example]]", "[[sample]]", "sample: is not a known key"),
        ('version = "1"', 'version = ""', "version: is empty"),
    ],
)
def test_one_fault(write, old: str, new: str, said: str) -> None:
    assert any(said in one for one in findings_of(write((old, new))))


def test_a_profile_given_twice(write) -> None:
    block = GOOD[GOOD.index("[[profile]]") : GOOD.index("[[example]]")]
    assert any(
        "two profiles from 2026-03-01" in one for one in findings_of(write((block, block * 2)))
    )


def test_a_wrong_example_is_a_finding_with_its_line(write) -> None:
    path = write(('pay = "0.01", reason = "limit_exceeded"', 'pay = "0.01"'))
    report = check_limits(path)
    assert report["ok"] is False
    (finding,) = report["findings"]
    assert finding.startswith("town.toml:20: the day: step 3 (2026-03-01 10:00:02)")
    assert "is limit_exceeded, expected ok" in finding


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("format = ")
    assert "is not valid TOML" in check_limits(path)["findings"][0]
    assert "findings" in list_limits({"bad": path})[0]


# --- those that ship ------------------------------------------------------------------------------

SHIPPED = sorted(list_files())


def test_both_sets_ship() -> None:
    assert SHIPPED == ["e-cny", "pboc-2015"]


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> LimitSource:
    return load_limits(find_file(request.param))


def test_shipped_files_are_sound_and_say_where_they_are_from(shipped: LimitSource) -> None:
    report = check_limits(find_file(shipped.limits_id))
    assert report["ok"] is True, report["findings"]
    assert shipped.sources
    assert len(shipped.examples) >= 4
    assert {one.tier for one in shipped.profiles} == {one.number for one in shipped.tiers}
    rows = show_limits(shipped)["profiles"]
    assert isinstance(rows, list)
    assert len(rows) == len(shipped.profiles)


def test_examples_of_shipped_files_on_both_engines(shipped: LimitSource) -> None:
    spec = compile_limits(shipped)
    for example in shipped.examples:
        account = LimitedAccount(spec, example.tier, example.balance_minor)
        assert run_example(shipped, example, account) == [], example.name


FACTS = {
    # what, tier, local time, amounts in yuan: payment, day, month, year, lifetime, balance
    "class 2 in 2020": (
        "e-cny",
        2,
        "2020-12-01T12:00",
        (5_000, 10_000, None, 300_000, None, 10_000),
    ),
    "class 2 in 2021": (
        "e-cny",
        2,
        "2021-12-01T12:00",
        (50_000, 100_000, None, None, None, 500_000),
    ),
    "class 3 in 2021": ("e-cny", 3, "2021-12-01T12:00", (5_000, 10_000, None, None, None, 20_000)),
    "class 4 in 2020": ("e-cny", 4, "2020-12-01T12:00", (500, 1_000, None, 10_000, None, 1_000)),
    "class 4 in 2026": ("e-cny", 4, "2026-12-01T12:00", (2_000, 5_000, None, 50_000, None, 10_000)),
    "class I": ("pboc-2015", 1, "2026-12-01T12:00", (None, None, None, None, 1_000, None)),
    "class II": ("pboc-2015", 2, "2026-12-01T12:00", (None, None, None, 100_000, None, None)),
    "class III by less": (
        "pboc-2015",
        7,
        "2026-12-01T12:00",
        (None, 1_000, None, 200_000, None, None),
    ),
}


@pytest.mark.parametrize("what", FACTS)
def test_facts_of_the_sources(what: str) -> None:
    name, tier, when, yuan = FACTS[what]
    spec = compile_limits(load_limits(find_file(name)))
    account = Account(tier=tier, currency=156)
    profile = find_limits(LimitVersion(1, spec), account, at(when))
    assert profile is not None
    found = tuple(getattr(profile, one) for one in AMOUNTS)
    assert found == tuple(NO_LIMIT if one is None else one * 100 for one in yuan)


def test_class_1_has_no_limits_from_2021_on() -> None:
    spec = compile_limits(load_limits(find_file("e-cny")))
    account = Account(tier=1, currency=156)
    assert find_limits(LimitVersion(1, spec), account, at("2021-05-31T23:59:59")) is not None
    assert find_limits(LimitVersion(1, spec), account, at("2021-06-01T00:00")) is None


# --- calendars ------------------------------------------------------------------------------------


def test_compiling_is_repeatable_and_spans_decades(shipped: LimitSource) -> None:
    spec = compile_limits(shipped)
    assert spec == compile_limits(shipped)
    assert spec.find_dates(at("2015-01-01T00:00")) == (
        (date(2015, 1, 1) - date(1970, 1, 1)).days,
        2015 * 12,
        2015,
    )
    assert spec.find_dates(at("2059-12-31T23:59:59"))[1:] == (2059 * 12 + 11, 2059)


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Asia/Shanghai", "2026-03-01", "2026-02-28T16:00:00+00:00"),
        ("Europe/London", "2026-03-29", "2026-03-29T00:00:00+00:00"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00+00:00"),  # midnight is skipped
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00+00:00"),  # midnight comes twice
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),  # a day that never was
    ],
)
def test_when_a_local_day_begins(zone: str, day: str, first: str) -> None:
    begins = day_start_us(date.fromisoformat(day), ZoneInfo(zone))
    assert begins == instant_us(datetime.fromisoformat(first))
