"""Instalment plans: a drawn amount paid back month by month.

Opening a plan moves drawn credit into it; at each due instant an instalment moves back into what
is drawn, so that it stands in the next statement and falls due with it. The line is used by both
alike, so moving an instalment never needs more credit than there is. Pure: no clock, no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.credit.policy import CreditPolicy
from gateway.credit.statements import close_us_of, months_closed
from gateway.errors import CreditError


@dataclass(frozen=True, slots=True)
class Instalment:
    """One part of a plan. number: from 1. due_us: just before a statement closes."""

    number: int
    due_us: int
    amount_minor: int


def split(amount_minor: int, count: int) -> list[int]:
    """An amount in parts that differ by one minor unit at most, the larger ones first."""
    part_minor, rest = divmod(amount_minor, count)
    return [part_minor + (number < rest) for number in range(count)]


def build_schedule(
    policy: CreditPolicy, amount_minor: int, count: int, now_us: int
) -> list[Instalment]:
    """When which part falls due: one in each of the next statements.

    Raises: CreditError CREDIT_PLAN_TERMS: below the least amount, or another number of parts.
    """
    if count not in policy.plan_counts:
        offered = ", ".join(str(one) for one in policy.plan_counts) or "none"
        raise CreditError("CREDIT_PLAN_TERMS", f"{count} instalments; offered are: {offered}")
    if amount_minor < max(policy.plan_from_minor, count):
        raise CreditError("CREDIT_PLAN_TERMS", f"{amount_minor} minor units are too little")
    months = months_closed(policy, now_us, close_us_of(policy, 9_999 * 12))
    return [
        Instalment(number, close_us_of(policy, next(months)) - 1, part_minor)
        for number, part_minor in enumerate(split(amount_minor, count), start=1)
    ]


def repay_early(left: Sequence[Instalment], amount_minor: int) -> list[Instalment]:
    """What remains when this much is paid at once: the last instalments fall away first.

    Raises: CreditError CREDIT_PLAN_AMOUNT: more than is left, or nothing.
    """
    total_minor = sum(one.amount_minor for one in left)
    if not 0 < amount_minor <= total_minor:
        raise CreditError("CREDIT_PLAN_AMOUNT", f"{amount_minor} of {total_minor} minor units")
    remaining: list[Instalment] = []
    for one in reversed(left):
        gone_minor = min(one.amount_minor, amount_minor)
        amount_minor -= gone_minor
        if gone_minor < one.amount_minor:
            rest_minor = one.amount_minor - gone_minor
            remaining.append(Instalment(one.number, one.due_us, rest_minor))
    return remaining[::-1]
