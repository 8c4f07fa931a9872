"""`faregate medium`: cards, phones and what else carries a token; tokens are printed in short."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    load_settings,
    print_result,
)
from gateway.commands.operating import Operating, operate

if TYPE_CHECKING:
    from gateway.shell import Shell
    from gateway.wallet.commands import Movement
    from gateway.wallet.media import Media, MediumState

TokenOption = Annotated[
    str | None, typer.Option("--token", metavar="HEX", help="The token: 32 hex digits.")
]
CardOption = Annotated[
    str | None,
    typer.Option(
        "--card", metavar="TEXT", help="A card's text; its token is a hash keyed by the master key."
    ),
]


class Kind(StrEnum):
    """What carries the token; as fastpath.types.MediumKind."""

    CARD = "card"
    PHONE = "phone"
    QR = "qr"
    EMV = "emv"
    WRISTBAND = "wristband"
    BLE = "ble"


class Block(StrEnum):
    """Why a medium may no longer be used."""

    LOST = "lost"
    EXPIRED = "expired"
    REPLACED = "replaced"
    DENYLISTED = "denylisted"


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Cards and other media: link, block, move, show."
    )
    group.command("link")(link)
    group.command("block")(block)
    group.command("unblock")(unblock)
    group.command("move")(move)
    group.command("show")(show)
    app.add_typer(group, name="medium", rich_help_panel="Operate")


def link(
    account_id: Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its account.")],
    token: TokenOption = None,
    card: CardOption = None,
    kind: Annotated[Kind, typer.Option(help="What carries the token.")] = Kind.CARD,
    expires: Annotated[
        str, typer.Option(metavar="DATE", help="Last valid day (UTC), as 2031-12-31.")
    ] = "",
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link a medium to an account.

    Example: `faregate medium link 1001 --card "1000 7510 0000 0001"`
    """
    expires_us = _end_of(expires)
    do = operate(config, replaced, operation_id, as_json, note=note)
    data = _token(do, token, card)
    _print(
        do,
        data,
        lambda shell: shell.media.link(
            do.actor, do.cause, account_id, data, kind=kind.value, expires_us=expires_us
        ),
    )


def block(
    state: Annotated[Block, typer.Option(help="Why.")] = Block.LOST,
    token: TokenOption = None,
    card: CardOption = None,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a medium from now on; validators get it with the next deny list.

    Example: `faregate medium block --card "1000 7510 0000 0001" --state lost`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    _set_state(do, _token(do, token, card), state.value)


def unblock(
    token: TokenOption = None,
    card: CardOption = None,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a blocked medium again.

    Example: `faregate medium unblock --card "1000 7510 0000 0001"`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    _set_state(do, _token(do, token, card), "active")


def move(
    account_id: Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Where it goes.")],
    token: TokenOption = None,
    card: CardOption = None,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a medium pay from another account of the same currency from now on.

    The rider must not be inside the gates.
    Example: `faregate medium move 1002 --card "1000 7510 0000 0001"`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    data = _token(do, token, card)
    _print(do, data, lambda shell: shell.media.move(do.actor, do.cause, account_id, data))


def show(
    token: TokenOption = None,
    card: CardOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a medium: its account, kind and state.

    Example: `faregate medium show --card "1000 7510 0000 0001"`
    """
    from gateway.bootstrap import build_control_client
    from gateway.commands.money import read_token
    from gateway.keys import short_token

    settings = load_settings(config, replaced).config
    data = read_token(settings, token, card)
    fields = build_control_client(settings).call("medium_show", {"token": data})
    print_result({"token": short_token(data)} | fields, as_json=as_json)


def _token(do: Operating, token: str | None, card: str | None) -> bytes:
    from gateway.commands.money import read_token

    return read_token(do.config, token, card)


def _set_state(do: Operating, token: bytes, state: MediumState) -> None:
    from gateway.wallet.media import Named

    async def change(shell: Shell, media: Media) -> Movement:
        shown = await shell.commands.read("medium_show", token=token)
        account_id, named = shown["account_id"], Named(token=token)
        return await media.set_state(do.actor, do.cause, account_id, named, state)

    _print(do, token, lambda shell: change(shell, shell.media))


def _print(
    do: Operating, token: bytes, work: Callable[[Shell], Coroutine[Any, Any, Movement]]
) -> None:
    """Change a medium, and show what was done; its token in short."""
    from gateway.keys import short_token

    print_result({"token": short_token(token)} | do.told(work), as_json=do.as_json)


def _end_of(day: str) -> int:
    """The instant after the last valid day; 0 = never. Raises: UsageError."""
    from gateway.commands.common import UsageError

    if not day:
        return 0
    try:
        last = datetime.combine(date.fromisoformat(day), time.max, UTC)
    except ValueError as error:
        raise UsageError(detail=f"--expires {day}: write it as 2031-12-31") from error
    return int(last.timestamp()) * 1_000_000 + 1_000_000
