"""One row's texts to checked values; what is wrong becomes a finding and a harmless stand-in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from gateway.tariffs.gtfs.currencies import ISO_4217
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.read import Row
from gateway.tariffs.units import AMOUNT_MAX_MINOR, Currency

_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)", re.ASCII)
_AMOUNT = re.compile(r"(-?)(\d{1,12})(?:\.(\d{0,9}))?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}", re.ASCII)
DAY_S = 86_400
NO_CURRENCY = Currency("XXX", 999, 2)
SECONDS_MAX = 366 * DAY_S


@dataclass(frozen=True, slots=True)
class Reader:
    """Hands out the values of one row of one file."""

    file: str
    row: Row
    findings: Findings

    def fault(self, code: str, field: str, what: str) -> None:
        """Note what is wrong with a field of this row."""
        self.findings.add(code, self.file, what, line=self.row.line, field=field)

    def text(self, field: str) -> str:
        """The value, "" when it is empty or there is no such column."""
        return self.row.values.get(field, "")

    def needed(self, field: str) -> str:
        """A value that may not be empty."""
        value = self.text(field)
        if not value:
            self.fault("GTFS_REQUIRED", field, "is empty")
        return value

    def number(self, field: str, *, low: int, high: int, empty: int | None = None) -> int:
        """A whole number; `empty` stands for an empty one, None = it may not be empty."""
        value = self.text(field)
        if not value and empty is not None:
            return empty
        if not value:
            self.fault("GTFS_REQUIRED", field, "is empty")
            return low
        if _NUMBER.fullmatch(value) is None or not low <= int(value) <= high:
            self.fault("GTFS_NUMBER", field, f"is {value!r}, not a number from {low} to {high}")
            return low
        return int(value)

    def enum(self, field: str, known: range, *, empty: int | None = None) -> int:
        """One of a few numbers."""
        value = self.text(field)
        if not value and empty is not None:
            return empty
        if not value:
            self.fault("GTFS_REQUIRED", field, "is empty")
        elif _NUMBER.fullmatch(value) is None or int(value) not in known:
            self.fault("GTFS_ENUM", field, f"is {value!r}, not {known.start} to {known.stop - 1}")
        else:
            return int(value)
        return known.start

    def seconds(self, field: str) -> int:
        """Seconds of a duration; -1 = empty."""
        return self.number(field, low=0, high=SECONDS_MAX, empty=-1)

    def time_of_day(self, field: str, empty_s: int) -> int:
        """Seconds after midnight by the clock, at most 24:00:00."""
        value = self.text(field)
        if not value:
            return empty_s
        seconds = parse_time(value)
        if seconds is None or seconds > DAY_S:
            self.fault("GTFS_TIME", field, f"is {value!r}, not 00:00:00 to 24:00:00")
            return empty_s
        return seconds

    def day(self, field: str) -> date:
        """A date written YYYYMMDD."""
        value = self.needed(field)
        found = parse_date(value)
        if found is None:
            if value:
                self.fault("GTFS_DATE", field, f"is {value!r}")
            return date(1970, 1, 1)
        return found

    def currency(self, field: str) -> Currency:
        """A currency by its code."""
        code = self.needed(field)
        if code and code not in ISO_4217:
            self.fault("GTFS_CURRENCY", field, f"is {code!r}")
        return ISO_4217.get(code, NO_CURRENCY)

    def amount(self, field: str, currency: Currency, *, negative: bool = False) -> int:
        """Minor units of an amount."""
        value = self.needed(field)
        minor = parse_money(value, currency.exponent)
        if not value:
            return 0
        if minor is None:
            self.fault("GTFS_AMOUNT", field, f"is {value!r} of {currency.code}")
            return 0
        if abs(minor) > AMOUNT_MAX_MINOR or (minor < 0 and not negative):
            self.fault("GTFS_AMOUNT", field, f"is {value!r}, out of range")
            return 0
        return minor


def parse_time(text: str) -> int | None:
    """Seconds of HH:MM:SS, which may be 24:00:00 and later; None = it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def parse_date(text: str) -> date | None:
    """A date written YYYYMMDD; None = it is none."""
    if len(text) != 8 or not text.isdecimal():
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:
        return None


def parse_money(text: str, exponent: int) -> int | None:
    """Minor units of a decimal text, exactly; zeros behind the last digit do no harm."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    digits = (match[3] or "").rstrip("0")
    if len(digits) > exponent:
        return None
    minor = int(match[2] + digits.ljust(exponent, "0"))
    return -minor if match[1] else minor
