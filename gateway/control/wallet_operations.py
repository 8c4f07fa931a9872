"""Wallet commands of the control socket: purses, holds, refunds, the credit line, moving a medium.

Argument names are those of Facts (fastpath/wallet.py). What an operation does is said in
docs/wallet.md.
"""

from __future__ import annotations

from typing import Any

from fastpath.records import RecordView
from fastpath.types import FactFlag, Op, Reason
from fastpath.wallet import PURSE_ID_MIN, Facts
from gateway.control.arguments import (
    AMOUNT_MAX,
    KEY_MAX,
    Arguments,
    Operation,
    read_account,
)

TIERS_MAX = 15
BYTE_MAX = 255
MASK_MAX = 2**32 - 1


def _key(args: Arguments, low: int = 1) -> int:
    return args.integer("key", low, KEY_MAX)


def _amount(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"amount_minor": args.integer("amount_minor", 1, AMOUNT_MAX)}


def _purse_open(args: Arguments) -> dict[str, Any]:
    """purposes: bits; priority: lower ones pay first, the subsidy has 10; merchant: its sponsor."""
    facts = Facts(
        key=_key(args, PURSE_ID_MIN),
        merchant=args.integer("merchant", 0, KEY_MAX, 0),
        number=args.integer("priority", 0, BYTE_MAX, 10),
        purposes=args.integer("purposes", 1, MASK_MAX),
    )
    expires_us = args.integer("expires_us", 0, AMOUNT_MAX, 0)
    return read_account(args) | {"expires_us": expires_us, "facts": facts}


def _purse_end(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"facts": Facts(key=_key(args, PURSE_ID_MIN))}


def _hold_place(args: Arguments) -> dict[str, Any]:
    facts = Facts(
        key=_key(args),
        merchant=args.integer("merchant", 0, KEY_MAX, 0),
        purpose=args.purpose(),
    )
    expires_us = args.integer("expires_us", 1, AMOUNT_MAX)
    return _amount(args) | {"expires_us": expires_us, "facts": facts}


def _hold_capture(args: Arguments) -> dict[str, Any]:
    """purpose, merchant: for statements; the hold has its own."""
    facts = Facts(
        key=_key(args),
        merchant=args.integer("merchant", 0, KEY_MAX, 0),
        purpose=args.purpose(),
        flags=FactFlag.FINAL if args.flag("final") else FactFlag(0),
    )
    return _amount(args) | {"facts": facts}


def _hold(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"facts": Facts(key=_key(args))}


def _hold_extend(args: Arguments) -> dict[str, Any]:
    return _hold(args) | {"expires_us": args.integer("expires_us", 1, AMOUNT_MAX)}


def _refund(args: Arguments) -> dict[str, Any]:
    """charge: {client, id} of a debit or capture of this account; or tap: {device, boot, seq}.

    charge_position, given_back_minor: of a charge behind the answer horizon, where its record lies
    in the journal and what was given back of it so far, as the ledger knows them.
    """
    tap, flags = args.tap("tap"), args.own_money()
    if tap is not None:
        flags |= FactFlag.FARE
    client, high, low = tap or args.operation("charge")
    facts = Facts(
        key=args.integer("charge_position", 0, AMOUNT_MAX, 0) if tap is None else 0,
        flags=flags,
        merchant=args.integer("merchant", 0, KEY_MAX, 0),
        charge_client=client,
        charge_high=high,
        charge_low=low,
        purpose=args.purpose(),
    )
    before_minor = args.integer("given_back_minor", 0, AMOUNT_MAX, 0)
    return _amount(args) | {"expires_us": before_minor, "facts": facts}


def _tier(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"facts": Facts(tier=args.integer("tier", 0, TIERS_MAX))}


def _credit_state(args: Arguments) -> dict[str, Any]:
    flags = FactFlag.LATE if args.flag("late") else FactFlag(0)
    return read_account(args) | {"facts": Facts(flags=flags)}


def _plan_open(args: Arguments) -> dict[str, Any]:
    number = args.integer("instalments", 1, BYTE_MAX)
    return _amount(args) | {"facts": Facts(key=_key(args), number=number)}


def _plan_repay(args: Arguments) -> dict[str, Any]:
    return _amount(args) | {"facts": Facts(key=_key(args))}


def _write_off(args: Arguments) -> dict[str, Any]:
    version = args.integer("expected_version", 1, AMOUNT_MAX)
    return _amount(args) | {"expected_version": version}


