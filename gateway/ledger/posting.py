"""From one journal record to its postings.

    debit → credit          fare above 0             rider → operator
                            OK_RISK                  risk loss → operator
                            CREDIT                   funding (or the purse's sponsor) → rider
                            DEBIT, HOLD_CAPTURE      rider → merchant; REFUND the other way
                            DEBIT of a fee           rider → fees
                            PURSE_SWEEP              rider's purse → its sponsor
                            ADJUST                   adjustments → rider, or the other way
                            marked PAYOUT            rider → funding, or the other way
                            marked TRANSFER          rider → transfers under way, or the other way
                            REFUND of a fare         operator → rider
                            PLAN_OPEN                plans → rider; PLAN_REPAY the other way
                            WRITE_OFF                write-offs → rider
                            PASS_ADD, PASS_REMOVE    rider → pass sold, or the other way
                            RERATE                   rider → fares re-rated, or the other way

A rider's stored value below 0 is a receivable: a posting that crosses 0 has two lines. Holds,
limits, freezes move nothing and post nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastpath.types import FactFlag, Op
from gateway.errors import LedgerError
from gateway.ledger.chart import Kind
from gateway.ledger.records import Record
from gateway.ledger.state import MAIN, SUBSIDY, AccountState, ChartBook, move

LINES_PER_RECORD = 16
"""Ids of postings are seq * 16 + line."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the record's row adds to its postings."""

    currency: int
    purpose: int
    merchant: int
    service_day: int
    tariff_slot: int = 0
    """Of the tap whose fare a refund gives back."""


Posting = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""A row of POSTINGS."""


class Poster:
    """Makes postings and moves the states along. Thread: one."""

    def __init__(self, chart: ChartBook) -> None:
        self._chart = chart

    def post(self, record: Record, state: AccountState | None, row: Row) -> list[Posting]:
        """The postings of one accepted record; `state` is left as it is after it.

        Raises: LedgerError: the after-images do not move by amount less fare, or value moved by an
            operation this version does not know.
        """
        head = record.head
        moved = move(record, state) if state is not None else {}
        wanted_minor = 0 if head.is_risk else head.amount_minor - head.fare_minor
        if sum(moved.values()) != wanted_minor:
            raise LedgerError("LEDGER_UNBALANCED", _unbalanced(record, moved, wanted_minor))
        if head.is_risk:
            return self._post_risk(record, row)
        lines: list[tuple[int, int, int, int]] = []
        for purse, delta_minor in moved.items():
            if delta_minor:
                side = _Side(purse, row.merchant, state, row.tariff_slot)
                other = self._chart.get(*_counterpart(record, side))
                lines += self._sides(purse, delta_minor, other, state)
        if len(lines) > LINES_PER_RECORD:
            raise LedgerError("LEDGER_UNBALANCED", f"record {head.seq} moves too many purses")
        return [_row(record, row, line, one) for line, one in enumerate(lines)]

    def _post_risk(self, record: Record, row: Row) -> list[Posting]:
        """Nobody's account: the operator bears what it has earned, or gets back what it bore."""
        head = record.head
        if head.fare_minor == 0:
            return []
        loss = self._chart.get(Kind.RISK_LOSS, head.tariff_slot)
        operator = self._chart.get(Kind.OPERATOR, head.tariff_slot)
        debit, credit = (loss, operator) if head.fare_minor > 0 else (operator, loss)
        return [_row(record, row, 0, (0, debit, credit, abs(head.fare_minor)))]

    def _sides(
        self, purse: int, delta_minor: int, other: int, state: AccountState | None
    ) -> list[tuple[int, int, int, int]]:
        """(purse, debit, credit, amount) of what came into a purse (above 0) or left it."""
        if purse != MAIN:
            kind = Kind.SUBSIDY if purse == SUBSIDY else Kind.PURSE
            parts = [(self._chart.get(kind), delta_minor)]
        else:
            after_minor = state.main_minor if state is not None else 0
            parts = self._split_main(after_minor - delta_minor, after_minor)
        return [
            (purse, other, control, part) if part > 0 else (purse, control, other, -part)
            for control, part in parts
            if part
        ]

    def _split_main(self, before_minor: int, after_minor: int) -> list[tuple[int, int]]:
        """Stored value above 0, a receivable below; the side that is left comes first."""
        stored = max(0, after_minor) - max(0, before_minor)
        owed = min(0, after_minor) - min(0, before_minor)
        parts = []
        if stored:
            parts.append((self._chart.get(Kind.STORED), stored))
        if owed:
            parts.append((self._chart.get(Kind.RECEIVABLE), owed))
        return parts


