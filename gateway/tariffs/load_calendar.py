"""Calendar files -> Calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from gateway.tariffs.calendar import Calendar, CalendarYear, Holiday
from gateway.tariffs.reader import Findings, Table, load_document

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def find_calendar(table: Table, folders: tuple[Path, ...], findings: Findings) -> Calendar:
    """The calendar that a tariff's [time] table names; weekends only when it names none."""
    if not table.has("calendar"):
        return Calendar("weekends")
    name = table.text("calendar")
    for folder in folders:
        path = folder / f"{name}.toml"
        if path.is_file():
            return load_calendar(path, findings)
    looked = ", ".join(dict.fromkeys(folder.as_posix() for folder in folders))
    table.fault("calendar", f"no file {name}.toml", f"looked in {looked}")
    return Calendar(name)


def load_calendar(path: Path, findings: Findings) -> Calendar:
    """Read a calendar; faults are added to `findings`."""
    document = load_document(path, findings)
    if not document.data:
        return Calendar(path.stem)
    root = Table.root(document, findings)
    root.whole("format", low=1, high=1)
    title = root.table("title", needed=False)
    title.text("zh", ""), title.text("en", "")
    calendar = Calendar(root.text("id"), _read_weekend(root), _read_years(root))
    root.close()
    return calendar


def _read_weekend(root: Table) -> frozenset[int]:
    days = root.texts("weekend")
    for unknown in sorted(set(days) - set(WEEKDAYS)):
        root.fault("weekend", f"{unknown!r} is not a weekday", "one of " + ", ".join(WEEKDAYS))
    return frozenset(WEEKDAYS.index(day) for day in days if day in WEEKDAYS)


def _read_years(root: Table) -> dict[int, CalendarYear]:
    years: dict[int, CalendarYear] = {}
    for row in root.tables("year", needed=False):
        year = _read_year(row)
        if year.year in years:
            row.fault("year", f"{year.year} is there twice")
        years[year.year] = year
        row.close()
    return years


def _read_year(row: Table) -> CalendarYear:
    number = row.whole("year", low=1970, high=2100)
    working = row.days("working")
    for day in working:
        if day.year != number:
            row.fault("working", f"{day} is not in {number}")
    year = CalendarYear(
        year=number,
        verified=row.flag("verified"),
        source=row.text("source"),
        holidays=tuple(_read_holidays(row, number)),
        working=frozenset(working),
    )
    _check_clashes(row, year)
    return year


def _read_holidays(row: Table, number: int) -> Iterator[Holiday]:
    for table in row.tables("holidays"):
        holiday = Holiday(table.text("name"), table.day("from"), table.day("to"))
        table.close()
        if holiday.end < holiday.start:
            table.fault("to", "is before `from`")
        if holiday.start.year != number or holiday.end.year != number:
            table.fault("from", f"is not wholly in {number}", "split it at the turn of the year")
        yield holiday


def _check_clashes(row: Table, year: CalendarYear) -> None:
    for holiday in year.holidays:
        days = max((holiday.end - holiday.start).days + 1, 0)
        for day in (holiday.start + timedelta(days=offset) for offset in range(days)):
            if day in year.working:
                row.fault("working", f"{day} is a holiday too ({holiday.name})")
