"""`faregate account purse-open`, `purse-close` and `purse-sweep`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    UsageError,
    load_settings,
)
from gateway.commands.spans import UntilOption, read_until

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
PurseArgument = Annotated[
    int, typer.Argument(metavar="PURSE", min=2, help="A number for it, one an account.")
]


def add_to(group: typer.Typer) -> None:
    """Put the commands into the group `account`."""
    for name, command in (
        ("purse-open", purse_open),
        ("purse-close", purse_close),
        ("purse-sweep", purse_sweep),
    ):
        group.command(name)(command)


def purse_open(
    account_id: AccountArgument,
    key: PurseArgument,
    purposes: Annotated[
        str,
        typer.Option("--for", help="What it may pay for, with commas: transit,meal or 0 to 31."),
    ],
    priority: Annotated[
        int, typer.Option(min=0, max=255, help="Lower ones pay first; the subsidy has 10.")
    ] = 10,
    until: UntilOption = "",
    sponsor: Annotated[int, typer.Option(min=0, help="Whose money: a merchant's number.")] = 0,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an empty purse; `faregate account credit --purse-key` fills it.

    Example: `faregate account purse-open 1001 11 --for meal --until 2027-06-30`
    """
    args = {
        "account_id": account_id,
        "key": key,
        "purposes": _mask(purposes),
        "priority": priority,
        "expires_us": read_until(until),
        "merchant": sponsor,
        "note": note,
    }
    _send("purse_open", args, operation_id, config, replaced, as_json)


def purse_close(
    account_id: AccountArgument,
    key: PurseArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove an empty purse.

    Example: `faregate account purse-close 1001 11`
    """
    args = {"account_id": account_id, "key": key, "note": note}
    _send("purse_close", args, operation_id, config, replaced, as_json)


def purse_sweep(
    account_id: AccountArgument,
    key: PurseArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what is left in an expired purse back to its sponsor, and the purse away.

    Example: `faregate account purse-sweep 1001 11`
    """
    args = {"account_id": account_id, "key": key, "note": note}
    _send("purse_sweep", args, operation_id, config, replaced, as_json)


def _mask(text: str) -> int:
    """Bits of purposes given by name or number. Raises: UsageError."""
    from fastpath.wallet import PURPOSES, PURPOSES_MAX

    mask = 0
    for word in filter(None, (one.strip() for one in text.split(","))):
        number = int(word) if word.isdigit() else PURPOSES.get(word, PURPOSES_MAX)
        if number >= PURPOSES_MAX:
            known = ", ".join(name for name, at in PURPOSES.items() if at < PURPOSES_MAX)
            raise UsageError(detail=f"--for {word}: one of {known}, or 0 to 31")
        mask |= 1 << number
    if not mask:
        raise UsageError(detail="--for: name at least one purpose")
    return mask


def _send(
    op: str,
    args: dict[str, Any],
    operation_id: str | None,
    config: ConfigOption,
    replaced: SetOption,
    as_json: bool,
) -> None:
    from gateway.bootstrap import build_control_client
    from gateway.commands.money import currency_of, print_operation, send

    client = build_control_client(load_settings(config, replaced).config)
    currency = currency_of(client, args["account_id"])
    print_operation(send(client, op, args, operation_id), currency, as_json=as_json)
