"""`faregate bench`: how fast this machine is with this gateway."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    parse_flags,
    print_result,
    say,
)


class Mac(StrEnum):
    """Algorithms of the link's tags."""

    BLAKE2B = "blake2b"
    HMAC_SHA256 = "hmac-sha256"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Measure.")
    group.command("link")(link)
    app.add_typer(group, name="bench", rich_help_panel="Run")


def link(
    connections: Annotated[int, typer.Option(min=1, help="Validators at once.")] = 50,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts, touched at random.")] = 1_000_000,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that.")] = 2.0,
    batch: Annotated[int, typer.Option(min=0, help="Taps in a tap_batch; 0 = tap frames.")] = 0,
    rate: Annotated[
        float, typer.Option(min=0, help="Taps a second on a schedule; 0 = as fast as answered.")
    ] = 0.0,
    pipeline: Annotated[int, typer.Option(min=1, help="Frames in flight a connection.")] = 1,
    mac: Annotated[Mac, typer.Option(help="Algorithm of the tags.")] = Mac.BLAKE2B,
    tariff: Annotated[str, typer.Option(help="Tariff id.")] = "beijing-subway",
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where its data lies, on a disk.")
    ] = Path("var"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data folder behind.")] = False,
    pin: Annotated[bool, typer.Option(help="Client and gateway on cores of their own.")] = True,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a gateway over the real link, MACs on and journal on disk, and check every answer.

    Example: `faregate bench link --connections 50 --accounts 100000 --seconds 10`
    """
    from gateway.bench.link import run
    from gateway.bench.options import BenchOptions

    options = BenchOptions(
        connections=connections,
        accounts=accounts,
        seconds=seconds,
        warmup_s=warmup,
        batch=batch,
        rate=rate,
        pipeline=pipeline,
        mac=str(mac),
        tariff=tariff,
        folder=folder,
        keep=keep,
        pin=pin,
        config=config,
        settings=tuple(parse_flags(replaced).items()),
    )
    print_result(run(options, say), as_json=as_json)
