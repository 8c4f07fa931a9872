"""The reference engine's commands of the control plane (fastpath/reference.py).

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from fastpath.checks import sure
from fastpath.reference_cells import Extras
from fastpath.reference_commands_cells import CELL_OPS, Rerate, decide_cell_command
from fastpath.reference_model import (
    MONEY_MAX,
    Account,
    Command,
    Decision,
    LimitVersion,
    Medium,
    first_told,
)
from fastpath.reference_wallet import WALLET_OPS, Paid, decide_wallet_command
from fastpath.types import AccountStatus, MediumKind, MediumState, Op, Reason, Verdict

ACCOUNT_OPS = (Op.ACCOUNT_OPEN, Op.FREEZE, Op.UNFREEZE, Op.SET_CREDIT_LIMIT, Op.SET_CATEGORY)


def decide_command(
    account: Account | None,
    slot: int,
    medium: Medium | None,
    command: Command,
    *,
    extras: Extras | None = None,
    rerate: Rerate | None = None,
    paid: Paid | None = None,
    leaves: Account | None = None,
    limits: LimitVersion | None = None,
) -> Decision:
    """Decide one command on an account (blank but for its id when it is to be opened) and a medium.

    `slot` is the account's place, compared with medium.account_slot. The caller writes account_slot
    and the versions. extras: all the account's cells, changed in place by an accepted command on
    passes, concessions, totals or the wallet (None = no room for any); rerate: what comes with a
    RERATE; paid: what a refunded charge took; leaves: the account that a moving medium leaves;
    limits: of identity tiers.
    """
    if command.op in CELL_OPS:
        return decide_cell_command(account, extras, rerate, command, limits=limits)
    if command.op in WALLET_OPS:
        return decide_wallet_command(account, extras, paid, command, limits=limits)
    if command.op == Op.MEDIUM_MOVE:
        return decide_move(account, leaves, slot, medium, command)
    objections = _command_objections(account, slot, medium, command)
    told = first_told(objections)
    out = Decision(
        reason=told or Reason.OK,
        verdict=Verdict.DENY if told else Verdict.OPEN,
        ts_us=command.now_us,
    )
    if told is None:
        _apply_command(account, slot, medium, command, out)
    if account is not None:
        out.balance_minor = account.spendable_minor
    return out


def _command_objections(
    account: Account | None, slot: int, medium: Medium | None, command: Command
) -> set[Reason]:
    if command.op == Op.MEDIUM_LINK:
        return _link_objections(account, slot, medium, command)
    if command.op == Op.MEDIUM_STATE:
        return _medium_state_objections(account, slot, medium, command)
    return _account_command_objections(account, command)


def _common_objections(
    account: Account | None, command: Command, *, barred: int = 0
) -> set[Reason]:
    """Unknown, in a status that bars the command, or changed since the caller looked."""
    if account is None:
        return {Reason.UNKNOWN_ACCOUNT}
    found = {
        Reason.ACCOUNT_CLOSED: account.status & barred & AccountStatus.CLOSED,
        Reason.ACCOUNT_FROZEN: account.status & barred & ~AccountStatus.CLOSED,
        Reason.VERSION_CONFLICT: command.expected_version not in (0, account.version),
    }
    return {reason for reason, holds in found.items() if holds}


def _account_command_objections(account: Account | None, command: Command) -> set[Reason]:
    freezable = int(AccountStatus.FROZEN_DEBIT | AccountStatus.FROZEN_CREDIT)
    bits = command.status_bits
    if command.op == Op.ACCOUNT_OPEN:
        bad = not 1 <= command.currency <= 999
        taken = {Reason.ALREADY_EXISTS} if account is not None and account.currency else set()
        return {Reason.BAD_REQUEST} if bad else _common_objections(account, command) | taken
    if command.op in (Op.FREEZE, Op.UNFREEZE) and (bits == 0 or bits & ~freezable):
        return {Reason.BAD_REQUEST}
    if command.op not in ACCOUNT_OPS:
        return {Reason.BAD_REQUEST}
    found = _common_objections(account, command, barred=AccountStatus.CLOSED)
    if command.op == Op.SET_CREDIT_LIMIT and command.amount_minor < 0:
        found.add(Reason.AMOUNT_INVALID)
    if command.op == Op.SET_CREDIT_LIMIT and command.amount_minor > MONEY_MAX:
        found.add(Reason.AMOUNT_OVERFLOW)
    return found


def _link_objections(
    account: Account | None, slot: int, medium: Medium | None, command: Command
) -> set[Reason]:
    if medium is not None and medium.state == MediumState.REPLACED:
        return {Reason.OP_CONFLICT}
    if command.medium_kind not in set(MediumKind) or command.expires_us < 0:
        return {Reason.BAD_REQUEST}
    if medium is None:
        return {Reason.UNKNOWN_MEDIUM}
    found = _common_objections(account, command, barred=AccountStatus.CLOSED)
    is_free = medium.state in (0, MediumState.EXPIRED)
    if medium.account_slot != slot and not is_free:
        found.add(Reason.ALREADY_EXISTS)
    return found


def _medium_state_objections(
    account: Account | None, slot: int, medium: Medium | None, command: Command
) -> set[Reason]:
    was_replaced = medium is not None and medium.state == MediumState.REPLACED
    if was_replaced and command.medium_state != MediumState.REPLACED:
        return {Reason.OP_CONFLICT}
    if command.medium_state not in set(MediumState) or command.expires_us < 0:
        return {Reason.BAD_REQUEST}
    is_known = medium is not None and medium.state != 0
    if not is_known or (account is not None and medium is not None and medium.account_slot != slot):
        return {Reason.UNKNOWN_MEDIUM}
    return _common_objections(account, command) if account is not None else set()


def _apply_command(
    account: Account | None, slot: int, medium: Medium | None, command: Command, out: Decision
) -> None:
    op = Op(command.op)
    if op in (Op.MEDIUM_LINK, Op.MEDIUM_STATE):
        medium = sure(medium)
        _apply_medium_command(slot, medium, command)
        return
    account = sure(account)
    if op == Op.ACCOUNT_OPEN:
        account.currency, account.rider_category = command.currency, command.rider_category
    elif op == Op.FREEZE:
        account.status |= command.status_bits
    elif op == Op.UNFREEZE:
        account.status &= ~command.status_bits
    elif op == Op.SET_CREDIT_LIMIT:
        account.credit_limit_minor = command.amount_minor
    elif op == Op.SET_CATEGORY:
        account.rider_category = command.rider_category


def _apply_medium_command(slot: int, medium: Medium, command: Command) -> None:
    """Linking again changes kind and expiry, not the state; a free or expired token is woken."""
    if command.op == Op.MEDIUM_LINK:
        if medium.state == 0 or medium.account_slot != slot:
            medium.state = MediumState.ACTIVE
        medium.kind, medium.expires_us = command.medium_kind, command.expires_us
        return
    medium.state = command.medium_state
    if command.expires_us:
        medium.expires_us = command.expires_us


def decide_move(
    account: Account | None,
    leaves: Account | None,
    slot: int,
    medium: Medium | None,
    command: Command,
) -> Decision:
    """A medium goes to another account, `slot` its place; the caller writes medium.account_slot."""
    told = first_told(_move_objections(account, leaves, slot, medium, command))
    out = Decision(
        reason=told or Reason.OK,
        verdict=Verdict.DENY if told else Verdict.OPEN,
        ts_us=command.now_us,
    )
    if account is not None:
        out.balance_minor = account.spendable_minor
    return out


def _move_objections(
    account: Account | None,
    leaves: Account | None,
    slot: int,
    medium: Medium | None,
    command: Command,
) -> set[Reason]:
    if medium is None or medium.state == 0 or leaves is None:
        return {Reason.UNKNOWN_MEDIUM}
    if account is None:
        return {Reason.UNKNOWN_ACCOUNT}
    found = _common_objections(account, command, barred=AccountStatus.CLOSED)
    key = command.facts.key
    holds = {
        Reason.DENYLISTED: medium.state == MediumState.DENYLISTED,
        Reason.MEDIUM_LOST: medium.state in (MediumState.LOST, MediumState.REPLACED),
        Reason.MEDIUM_EXPIRED: medium.state == MediumState.EXPIRED,
        Reason.CURRENCY_MISMATCH: account.currency != leaves.currency,
        Reason.VERSION_CONFLICT: key not in (0, leaves.version),
        Reason.ALREADY_IN: leaves.is_open,
        Reason.ALREADY_EXISTS: medium.account_slot == slot,
    }
    return found | {reason for reason, does in holds.items() if does}
