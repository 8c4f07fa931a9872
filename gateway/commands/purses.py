"""`faregate account purse-open`, `purse-close` and `purse-sweep`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gateway.commands.common import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    UsageError,
)
from gateway.commands.operating import operate
from gateway.commands.spans import UntilOption, read_until

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
    from gateway.wallet.purses import PurseOrder

    do = operate(config, replaced, operation_id, as_json, note=note)
    order = PurseOrder(_purposes(purposes), priority, read_until(until), sponsor, key)
    do.print_change(
        account_id,
        lambda shell: partial(shell.purses.open, do.actor, do.cause, account_id, order),
    )


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
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id,
        lambda shell: partial(shell.purses.close, do.actor, do.cause, account_id, key),
    )


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
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id,
        lambda shell: partial(shell.purses.sweep, do.actor, do.cause, account_id, key),
    )


def _purposes(text: str) -> tuple[int, ...]:
    """Purposes given by name or number. Raises: UsageError."""
    from fastpath.wallet import PURPOSES, PURPOSES_MAX

    found = []
    for word in filter(None, (one.strip() for one in text.split(","))):
        number = int(word) if word.isdigit() else PURPOSES.get(word, PURPOSES_MAX)
        if number >= PURPOSES_MAX:
            known = ", ".join(name for name, at in PURPOSES.items() if at < PURPOSES_MAX)
            raise UsageError(detail=f"--for {word}: one of {known}, or 0 to 31")
        found.append(int(number))
    if not found:
        raise UsageError(detail="--for: name at least one purpose")
    return tuple(found)
