"""Objections become a verdict: refused, at the operator's risk, or accepted and the fare drawn."""

from __future__ import annotations

from fastpath.reference_case import Case, Charge
from fastpath.reference_funding import draw
from fastpath.reference_limits import count_spend
from fastpath.reference_model import Decision, first_told, fits
from fastpath.reference_objections import limit_minor
from fastpath.types import Purpose, Reason, Rule, TapKind, Verdict


def refuse(case: Case, reason: Reason) -> Decision:
    """Nothing changes; of the rules only those stay that led to it."""
    out = case.out
    out.reason, out.verdict = reason, Verdict.DENY
    out.rules &= Rule.RECEIVED_TIME | Rule.ENTRY_MINIMUM
    out.distance_m = out.other_stop = out.network = 0
    out.acts = ()
    if case.account is not None:
        out.balance_minor = case.account.spendable_minor
    return out


def post_risk(case: Case, fare_minor: int) -> Decision:
    """The ride was made, and nobody's account can bear it: the operator does."""
    out = case.out
    out.reason, out.verdict = Reason.OK_RISK, Verdict.OPEN_WITH_DEBT
    out.rules |= Rule.OFFLINE_ACCEPTED
    out.fare_minor = out.nominal_minor = fare_minor
    if case.account is not None:
        out.balance_minor = case.account.spendable_minor
    return out


def admit(case: Case, objections: set[Reason], charge: Charge, *, is_debt: bool = False) -> bool:
    """Turn objections into a verdict and draw the fare. False = refused: nothing changes."""
    told = first_told(objections)
    if told is None and case.is_offline and not case.is_opened:
        told = Reason.OFFLINE_REFUSED
    is_entry = case.tap.kind == TapKind.CHECK_IN
    if told in (Reason.INSUFFICIENT_BALANCE, Reason.CREDIT_LATE) and is_entry:
        case.out.rules |= Rule.ENTRY_MINIMUM
    if told is not None and not case.is_opened:
        refuse(case, told)
        return False
    if not fits(case.owner.balance_minor - charge.fare_minor):
        post_risk(case, charge.fare_minor)
        return False
    if told is not None:
        case.out.rules |= Rule.OFFLINE_ACCEPTED
    _draw(case, charge, is_debt=is_debt or told is not None)
    return True


def _draw(case: Case, charge: Charge, *, is_debt: bool) -> None:
    """Take the fare: subsidy, stored value, credit line; a debt goes below any limit."""
    account, out, fare_minor = case.owner, case.out, charge.fare_minor
    is_overdraft = not is_debt and fare_minor > 0 and limit_minor(case) < fare_minor
    out.subsidy_minor, out.parts = draw(
        account, case.extras, Purpose.TRANSIT, fare_minor, case.ts_us
    )
    main_part = fare_minor - out.subsidy_minor - sum(part for _, part in out.parts)
    out.fare_minor, out.nominal_minor = fare_minor, charge.nominal_minor
    out.balance_minor = account.spendable_minor
    if is_debt:
        out.reason = Reason.OK_DEBT
    elif is_overdraft:
        out.reason = Reason.OK_OVERDRAFT
        out.rules |= Rule.EXIT_OVERDRAFT
    elif main_part > 0 and account.balance_minor < 0:
        out.rules |= Rule.CREDIT_LINE
    if out.subsidy_minor:
        out.rules |= Rule.SUBSIDY
    _count(case, fare_minor)
    out.verdict = Verdict.OPEN_WITH_DEBT if is_debt else Verdict.OPEN


def _count(case: Case, fare_minor: int) -> None:
    """Count a fare in the windows of the account's limits, also one that was not asked for."""
    limits, now_us = case.book.limits, case.tap.now_us
    if case.asks_room and count_spend(limits, case.owner, case.extras, fare_minor, now_us):
        case.out.rules |= Rule.COUNTED
