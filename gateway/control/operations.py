"""Commands of the control socket: names and arguments to engine operations, records to results.

Each money operation becomes one journal record under the caller's operation id; its reply leaves
after the record is durable. Reads answer from memory, after what they could have seen is durable.
No sockets here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpath.cells import CELL_BYTES, CELLS_MAX
from fastpath.commands import Command
from fastpath.records import RecordView
from fastpath.types import AccountStatus, FactFlag, MediumKind, MediumState, Op, Reason
from fastpath.wallet import Facts
from gateway.control.arguments import (
    AMOUNT_MAX,
    KEY_MAX,
    Arguments,
    Operation,
    bad_argument,
    read_account,
)
from gateway.control.wallet_operations import WALLET_HINTS, WALLET_OPERATIONS, wallet_result
from gateway.errors import CommandError

KINDS = {kind.name.lower(): int(kind) for kind in MediumKind}
STATES = {state.name.lower(): int(state) for state in MediumState}
BLOCKS = {
    "debit": int(AccountStatus.FROZEN_DEBIT),
    "credit": int(AccountStatus.FROZEN_CREDIT),
    "both": int(AccountStatus.FROZEN_DEBIT | AccountStatus.FROZEN_CREDIT),
}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Most that one command may move, minor units."""

    credit_max_minor: int
    adjust_max_minor: int
    debit_max_minor: int
    limit_max_minor: int


def _open(args: Arguments) -> dict[str, Any]:
    return {
        "account_id": args.integer("account_id", 0, AMOUNT_MAX, 0),
        "currency": args.integer("currency", 1, 999, 156),
        "rider_category": args.integer("rider_category", 0, 255, 0),
    }


def _purse(args: Arguments, **facts: int) -> dict[str, Any]:
    """Which purse, and what is said about the payment; only what is said becomes facts."""
    purse, key = args.purse()
    merchant = args.integer("merchant", 0, KEY_MAX, 0)
    said = Facts(key=key, merchant=merchant, **facts)
    return {"purse": purse} | ({} if said == Facts() else {"facts": said})


def _credit(args: Arguments) -> dict[str, Any]:
    amount = args.integer("amount_minor", 1, AMOUNT_MAX)
    return _money(args, amount) | _purse(args, flags=args.own_money())


def _money(args: Arguments, amount_minor: int) -> dict[str, Any]:
    """currency: that the caller means, 0 = whatever the account has."""
    currency = args.integer("currency", 0, 999, 0)
    return read_account(args) | {"amount_minor": amount_minor, "currency": currency}


def _debit(args: Arguments) -> dict[str, Any]:
    flags = FactFlag.WAY_HOME if args.flag("way_home") else FactFlag(0)
    flags |= FactFlag.FEE if args.flag("fee") else FactFlag(0)
    amount = args.integer("amount_minor", 1, AMOUNT_MAX)
    facts = _purse(args, purpose=args.purpose(), flags=flags | args.own_money())
    return _money(args, amount) | facts


