"""What a tap took, and whether it may cost something else by now."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpath.types import Op, Reason
from gateway.ledger.history import ChargedFare, History
from gateway.ledger.store import open_ledger
from tests.ledger.scribe import at, take, writing

RIDE = "2026-11-03 07:00"


@pytest.mark.parametrize(
    ("account", "begins", "reason", "is_repriced"),
    [
        (1, "2026-11-03 06:30", Reason.OK, True),
        (1, "2026-11-03 07:00", Reason.OK, True),
        (1, "2026-11-03 07:01", Reason.OK, False),
        (1, "2026-11-03 06:30", Reason.VERSION_CONFLICT, False),
        (2, "2026-11-03 06:30", Reason.OK, False),
    ],
)
def test_pricing_again_from_its_instant_or_earlier_may_have_changed_it(
    tmp_path: Path, account: int, begins: str, reason: Reason, is_repriced: bool
) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 1000, "2026-11-03 06:00")
        scribe.credit(2, 1000)
        scribe.write(Op.RERATE, 1, main=10, fare_ts_us=at(begins))  # before the tap was there
        tap = scribe.ride(1, 300, RIDE)
        accepted = reason == Reason.OK
        scribe.write(
            Op.RERATE,
            account if accepted else 0,
            main=100 if accepted else 0,
            when="2026-11-03 09:00",
            fare_ts_us=at(begins),
            reason=reason,
            account_id=account,
        )
    ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
    take(tmp_path, ledger)
    assert History(ledger).find_fare(501, 1, tap) == ChargedFare(1, 300, is_repriced)
    assert History(ledger).find_fare(501, 1, 99) is None
