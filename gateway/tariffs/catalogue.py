"""What `faregate tariff` shows: every answer is data ready for JSON.

Where tariffs are looked for is decided by gateway/resources.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import date
from pathlib import Path

from fastpath.types import TariffSpec
from gateway.errors import TariffError
from gateway.tariffs.compile import count_unpriced, service_days
from gateway.tariffs.examples import ExampleResult, run_examples
from gateway.tariffs.gtfs.register import describe_feed, is_feed_file
from gateway.tariffs.loaded import LoadedTariff, load
from gateway.tariffs.source import DiscountWindow, FareGroup, Note, TariffSource
from gateway.tariffs.units import format_amount, format_factor

Fields = dict[str, object]


def list_tariffs(paths: dict[str, Path], *, calendars: tuple[Path, ...] = ()) -> list[Fields]:
    """One entry a tariff file; one that cannot be loaded has `findings` in place of the rest."""
    return [_list_one(name, path, calendars) for name, path in sorted(paths.items())]


def show_tariff(tariff: LoadedTariff, *, stations: bool = False) -> Fields:
    """What a tariff says, for people: rules, lines, sources, assumptions; stations on request."""
    source = tariff.source
    exponent = source.currency.exponent
    network = source.network
    shown: Fields = _head(source) | {
        "file": str(tariff.path),
        "valid_years": source.valid_years,
        "zone": source.zone.key,
        "service_day_start": source.day_start.isoformat(),
        "calendar": source.calendar.name,
        "fares": [_group_fields(group, exponent) for group in network.groups],
        "flat": format_amount(source.rules.flat_minor, exponent) if tariff.is_flat else None,
        "rules": _rule_fields(source),
        "time_discounts": [_window_fields(window) for window in source.windows],
        "monthly_tiers": [
            {
                "from": format_amount(tier.from_minor, exponent),
                "factor": format_factor(tier.factor_ppm),
            }
            for tier in source.tiers
        ],
        "out_of_station": [asdict(pair) for pair in network.pairs],
        "lines": [
            {"zh": line.zh, "en": line.en, "loop": line.loop, "stations": len(line.stops)}
            for line in network.lines
        ],
        "sources": [_note_fields(note, "url", "says") for note in source.sources],
        "assumptions": [_note_fields(note, "key", "why") for note in source.assumptions],
    }
    if stations:
        shown["stations"] = [
            {"id": one.stop_id, "zh": one.zh, "en": one.latin} for one in network.stations
        ]
    return shown


def check_tariff(path: Path, *, calendars: tuple[Path, ...] = ()) -> Fields:
    """Load, compile and try a tariff.

    Returns: ok, findings (faults, failed examples), warnings (what a person should know), counts.
    """
    try:
        if is_feed_file(path):
            return {"file": str(path), "ok": True, "findings": []} | describe_feed(path)
        tariff = load(path, calendars=calendars)
        results = run_examples(tariff)
    except TariffError as error:
        findings = list(error.findings) or [f"{path.name}: {error.detail}"]
        return {"file": str(path), "ok": False, "findings": findings, "warnings": []}
    findings = [_example_finding(tariff, one) for one in results if not one.passed]
    return {
        "file": str(path),
        "ok": not findings,
        "findings": findings,
        "warnings": _warnings(tariff),
        "examples": len(results),
        **_compiled_fields(tariff.spec),
    }


def compile_summary(tariff: LoadedTariff) -> Fields:
    """Compile a tariff and say what came out; `digest` changes with any byte of the arrays."""
    return _head(tariff.source) | _compiled_fields(tariff.spec)


def spec_digest(spec: TariffSpec) -> str:
    """SHA-256 over all arrays and rules: the same files give the same digest anywhere."""
    return hashlib.sha256(repr(asdict(spec)).encode()).hexdigest()


def _list_one(name: str, path: Path, calendars: tuple[Path, ...]) -> Fields:
    try:
        if is_feed_file(path):
            return {"name": name, "file": str(path), "ok": True} | describe_feed(path)
        source = load(path, calendars=calendars).source
    except TariffError as error:
        return {"name": name, "file": str(path), "ok": False, "findings": list(error.findings)}
    return {"name": name, "file": str(path), "ok": True} | _head(source)


def _head(source: TariffSource) -> Fields:
    return {
        "id": source.tariff_id,
        "version": source.version,
        "title": source.title,
        "currency": source.currency.code,
        "valid_from": source.valid_from.isoformat(),
        "stations": len(source.network.stations),
    }


def _group_fields(group: FareGroup, exponent: int) -> Fields:
    beyond = group.beyond
    fields: Fields = {
        "name": group.name,
        "lines": list(group.lines) or "all others",
        "tolerance_m": group.tolerance_m,
        "bands": [
            {"to_m": band.to_m, "fare": format_amount(band.fare_minor, exponent)}
            for band in group.bands
        ],
    }
    if beyond is not None and beyond.per_m:
        add = format_amount(beyond.add_minor, exponent)
        fields["beyond"] = {"per_m": beyond.per_m, "add": add}
    elif beyond is not None:
        fields["beyond"] = {"fare": format_amount(beyond.fare_minor, exponent)}
    return fields


def _rule_fields(source: TariffSource) -> Fields:
    """Rules as they are compiled: amounts in minor units, durations in microseconds."""
    return {
        key: value.name.lower() if hasattr(value, "name") else value
        for key, value in asdict(source.rules).items()
    }


def _window_fields(window: DiscountWindow) -> Fields:
    return {
        "name": window.name,
        "title": window.title,
        "factor": format_factor(window.factor_ppm),
        "days": window.days,
        "from": window.start.isoformat() if window.start else None,
        "until": window.end.isoformat(),
        "check_in_at": list(window.stations),
    }


def _note_fields(note: Note, what: str, text: str) -> Fields:
    return {what: note.what, text: note.text}


def _example_finding(tariff: LoadedTariff, result: ExampleResult) -> str:
    said = "; ".join(result.faults)
    return f"{tariff.path.name}:{result.example.line}: example {result.example.name!r}: {said}"


def _compiled_fields(spec: TariffSpec) -> Fields:
    return {
        "stops": len(spec.stop_ids),
        "service_days": len(spec.days.month),
        "pairs_not_priced": count_unpriced(spec),
        "highest_minor": _highest_minor(spec),
        "digest": spec_digest(spec),
    }


def _highest_minor(spec: TariffSpec) -> int:
    """The dearest price; of leg tables the highest fare, as distances have none."""
    if spec.layers is None or spec.layers.legs is None:
        return max(spec.od_fare_minor, default=0)
    return max([*spec.highest_minor, spec.layers.legs.highest_any_minor])


def _warnings(tariff: LoadedTariff) -> list[str]:
    source, spec = tariff.source, tariff.spec
    warnings = [f"assumption, {note.what}: {note.text}" for note in source.assumptions]
    if source.windows:
        years = sorted({day.year for day in service_days(source)} - _known_years(source))
        if years:
            shown = ", ".join(map(str, years))
            warnings.append(f"calendar {source.calendar.name} has no holidays for {shown}")
    unpriced = count_unpriced(spec)
    if unpriced:
        warnings.append(f"{unpriced} pairs of stations cannot be priced")
    for found in dict.fromkeys(tariff.names.ambiguous().values()):
        names = ", ".join(f"{one.stop_id} {one.zh}" for one in found)
        warnings.append(f"one spelling means several stations: {names}")
    return warnings


def _known_years(source: TariffSource) -> set[int]:
    return {year for year in source.calendar.years if source.calendar.is_known(date(year, 1, 1))}
