"""What the limits of its tier leave an account, for who shows it. The engine decides by its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastpath.api import LimitBook
from fastpath.limits import NO_LIMIT

WINDOWS = ("day", "month", "year")


def limits_left(
    limits: LimitBook | None, account: Mapping[str, Any], now_us: int
) -> dict[str, dict[str, int]] | None:
    """Each limit that there is: what it is, what is used and left, minor units.

    Args: account: as `account_show` has it: tier, currency, purses, held_minor, limits_used.
    Returns: None when nothing limits the account. What is held is not used, and not left either.
    """
    if limits is None or limits.currency != account["currency"]:
        return None
    profile = limits.find_profile(account["tier"], now_us)
    if profile is None or not profile.has_any:
        return None
    used = _used(limits, account["limits_used"], now_us)
    used["balance"] = _balance(account)
    shown = {}
    for name in ("payment", *WINDOWS, "lifetime", "balance"):
        limit_minor = getattr(profile, f"{name}_minor")
        if limit_minor == NO_LIMIT:
            continue
        held_minor = account["held_minor"] if name not in ("payment", "balance") else 0
        used_minor = used.get(name, 0)
        left_minor = max(0, limit_minor - used_minor - held_minor)
        shown[name] = {
            "limit_minor": limit_minor,
            "used_minor": used_minor,
            "left_minor": left_minor,
        }
    return shown


def _used(limits: LimitBook, spent: Mapping[str, Any], now_us: int) -> dict[str, int]:
    """What the windows of an instant hold; an earlier date is in the window that is there."""
    if not spent:
        return {}
    dates = zip(WINDOWS, limits.find_dates(now_us), strict=True)
    used = {name: spent[f"{name}_minor"] if date <= spent[name] else 0 for name, date in dates}
    return used | {"lifetime": spent["lifetime_minor"]}


def _balance(account: Mapping[str, Any]) -> int:
    purses = sum(purse["balance_minor"] for purse in account["purses"])
    total: int = account["balance_minor"] + account["subsidy_minor"] + purses
    return total
