"""`faregate account`: open, look at, move value. Each command is one operation of the journal."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

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
    print_result,
    print_table,
)
from gateway.commands.freezing import add_freezes
from gateway.commands.merging import add_merge
from gateway.commands.operating import Change, operate
from gateway.commands.purses import add_to

if TYPE_CHECKING:
    from gateway.shell import Shell


class Purse(StrEnum):
    """A balance inside an account."""

    STORED = "stored"
    SUBSIDY = "subsidy"


PURSES = {Purse.STORED: 0, Purse.SUBSIDY: 1}

PurseOption = Annotated[Purse, typer.Option(help="Which balance.")]
KeyOption = Annotated[
    int | None, typer.Option("--purse-key", min=2, help="A further purse by its number.")
]
PurposeOption = Annotated[
    str, typer.Option(help="What it is for: purses of that purpose pay first; or 0 to 31.")
]
MerchantOption = Annotated[int, typer.Option(min=0, help="A merchant's number; 0 = the house.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Accounts and purses: open, show, credit, debit, freeze, merge, close.",
    )
    for name, command in (
        ("open", open_account),
        ("show", show),
        ("credit", credit),
        ("debit", debit),
        ("adjust", adjust),
        ("limit", set_limit),
        ("tier", set_tier),
        ("close", close),
    ):
        group.command(name)(command)
    add_to(group)
    add_freezes(group)
    add_merge(group)
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
    from gateway.commands.money import print_operation

    number = _currency_number(currency)
    do = operate(config, replaced, operation_id, as_json, note=note)
    made = do.told(
        lambda shell: shell.accounts.open(
            do.actor,
            do.cause,
            currency=number,
            rider_category=category,
            tenant_id="",
            account_id=account_id or 0,
        )
    )
    print_operation(made, number, as_json=as_json)


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

    fields = open_client(config, replaced).call("account_show", {"account_id": account_id})
    fields = with_amounts(fields, fields["currency"])
    print_result(fields if as_json else _main_fields(fields), as_json=as_json)
    if fields.get("limits") and not as_json:
        _print_limits(fields["limits"])


def _print_limits(limits: dict[str, dict[str, int]]) -> None:
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

    A reference stands for one piece of value: named again, it is the first one.
    Example: `faregate account credit 1001 50.00 --reference till-7-4711`
    """
    from gateway.wallet.money import CreditOrder

    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)
    number = key or PURSES[purse]

    def put_in(shell: Shell) -> Change:
        money = shell.money
        return lambda minor: money.credit(
            do.actor, do.cause, account_id, CreditOrder(minor, number, source="cli")
        )

    do.print_change(account_id, put_in, amount)


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
    from gateway.commands.money import read_purpose

    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)
    for_what, number = read_purpose(purpose), key or PURSES[purse]
    do.print_change(
        account_id,
        lambda shell: partial(
            shell.money.pay,
            do.actor,
            do.cause,
            account_id,
            purpose=for_what,
            merchant_id=merchant,
            purse_id=number,
        ),
        amount,
    )


def adjust(
    account_id: AccountArgument,
    amount: AmountArgument,
    version: Annotated[
        int, typer.Option(min=1, help="The account's version, as `account show` has it.")
    ],
    note: Annotated[str, typer.Option(help="Why, for the audit.")],
    take: Annotated[bool, typer.Option("--take", help="Take it out instead.")] = False,
    purse: PurseOption = Purse.STORED,
    key: KeyOption = None,
    reference: ReferenceOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct a balance, when somebody else agrees; into debt if need be.

    Example: `faregate account adjust 1001 3.00 --version 12 --note "ticket 88"`
    """
    do = operate(config, replaced, operation_id, as_json, note=note, reference=reference)
    number = key or PURSES[purse]

    def correct(shell: Shell) -> Change:
        money = shell.money
        return lambda minor: money.adjust(
            do.actor,
            do.cause,
            account_id,
            -minor if take else minor,
            expected_version=version,
            purse_id=number,
        )

    do.print_change(account_id, correct, amount)


def set_limit(
    account_id: AccountArgument,
    amount: AmountArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the credit line: how far the stored value may go below 0. High ones need four eyes.

    Example: `faregate account limit 1001 20.00`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id,
        lambda shell: partial(shell.accounts.set_credit_limit, do.actor, do.cause, account_id),
        amount,
    )


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
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id,
        lambda shell: partial(shell.purses.set_tier, do.actor, do.cause, account_id, tier),
    )


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
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.print_change(
        account_id, lambda shell: partial(shell.accounts.close, do.actor, do.cause, account_id)
    )


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
