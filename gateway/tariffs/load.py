"""TOML files of a tariff -> TariffSource, with all faults told at once.

Amounts, factors, dates and ranges are checked here; whether names of stations and
lines fit together is checked in `load_network`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

from fastpath.types import (
    FACTOR_ONE_PPM,
    CapOwner,
    MediumKind,
    MissingCheckIn,
    MonthBasis,
    MonthlyTier,
    TariffRules,
)
from gateway.tariffs.calendar import US_PER_DAY, US_PER_S, Calendar, ClockChange
from gateway.tariffs.load_calendar import find_calendar
from gateway.tariffs.load_examples import load_examples
from gateway.tariffs.load_layers import load_layers
from gateway.tariffs.load_names import read_title, read_zone
from gateway.tariffs.load_network import check_groups, load_network
from gateway.tariffs.load_periods import read_steps
from gateway.tariffs.reader import Document, Findings, Table, load_document
from gateway.tariffs.source import (
    DiscountWindow,
    FareGroup,
    Network,
    Note,
    Station,
    TariffSource,
)
from gateway.tariffs.source_layers import LayerSource, Matrix
from gateway.tariffs.units import CURRENCIES, Currency

FORMAT = 1
MEDIUM_FACTORS = 16
US_PER_MIN = 60 * US_PER_S
_YEAR_MIN = 366 * 24 * 60
_MISSING_CHECK_IN = {
    "refuse": MissingCheckIn.REFUSE,
    "highest_at_desk": MissingCheckIn.HIGHEST_AT_DESK,
    "highest": MissingCheckIn.HIGHEST,
}
_EXPLAINED = (
    ("fare",),
    ("flat", "fare"),
    ("network", "combine"),
    ("amounts", "round_to"),
    ("journey", "entry_minimum"),
    ("journey", "exit_overdraft"),
    ("journey", "same_station"),
    ("journey", "max_stay_min"),
    ("journey", "missing_check_in"),
    ("journey", "missing_check_out_after_min"),
    ("out_of_station",),
    ("time_discount",),
    ("month", "tiers"),
    ("medium_factors",),
    ("clock",),
    ("clock", "offline_days"),
    ("journey", "group_riders"),
    ("transfer",),
    ("cap",),
    ("tier",),
    ("pass",),
    ("factor",),
    ("join",),
    ("category",),
)


@dataclass(frozen=True, slots=True)
class _Time:
    zone: ZoneInfo
    day_start: time
    clock_change: ClockChange
    calendar: Calendar


def load_tariff(path: Path, *, calendars: tuple[Path, ...] = ()) -> TariffSource:
    """Read a tariff and every file it names.

    Args: calendars: folders to look for calendars in, after those beside the tariff.
    Raises: TariffError: TARIFF_INVALID with all findings; TARIFF_NOT_FOUND.
    """
    findings = Findings()
    document = load_document(path, findings)
    if not document.data:
        findings.raise_if_any()
    root = Table.root(document, findings)
    folders = (path.parent / "calendars", path.parent.parent / "calendars", *calendars)
    source = _read(root, path, folders, findings)
    root.close()
    findings.raise_if_any()
    return source


def check_format(root: Table) -> None:
    """Refuse a file of another format than this program knows."""
    root.whole("format", high=FORMAT, low=FORMAT)


def _read(root: Table, path: Path, folders: tuple[Path, ...], findings: Findings) -> TariffSource:
    check_format(root)
    currency = _read_currency(root)
    times = _read_time(root, folders, findings)
    network = load_network(root, path, findings)
    layers, groups = load_layers(root, path, currency, network, findings)
    network = _with_fares(root, network, layers, groups)
    month = _read_month(root, currency)
    valid_from = root.day("valid_from")
    if (valid_from.month, valid_from.day) == (2, 29):
        root.fault("valid_from", "is a 29 February", "take a day that every year has")
    return TariffSource(
        tariff_id=root.text("id"),
        version=root.text("version"),
        file=path.name,
        title=read_title(root, needed=True),
        currency=currency,
        valid_from=valid_from,
        valid_years=root.whole("valid_years", low=1, high=20),
        zone=times.zone,
        day_start=times.day_start,
        clock_change=times.clock_change,
        calendar=times.calendar,
        network=network,
        rules=_read_rules(root, currency, month),
        windows=tuple(
            _read_window(row, network) for row in root.tables("time_discount", needed=False)
        ),
        tiers=month.tiers,
        medium_factor_ppm=_read_media(root),
        examples=load_examples(root, currency, network, layers),
        sources=_read_notes(root, "sources", "url", "says"),
        assumptions=_read_notes(root, "assumptions", "key", "why"),
        key_lines=_find_lines(root),
        layers=layers,
    )


def _with_fares(
    root: Table, network: Network, layers: LayerSource, groups: tuple[FareGroup, ...]
) -> Network:
    """The network with its price groups, and with the stops that only a matrix names."""
    if network.lines and not layers.uses_legs:
        check_groups(root, groups, network.lines)
    numbers: set[int] = set()
    if not network.stations:
        forms = [row.form for row in layers.fares]
        pairs = [pair for form in forms if isinstance(form, Matrix) for pair in form.cells]
        numbers = {stop for pair in pairs for stop in pair}
    made = tuple(Station(number, str(number), "", "", ()) for number in sorted(numbers))
    return replace(network, groups=groups, stations=network.stations or made)


def _find_lines(root: Table) -> dict[str, int]:
    document = root.document
    lines = {".".join(key): document.line_of(key) for key in _EXPLAINED if _says(document, key)}
    for table in ("fare", "factor", "time_discount", "category"):
        for index, name in enumerate(_names_of(document.data.get(table))):
            lines[f"{table}.{name}"] = document.line_of((table, index))
    for table in ("out_of_station", "longest_stay"):
        for index, _ in enumerate(_names_of(document.data.get(table))):
            lines[f"{table}[{index}]"] = document.line_of((table, index))
    month = document.data.get("month")
    tiers = month.get("tiers") if isinstance(month, dict) else None
    for index, _ in enumerate(tiers if isinstance(tiers, list) else ()):
        lines[f"month.tiers[{index}]"] = document.line_of(("month", "tiers", index))
    return lines


def _says(document: Document, key: tuple[str, ...]) -> bool:
    """Whether the file has this key: what it leaves out has a default."""
    here: object = document.data
    for name in key:
        here = here.get(name) if isinstance(here, dict) else None
    return here is not None


def _names_of(rows: object) -> list[str]:
    found = rows if isinstance(rows, list) else []
    return [str(row.get("name")) for row in found if isinstance(row, dict)]


def _read_currency(root: Table) -> Currency:
    code = root.text("currency")
    if code not in CURRENCIES:
        root.fault("currency", f"is {code!r}", "one of " + ", ".join(CURRENCIES))
        return CURRENCIES["CNY"]
    return CURRENCIES[code]


def _read_notes(root: Table, key: str, what: str, text: str) -> tuple[Note, ...]:
    notes = []
    for row in root.tables(key, needed=False):
        notes.append(Note(row.text(what), row.text(text)))
        row.close()
    return tuple(notes)


def _read_time(root: Table, folders: tuple[Path, ...], findings: Findings) -> _Time:
    table = root.table("time")
    change = table.choice("clock_change", tuple(ClockChange), default="refuse")
    times = _Time(
        zone=read_zone(table),
        day_start=table.time_of_day("service_day_start", time(0)),
        clock_change=ClockChange(change),
        calendar=find_calendar(table, folders, findings),
    )
    table.close()
    return times


def _read_rules(root: Table, currency: Currency, month: _Month) -> TariffRules:
    journey = root.table("journey", needed=False)
    amounts = root.table("amounts", needed=False)
    clock = root.table("clock", needed=False)
    flat = root.table("flat", needed=False)
    exponent = currency.exponent
    rules = TariffRules(
        entry_minimum_minor=journey.amount("entry_minimum", exponent, 0),
        exit_overdraft=journey.flag("exit_overdraft", False),
        same_stop_fare_minor=_read_same_station(journey, exponent),
        max_stay_us=_read_minutes(journey, "max_stay_min"),
        overstay_minor=journey.amount("overstay_fee", exponent, 0),
        missing_check_in=_MISSING_CHECK_IN[
            journey.choice("missing_check_in", tuple(_MISSING_CHECK_IN), "refuse")
        ],
        missing_check_out_after_us=_read_minutes(journey, "missing_check_out_after_min"),
        passback_us=journey.whole("pass_back_s", 0, high=3600) * US_PER_S,
        flat_minor=flat.amount("fare", exponent) if root.has("flat") else -1,
        cap_owner=month.owner,
        month_basis=month.basis,
        month_by_entry=month.by_entry,
        clock_ahead_us=clock.whole("ahead_s", 300, high=86_400) * US_PER_S,
        clock_behind_us=clock.whole("behind_s", 86_400, high=31 * 86_400) * US_PER_S,
        offline_horizon_us=clock.whole("offline_days", 30, high=366) * US_PER_DAY,
        round_to_minor=_read_rounding(amounts, exponent),
        tier_split=month.is_split,
    )
    for table in (journey, amounts, clock, flat):
        table.close()
    return rules


def _read_minutes(table: Table, key: str) -> int:
    if not table.has(key):
        return -1
    return table.whole(key, low=1, high=_YEAR_MIN) * US_PER_MIN


def _read_same_station(table: Table, exponent: int) -> int:
    if not table.has("same_station") or table.text("same_station") == "shortest":
        return -1
    return table.amount("same_station", exponent)


def _read_rounding(table: Table, exponent: int) -> int:
    minor = table.amount("round_to", exponent, 1)
    if minor < 1:
        table.fault("round_to", "is zero", 'the smallest coin charged, as "0.01"')
    return max(minor, 1)


@dataclass(frozen=True, slots=True)
class _Month:
    tiers: tuple[MonthlyTier, ...]
    owner: CapOwner
    basis: MonthBasis
    by_entry: bool
    is_split: bool


def _read_month(root: Table, currency: Currency) -> _Month:
    month = root.table("month", needed=False)
    basis = month.choice("basis", ("paid", "nominal", "trips"), "paid")
    is_split = month.choice("crossing", ("whole", "split"), "whole") == "split"
    if is_split and basis == "trips":
        month.fault("crossing", "a trip cannot be cut in two", "take whole")
    steps = read_steps(month, "tiers", currency, is_trips=basis == "trips")
    read = _Month(
        tiers=tuple(MonthlyTier(start, factor) for start, factor in steps),
        owner=CapOwner[month.choice("owner", ("account", "medium"), "account").upper()],
        basis=MonthBasis[basis.upper()],
        by_entry=month.choice("by", ("exit", "entry"), "exit") == "entry",
        is_split=is_split,
    )
    month.close()
    return read


def _read_window(row: Table, network: Network) -> DiscountWindow:
    known = {station.zh for station in network.stations}
    stations = row.texts("check_in_at")
    for name in sorted(set(stations) - known):
        row.fault("check_in_at", f"{name!r} is not a station", "use the `zh` names of the stations")
    start = row.time_of_day("from") if row.has("from") else None
    window = DiscountWindow(
        name=row.text("name"),
        title=read_title(row, needed=True),
        factor_ppm=row.factor("factor"),
        days=row.choice("days", ("all", "working", "not_working")),
        start=start,
        end=row.time_of_day("until"),
        stations=stations,
    )
    row.close()
    return window


def _read_media(root: Table) -> tuple[int, ...]:
    factors = [FACTOR_ONE_PPM] * MEDIUM_FACTORS
    table = root.table("medium_factors", needed=False)
    for kind in MediumKind:
        if table.has(kind.name.lower()):
            factors[kind] = table.factor(kind.name.lower())
    table.close()
    return tuple(factors)
