"""The reference engine's commands on passes, concessions and totals (docs/fares.md, "Commands").

Must import only the standard library and fastpath.
"""

from __future__ import annotations

import struct
from copy import deepcopy
from dataclasses import dataclass, fields

from fastpath.cells import TOTALS, CellType
from fastpath.checks import BrokenInvariantError, sure
from fastpath.reference_cells import Cell, Concession, Extras, Pass, Refunded
from fastpath.reference_funding import funds_objections
from fastpath.reference_limits import ask_spend, count_spend, uncount_spend
from fastpath.reference_model import (
    Account,
    Command,
    Decision,
    LimitVersion,
    Period,
    first_told,
    fits,
)
from fastpath.types import AccountStatus, Op, Reason, Rule, Verdict

CELL_OPS = (Op.PASS_ADD, Op.PASS_REMOVE, Op.CONCESSION, Op.RERATE)
KEPT_AFTER_US = 30 * 86_400_000_000
"""How long what is over stays for taps that come late."""
RERATED = (*TOTALS, CellType.PASS)
"""What a re-rating may bring; passes it does not bring stay as they are."""
LINE_1 = struct.Struct("<qQQQIIqIBBBBq")
LINE_2 = struct.Struct("<IIqIIqIIqIIq")
LINE_1_FIELDS = (
    "entry_ts_us",
    "entry_device",
    "entry_boot",
    "entry_tariff",
    "entry_seq",
    "entry_stop",
    "exit_ts_us",
    "exit_stop",
    "journey_state",
    "entry_medium_kind",
    "leg_count",
    "entry_flags",
    "journey_paid_minor",
)


@dataclass(frozen=True, slots=True)
class Rerate:
    """What a re-rating puts in place of what is there. lines: account lines 1 and 2, 128 bytes."""

    lines: bytes
    cells: tuple[Cell, ...] = ()


def pack_lines(account: Account) -> bytes:
    """Account lines 1 and 2 as in layout.h."""
    period = [getattr(account.period, one.name) for one in fields(Period)]
    rest = (account.origin_stop, account.first_cell, account.last_flat_ts_us)
    line_1 = LINE_1.pack(*(getattr(account, name) for name in LINE_1_FIELDS))
    return line_1 + LINE_2.pack(*period, *rest)


def _put_lines(account: Account, lines: bytes) -> None:
    for name, value in zip(LINE_1_FIELDS, LINE_1.unpack(lines[:64]), strict=True):
        setattr(account, name, value)
    *period, account.origin_stop, _, account.last_flat_ts_us = LINE_2.unpack(lines[64:])
    account.period = Period(*period)


def decide_cell_command(
    account: Account | None,
    extras: Extras | None,
    rerate: Rerate | None,
    command: Command,
    *,
    limits: LimitVersion | None = None,
) -> Decision:
    """Decide a command on the account's cells; an accepted one changes account and extras.

    limits: of identity tiers; the price of a pass is asked for and counted, the difference of a
    re-rating counted unasked: it is spent, or given back, on the day of the re-rating.
    """
    after = deepcopy(extras) if extras is not None else Extras()
    objections = _objections(account, after, rerate, command, limits)
    told = first_told(objections)
    out = Decision(
        reason=told or Reason.OK,
        verdict=Verdict.DENY if told else Verdict.OPEN,
        ts_us=command.now_us,
    )
    if told is None:
        account = sure(account)
        is_spent = command.op in (Op.PASS_ADD, Op.RERATE)
        price_minor = command.amount_minor if is_spent else 0
        if count_spend(limits, account, after, price_minor, command.now_us):
            out.rules |= Rule.COUNTED
        uncount_spend(limits, after, -price_minor, command.now_us)
        if extras is not None:
            extras.cells, extras.room = after.cells, after.room
        _apply(account, rerate, command, out)
    if account is not None:
        out.balance_minor = account.spendable_minor
    return out


def charge_of(command: Command) -> int:
    """What the rider pays; below 0 = is given back."""
    if command.op == Op.CONCESSION:
        return 0
    return -command.amount_minor if command.op == Op.PASS_REMOVE else command.amount_minor


def _apply(account: Account, rerate: Rerate | None, command: Command, out: Decision) -> None:
    out.fare_minor = charge_of(command)
    account.balance_minor -= out.fare_minor
    if out.fare_minor > 0 and account.balance_minor < 0:
        out.rules |= Rule.CREDIT_LINE
    if command.op == Op.RERATE and rerate is not None:
        _put_lines(account, rerate.lines)


def _is_malformed(rerate: Rerate | None, command: Command) -> bool:
    has_span = command.from_us >= 0
    if command.op == Op.CONCESSION:
        return not has_span or command.expires_us < command.from_us
    if command.purse != 0:
        return True
    if command.op == Op.RERATE:
        is_right = rerate is not None and all(one.type in RERATED for one in rerate.cells)
        return command.expected_version == 0 or not is_right
    if command.op == Op.PASS_REMOVE:
        return command.pass_id == 0
    ends_wrong = command.expires_us != 0 and command.expires_us <= command.from_us
    return (
        command.pass_id == 0
        or not has_span
        or ends_wrong
        or command.rides == 0
        or command.rides < -1
    )


