"""`faregate account freeze`, `freezes` and `unfreeze`: by the services of the API."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    UsageError,
    print_result,
    print_rows,
)
from gateway.commands.operating import operate

if TYPE_CHECKING:
    from gateway.registry.actors import Actor
    from gateway.wallet.freezes import Freezes

HOUR_US = 3_600_000_000
REASON_MAX = 200


class Side(StrEnum):
    """What a freeze stops."""

    DEBIT = "debit"
    CREDIT = "credit"
    BOTH = "both"


AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
SideOption = Annotated[Side, typer.Option("--what", help="What is stopped or let go on.")]


def add_freezes(group: typer.Typer) -> None:
    """Put the commands into the group `account`."""
    for command in (freeze, freezes, unfreeze):
        group.command(command.__name__)(command)


def freeze(
    account_id: AccountArgument,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; kept with the freeze and told to the owner.")
    ],
    what: SideOption = Side.DEBIT,
    hours: Annotated[
        int, typer.Option(min=0, max=87_600, help="It ends by itself; 0 = until it is lifted.")
    ] = 0,
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop new payments (or credits) of an account. Rides already begun still post.

    Example: `faregate account freeze 1001 --reason "owner asked"`
    """
    from gateway.clock import now_us
    from gateway.wallet.freezes import FreezeOrder

    do = operate(config, replaced, operation_id, as_json)
    until_us = now_us() + hours * HOUR_US if hours else 0
    order = FreezeOrder(what.value, _reason(reason), "", until_us)
    made = do.run(lambda shell: shell.freezes.place(do.actor, do.cause, account_id, order))
    print_result(asdict(made), as_json=as_json)


def freezes(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the freezes of an account, also those that are over. With --json one line each.

    Example: `faregate account freezes 1001`
    """
    do = operate(config, replaced, None, as_json)
    found = do.run(lambda shell: shell.freezes.list(do.actor, account_id))
    names = ("freeze_id", "state", "what", "reason", "rule", "actor", "expires_us")
    print_rows([asdict(one) for one in found], names, as_json=as_json)


def unfreeze(
    account_id: AccountArgument,
    freeze_id: Annotated[
        str, typer.Option("--freeze", metavar="ID", help="Which one; needed when there are more.")
    ] = "",
    what: SideOption = Side.BOTH,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a freeze, when somebody else agrees (`faregate approval`): then the same again.

    What another freeze of the account blocks stays frozen. --what is for an account that is frozen
    without a freeze in `faregate account freezes`.
    Example: `faregate account unfreeze 1001`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)

    async def lift(freezes: Freezes) -> dict[str, Any]:
        named = freeze_id or await _only_freeze(freezes, do.actor, account_id)
        if named:
            return asdict(await freezes.lift(do.actor, do.cause, account_id, named))
        await freezes.lift_unlisted(do.actor, do.cause, account_id, what.value)
        return {"account_id": account_id, "what": what.value, "state": "lifted"}

    print_result(do.run(lambda shell: lift(shell.freezes)), as_json=as_json)


async def _only_freeze(freezes: Freezes, actor: Actor, account_id: int) -> str:
    """The one freeze in force; "" = none. Raises: UsageError: there are more."""
    found = await freezes.list(actor, account_id)
    names = [one.freeze_id for one in found if one.state == "active"]
    if len(names) > 1:
        raise UsageError(detail=f"name one with --freeze: {', '.join(names)}")
    return names[0] if names else ""


def _reason(text: str) -> str:
    if not 1 <= len(text) <= REASON_MAX or not text.isprintable():
        raise UsageError(detail=f"--reason: 1 to {REASON_MAX} characters on one line")
    return text