def _move(args: Arguments) -> dict[str, Any]:
    """left_version: of the account that the medium leaves, 0 = any."""
    left = Facts(key=args.integer("left_version", 0, AMOUNT_MAX, 0))
    return read_account(args) | {"token": args.token(), "facts": left}


WALLET_OPERATIONS: dict[str, Operation] = {
    "purse_open": Operation(Op.PURSE_OPEN, _purse_open),
    "purse_close": Operation(Op.PURSE_CLOSE, _purse_end),
    "purse_sweep": Operation(Op.PURSE_SWEEP, _purse_end),
    "hold_place": Operation(Op.HOLD_PLACE, _hold_place, "debit_max_minor"),
    "hold_capture": Operation(Op.HOLD_CAPTURE, _hold_capture, "debit_max_minor"),
    "hold_release": Operation(Op.HOLD_RELEASE, _hold),
    "hold_extend": Operation(Op.HOLD_EXTEND, _hold_extend),
    "hold_expire": Operation(Op.HOLD_EXPIRE, _hold),
    "refund": Operation(Op.REFUND, _refund, "debit_max_minor"),
    "set_tier": Operation(Op.SET_TIER, _tier),
    "credit_state": Operation(Op.CREDIT_STATE, _credit_state),
    "plan_open": Operation(Op.PLAN_OPEN, _plan_open, "limit_max_minor"),
    "plan_repay": Operation(Op.PLAN_REPAY, _plan_repay, "limit_max_minor"),
    "write_off": Operation(Op.WRITE_OFF, _write_off, "adjust_max_minor"),
    "medium_move": Operation(Op.MEDIUM_MOVE, _move),
}

SHOW = "`faregate account show` lists what the account has"
LIMITED = "`faregate account show` says what the limits of its tier leave; a higher tier has others"
WALLET_HINTS = {
    (
        "debit",
        Reason.UNKNOWN_PURSE,
    ): f"{SHOW}; a purse pays only for its purposes: name one of them, or "
    "no purse, and those pay that may",
    ("credit", Reason.UNKNOWN_PURSE): SHOW,
    ("debit", Reason.LIMIT_EXCEEDED): LIMITED,
    ("hold_place", Reason.LIMIT_EXCEEDED): LIMITED,
    ("pass_add", Reason.LIMIT_EXCEEDED): LIMITED,
    ("credit", Reason.BALANCE_LIMIT): LIMITED,
    ("hold_capture", Reason.UNKNOWN_HOLD): "it was captured, released or has expired",
    ("hold_capture", Reason.HOLD_EXPIRED): "place another hold, or debit the account",
    ("hold_capture", Reason.OVER_CAPTURE): "capture at most what is left of the hold",
    ("hold_release", Reason.UNKNOWN_HOLD): "it was captured, released or has expired",
    ("hold_extend", Reason.BAD_TIME): "name an instant behind the present one of the hold",
    ("refund", Reason.UNKNOWN_CHARGE): "name client and id of a debit or capture, or a tap, of the "
    "account, with the flow it had; a tap that is older than the answer horizon is given back by a "
    "correction",
    ("refund", Reason.OVER_REFUND): "give back at most what is left of the charge",
    ("purse_sweep", Reason.NOT_EXPIRED): "it is swept from its expiry on",
    (
        "purse_close",
        Reason.BALANCE_NOT_ZERO,
    ): "spend or sweep what is in it",
    ("close", Reason.HOLD_OPEN): "capture or release its holds",
    ("write_off", Reason.VERSION_CONFLICT): "the account moved on: look at it again",
    ("medium_move", Reason.ALREADY_IN): "the rider has to leave first",
}
"""What to do about a refusal, where its name does not say it."""

_LEFT = ("left_minor", "held_minor")
_SAYS: dict[int, tuple[str, ...]] = {
    Op.HOLD_PLACE: _LEFT,
    Op.HOLD_CAPTURE: _LEFT,
    Op.HOLD_RELEASE: _LEFT,
    Op.HOLD_EXTEND: _LEFT,
    Op.HOLD_EXPIRE: _LEFT,
    Op.REFUND: ("refunded_minor",),
    Op.PURSE_OPEN: ("purse_minor",),
    Op.PLAN_OPEN: ("outstanding_minor",),
    Op.PLAN_REPAY: ("outstanding_minor",),
}


def wallet_result(record: RecordView) -> dict[str, Any]:
    """What a reply says of the hold, refund or plan that an accepted record left."""
    if not Reason(record.reason).accepted:
        return {}
    return dict.fromkeys(_SAYS.get(record.op, ()), record.period_paid_minor)
