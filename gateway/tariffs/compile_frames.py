"""Time frames -> instants: for every service day, which frame lasts from when to when."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta

from fastpath.layers import Frames
from gateway.tariffs.calendar import Calendar, local_us
from gateway.tariffs.load_calendar import WEEKDAYS
from gateway.tariffs.source import TariffSource
from gateway.tariffs.source_layers import Frame

DAY = timedelta(days=1)
Span = tuple[int, int, int]
"""Start, end (exclusive) and number of a frame."""


def build_frames(source: TariffSource, days: list[date], starts: array[int]) -> Frames:
    """The table of all service days.

    Args: starts: their first instants and the end of the last, UTC microseconds.
    Raises: TariffError: TARIFF_LOCAL_TIME.
    """
    row, start_us, frame = array("I", [0]), array("q"), bytearray()
    frames = source.layers.frames
    before = list(_spans_of(source, days[0] - DAY, starts[0], starts[0])) if frames else []
    for place, day in enumerate(days):
        begin, end = starts[place], starts[place + 1]
        spans = list(_spans_of(source, day, begin, end))
        for at, number in _cuts(before + spans, begin, end):
            start_us.append(at)
            frame.append(number)
        row.append(len(start_us))
        before = spans
    return Frames(len(frames) + 1, row, start_us, bytes(frame))


def fits_day(frame: Frame, calendar: Calendar, day: date) -> bool:
    """Whether a frame is of this service day."""
    wanted = not frame.days or any(_DAY_TESTS[word](calendar, day) for word in frame.days)
    return wanted and not any(_DAY_TESTS[word](calendar, day) for word in frame.not_days)


def _is_weekday(number: int) -> Callable[[Calendar, date], bool]:
    return lambda _, day: day.weekday() == number


_DAY_TESTS: dict[str, Callable[[Calendar, date], bool]] = {
    "all": lambda *_: True,
    "working": lambda calendar, day: calendar.is_working(day),
    "not_working": lambda calendar, day: not calendar.is_working(day),
    "holiday": lambda calendar, day: calendar.find_holiday(day) is not None,
    **{name: _is_weekday(number) for number, name in enumerate(WEEKDAYS)},
}


def _spans_of(source: TariffSource, day: date, begin: int, end: int) -> Iterator[Span]:
    """The frames that begin on a service day; they may run on into the next one."""
    for number, frame in enumerate(source.layers.frames, start=1):
        if not fits_day(frame, source.calendar, day):
            continue
        if not frame.times:
            yield begin, end, number
        for first, last in frame.times:
            span = _instants(source, day, first, last)
            if span[0] < span[1]:  # a clock change may skip all of it
                yield *span, number


def _instants(source: TariffSource, day: date, first: time, last: time) -> tuple[int, int]:
    start = _moment(source, day, first)
    end = _moment(source, day, last)
    if end <= start:
        end += DAY
    times = [local_us(one, source.zone, source.clock_change) for one in (start, end)]
    return times[0], times[1]


def _moment(source: TariffSource, day: date, at: time) -> datetime:
    """A time of day before the service day's start is the next morning."""
    return datetime.combine(day if at >= source.day_start else day + DAY, at)


def _cuts(spans: list[Span], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """From when on which frame: of those that overlap the lowest number."""
    edges = {begin, *(edge for span in spans for edge in span[:2] if begin < edge < end)}
    last = -1
    for at in sorted(edges):
        number = min((one for start, stop, one in spans if start <= at < stop), default=0)
        if number != last:
            yield at, number
        last = number
