"""`faregate account`: open, look at, move value. Each command is one operation of the journal."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    ReferenceOption,
    SetOption,
    load_settings,
    print_result,
)
from gateway.commands.purses import add_to

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help='As "12.34", in the account\'s currency.')
]


class Purse(StrEnum):
    """A balance inside an account."""

    STORED = "stored"
    SUBSIDY = "subsidy"


class Side(StrEnum):
    """What a freeze stops."""

    DEBIT = "debit"
    CREDIT = "credit"
    BOTH = "both"


PurseOption = Annotated[Purse, typer.Option(help="Which balance.")]
KeyOption = Annotated[
    int | None, typer.Option("--purse-key", min=2, help="A further purse by its number.")
]
PurposeOption = Annotated[
    str, typer.Option(help="What it is for: purses of that purpose pay first; or 0 to 31.")
]
MerchantOption = Annotated[int, typer.Option(min=0, help="A merchant's number; 0 = the house.")]
SideOption = Annotated[Side, typer.Option("--what", help="What is stopped or let go on.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Accounts: open, show, credit, debit, freeze.")
    for name, command in (
        ("open", open_account),
        ("show", show),
        ("credit", credit),
        ("debit", debit),
        ("freeze", freeze),
        ("unfreeze", unfreeze),
        ("limit", set_limit),
        ("tier", set_tier),
        ("close", close),
    ):
        group.command(name)(command)
    add_to(group)
    app.add_typer(group, name="account", rich_help_panel="Operate")


def open_account(
    account_id: Annotated[
        int | None, typer.Argument(metavar="[ACCOUNT]", min=1, help="Its number; else the next.")
    ] = None,
    currency: Annotated[str, typer.Option(help="ISO 4217 letters.")] = "CNY",
    category: Annotated[int, typer.Option(min=0, max=255, help="Rider category; 0 = adult.")] = 0,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open an account.

    Example: `faregate account open 1001 --currency CNY`
    """
    from gateway.commands.money import print_operation, send

    number = _currency_number(currency)
    args = {"account_id": account_id or 0, "currency": number, "rider_category": category}
    client = _client(config, replaced)
    result = send(client, "account_open", args | {"note": note}, operation_id)
    print_operation(result, number, as_json=as_json)


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account as the data plane knows it now.

    Example: `faregate account show 1001`
    """
    from gateway.commands.money import with_amounts

    fields = _client(config, replaced).call("account_show", {"account_id": account_id})
    fields = with_amounts(fields, fields["currency"])
    print_result(fields if as_json else _main_fields(fields), as_json=as_json)
    if fields.get("limits") and not as_json:
        _print_limits(fields["limits"])


def _print_limits(limits: dict[str, dict[str, int]]) -> None:
    from gateway.commands.common import print_table

    typer.echo("")
    columns = ("limit_minor", "used_minor", "left_minor")
    rows = [(name, *(one[column] for column in columns)) for name, one in limits.items()]
    print_table(("limit", *columns), rows)


def credit(
    account_id: AccountArgument,
    amount: AmountArgument,
    purse: PurseOption = Purse.STORED,
    key: KeyOption = None,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put value into an account. The amount is exact: too many digits are refused.

    Example: `faregate account credit 1001 50.00 --reference till-7-4711`
    """
    texts = {"purse": key or str(purse), "reference": reference, "note": note}
    _move("credit", account_id, amount, texts, operation_id, _client(config, replaced), as_json)


def debit(
    account_id: AccountArgument,
    amount: AmountArgument,
    purse: PurseOption = Purse.STORED,
    key: KeyOption = None,
    purpose: PurposeOption = "none",
    merchant: MerchantOption = 0,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take value out of an account; purses that fit the purpose pay first.

    Example: `faregate account debit 1001 3.00 --note "paid in error"`
    """
    for_what: str | int = int(purpose) if purpose.isdigit() else purpose
    texts = {"purse": key or str(purse), "purpose": for_what, "merchant": merchant}
    texts |= {"reference": reference, "note": note}
    _move("debit", account_id, amount, texts, operation_id, _client(config, replaced), as_json)


def freeze(
    account_id: AccountArgument,
    what: SideOption = Side.DEBIT,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop new payments (or credits) of an account. Rides already begun still post.

    Example: `faregate account freeze 1001 --note "owner asked"`
    """
    args = {"account_id": account_id, "what": str(what), "note": note}
    _operate("freeze", args, operation_id, _client(config, replaced), as_json)


def unfreeze(
    account_id: AccountArgument,
    what: SideOption = Side.BOTH,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a frozen account go on.

    Example: `faregate account unfreeze 1001`
    """
    args = {"account_id": account_id, "what": str(what), "note": note}
    _operate("unfreeze", args, operation_id, _client(config, replaced), as_json)


def set_limit(
    account_id: AccountArgument,
    amount: AmountArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the credit line: how far the stored value may go below 0.

    Example: `faregate account limit 1001 20.00`
    """
    client = _client(config, replaced)
    _move("set_credit_limit", account_id, amount, {"note": note}, operation_id, client, as_json)


def set_tier(
    account_id: AccountArgument,
    tier: Annotated[int, typer.Argument(metavar="TIER", min=0, max=15, help="Identity tier.")],
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the identity tier: what the holder may spend and hold (`faregate limits show`).

    A balance above the new tier's limit stays and cannot grow.
    Example: `faregate account tier 1001 2 --note "passport seen at the desk"`
    """
    args = {"account_id": account_id, "tier": tier, "note": note}
    _operate("set_tier", args, operation_id, _client(config, replaced), as_json)


def close(
    account_id: AccountArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an account whose balance is 0.

    Example: `faregate account close 1001`
    """
    args = {"account_id": account_id, "note": note}
    _operate("close", args, operation_id, _client(config, replaced), as_json)


def _client(config: ConfigOption, replaced: SetOption) -> ControlClient:
    from gateway.bootstrap import build_control_client

    return build_control_client(load_settings(config, replaced).config)


def _move(
    op: str,
    account_id: int,
    amount: str,
    texts: dict[str, Any],
    operation_id: str | None,
    client: ControlClient,
    as_json: bool,
) -> None:
    """An operation with an amount: read in the account's own currency."""
    from gateway.commands.money import currency_of, parse_minor, print_operation, send

    currency = currency_of(client, account_id)
    args: dict[str, Any] = {"account_id": account_id, "amount_minor": parse_minor(amount, currency)}
    print_operation(send(client, op, args | texts, operation_id), currency, as_json=as_json)


def _operate(
    op: str, args: dict[str, Any], operation_id: str | None, client: ControlClient, as_json: bool
) -> None:
    from gateway.commands.money import print_operation, send

    print_operation(send(client, op, args, operation_id), None, as_json=as_json)


def _currency_number(code: str) -> int:
    from gateway.commands.common import UsageError
    from gateway.tariffs.units import CURRENCIES

    if code.upper() not in CURRENCIES:
        raise UsageError(detail=f"--currency {code}: one of {', '.join(sorted(CURRENCIES))}")
    return CURRENCIES[code.upper()].number


def _main_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What a person looks for first; --json has everything."""
    names = ("account_id", "currency", "status_names", "balance", "subsidy", "held", "spendable")
    rest = (
        "credit_limit",
        "tier",
        "purses",
        "holds",
        "plans",
        "rider_category",
        "journey_state",
        "entry_stop",
        "version",
        "position",
    )
    return {name: fields[name] for name in (*names, *rest) if name in fields}
