"""Limits of identity tiers in plain Python: the specification of `_limits.pyx`.

What is counted, checked and given back is said in docs/wallet.md, "Limits". Must import only the
standard library and fastpath.
"""

from __future__ import annotations

from fastpath.cells import CellType
from fastpath.limits import NO_LIMIT, LimitProfile
from fastpath.reference_cells import Cell, Extras, Purse, Spent
from fastpath.reference_model import MONEY_MAX, Account, LimitVersion
from fastpath.types import Reason

__all__ = [
    "WINDOWS",
    "LimitVersion",
    "ask_spend",
    "check_balance_limit",
    "check_spend",
    "count_spend",
    "find_limits",
    "find_used",
    "lacks_limits_cell",
    "reserve_spend",
    "uncount_spend",
    "used_in_windows",
]

WINDOWS = ("day", "month", "year")


def find_limits(version: LimitVersion | None, account: Account, now_us: int) -> LimitProfile | None:
    """The profile that applies to an account, None = nothing limits it."""
    if version is None or version.spec.currency != account.currency:
        return None
    profile = version.spec.find_profile(account.tier, now_us)
    return profile if profile is not None and profile.has_any else None


def find_used(extras: Extras) -> Spent | None:
    """What the account has spent, None = nothing was counted yet."""
    cell = extras.find(CellType.LIMITS, 0)
    return cell.payload if cell is not None and isinstance(cell.payload, Spent) else None


def used_in_windows(
    version: LimitVersion, used: Spent | None, now_us: int
) -> tuple[int, int, int, int]:
    """Spent in this day, month, year and ever; an earlier date is in the window that is there."""
    if used is None:
        return 0, 0, 0, 0
    dates = version.spec.find_dates(now_us)
    spent = [
        getattr(used, f"{name}_minor") if date <= getattr(used, name) else 0
        for name, date in zip(WINDOWS, dates, strict=True)
    ]
    return spent[0], spent[1], spent[2], used.lifetime_minor


def check_spend(
    version: LimitVersion | None, account: Account, extras: Extras, amount_minor: int, now_us: int
) -> set[Reason]:
    """What speaks against spending so much now. What is held counts as if it were spent.

    A check-in asks with an amount of 1: whether anything may be spent at all.
    """
    profile = find_limits(version, account, now_us)
    if version is None or profile is None or amount_minor <= 0:
        return set()
    found = set()
    spent = used_in_windows(version, find_used(extras), now_us)
    asked = [amount_minor, *(one + account.held_minor + amount_minor for one in spent)]
    limits = (
        profile.payment_minor,
        profile.day_minor,
        profile.month_minor,
        profile.year_minor,
        profile.lifetime_minor,
    )
    if any(limit != NO_LIMIT and much > limit for much, limit in zip(asked, limits, strict=True)):
        found.add(Reason.LIMIT_EXCEEDED)
    return found


def lacks_limits_cell(
    version: LimitVersion | None, account: Account, extras: Extras, now_us: int
) -> bool:
    """Whether spending would need a cell that the account does not have yet."""
    return find_limits(version, account, now_us) is not None and find_used(extras) is None


def reserve_spend(
    version: LimitVersion | None, account: Account, extras: Extras, now_us: int
) -> set[Reason]:
    """See to it that what is spent later can be counted; what speaks against it: no room."""
    if not lacks_limits_cell(version, account, extras, now_us):
        return set()
    is_made = extras.append(Cell(CellType.LIMITS, 0, Spent()))
    return set() if is_made else {Reason.TOO_MANY_CELLS}


def ask_spend(
    version: LimitVersion | None, account: Account, extras: Extras, amount_minor: int, now_us: int
) -> set[Reason]:
    """What speaks against a command that spends so much now: the limits, or no room to count it."""
    if amount_minor <= 0:
        return set()
    found = check_spend(version, account, extras, amount_minor, now_us)
    return found | reserve_spend(version, account, extras, now_us)


def count_spend(
    version: LimitVersion | None, account: Account, extras: Extras, amount_minor: int, now_us: int
) -> bool:
    """Count what was spent; True = it is counted (and can be given back)."""
    if version is None or amount_minor <= 0 or find_limits(version, account, now_us) is None:
        return False
    used = find_used(extras)
    if used is None:
        used = Spent()
        if not extras.append(Cell(CellType.LIMITS, 0, used)):
            return False
    for name, date in zip(WINDOWS, version.spec.find_dates(now_us), strict=True):
        if date > getattr(used, name):
            setattr(used, name, date)
            setattr(used, f"{name}_minor", 0)
        _add(used, f"{name}_minor", amount_minor)
    _add(used, "lifetime_minor", amount_minor)
    return True


def _add(used: Spent, name: str, amount_minor: int) -> None:
    setattr(used, name, max(0, min(MONEY_MAX, getattr(used, name) + amount_minor)))


def uncount_spend(
    version: LimitVersion | None, extras: Extras, amount_minor: int, spent_us: int
) -> None:
    """Give back what was counted at an instant, in windows that are still the same.

    A clock that was set back may have counted it in a later one: none is left above the lifetime.
    """
    used = find_used(extras)
    if version is None or used is None or amount_minor <= 0:
        return
    for name, date in zip(WINDOWS, version.spec.find_dates(spent_us), strict=True):
        if date == getattr(used, name):
            _add(used, f"{name}_minor", -amount_minor)
    _add(used, "lifetime_minor", -amount_minor)
    for name in WINDOWS:
        most = min(getattr(used, f"{name}_minor"), used.lifetime_minor)
        setattr(used, f"{name}_minor", most)


def check_balance_limit(
    version: LimitVersion | None, account: Account, extras: Extras, amount_minor: int, now_us: int
) -> set[Reason]:
    """What speaks against so much more on the account, all its purses together."""
    profile = find_limits(version, account, now_us)
    if profile is None or profile.balance_minor == NO_LIMIT or amount_minor <= 0:
        return set()
    purses = sum(
        cell.payload.balance_minor for cell in extras.cells if isinstance(cell.payload, Purse)
    )
    after_minor = account.balance_minor + account.subsidy_minor + purses + amount_minor
    return {Reason.BALANCE_LIMIT} if after_minor > profile.balance_minor else set()
