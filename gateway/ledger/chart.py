"""The chart of accounts: which ledger accounts there are, and what they are called.

A ledger account is a kind and a reference (tariff slot, merchant, pass, purse). Riders' accounts
are a sub-ledger: postings name one of the control accounts STORED, SUBSIDY, PURSE or RECEIVABLE
and, beside it, the rider's account and purse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Side(StrEnum):
    """On which side of the balance sheet an account's balance belongs."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"


class Kind(IntEnum):
    """Kinds of ledger accounts; numbers are stored and never reused."""

    STORED = 1
    """Riders' stored value, as far as it is above 0."""
    SUBSIDY = 2
    """Riders' transit subsidy (purse 1)."""
    PURSE = 3
    """Riders' further purses."""
    RECEIVABLE = 4
    """What riders owe: credit drawn and debts; stored value below 0."""
    PLANS = 5
    """Debts moved into instalment plans."""
    FUNDING = 6
    """Money that came in from outside or went out again."""
    SPONSOR = 7
    """Who pays for a subsidy or a purse. ref: the merchant's number, 0 = the house."""
    OPERATOR = 8
    """What an operator has earned. ref: tariff slot."""
    MERCHANT = 9
    """Hospitals, schools, shops. ref: the merchant's number, 0 = the house."""
    FEES = 10
    RISK_LOSS = 11
    """Rides nobody can be charged for: the operator's loss. ref: tariff slot."""
    ADJUSTMENTS = 12
    WRITE_OFFS = 13
    PASSES = 14
    """Passes sold, to be shared out among operators. ref: the pass."""
    RERATED = 15
    """Corrections of fares by re-rating."""
    TRANSFERS = 16
    """Money on its way from one rider's account to another: 0 when nothing is under way."""


RIDERS = frozenset({Kind.STORED, Kind.SUBSIDY, Kind.PURSE, Kind.RECEIVABLE})
"""Control accounts: together they are the balances of all riders' accounts."""

_ASSETS = {Kind.RECEIVABLE, Kind.PLANS, Kind.FUNDING, Kind.SPONSOR}
_EXPENSES = {Kind.RISK_LOSS, Kind.ADJUSTMENTS, Kind.WRITE_OFFS}
_WITH_REF = {Kind.SPONSOR, Kind.OPERATOR, Kind.MERCHANT, Kind.RISK_LOSS, Kind.PASSES}

NAMES = {
    Kind.STORED: "riders' stored value",
    Kind.SUBSIDY: "riders' transit subsidy",
    Kind.PURSE: "riders' further purses",
    Kind.RECEIVABLE: "credit receivable",
    Kind.PLANS: "plans receivable",
    Kind.FUNDING: "funding",
    Kind.SPONSOR: "sponsor",
    Kind.OPERATOR: "operator",
    Kind.MERCHANT: "merchant",
    Kind.FEES: "fees",
    Kind.RISK_LOSS: "risk loss of operator",
    Kind.ADJUSTMENTS: "adjustments",
    Kind.WRITE_OFFS: "debts written off",
    Kind.PASSES: "sales of pass",
    Kind.RERATED: "fares re-rated",
    Kind.TRANSFERS: "transfers under way",
}


def side_of(kind: Kind) -> Side:
    """Where an account of this kind stands."""
    if kind in _ASSETS:
        return Side.ASSET
    if kind in _EXPENSES:
        return Side.EXPENSE
    return Side.INCOME if kind is Kind.FEES else Side.LIABILITY


@dataclass(frozen=True, slots=True)
class ChartAccount:
    """One ledger account."""

    id: int
    kind: Kind
    ref: int

    @property
    def code(self) -> str:
        """How files and commands name it: `operator:1`, `funding`."""
        return code_of(self.kind, self.ref)

    def name(self, names: Mapping[str, str]) -> str:
        """For people; `names` ([ledger.names] of the settings) goes before the standing name."""
        given = names.get(self.code)
        standing = NAMES[self.kind]
        return given or (f"{standing} {self.ref}" if self.kind in _WITH_REF else standing)


def code_of(kind: Kind, ref: int) -> str:
    """`operator:1`, `merchant:5001`, `funding`."""
    name = kind.name.lower()
    return f"{name}:{ref}" if kind in _WITH_REF else name


def parse_code(code: str) -> tuple[Kind, int]:
    """Back from a code. Raises: ValueError."""
    name, colon, ref = code.partition(":")
    if name.upper() not in Kind.__members__:
        raise ValueError(f"{code}: no such kind of ledger account")
    kind = Kind[name.upper()]
    if bool(colon) != (kind in _WITH_REF):
        raise ValueError(f"{code}: write {code_of(kind, 1)}")
    return kind, int(ref) if colon else 0
