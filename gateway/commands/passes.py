"""`faregate pass` and `faregate concession`: what accounts are entitled to for a span of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    ReferenceOption,
    SetOption,
    UsageError,
    load_settings,
    print_json,
    print_table,
)
from gateway.commands.spans import FromOption, UntilOption, read_from, read_until

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
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
    args: dict[str, Any] = {"pass_id": _pass_id(name), "from_us": read_from(start)}
    args |= {"until_us": read_until(until), "rides": rides, "reference": reference, "note": note}
    _move("pass_add", account_id, price, args, operation_id, _client(config, replaced), as_json)


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
    """Take a pass off an account: the oldest of that name, or the one valid --from then.

    Example: `faregate pass remove 1001 monthly --refund 45.00`
    """
    args: dict[str, Any] = {"pass_id": _pass_id(name), "from_us": read_from(start)}
    args |= {"reference": reference, "note": note}
    _move("pass_remove", account_id, refund, args, operation_id, _client(config, replaced), as_json)


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show passes, concessions and running totals of an account.

    Example: `faregate pass show 1001`
    """
    fields = _client(config, replaced).call("cells_show", {"account_id": account_id})
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
    args = {"from_us": read_from(start), "until_us": read_until(until)}
    if args["until_us"] <= args["from_us"]:
        raise UsageError(detail="--until must lie behind --from")
    args |= {"account_id": account_id, "rider_category": category}
    client = _client(config, replaced)
    _operate("concession_set", args | {"note": note}, operation_id, client, as_json)


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
    args = {"account_id": account_id, "rider_category": category, "note": note}
    _operate("concession_remove", args, operation_id, _client(config, replaced), as_json)


def _client(config: ConfigOption, replaced: SetOption) -> ControlClient:
    from gateway.bootstrap import build_control_client

    return build_control_client(load_settings(config, replaced).config)


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


def _move(
    op: str,
    account_id: int,
    amount: str,
    args: dict[str, Any],
    operation_id: str | None,
    client: ControlClient,
    as_json: bool,
) -> None:
    from gateway.commands.money import currency_of, parse_minor, print_operation, send

    currency = currency_of(client, account_id)
    args |= {"account_id": account_id, "amount_minor": parse_minor(amount, currency)}
    print_operation(send(client, op, args, operation_id), currency, as_json=as_json)


def _operate(
    op: str, args: dict[str, Any], operation_id: str | None, client: ControlClient, as_json: bool
) -> None:
    from gateway.commands.money import print_operation, send

    print_operation(send(client, op, args, operation_id), None, as_json=as_json)
