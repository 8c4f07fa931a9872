"""`faregate account merge`: one account goes into another, by the services of the API."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    build_actor,
    load_settings,
    print_result,
)

FromAccount = Annotated[int, typer.Argument(metavar="FROM", min=1, help="Its number.")]
ToAccount = Annotated[int, typer.Argument(metavar="TO", min=1, help="Its number.")]
TokensOption = Annotated[
    list[str] | None,
    typer.Option("--token", metavar="HEX", help="A medium that moves; may be repeated."),
]


def add_merge(group: typer.Typer) -> None:
    """`faregate account merge`."""
    group.command("merge")(merge)


def merge(
    from_account: FromAccount,
    to_account: ToAccount,
    token: TokensOption = None,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move all money and the named media of one account to another, and close it. What cannot go
    along is said before anything moves; what is refused on the way is undone.

    Example: `faregate account merge 1001 1002 --token 0123456789abcdef0123456789abcdef`
    """
    from gateway.apiplane import build_merging
    from gateway.bootstrap import build_access
    from gateway.commands.common import UsageError
    from gateway.commands.money import read_operation_id
    from gateway.wallet.commands import Cause
    from gateway.wallet.merges import Merge, MergeOrder

    settings = load_settings(config, replaced).config
    try:
        order = MergeOrder(from_account, to_account, [bytes.fromhex(one) for one in token or ()])
    except ValueError as error:
        raise UsageError(detail=f"--token: {error}") from error
    cause = Cause(read_operation_id(operation_id), note=note)

    merges, close = build_merging(settings, build_access(settings))
    actor = build_actor()

    async def run() -> Merge:
        try:
            return await merges.start(actor, cause, order)
        finally:
            await close()

    print_result(asdict(asyncio.run(run())), as_json=as_json)