def _row(record: Record, row: Row, line: int, sides: tuple[int, int, int, int]) -> Posting:
    head = record.head
    purse, debit, credit, amount_minor = sides
    return (
        head.seq * LINES_PER_RECORD + line,
        head.seq,
        0 if head.is_risk else head.account_id,
        purse,
        debit,
        credit,
        amount_minor,
        row.currency,
        row.purpose,
        row.merchant,
        row.service_day,
    )


def _unbalanced(record: Record, moved: dict[int, int], wanted_minor: int) -> str:
    head = record.head
    said = f"record {head.seq} at {record.position}: the account {head.account_id} changed by"
    return f"{said} {sum(moved.values())}, its amount less fare is {wanted_minor}"


# --- who stands on the other side -----------------------------------------------------------------

Account = tuple[Kind, int]


@dataclass(frozen=True, slots=True)
class _Side:
    """What a counterpart is found by."""

    purse: int
    merchant: int
    state: AccountState | None
    tariff_slot: int = 0


def _counterpart(record: Record, side: _Side) -> Account:
    head = record.head
    if not head.is_command:
        return Kind.OPERATOR, head.tariff_slot
    flags = record.facts.flags if record.facts is not None and head.op in _FLAGGED else 0
    if flags & FactFlag.TRANSFER:
        return Kind.TRANSFERS, 0
    if flags & FactFlag.PAYOUT:
        return Kind.FUNDING, 0
    if flags & FactFlag.FARE and head.op == Op.REFUND:
        return Kind.OPERATOR, side.tariff_slot
    find = _COUNTERPARTS.get(head.op)
    if find is None:
        said = f"record {head.seq}: value moved by operation {head.op}"
        raise LedgerError("LEDGER_UNKNOWN_RECORD", said)
    return find(record, side)


def _source(record: Record, side: _Side) -> Account:
    if side.purse == MAIN:
        return Kind.FUNDING, 0
    if side.purse == SUBSIDY or side.state is None:
        return Kind.SPONSOR, 0
    return Kind.SPONSOR, side.state.purse(side.purse).sponsor


def _merchant(record: Record, side: _Side) -> Account:
    if record.facts is not None and record.facts.flags & FactFlag.FEE:
        return Kind.FEES, 0
    return Kind.MERCHANT, side.merchant


def _pass(record: Record, side: _Side) -> Account:
    return Kind.PASSES, record.head.other_stop


def _fixed(kind: Kind) -> Callable[[Record, _Side], Account]:
    return lambda record, side: (kind, 0)


_FLAGGED = frozenset({Op.CREDIT, Op.DEBIT, Op.ADJUST, Op.REFUND})

_COUNTERPARTS: dict[int, Callable[[Record, _Side], Account]] = {
    Op.CREDIT: _source,
    Op.DEBIT: _merchant,
    Op.ADJUST: _fixed(Kind.ADJUSTMENTS),
    Op.PASS_ADD: _pass,
    Op.PASS_REMOVE: _pass,
    Op.RERATE: _fixed(Kind.RERATED),
    Op.PURSE_SWEEP: _source,
    Op.HOLD_CAPTURE: _merchant,
    Op.REFUND: _merchant,
    Op.PLAN_OPEN: _fixed(Kind.PLANS),
    Op.PLAN_REPAY: _fixed(Kind.PLANS),
    Op.WRITE_OFF: _fixed(Kind.WRITE_OFFS),
}
