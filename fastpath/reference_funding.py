"""Which money pays, and which gets it back: the funding order of docs/wallet.md.

Specification of `_funding.pyx`. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Extras, Plan, Purse
from fastpath.reference_model import MONEY_MAX, Account, fits
from fastpath.types import AccountStatus, Purpose, Reason

PARTS_MAX = 4
SUBSIDY_ID = 1
"""The inline purse: for transit, with this priority, for ever."""
SUBSIDY_PRIORITY = 10
Parts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A purse that pays; purse None = the inline subsidy."""

    purse_id: int
    left_minor: int
    purse: Purse | None = None


def fits_purpose(purse: Purse, purpose: int, at_us: int) -> bool:
    """Whether a purse may pay for this now."""
    return purpose < 32 and bool(purse.purposes >> purpose & 1) and not has_ended(purse, at_us)


def has_ended(purse: Purse, at_us: int) -> bool:
    """Whether nothing is drawn from it any more."""
    return purse.expires_us != 0 and purse.expires_us <= at_us


def list_sources(account: Account, extras: Extras, purpose: int, at_us: int) -> list[Source]:
    """Purses with money for a purpose, in the order in which they pay: at most four cells."""
    found = []
    for cell in extras.cells:
        purse = cell.payload
        if not isinstance(purse, Purse) or not fits_purpose(purse, purpose, at_us):
            continue
        if purse.balance_minor > 0:
            order = (purse.priority, purse.expires_us or MONEY_MAX * 8, cell.key)
            found.append((order, Source(cell.key, purse.balance_minor, purse)))
    kept = sorted(found, key=lambda one: one[0])[:PARTS_MAX]
    if purpose == Purpose.TRANSIT and account.subsidy_minor > 0:
        order = (SUBSIDY_PRIORITY, MONEY_MAX * 8, SUBSIDY_ID)
        kept.append((order, Source(SUBSIDY_ID, account.subsidy_minor)))
    return [source for _, source in sorted(kept, key=lambda one: one[0])]


def purses_minor(account: Account, extras: Extras, purpose: int, at_us: int) -> int:
    """What further purses and the subsidy can pay."""
    return sum(one.left_minor for one in list_sources(account, extras, purpose, at_us))


def plans_minor(extras: Extras) -> int:
    """What of the credit line instalment plans still use."""
    plans = (cell.payload for cell in extras.cells)
    return min(MONEY_MAX, sum(one.outstanding_minor for one in plans if isinstance(one, Plan)))


def credit_minor(account: Account, extras: Extras, *, is_way_home: bool = False) -> int:
    """How far the main purse may go below 0."""
    if account.status & AccountStatus.CREDIT_LATE and not is_way_home:
        return 0
    return max(0, account.credit_limit_minor - plans_minor(extras))


def main_minor(account: Account, extras: Extras, *, is_way_home: bool = False) -> int:
    """What main purse and credit line can pay: what is held is not in it."""
    credit = credit_minor(account, extras, is_way_home=is_way_home)
    return account.balance_minor - account.held_minor + credit


def funds_objections(
    account: Account,
    extras: Extras,
    amount_minor: int,
    *,
    purses: int = 0,
    is_way_home: bool = False,
) -> set[Reason]:
    """What speaks against paying so much from main purse and credit, purses paying theirs."""
    if purses + main_minor(account, extras, is_way_home=is_way_home) >= amount_minor:
        return set()
    if purses + main_minor(account, extras, is_way_home=True) >= amount_minor:
        return {Reason.CREDIT_LATE}
    return {Reason.INSUFFICIENT_BALANCE}


def draw(
    account: Account, extras: Extras, purpose: int, amount_minor: int, at_us: int
) -> tuple[int, Parts]:
    """Take an amount, the main purse last; (part of the subsidy, parts of purse cells)."""
    left_minor, subsidy_minor, parts = amount_minor, 0, []
    for source in list_sources(account, extras, purpose, at_us):
        part_minor = max(0, min(left_minor, source.left_minor))
        left_minor -= part_minor
        if part_minor == 0:
            continue
        if source.purse is None:
            subsidy_minor = part_minor
            account.subsidy_minor -= part_minor
        else:
            source.purse.balance_minor -= part_minor
            parts.append((source.purse_id, part_minor))
    account.balance_minor -= left_minor
    return subsidy_minor, tuple(parts)


def find_purse(extras: Extras, purse_id: int) -> Cell | None:
    """The cell of a purse."""
    return extras.find(CellType.PURSE, purse_id)


def split_parts(extras: Extras, parts: Parts, at_us: int) -> tuple[int, Parts]:
    """(What goes to the main purse, the parts that go back): purses that have ended or are no
    longer there get nothing.
    """
    there = [(find_purse(extras, purse_id), amount) for purse_id, amount in parts]
    given = tuple(
        (cell.key, amount)
        for cell, amount in there
        if cell is not None
        and isinstance(cell.payload, Purse)
        and not has_ended(cell.payload, at_us)
    )
    return sum(amount for _, amount in parts) - sum(amount for _, amount in given), given


def put_parts(extras: Extras, given: Parts) -> bool:
    """Put parts back into purses; False = one would hold too much, and nothing has changed."""
    purses = [(find_purse(extras, purse_id), amount) for purse_id, amount in given]
    pairs = [
        (cell.payload, amount)
        for cell, amount in purses
        if cell is not None and isinstance(cell.payload, Purse)
    ]
    if not all(fits(purse.balance_minor + amount) for purse, amount in pairs):
        return False
    for purse, amount in pairs:
        purse.balance_minor += amount
    return True
