"""What is wrong or suspicious in a feed, all at once: code, file, line, field.

Codes never change their meaning; docs/gtfs.md lists them, a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.errors import TariffError


class Severity(StrEnum):
    """An error keeps a feed from being used, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


CODES: dict[str, tuple[Severity, str]] = {
    "GTFS_UNREADABLE": (Severity.ERROR, "a folder or a zip file of UTF-8 CSV tables is needed"),
    "GTFS_NO_FARES": (Severity.ERROR, "fare_attributes.txt, or fare_products.txt with rules"),
    "GTFS_CSV": (Severity.ERROR, "RFC 4180: quotes doubled inside quotes, as many values as names"),
    "GTFS_COLUMN": (Severity.ERROR, "the first line must name this column once"),
    "GTFS_REQUIRED": (Severity.ERROR, "this field may not be empty"),
    "GTFS_AMOUNT": (Severity.ERROR, "a decimal number with the digits its currency has"),
    "GTFS_CURRENCY": (Severity.ERROR, "an ISO 4217 code such as EUR"),
    "GTFS_NUMBER": (Severity.ERROR, "a whole number within the range of the field"),
    "GTFS_ENUM": (Severity.ERROR, "one of the numbers the field knows"),
    "GTFS_TIME": (Severity.ERROR, "HH:MM:SS"),
    "GTFS_DATE": (Severity.ERROR, "YYYYMMDD"),
    "GTFS_ZONE": (Severity.ERROR, "an IANA time zone such as Europe/Warsaw"),
    "GTFS_DUPLICATE": (Severity.ERROR, "one row a key"),
    "GTFS_REFERENCE": (Severity.ERROR, "it must be defined in the file named"),
    "GTFS_OVERLAP": (Severity.ERROR, "times of one group and service must not overlap"),
    "GTFS_PAIR": (Severity.ERROR, "both fields, or neither"),
    "GTFS_GROUP": (Severity.ERROR, "a leg rule belongs to one leg group"),
    "GTFS_TOO_LARGE": (Severity.ERROR, "beyond what a compiled tariff holds"),
    "GTFS_ID_CLASH": (Severity.ERROR, "two ids have the same number: rename one"),
    "GTFS_NEGATIVE": (Severity.ERROR, "only one price for everybody may be negative"),
    "GTFS_SETTING": (Severity.ERROR, "see docs/gtfs.md for the settings of a feed"),
    "GTFS_FOLDER": (Severity.WARNING, "tables belong at the top of a zip file"),
    "GTFS_UNKNOWN_REFERENCE": (Severity.WARNING, "the file that would define it is not there"),
    "GTFS_UNKNOWN_COLUMN": (Severity.WARNING, "not a column of the reference: it has no effect"),
    "GTFS_NEVER_MATCHES": (Severity.WARNING, "no leg can match this row"),
    "GTFS_CHEAP_TRANSFER": (Severity.WARNING, "the journey costs less than its dearer leg alone"),
    "GTFS_COUNT_FORBIDDEN": (Severity.WARNING, "only between equal leg groups; it is not used"),
    "GTFS_TYPE_FORBIDDEN": (Severity.WARNING, "only together with duration_limit; it is not used"),
    "GTFS_CURRENCIES": (Severity.WARNING, "a tariff has one currency: these are not sold"),
    "GTFS_NETWORK_FORMS": (Severity.WARNING, "routes.txt has network_id: these are not used"),
    "GTFS_DEFAULT_CATEGORY": (Severity.WARNING, "exactly one category should be the default"),
    "GTFS_NOT_SOLD": (Severity.WARNING, "no product row fits: legs of this rule have no price"),
    "GTFS_SEVERAL_PRODUCTS": (Severity.WARNING, "the cheapest is charged; name passes as such"),
    "GTFS_SEVERAL_GROUPS": (Severity.WARNING, "a leg belongs to several leg groups at once"),
    "GTFS_JOIN_NETWORKS": (Severity.WARNING, "joined legs take the network of the last one"),
    "GTFS_TIME_ZONES": (Severity.WARNING, "a tariff has one time zone: the agency's first"),
    "GTFS_BOTH_VERSIONS": (Severity.WARNING, "Fares v2 is used, Fares v1 is not"),
    "GTFS_UNUSED": (Severity.WARNING, "nothing refers to it"),
    "GTFS_ITINERARY": (Severity.WARNING, "each ride is priced by its own zones"),
    "GTFS_CONTAINS": (Severity.WARNING, "zones on the way depend on the trip: the cheapest holds"),
    "GTFS_MEDIA_SLOTS": (Severity.WARNING, "quotes know the first nine media by name"),
}
"""Every code, how bad it is, and its standing hint."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found; line 0 = the file as a whole."""

    code: str
    file: str
    line: int
    field: str
    what: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return CODES[self.code][0]

    @property
    def hint(self) -> str:
        """What would be right."""
        return CODES[self.code][1]

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        named = f"{where}: {self.field}: " if self.field else f"{where}: "
        return f"{named}{self.code}: {self.what} ({self.hint})"

    def as_dict(self) -> dict[str, object]:
        """The finding as it goes into JSON."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "file": self.file,
            "line": self.line or None,
            "field": self.field or None,
            "what": self.what,
            "hint": self.hint,
        }


@dataclass(slots=True)
class Findings:
    """What was found so far."""

    items: list[Finding] = field(default_factory=list)

    def add(self, code: str, file: str, what: str, *, line: int = 0, field: str = "") -> None:
        """Note one thing."""
        self.items.append(Finding(code, file, line, field, what))

    def errors(self) -> Iterator[Finding]:
        """What keeps the feed from being used, by file and line."""
        return (one for one in self.ordered() if one.severity is Severity.ERROR)

    def warnings(self) -> Iterator[Finding]:
        """What a person should know, by file and line."""
        return (one for one in self.ordered() if one.severity is Severity.WARNING)

    def ordered(self) -> list[Finding]:
        """Everything by file and line."""
        return sorted(self.items, key=lambda one: (one.file, one.line, one.field, one.code))

    def raise_if_any(self) -> None:
        """Raises: TariffError: TARIFF_FEED with every error and every warning."""
        errors = [str(one) for one in self.errors()]
        if errors:
            told = [*errors, *(f"warning: {one}" for one in self.warnings())]
            raise TariffError("TARIFF_FEED", f"{len(errors)} errors", findings=told)
