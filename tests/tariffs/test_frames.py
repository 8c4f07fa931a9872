"""Time frames as instants: clock changes, service days, days of calendars."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fastpath.layers import Frames
from gateway.tariffs.calendar import Calendar, instant_us
from gateway.tariffs.compile_frames import fits_day
from gateway.tariffs.explain_rows import find_frame
from gateway.tariffs.loaded import LoadedTariff, load
from gateway.tariffs.source_layers import Frame

FILES = Path(__file__).parent / "files"
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def london() -> LoadedTariff:
    return load(FILES / "zones.toml")


@pytest.fixture(scope="module")
def new_york() -> LoadedTariff:
    return load(FILES / "nights.toml")


def frame_at(tariff: LoadedTariff, text: str) -> str:
    """The frame at a time with an offset."""
    return find_frame(tariff.source, tariff.spec, instant_us(datetime.fromisoformat(text)))


@pytest.mark.parametrize(
    ("at", "frame"),
    [
        ("2026-03-27T06:30:00+00:00", "peak"),  # Friday, winter time
        ("2026-03-27T06:29:59+00:00", "other"),
        ("2026-03-30T06:30:00+01:00", "peak"),  # Monday after the change
        ("2026-03-30T06:30:00+00:00", "peak"),  # 07:30 by the clock
        ("2026-03-30T05:29:59+00:00", "other"),
        ("2026-10-23T09:29:59+01:00", "peak"),
        ("2026-10-26T09:29:59+00:00", "peak"),
        ("2026-10-26T09:30:00+00:00", "other"),
        ("2026-10-26T08:29:59+00:00", "peak"),
        ("2026-03-29T08:00:00+01:00", "other"),  # a Sunday
    ],
)
def test_peaks_of_london_go_by_the_clock(london: LoadedTariff, at: str, frame: str) -> None:
    assert frame_at(london, at) == frame


@pytest.mark.parametrize(
    ("at", "frame"),
    [
        ("2026-03-08T01:59:59-05:00", "night"),
        ("2026-03-08T03:00:00-04:00", "night"),  # the instant after it
        ("2026-03-08T04:59:59-04:00", "night"),
        ("2026-03-08T05:00:00-04:00", "other"),
        ("2026-11-01T01:30:00-04:00", "night"),
        ("2026-11-01T01:30:00-05:00", "night"),
        ("2026-11-01T04:59:59-05:00", "night"),
        ("2026-11-01T05:00:00-05:00", "other"),
        ("2028-02-29T12:00:00-05:00", "change"),
    ],
)
def test_nights_of_new_york_over_the_clock_change(
    new_york: LoadedTariff, at: str, frame: str
) -> None:
    assert frame_at(new_york, at) == frame


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/London", "2026-03-28", 23),  # service days begin at 04:30: the night is Saturday's
        ("Europe/London", "2026-03-29", 24),
        ("Europe/London", "2026-10-24", 25),
        ("America/New_York", "2026-03-07", 23),
        ("America/New_York", "2026-10-31", 25),
        ("America/New_York", "2028-02-29", 24),
    ],
)
def test_service_days_of_a_clock_change(
    london: LoadedTariff, new_york: LoadedTariff, zone: str, day: str, hours: int
) -> None:
    tariff = london if zone == "Europe/London" else new_york
    days = tariff.spec.days
    at = (date.fromisoformat(day) - date(1970, 1, 1)).days - days.first_day
    began = datetime.fromisoformat(f"{day}T04:30:00").replace(tzinfo=ZoneInfo(zone))
    assert days.start_us[at] == instant_us(began)
    assert days.start_us[at + 1] - days.start_us[at] == hours * HOUR_US


def test_the_table_covers_every_service_day_without_gaps(new_york: LoadedTariff) -> None:
    assert new_york.spec.layers is not None
    legs = new_york.spec.layers.legs
    assert legs is not None
    frames: Frames = legs.frames
    starts = new_york.spec.days.start_us
    assert len(frames.row) == len(starts)
    assert frames.row[-1] == len(frames.start_us) == len(frames.frame)
    for place in range(len(starts) - 1):
        first, last = frames.row[place], frames.row[place + 1]
        assert frames.start_us[first] == starts[place]
        own = list(frames.start_us[first:last])
        assert own == sorted(set(own))
        assert own[-1] < starts[place + 1]


def frame_of(days: tuple[str, ...], not_days: tuple[str, ...] = ()) -> Frame:
    return Frame("x", {}, days, not_days, ())


@pytest.mark.parametrize(
    ("days", "not_days", "fitting"),
    [
        (("all",), (), "MTWTFSS"),
        ((), (), "MTWTFSS"),
        (("working",), (), "----FSS"),
        (("not_working",), (), "MTWT---"),
        (("holiday",), (), "MTW----"),
        (("monday", "sunday"), (), "M-----S"),
        (("all",), ("holiday",), "---TFSS"),
        (("tuesday", "thursday"), ("holiday",), "---T---"),
    ],
)
def test_days_of_the_calendar(
    days: tuple[str, ...], not_days: tuple[str, ...], fitting: str
) -> None:
    """The week of 2 March: Monday to Wednesday off, Thursday a day off each week, Sunday worked."""
    calendar = Calendar(
        "made up", frozenset({3}), load(FILES / "months.toml").source.calendar.years
    )
    first = date(2026, 3, 2)
    week = [first + timedelta(days=number) for number in range(7)]
    found = [fits_day(frame_of(days, not_days), calendar, day) for day in week]
    assert [letter != "-" for letter in fitting] == found