def _objections(
    account: Account | None,
    extras: Extras,
    rerate: Rerate | None,
    command: Command,
    limits: LimitVersion | None,
) -> set[Reason]:
    """What speaks against it; `extras` is changed as the command would, as far as it can be."""
    if _is_malformed(rerate, command):
        return {Reason.BAD_REQUEST}
    if account is None:
        return {Reason.UNKNOWN_ACCOUNT}
    takes_money = command.op == Op.PASS_ADD and command.amount_minor > 0
    is_rerate = command.op == Op.RERATE
    frozen = takes_money and account.status & AccountStatus.FROZEN_DEBIT
    is_other = command.op != Op.CONCESSION and command.currency not in (0, account.currency)
    holds = {
        Reason.ACCOUNT_CLOSED: not is_rerate and account.status & AccountStatus.CLOSED,
        Reason.ACCOUNT_FROZEN: frozen,
        Reason.CURRENCY_MISMATCH: is_other,
        Reason.VERSION_CONFLICT: command.expected_version not in (0, account.version),
    }
    found = {reason for reason, does in holds.items() if does}
    if command.op in (Op.PASS_ADD, Op.PASS_REMOVE) and command.amount_minor < 0:
        return found | {Reason.AMOUNT_INVALID}
    left_minor = account.balance_minor - charge_of(command)
    if not fits(left_minor):
        found.add(Reason.AMOUNT_OVERFLOW)
    elif takes_money:
        found |= funds_objections(account, extras, command.amount_minor)
        found |= ask_spend(limits, account, extras, command.amount_minor, command.now_us)
    fault = _change_cells(extras, rerate, command)
    return found | ({fault} if fault else set())


def _change_cells(extras: Extras, rerate: Rerate | None, command: Command) -> Reason | None:
    if command.op == Op.PASS_ADD:
        one = Pass(command.from_us, command.expires_us, 0, command.rides)
        return put_new(extras, Cell(CellType.PASS, command.pass_id, one), command)
    if command.op == Op.PASS_REMOVE:
        return _remove_pass(extras, command)
    if command.op == Op.CONCESSION:
        return _set_concession(extras, command)
    rerate = sure(rerate)
    return _replace_totals(extras, rerate)


def is_over(cell: Cell, command: Command) -> bool:
    """Whether nothing that may still come can need it."""
    one, floor_us = cell.payload, command.now_us - KEPT_AFTER_US
    if isinstance(one, Refunded):
        return one.charge_us < command.now_us - command.horizon_us
    if isinstance(one, Concession):
        return one.until_us < floor_us
    if not isinstance(one, Pass):
        return False
    return 0 < one.until_us < floor_us or (one.rides_left == 0 and one.last_used_us < floor_us)


def put_new(extras: Extras, cell: Cell, command: Command) -> Reason | None:
    """Add a cell in place of one that is over, or one more."""
    for place, old in enumerate(extras.cells):
        if is_over(old, command):
            extras.cells[place] = cell
            return None
    return None if extras.append(cell) else Reason.TOO_MANY_CELLS


def _remove_pass(extras: Extras, command: Command) -> Reason | None:
    for cell in extras.cells:
        if (cell.type, cell.key) == (CellType.PASS, command.pass_id):
            if not isinstance(cell.payload, Pass):
                raise BrokenInvariantError("a pass's cell holds something else")
            if command.from_us in (0, cell.payload.from_us):
                cell.free()
                return None
    return Reason.NOTHING_TO_REVERSE


def _set_concession(extras: Extras, command: Command) -> Reason | None:
    cell = extras.find(CellType.CONCESSION, command.rider_category)
    if command.expires_us == command.from_us:
        if cell is None:
            return Reason.NOTHING_TO_REVERSE
        cell.free()
        return None
    made = Concession(command.from_us, command.expires_us)
    if cell is not None:
        cell.payload = made
        return None
    new = Cell(CellType.CONCESSION, command.rider_category, made)
    return put_new(extras, new, command)


def _replace_totals(extras: Extras, rerate: Rerate) -> Reason | None:
    waiting = [cell for cell in extras.cells if cell.type in RERATED]
    for image in rerate.cells:
        here = next((c for c in waiting if (c.type, c.key) == (image.type, image.key)), None)
        if here is None:
            if image.type == CellType.PASS:
                return Reason.NOTHING_TO_REVERSE
            if not extras.append(deepcopy(image)):
                return Reason.TOO_MANY_CELLS
            continue
        waiting = [cell for cell in waiting if cell is not here]
        here.payload, here.riders = deepcopy(image.payload), image.riders
    for cell in waiting:
        if cell.type in TOTALS:
            cell.free()
    return None
