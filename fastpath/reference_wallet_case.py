"""One wallet command on its way through the rules: what the parts of reference_wallet share.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.checks import sure
from fastpath.reference_cells import Extras
from fastpath.reference_funding import Parts
from fastpath.reference_limits import count_spend
from fastpath.reference_model import Account, Command, Decision, LimitVersion
from fastpath.types import AccountStatus, Purpose, Reason, Rule

CLOSED = AccountStatus.CLOSED
NOTHING = AccountStatus(0)
PURSE_CELL = 2
"""Command.purse: the one that facts.key names."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What a charge took, as its record says. subsidy: from purse 1; parts: from purse cells.

    is_counted: in the windows of the account's limits, at spent_us. own_money: PAYOUT, TRANSFER.
    """

    charged_minor: int
    subsidy_minor: int = 0
    parts: Parts = ()
    charge_us: int = 0
    is_counted: bool = False
    spent_us: int = 0
    own_money: int = 0


@dataclass(slots=True)
class WalletCase:
    """A command and copies of what it may change."""

    account: Account | None
    extras: Extras
    paid: Paid | None
    command: Command
    out: Decision
    limits: LimitVersion | None = None

    @property
    def owner(self) -> Account:
        """The account, where it was seen to be there."""
        return sure(self.account)


def note_spent(case: WalletCase, amount_minor: int) -> None:
    """Count what the command spends in the windows of the account's limits."""
    asked = (case.limits, case.owner, case.extras, amount_minor, case.command.now_us)
    if count_spend(*asked):
        case.out.rules |= Rule.COUNTED


def is_purpose(purpose: int) -> bool:
    """Whether a payment may name it."""
    return purpose < 32 or purpose == Purpose.NONE


def common_objections(case: WalletCase, *, barred: AccountStatus = NOTHING) -> set[Reason]:
    """Unknown, in a status that bars the command, or changed since the caller looked."""
    account, command = case.account, case.command
    if account is None:
        return {Reason.UNKNOWN_ACCOUNT}
    found = {
        Reason.ACCOUNT_CLOSED: account.status & barred & CLOSED,
        Reason.ACCOUNT_FROZEN: account.status & barred & ~CLOSED,
        Reason.VERSION_CONFLICT: command.expected_version not in (0, account.version),
    }
    return {reason for reason, holds in found.items() if holds}


def money_objections(case: WalletCase, *, barred: AccountStatus = NOTHING) -> set[Reason]:
    """The same, and the currency."""
    found = common_objections(case, barred=barred)
    if case.account is not None and case.command.currency not in (0, case.account.currency):
        found.add(Reason.CURRENCY_MISMATCH)
    return found
