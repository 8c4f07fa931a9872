"""Limits as their file says them: plain values, checked. Money is minor units, -1 = no limit.

Must not import what reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from gateway.tariffs.source import Note
from gateway.tariffs.units import Currency

PAY = "pay"
CREDIT = "credit"
BACK = "back"
TIER = "tier"


@dataclass(frozen=True, slots=True)
class Tier:
    """An identity tier: the number an account carries, and what people call it."""

    number: int
    title: dict[str, str]


@dataclass(frozen=True, slots=True)
class DatedProfile:
    """Limits of a tier from a local date on. amounts: in the order of fastpath.limits.AMOUNTS."""

    tier: int
    start: date
    amounts: tuple[int, ...]
    source: str
    weak: str
    """Why the source should be checked; "" = it need not."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something an example's account does at a local time.

    value: minor units of `pay` and `credit`; number of the step (from 1) that `back` undoes; tier.
    """

    at: datetime
    what: str
    value: int
    reason: str
    """Of the expected refusal; "" = it is accepted."""


@dataclass(frozen=True, slots=True)
class LimitExample:
    """What an account of a tier may and may not do."""

    name: str
    line: int
    tier: int
    balance_minor: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class LimitSource:
    """One file of limits."""

    limits_id: str
    version: str
    file: str
    title: dict[str, str]
    currency: Currency
    zone: ZoneInfo
    tiers: tuple[Tier, ...]
    profiles: tuple[DatedProfile, ...]
    examples: tuple[LimitExample, ...]
    sources: tuple[Note, ...]
    assumptions: tuple[Note, ...]
