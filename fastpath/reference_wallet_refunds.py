"""Refunds: money of a DEBIT or HOLD_CAPTURE goes back, never more in total than was taken.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Refunded
from fastpath.reference_commands_cells import put_new
from fastpath.reference_funding import SUBSIDY_ID, put_parts, split_parts
from fastpath.reference_limits import uncount_spend
from fastpath.reference_model import fits
from fastpath.reference_wallet_case import CLOSED, Paid, WalletCase, money_objections
from fastpath.types import OWN_MONEY, FactFlag, Reason, Rule


def decide_refund(case: WalletCase) -> set[Reason]:
    """Give back of a charge, in the reverse order of drawing."""
    command, facts = case.command, case.command.facts
    if facts.charge_high == 0 and facts.charge_low == 0:
        return {Reason.BAD_REQUEST}
    found = money_objections(case, barred=CLOSED)
    if case.account is None:
        return found
    if command.amount_minor <= 0:
        return found | {Reason.AMOUNT_INVALID}
    is_late = facts.key != 0 and not facts.flags & FactFlag.FARE
    if case.paid is None or _is_old(case, case.paid) != is_late:
        return found | {Reason.UNKNOWN_CHARGE}
    if facts.flags & OWN_MONEY != case.paid.own_money:
        return found | {Reason.UNKNOWN_CHARGE}
    there = _find_refunded(case)
    before_minor = there.refunded_minor if there else 0
    if is_late:  # the cell may be gone: the command says what the ledger knows
        before_minor = max(before_minor, command.expires_us)
    if command.amount_minor > case.paid.charged_minor - before_minor:
        return found | {Reason.OVER_REFUND}
    found |= _give_back(case, case.paid, before_minor)
    after_minor = before_minor + command.amount_minor
    case.out.amount_minor, case.out.period_paid_minor = command.amount_minor, after_minor
    if case.paid.is_counted:
        uncount_spend(case.limits, case.extras, command.amount_minor, case.paid.spent_us)
    kept_from_us = command.now_us if is_late else case.paid.charge_us
    if there is not None:
        there.refunded_minor = after_minor
        there.charge_us = kept_from_us
        return found
    made = Refunded(
        facts.charge_client,
        facts.charge_high,
        case.paid.charged_minor,
        after_minor,
        kept_from_us,
    )
    fault = put_new(case.extras, Cell(CellType.REFUND, facts.charge_low, made), command)
    return found | ({fault} if fault else set())


def _is_old(case: WalletCase, paid: Paid) -> bool:
    """Behind the answer horizon: known by where its record lies alone."""
    return paid.charge_us < case.command.now_us - case.command.horizon_us


def _find_refunded(case: WalletCase) -> Refunded | None:
    facts = case.command.facts
    named = (facts.charge_client, facts.charge_high)
    of_key = [cell.payload for cell in case.extras.cells if cell.key == facts.charge_low]
    found = (one for one in of_key if isinstance(one, Refunded))
    return next((one for one in found if (one.client, one.id_high) == named), None)


def list_slices(paid: Paid, skipped_minor: int, amount_minor: int) -> list[tuple[int, int]]:
    """(purse, amount) of what goes back: main purse, purse cells last drawn first, subsidy."""
    of_cells = sum(amount for _, amount in paid.parts)
    whole = [
        (0, paid.charged_minor - paid.subsidy_minor - of_cells),
        *reversed(paid.parts),
        (SUBSIDY_ID, paid.subsidy_minor),
    ]
    found = []
    for purse_id, part_minor in whole:
        skipped = min(skipped_minor, part_minor)
        taken = min(amount_minor, part_minor - skipped)
        skipped_minor, amount_minor = skipped_minor - skipped, amount_minor - taken
        if taken:
            found.append((purse_id, taken))
    return found


def _give_back(case: WalletCase, paid: Paid, before_minor: int) -> set[Reason]:
    account, out = case.owner, case.out
    slices = list_slices(paid, before_minor, case.command.amount_minor)
    of_cells = tuple(one for one in slices if one[0] > SUBSIDY_ID)
    main, out.parts = split_parts(case.extras, of_cells, case.command.now_us)
    main += sum(amount for purse_id, amount in slices if purse_id == 0)
    subsidy = sum(amount for purse_id, amount in slices if purse_id == SUBSIDY_ID)
    account.balance_minor += main
    account.subsidy_minor += subsidy
    out.subsidy_minor = -subsidy
    out.rules |= Rule.SUBSIDY if subsidy else 0
    is_right = fits(account.balance_minor) and fits(account.subsidy_minor)
    return set() if put_parts(case.extras, out.parts) and is_right else {Reason.AMOUNT_OVERFLOW}
