"""What `faregate limits` shows: every answer is data ready for JSON."""

from __future__ import annotations

from pathlib import Path

from fastpath.limits import AMOUNTS, NO_LIMIT
from gateway.errors import ConfigError
from gateway.limits.examples import run_examples
from gateway.limits.load import load_limits
from gateway.limits.source import DatedProfile, LimitSource
from gateway.tariffs.units import format_amount

Fields = dict[str, object]
COLUMNS = ("tier", "from", *(name.removesuffix("_minor") for name in AMOUNTS), "weak")


def list_limits(paths: dict[str, Path]) -> list[Fields]:
    """One entry a file; one that cannot be loaded has `findings` in place of the rest."""
    return [_list_one(name, path) for name, path in sorted(paths.items())]


def show_limits(source: LimitSource) -> Fields:
    """What a file of limits says, for people."""
    return _head(source) | {
        "zone": source.zone.key,
        "tiers": [{"tier": one.number} | one.title for one in source.tiers],
        "profiles": [_profile(one, source.currency.exponent) for one in source.profiles],
        "sources": [{"url": one.what, "says": one.text} for one in source.sources],
        "assumptions": [{"key": one.what, "why": one.text} for one in source.assumptions],
    }


def check_limits(path: Path) -> Fields:
    """Load a file and run its examples. Returns: ok, findings, warnings, counts."""
    try:
        source = load_limits(path)
    except ConfigError as error:
        return {"file": str(path), "ok": False, "findings": list(error.findings), "warnings": []}
    findings = run_examples(source)
    warnings = [
        f"tier {one.tier} from {one.start}: {one.weak}" for one in source.profiles if one.weak
    ]
    return _head(source) | {
        "file": str(path),
        "ok": not findings,
        "findings": findings,
        "warnings": warnings,
        "examples": len(source.examples),
    }


def _list_one(name: str, path: Path) -> Fields:
    try:
        return _head(load_limits(path)) | {"file": str(path)}
    except ConfigError as error:
        return {"id": name, "file": str(path), "findings": list(error.findings)}


def _head(source: LimitSource) -> Fields:
    return {
        "id": source.limits_id,
        "version": source.version,
        "title": source.title,
        "currency": source.currency.code,
        "tiers": len(source.tiers),
        "profiles": len(source.profiles),
    }


def _profile(one: DatedProfile, exponent: int) -> Fields:
    """A limit that there is none of is None."""
    amounts = [
        None if amount == NO_LIMIT else format_amount(amount, exponent) for amount in one.amounts
    ]
    return dict(zip(COLUMNS, (one.tier, one.start.isoformat(), *amounts, one.weak), strict=True))