def _adjust(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {
        "amount_minor": args.integer("amount_minor", -AMOUNT_MAX, AMOUNT_MAX),
        "expected_version": args.integer("expected_version", 1, AMOUNT_MAX),
        **_purse(args, flags=args.own_money()),
    }


def _block(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"status_bits": args.choice("what", BLOCKS, "debit")}


def _limit(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"amount_minor": args.integer("amount_minor", 0, AMOUNT_MAX)}


def _category(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"rider_category": args.integer("rider_category", 0, 255)}


def _pass(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {
        "pass_id": args.integer("pass_id", 1, 2**32 - 1),
        "from_us": args.integer("from_us", 0, AMOUNT_MAX, 0),
        "amount_minor": args.integer("amount_minor", 0, AMOUNT_MAX, 0),
    }


def _pass_add(args: Arguments) -> dict[str, Any]:
    fields = _pass(args) | {
        "expires_us": args.integer("until_us", 0, AMOUNT_MAX, 0),
        "rides": args.integer("rides", -1, 2**31 - 1, -1),
    }
    if fields["rides"] == 0 or 0 < fields["expires_us"] <= fields["from_us"]:
        raise bad_argument("a pass needs rides (-1 = any number) and an end behind its beginning")
    return fields


def _concession(args: Arguments) -> dict[str, Any]:
    fields = read_account(args) | {
        "rider_category": args.integer("rider_category", 0, 255),
        "from_us": args.integer("from_us", 0, AMOUNT_MAX, 0),
        "expires_us": args.integer("until_us", 1, AMOUNT_MAX),
    }
    if fields["expires_us"] <= fields["from_us"]:
        raise bad_argument("until_us must lie behind from_us")
    return fields


def _no_concession(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {"rider_category": args.integer("rider_category", 0, 255)}


def _rerate(args: Arguments) -> dict[str, Any]:
    """lines: account lines 1 and 2; cells: all totals the account is to have. from_us: where
    pricing again began. claim: 1 a journey began, 2 it ended at claim_stop and claim_at_us; 16 more
    when a service desk says so. The record keeps all of it.
    """
    lines = args.images("lines", 64, 2)
    if len(lines) != 128:
        raise bad_argument("lines must be account lines 1 and 2")
    images = lines + args.images("cells", CELL_BYTES, CELLS_MAX)
    return read_account(args) | {
        "amount_minor": args.integer("amount_minor", -AMOUNT_MAX, AMOUNT_MAX),
        "expected_version": args.integer("expected_version", 1, AMOUNT_MAX),
        "images": images,
        "from_us": args.integer("from_us", 0, 1 << 62, 0),
        "rides": args.integer("claim", 0, 18, 0),
        "pass_id": args.integer("claim_stop", 0, 2**32 - 1, 0),
        "expires_us": args.integer("claim_at_us", 0, AMOUNT_MAX, 0),
        "token": hashlib.sha256(images).digest()[:16],
    }


def _link(args: Arguments) -> dict[str, Any]:
    return read_account(args) | {
        "token": args.token(),
        "medium_kind": args.choice("kind", KINDS, "card"),
        "expires_us": args.integer("expires_us", 0, AMOUNT_MAX, 0),
    }


def _state(args: Arguments) -> dict[str, Any]:
    return {"token": args.token(), "medium_state": args.choice("state", STATES)}


OPERATIONS: dict[str, Operation] = {
    "account_open": Operation(Op.ACCOUNT_OPEN, _open),
    "close": Operation(Op.ACCOUNT_CLOSE, read_account),
    "credit": Operation(Op.CREDIT, _credit, "credit_max_minor"),
    "debit": Operation(Op.DEBIT, _debit, "debit_max_minor"),
    "adjust": Operation(Op.ADJUST, _adjust, "adjust_max_minor"),
    "freeze": Operation(Op.FREEZE, _block),
    "unfreeze": Operation(Op.UNFREEZE, _block),
    "set_credit_limit": Operation(Op.SET_CREDIT_LIMIT, _limit, "limit_max_minor"),
    "set_category": Operation(Op.SET_CATEGORY, _category),
    "pass_add": Operation(Op.PASS_ADD, _pass_add, "debit_max_minor"),
    "pass_remove": Operation(Op.PASS_REMOVE, _pass, "debit_max_minor"),
    "concession_set": Operation(Op.CONCESSION, _concession),
    "concession_remove": Operation(Op.CONCESSION, _no_concession),
    "rerate": Operation(Op.RERATE, _rerate, "adjust_max_minor"),
    "medium_link": Operation(Op.MEDIUM_LINK, _link),
    "medium_state": Operation(Op.MEDIUM_STATE, _state),
    **WALLET_OPERATIONS,
}
"""Every operation that leaves a record, by its name on the control socket."""


HINTS = {
    ("pass_add", Reason.TOO_MANY_CELLS): "take off a pass that is over: `faregate pass show`",
    ("pass_add", Reason.INSUFFICIENT_BALANCE): "credit the account, or sell it with --price 0",
    ("pass_remove", Reason.NOTHING_TO_REVERSE): "`faregate pass show` lists the account's passes",
    ("concession_set", Reason.TOO_MANY_CELLS): "take off what is over: `faregate pass show`",
    ("concession_remove", Reason.NOTHING_TO_REVERSE): "`faregate pass show` lists its concessions",
    ("rerate", Reason.VERSION_CONFLICT): "the account moved on: read it and price it again",
    **WALLET_HINTS,
}
"""What to do about a refusal, where its name does not say it."""


def read_command(
    name: str, values: Mapping[str, Any], ceilings: Ceilings, principal: str
) -> Command:
    """Check a command's arguments. Raises: CommandError."""
    operation = OPERATIONS[name]
    args = Arguments(values)
    arguments = operation.read(args)
    actor = args.text("actor")
    who = f"{principal}:{actor}" if actor else principal
    notes = (who, args.text("reference"), args.text("note"), args.text("idempotency_key"))
    if "account_id" in arguments and "expected_version" not in arguments:
        arguments["expected_version"] = args.integer("expected_version", 0, AMOUNT_MAX, 0)
    args.end()
    if operation.amount_ceiling and not _is_moving(name, values):
        ceiling = getattr(ceilings, operation.amount_ceiling)
        if abs(arguments["amount_minor"]) > ceiling:
            raise CommandError(
                "COMMAND_CEILING",
                f"{abs(arguments['amount_minor'])} is above control.{operation.amount_ceiling}"
                f" = {ceiling}",
            )
    return Command(op=operation.op, notes=tuple(clip(note) for note in notes), **arguments)


def _is_moving(name: str, values: Mapping[str, Any]) -> bool:
    """Whether it only moves what was on an account before: that is bounded by what was there."""
    flow = values.get("flow")
    return flow == "transfer" or (flow == "payout" and name == "credit")


def clip(text: str) -> bytes:
    """A note as at most 64 bytes of whole UTF-8 characters."""
    return text.encode()[:64].decode(errors="ignore").encode()


def result_of(record: RecordView, *, repeated: bool) -> dict[str, Any]:
    """What a command's reply says."""
    return wallet_result(record) | {
        "op": Op(record.op).name.lower(),
        "account_id": record.account_id,
        "amount_minor": record.amount_minor,
        "fare_minor": record.fare_minor,
        "balance_minor": record.balance_minor,
        "position": record.position,
        "seq": record.seq,
        "ts_us": record.ts_us,
        "repeated": repeated,
        "reason": Reason(record.reason).name.lower(),
    }
