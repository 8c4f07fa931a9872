"""TOML file of limits -> LimitSource, with all faults told at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from fastpath.limits import AMOUNTS, NO_LIMIT, TIERS_MAX
from fastpath.types import Reason
from gateway.errors import ConfigError
from gateway.limits.source import (
    BACK,
    CREDIT,
    PAY,
    TIER,
    DatedProfile,
    LimitExample,
    LimitSource,
    Step,
    Tier,
)
from gateway.tariffs.load_names import read_title, read_zone
from gateway.tariffs.reader import Findings, Table, load_document
from gateway.tariffs.source import Note
from gateway.tariffs.units import CURRENCIES, Currency

FORMAT = 1
STEPS = (PAY, CREDIT, BACK, TIER)
LAST_TIER = TIERS_MAX - 1
_KEYS = tuple(name.removesuffix("_minor") for name in AMOUNTS)
_REASONS = (Reason.LIMIT_EXCEEDED.name.lower(), Reason.BALANCE_LIMIT.name.lower())


def load_limits(path: Path) -> LimitSource:
    """Read and check a file of limits. Raises: ConfigError: LIMITS_INVALID with all findings."""
    findings = Findings()
    document = load_document(path, findings)
    if document.data:
        root = Table.root(document, findings)
        source = _read(root, path)
        root.close()
        if not findings.items:
            return source
    found = sorted(dict.fromkeys(findings.items), key=lambda one: one.line)
    raise ConfigError(
        "LIMITS_INVALID", f"{path.name}: {len(found)} faults", findings=[str(one) for one in found]
    )


def _read(root: Table, path: Path) -> LimitSource:
    root.whole("format", low=FORMAT, high=FORMAT)
    currency = _read_currency(root)
    tiers = tuple(_read_tiers(root))
    numbers = {one.number for one in tiers}
    sources = _read_notes(root, "sources", "url", "says")
    known = {one.what for one in sources}
    return LimitSource(
        limits_id=_read_id(root, path),
        version=root.text("version"),
        file=path.name,
        title=read_title(root, needed=True),
        currency=currency,
        zone=read_zone(root),
        tiers=tiers,
        profiles=_read_profiles(root, currency, numbers, known),
        examples=tuple(_read_examples(root, currency, numbers)),
        sources=sources,
        assumptions=_read_notes(root, "assumptions", "key", "why"),
    )


def _read_id(root: Table, path: Path) -> str:
    limits_id = root.text("id")
    if limits_id != path.stem:
        root.fault("id", f"is {limits_id!r}", f"the name of the file: {path.stem}")
    return limits_id


def _read_currency(root: Table) -> Currency:
    return CURRENCIES[root.choice("currency", tuple(CURRENCIES))]


def _read_notes(root: Table, key: str, what: str, text: str) -> tuple[Note, ...]:
    notes = []
    for row in root.tables(key, needed=False):
        notes.append(Note(row.text(what), row.text(text)))
        row.close()
    return tuple(notes)


def _read_tiers(root: Table) -> Iterator[Tier]:
    seen: set[int] = set()
    for row in root.tables("tier"):
        tier = Tier(row.whole("number", high=LAST_TIER), read_title(row, needed=True))
        if tier.number in seen:
            row.fault("number", f"{tier.number} is there twice")
        seen.add(tier.number)
        row.close()
        yield tier


def _read_profiles(
    root: Table, currency: Currency, tiers: set[int], sources: set[str]
) -> tuple[DatedProfile, ...]:
    found: dict[tuple[int, str], DatedProfile] = {}
    for row in root.tables("profile"):
        one = _read_profile(row, currency, tiers)
        if one.source not in sources:
            row.fault("source", f"{one.source!r} is not in `sources`", "name one of their `url`s")
        at = (one.tier, one.start.isoformat())
        if at in found:
            row.fault("from", f"tier {one.tier} has two profiles from {one.start} on")
        found[at] = one
    return tuple(found[at] for at in sorted(found))


def _read_profile(row: Table, currency: Currency, tiers: set[int]) -> DatedProfile:
    amounts = tuple(
        row.amount(key, currency.exponent) if row.has(key) else NO_LIMIT for key in _KEYS
    )
    is_free = row.flag("unlimited", False)
    if is_free == any(amount != NO_LIMIT for amount in amounts):
        hint = "one of " + ", ".join(_KEYS) + ", or `unlimited = true` alone"
        row.fault(
            None, "limits and `unlimited` do not go together" if is_free else "limits nothing", hint
        )
    _check_order(row, dict(zip(_KEYS, amounts, strict=True)))
    profile = DatedProfile(
        tier=_read_tier(row, "tier", tiers),
        start=row.day("from"),
        amounts=amounts,
        source=row.text("source"),
        weak=row.text("weak", ""),
    )
    row.close()
    return profile


def _check_order(row: Table, amounts: dict[str, int]) -> None:
    """A limit that a longer window's one makes unreachable is most likely a slip."""
    named = [key for key in _KEYS[:5] if amounts[key] != NO_LIMIT]
    for shorter, longer in pairwise(named):
        if amounts[shorter] > amounts[longer]:
            row.fault(shorter, f"is above `{longer}`", "no payment could ever reach it")


def _read_tier(row: Table, key: str, tiers: set[int]) -> int:
    number = row.whole(key, high=LAST_TIER)
    if number not in tiers:
        row.fault(key, f"{number} is no [[tier]] of this file")
    return number


def _read_examples(root: Table, currency: Currency, tiers: set[int]) -> Iterator[LimitExample]:
    for row in root.tables("example", needed=False):
        example = LimitExample(
            name=row.text("name"),
            line=row.document.line_of(row.path),
            tier=_read_tier(row, "tier", tiers),
            balance_minor=row.amount("balance", currency.exponent, 0),
            steps=tuple(_read_steps(row, currency, tiers)),
        )
        row.close()
        if not example.steps:
            row.fault("steps", "has none")
        yield example


def _read_steps(row: Table, currency: Currency, tiers: set[int]) -> Iterator[Step]:
    for place, step in enumerate(row.tables("steps"), start=1):
        given = [key for key in STEPS if step.has(key)]
        if len(given) != 1:
            step.fault(None, "does not do one thing", "one of " + ", ".join(STEPS))
        what = given[0] if given else PAY
        yield Step(
            at=step.moment("at"),
            what=what,
            value=_read_value(step, what, place, currency, tiers),
            reason=step.choice("reason", _REASONS) if step.has("reason") else "",
        )
        step.close()


def _read_value(step: Table, what: str, place: int, currency: Currency, tiers: set[int]) -> int:
    if what == TIER:
        return _read_tier(step, TIER, tiers)
    if what == BACK:
        return step.whole(BACK, low=1, high=max(1, place - 1))
    return step.amount(what, currency.exponent)
