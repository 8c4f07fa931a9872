"""What a rider spends: by purpose, month and merchant, and against a monthly budget.

Consumption is what went to operators, merchants and passes less what came back from them; top-ups,
adjustments and instalments are none. Whoever calls keeps the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from gateway.ledger.entries import Entry
from gateway.ledger.periods import month_name
from gateway.ledger.statements import Statement
from gateway.ledger.words import purpose_name

PERCENT = 100
WARN_PERCENT = 80


@dataclass(slots=True)
class Spent:
    """Consumption of one month, purpose and merchant. spent_minor = paid less given back."""

    month: str
    purpose: str
    counterpart: str
    name: str
    payments: int = 0
    paid_minor: int = 0
    given_back_minor: int = 0

    @property
    def spent_minor(self) -> int:
        return self.paid_minor - self.given_back_minor

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"spent_minor": self.spent_minor}


class BudgetState(StrEnum):
    """How a budget stands."""

    NONE = "none"
    NEAR = "near"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Budget:
    """A month's budget. left_minor may be below 0."""

    month: str
    budget_minor: int
    used_minor: int
    warn_percent: int
    warning: BudgetState

    @property
    def left_minor(self) -> int:
        return self.budget_minor - self.used_minor

    def as_dict(self) -> dict[str, object]:
        said = asdict(self) | {"warning": str(self.warning)}
        return said | {"left_minor": self.left_minor}


def consumption(statement: Statement) -> list[Spent]:
    """By month, purpose and merchant, the dearest first within a month."""
    found: dict[tuple[str, int, str], Spent] = {}
    for entry in statement.entries:
        if entry.is_spending:
            _add(found, entry, statement.names)
    return sorted(found.values(), key=lambda one: (one.month, -one.spent_minor, one.counterpart))


def _add(found: dict[tuple[str, int, str], Spent], entry: Entry, names: Mapping[str, str]) -> None:
    other = entry.counterpart
    if other is None:
        return
    month, purpose = month_name(entry.day), entry.row.purpose
    key = (month, purpose, other.code)
    if key not in found:
        found[key] = Spent(month, purpose_name(purpose), other.code, other.name(names))
    one = found[key]
    one.payments += entry.amount_minor < 0
    one.paid_minor += max(0, -entry.amount_minor)
    one.given_back_minor += max(0, entry.amount_minor)


def check_budget(
    entries: Iterable[Entry], month: str, budget_minor: int, *, warn_percent: int = WARN_PERCENT
) -> Budget:
    """How much of a month's budget is used; NEAR from warn_percent on, OVER above all of it.

    Args: month: `2026-11`; entries of other months do not count. budget_minor >= 0.
    """
    used_minor = -sum(
        entry.amount_minor
        for entry in entries
        if entry.is_spending and month_name(entry.day) == month
    )
    warning = BudgetState.NONE
    if used_minor > budget_minor:
        warning = BudgetState.OVER
    elif used_minor * PERCENT >= budget_minor * warn_percent and used_minor > 0:
        warning = BudgetState.NEAR
    return Budget(month, budget_minor, used_minor, warn_percent, warning)
