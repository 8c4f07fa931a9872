"""`faregate bank`: references for transfers in, refunds to bank accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    OperationIdOption,
    SetOption,
    load_settings,
    print_result,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.registry.actors import Actor
    from gateway.wallet.payouts import Payout, Payouts


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Transfers in, refunds out.")
    group.command("reference")(reference)
    group.command("refund")(refund)
    group.command("payout")(payout)
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
    """Have a bank pay out of an account's own money, when somebody else agrees. What the bank
    refuses comes back to the account. `faregate bank payout ID` tells how far it is.

    Example: `faregate bank refund city-bank 1001 12.50 --to DE89370400440532013000`
    """
    from gateway.bootstrap import build_control_client
    from gateway.commands.money import currency_of, parse_minor, read_operation_id
    from gateway.delivery.kinds import load_adapter
    from gateway.wallet.commands import Cause
    from gateway.wallet.payouts import PayoutOrder

    settings = load_settings(config, replaced).config
    load_adapter(settings, name)
    minor = parse_minor(amount, currency_of(build_control_client(settings), account))
    order = PayoutOrder(account, minor, name, to, owner)
    cause = Cause(read_operation_id(operation_id))

    async def place(payouts: Payouts, actor: Actor) -> Payout:
        return await payouts.place(actor, cause, order)

    print_result(_with_payouts(settings, place), as_json=as_json)


def payout(
    payout_id: Annotated[str, typer.Argument(metavar="ID", help="As `bank refund` printed it.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how far a payout has come.

    Example: `faregate bank payout 01993b2a-5f40-7000-8000-00000000abcd`
    """
    settings = load_settings(config, replaced).config

    async def get(payouts: Payouts, actor: Actor) -> Payout:
        return await payouts.get(actor, payout_id)

    print_result(_with_payouts(settings, get), as_json=as_json)


def _with_payouts(
    settings: Config, ask: Callable[[Payouts, Actor], Awaitable[Payout]]
) -> dict[str, object]:
    """What a service says about a payout, by the name of the payout."""
    from gateway.apiplane import build_payouts
    from gateway.bootstrap import build_access
    from gateway.commands.common import build_actor

    payouts, close = build_payouts(settings, build_access(settings))
    actor = build_actor()

    async def run() -> Payout:
        try:
            return await ask(payouts, actor)
        finally:
            await close()

    return asdict(asyncio.run(run()))
