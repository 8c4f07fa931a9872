"""`faregate pass` and `faregate concession`: what accounts are entitled to for a span of time."""

from __future__ import annotations

from dataclasses import dataclass
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
from gateway.commands.spans import FromOption, UntilOption, read_from, read_until

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

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
    sending = _Sending(open_client(config, replaced), operation_id, as_json)
    sending.move("pass_add", account_id, price, args)


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
    sending = _Sending(open_client(config, replaced), operation_id, as_json)
    sending.move("pass_remove", account_id, refund, args)


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
    args = {"from_us": read_from(start), "until_us": read_until(until)}
    if args["until_us"] <= args["from_us"]:
        raise UsageError(detail="--until must lie behind --from")
    args |= {"account_id": account_id, "rider_category": category}
    sending = _Sending(open_client(config, replaced), operation_id, as_json)
    sending.operate("concession_set", args | {"note": note})


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
    sending = _Sending(open_client(config, replaced), operation_id, as_json)
    sending.operate("concession_remove", args)


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


@dataclass(frozen=True, slots=True)
class _Sending:
    """One operation on its way."""

    client: ControlClient
    operation_id: str | None
    as_json: bool

    def move(self, op: str, account_id: int, amount: str, args: dict[str, Any]) -> None:
        from gateway.commands.money import currency_of, parse_minor

        currency = currency_of(self.client, account_id)
        args |= {"account_id": account_id, "amount_minor": parse_minor(amount, currency)}
        self.operate(op, args, currency)

    def operate(self, op: str, args: dict[str, Any], currency: int | None = None) -> None:
        from gateway.commands.money import print_operation, send

        result = send(self.client, op, args, self.operation_id)
        print_operation(result, currency, as_json=self.as_json)
