"""`faregate bank`: references for transfers in, refunds to bank accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    OperationIdOption,
    SetOption,
    load_settings,
    print_result,
)

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Transfers in, refunds out.")
    group.command("reference")(reference)
    group.command("refund")(refund)
    app.add_typer(group, name="bank", rich_help_panel="Operate")


def reference(account: AccountArgument, as_json: JsonOption = False) -> None:
    """Show what a rider writes into a bank transfer to top up an account (ISO 11649).

    Example: `faregate bank reference 1001`
    """
    from adapters.funding.bank.reference import build_reference

    print_result({"account_id": account, "reference": build_reference(account)}, as_json=as_json)


def refund(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The bank, as in [adapters.NAME].")],
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="As in 12.50.")],
    to: Annotated[str, typer.Option(metavar="BANK-ACCOUNT", help="Where it goes.")],
    owner: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose that is.")] = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an amount out of an account and have the bank pay it out. What the bank refuses comes
    back to the account. `faregate adapter show KEY` tells how far it is.

    Example: `faregate bank refund city-bank 1001 12.50 --to DE89370400440532013000`
    """
    from adapters.contract import Capability, Money
    from gateway.bootstrap import build_control_client, build_registry
    from gateway.clock import format_operation_id, now_us
    from gateway.commands.common import UsageError
    from gateway.commands.money import currency_of, parse_minor, read_operation_id
    from gateway.control.client import CommandRefused
    from gateway.delivery.funding import Payout, PayoutDesk
    from gateway.delivery.kinds import load_adapter
    from gateway.delivery.sealed import CommandSealer
    from gateway.keys import load_control_secrets

    settings = load_settings(config, replaced).config
    bank = load_adapter(settings, name)
    if Capability.REFUND not in bank.adapter.info.capabilities:
        raise UsageError(detail=f"{name} pays nothing out")
    client = build_control_client(settings)
    currency = currency_of(client, account)
    payout = Payout(
        read_operation_id(operation_id),
        account,
        Money(parse_minor(amount, currency), currency),
        to,
        owner,
    )
    sealer = CommandSealer(load_control_secrets(settings).registry_keys)
    personal = bank.adapter.info.pii_fields
    desk = PayoutDesk(name, client, build_registry(settings), sealer, personal)
    reply = desk.place(payout, now_us())
    if not reply.ok:
        raise CommandRefused(reply)
    shown = format_operation_id(payout.operation_id)
    result = {"operation_id": shown, "key": payout.key, "amount_minor": payout.money.amount_minor}
    print_result(result | {"balance_minor": reply.result["balance_minor"]}, as_json=as_json)
