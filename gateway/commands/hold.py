"""`faregate hold` and `faregate refund`: money reserved, taken in parts, given back."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import (
    AccountArgument,
    AmountArgument,
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    ReferenceOption,
    SetOption,
    open_client,
    print_json,
    print_table,
)
from gateway.commands.operating import Change, operate

if TYPE_CHECKING:
    from gateway.shell import Shell

HoldArgument = Annotated[
    int, typer.Argument(metavar="HOLD", min=1, help="A number for it, one an account.")
]
PurposeOption = Annotated[
    str, typer.Option(help="What it is for: transit, meal, medical ... or 0 to 31.")
]
MerchantOption = Annotated[int, typer.Option(min=0, help="A merchant's number; 0 = the house.")]
MinutesOption = Annotated[
    int, typer.Option("--minutes", min=1, help="How long from now it is held.")
]
MINUTE_US = 60_000_000


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Money reserved: place, capture, release.")
    for name, command in (
        ("place", place),
        ("capture", capture),
        ("release", release),
        ("extend", extend),
        ("show", show),
    ):
        group.command(name)(command)
    app.add_typer(group, name="hold", rich_help_panel="Operate")
    app.command("refund", rich_help_panel="Operate")(refund)


def place(
    account_id: AccountArgument,
    key: HoldArgument,
    amount: AmountArgument,
    minutes: MinutesOption = 60,
    purpose: PurposeOption = "none",
    merchant: MerchantOption = 0,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reserve money of the main purse and the credit line.

    Example: `faregate hold place 1001 7 300.00 --minutes 1440 --purpose medical`
    """
    from gateway.commands.money import read_purpose
    from gateway.wallet.holds import HoldOrder

    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)
    until_us, number = _minutes_from_now(minutes), read_purpose(purpose)

    def take(shell: Shell) -> Change:
        holds = shell.holds
        return lambda minor: holds.place(
            do.actor, do.cause, account_id, HoldOrder(minor, until_us, number, merchant, key=key)
        )

    do.print_change(account_id, take, amount)


def capture(
    account_id: AccountArgument,
    key: HoldArgument,
    amount: AmountArgument,
    final: Annotated[bool, typer.Option("--final", help="Let the rest of it go.")] = False,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take money that a hold reserves, all of it or a part.

    Example: `faregate hold capture 1001 7 120.50 --final`
    """
    from gateway.wallet.holds import name_of

    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)

    def take(shell: Shell) -> Change:
        holds = shell.holds
        return lambda minor: holds.capture(
            do.actor, do.cause, account_id, name_of(key), minor, is_final=final
        )

    do.print_change(account_id, take, amount)


def release(
    account_id: AccountArgument,
    key: HoldArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the rest of a hold go.

    Example: `faregate hold release 1001 7`
    """
    from gateway.wallet.holds import name_of

    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id,
        lambda shell: partial(shell.holds.release, do.actor, do.cause, account_id, name_of(key)),
    )


def extend(
    account_id: AccountArgument,
    key: HoldArgument,
    minutes: MinutesOption = 60,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold money longer; only while it still is, and only to later.

    Example: `faregate hold extend 1001 7 --minutes 2880`
    """
    from gateway.wallet.holds import name_of

    do = operate(config, replaced, operation_id, as_json, note=note)
    until_us, name = _minutes_from_now(minutes), name_of(key)
    do.print_change(
        account_id,
        lambda shell: partial(shell.holds.extend, do.actor, do.cause, account_id, name, until_us),
    )


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account's open holds.

    Example: `faregate hold show 1001`
    """
    from gateway.commands.money import with_amounts

    fields = open_client(config, replaced).call("account_show", {"account_id": account_id})
    holds = [with_amounts(one, fields["currency"]) for one in fields["holds"]]
    if as_json:
        print_json({"account_id": account_id, "held_minor": fields["held_minor"], "holds": holds})
        return
    names = ("key", "left", "placed", "captured", "expires_us", "merchant", "purpose")
    print_table(names, [[one.get(name, "") for name in names] for one in holds])


def refund(
    account_id: AccountArgument,
    amount: AmountArgument,
    charge: Annotated[
        str, typer.Option("--charge", metavar="ID", help="Operation id of the debit or capture.")
    ] = "",
    tap: Annotated[
        str, typer.Option("--tap", metavar="TAP", help="Of a fare: device-boot-number.")
    ] = "",
    charge_client: Annotated[
        str,
        typer.Option(help="Client that charged: its name, or its number as in `journal show`."),
    ] = "cli",
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give back of a debit, a capture or, when somebody else agrees, a fare: never more in total
    than it took.

    Example: `faregate refund 1001 4.50 --charge 0199b0c2-5f7e-7000-8000-0123456789ab`
    """
    from gateway.clock import format_operation_id
    from gateway.commands.common import UsageError
    from gateway.commands.money import read_operation_id

    if bool(charge) == bool(tap):
        raise UsageError(detail="name --charge or --tap")
    if tap and not re.fullmatch(r"\d+-\d+-\d+", tap, re.ASCII):
        raise UsageError(detail=f"--tap {tap}: write device-boot-number")
    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)
    if tap:

        def give_back(shell: Shell) -> Change:
            fares = shell.fares
            return lambda minor: fares.give_back(do.actor, do.cause, account_id, tap, minor)

        do.print_change(account_id, give_back, amount)
        return
    named: str | int = int(charge_client) if charge_client.isdigit() else charge_client
    shown = format_operation_id(read_operation_id(charge, "--charge"))
    do.print_change(
        account_id,
        lambda shell: partial(
            shell.holds.refund, do.actor, do.cause, account_id, shown, charge_client=named
        ),
        amount,
    )


def _minutes_from_now(minutes: int) -> int:
    from gateway.clock import now_us

    return now_us() + minutes * MINUTE_US
