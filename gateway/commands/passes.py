"""`faregate pass` and `faregate concession`: what accounts are entitled to for a span of time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    ReferenceOption,
    SetOption,
    UsageError,
    open_client,
    print_json,
    print_table,
)
from gateway.commands.operating import Change, Operating, operate
from gateway.commands.spans import FromOption, UntilOption, read_from, read_until

if TYPE_CHECKING:
    from gateway.shell import Shell

PassArgument = Annotated[
    str,
    typer.Argument(metavar="PASS", help="The product's name in the tariff, or #NUMBER as shown."),
]
CategoryArgument = Annotated[
    int,
    typer.Argument(metavar="CATEGORY", min=0, max=255, help="Number of the tariff's category."),
]


def register(app: typer.Typer) -> None:
    passes = typer.Typer(no_args_is_help=True, help="Passes of accounts: add, remove, show.")
    passes.command("add")(add)
    passes.command("remove")(remove)
    passes.command("show")(show)
    app.add_typer(passes, name="pass", rich_help_panel="Operate")
    concessions = typer.Typer(no_args_is_help=True, help="Rider categories for a span of time.")
    concessions.command("set")(set_concession)
    concessions.command("remove")(remove_concession)
    app.add_typer(concessions, name="concession", rich_help_panel="Operate")


def add(
    account_id: AccountArgument,
    name: PassArgument,
    price: Annotated[
        str, typer.Option(help='Taken from the stored value, as "12.34"; 0 = paid elsewhere.')
    ] = "0",
    start: FromOption = "",
    until: UntilOption = "",
    rides: Annotated[int, typer.Option(min=-1, help="Number of rides; -1 = any.")] = -1,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a pass on an account. Without --until its time begins with the first use.

    Example: `faregate pass add 1001 monthly --price 90.00 --from 2026-12-01 --until 2026-12-31`
    """
    if rides == 0:
        raise UsageError(detail="--rides 0: a pass has at least one ride, or -1 for any number")
    from gateway.wallet.passes import PassOrder

    pass_id, since_us, end_us = _pass_id(name), read_from(start), read_until(until)
    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)

    def sell(shell: Shell) -> Change:
        passes = shell.passes
        return lambda minor: passes.add(
            do.actor, do.cause, account_id, PassOrder(pass_id, minor, since_us, end_us, rides)
        )

    do.print_change(account_id, sell, price)


def remove(
    account_id: AccountArgument,
    name: PassArgument,
    refund: Annotated[str, typer.Option(help='Given back to the stored value, as "12.34".')] = "0",
    start: FromOption = "",
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a pass off an account: the oldest of that name, or the one valid --from then. What is
    given back for it somebody else has to agree to, as to a correction.

    Example: `faregate pass remove 1001 monthly --refund 45.00`
    """
    pass_id, since_us = _pass_id(name), read_from(start)
    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)

    def take_off(shell: Shell) -> Change:
        passes = shell.passes
        return lambda minor: passes.remove(
            do.actor, do.cause, account_id, pass_id, refund_minor=minor, from_us=since_us
        )

    do.print_change(account_id, take_off, refund)


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show passes, concessions and running totals of an account.

    Example: `faregate pass show 1001`
    """
    fields = open_client(config, replaced).call("cells_show", {"account_id": account_id})
    cells: list[dict[str, Any]] = fields["cells"]
    if as_json:
        print_json({"account_id": account_id, "version": fields["version"], "cells": cells})
        return
    print_table(("what", "of", "holds"), [_row(cell) for cell in cells])


def set_concession(
    account_id: AccountArgument,
    category: CategoryArgument,
    until: UntilOption,
    start: FromOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account a rider category for a span of time; it beats the account's own.

    Example: `faregate concession set 1001 2 --from 2026-09-01 --until 2027-08-31`
    """
    from gateway.wallet.passes import Concession

    since_us, end_us = read_from(start), read_until(until)
    if end_us <= since_us:
        raise UsageError(detail="--until must lie behind --from")
    wanted = Concession(rider_category=category, from_us=since_us, until_us=end_us)
    do = operate(config, replaced, operation_id, as_json, note=note)
    _print(do, lambda shell: shell.passes.set_concession(do.actor, do.cause, account_id, wanted))


def remove_concession(
    account_id: AccountArgument,
    category: CategoryArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a concession away at once.

    Example: `faregate concession remove 1001 2`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    _print(
        do, lambda shell: shell.passes.remove_concession(do.actor, do.cause, account_id, category)
    )


def _pass_id(name: str) -> int:
    from fastpath.cells import pass_id_of

    if not name.startswith("#"):
        return pass_id_of(name)
    if not name[1:].isdecimal() or not 0 < int(name[1:]) < 1 << 32:
        raise UsageError(detail=f"{name}: a pass's number as `faregate pass show` prints it")
    return int(name[1:])


def _row(cell: dict[str, Any]) -> tuple[object, ...]:
    """A cell as one line: a pass's number can be used as #NUMBER."""
    rest = dict(cell)
    kind = str(rest.pop("cell"))
    owner = next((rest.pop(k) for k in ("pass_id", "rider_category", "owner") if k in rest), 0)
    return kind, f"#{owner}" if kind == "pass" else owner, rest


def _print(do: Operating, work: Callable[[Shell], Coroutine[Any, Any, object]]) -> None:
    from gateway.commands.money import print_operation

    print_operation(do.told(work), None, as_json=do.as_json)
