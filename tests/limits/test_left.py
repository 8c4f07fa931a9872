"""What `account_show` says of limits is what decisions go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastpath.limits import LimitProfile
from fastpath.types import Reason
from gateway.limits.left import limits_left
from tests.limits.both import LimitedAccount, at, limits
from tests.limits.test_plane import book, serving
from tests.support.plane import make_folder

NOON = at("2026-06-01T12:00")


def shown(account: LimitedAccount) -> dict[str, Any]:
    used = account.used if account.cells else None
    names = ("day", "month", "year", "day_minor", "month_minor", "year_minor", "lifetime_minor")
    return {
        "tier": account.tier,
        "currency": account.currency,
        "balance_minor": account.balance_minor,
        "subsidy_minor": 0,
        "held_minor": account.held_minor,
        "purses": [{"balance_minor": 30}],
        "limits_used": {name: getattr(used, name) for name in names} if used else {},
    }


@pytest.mark.parametrize("when", [NOON, at("2026-06-02T00:00"), at("2026-07-01T00:00")])
def test_what_is_left_can_be_spent_and_no_cent_more(when: int) -> None:
    most = LimitProfile(1, 0, day_minor=1000, month_minor=1500, lifetime_minor=9000)
    account = LimitedAccount(limits(most), held_minor=50)
    assert account.pay(700, NOON) == Reason.OK
    left = limits_left(account.book, shown(account), when)
    assert left is not None
    assert set(left) == {"day", "month", "lifetime"}
    least = min(one["left_minor"] for one in left.values())
    assert account.may_spend(least, when) == Reason.OK
    assert account.may_spend(least + 1, when) == Reason.LIMIT_EXCEEDED


def test_balance_and_payment() -> None:
    most = LimitProfile(1, 0, payment_minor=400, balance_minor=1000)
    account = LimitedAccount(limits(most), balance_minor=300)
    assert limits_left(account.book, shown(account), NOON) == {
        "payment": {"limit_minor": 400, "used_minor": 0, "left_minor": 400},
        "balance": {"limit_minor": 1000, "used_minor": 330, "left_minor": 670},
    }


@pytest.mark.parametrize(
    "account",
    [
        LimitedAccount(None),
        LimitedAccount(limits(LimitProfile(1, 0))),
        LimitedAccount(limits(LimitProfile(1, 0, day_minor=1)), tier=2),
        LimitedAccount(limits(LimitProfile(1, 0, day_minor=1)), tier=99),
        LimitedAccount(limits(LimitProfile(1, 0, day_minor=1)), currency=978),
        LimitedAccount(limits(LimitProfile(1, NOON + 1, day_minor=1))),
    ],
)
def test_nothing_limits_it(account: LimitedAccount) -> None:
    assert limits_left(account.book, shown(account), NOON) is None


async def test_the_running_gateway_says_it(tmp_path: Path) -> None:
    async with serving(make_folder(tmp_path / "gateway"), book(day_minor=1000)) as hands:
        account_id, _ = await hands.rider(5000)
        await hands.call("debit", account_id=account_id, amount_minor=300)
        seen = (await hands.account(account_id))["limits"]
        assert seen == {"day": {"limit_minor": 1000, "used_minor": 300, "left_minor": 700}}
