"""One wallet command on its way through the rules: what the parts of reference_wallet share.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.reference_cells import Extras
from fastpath.reference_funding import Parts
from fastpath.reference_model import Account, Command, Decision
from fastpath.types import AccountStatus, Purpose, Reason

CLOSED = AccountStatus.CLOSED
NOTHING = AccountStatus(0)
PURSE_CELL = 2
"""Command.purse: the one that facts.key names."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What a charge took, as its record says. subsidy: from purse 1; parts: from purse cells."""

    charged_minor: int
    subsidy_minor: int = 0
    parts: Parts = ()
    charge_us: int = 0


@dataclass(slots=True)
class WalletCase:
    """A command and copies of what it may change."""

    account: Account | None
    extras: Extras
    paid: Paid | None
    command: Command
    out: Decision

    @property
    def owner(self) -> Account:
        """The account, where it was seen to be there."""
        assert self.account is not None
        return self.account


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
