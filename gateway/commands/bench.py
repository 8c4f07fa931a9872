"""`faregate bench`: how fast this machine is with this gateway."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    parse_flags,
    print_json,
    say,
)


class Mac(StrEnum):
    """Algorithms of the link's tags."""

    BLAKE2B = "blake2b"
    HMAC_SHA256 = "hmac-sha256"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Load a gateway, and measure it.")
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
    poisson: Annotated[bool, typer.Option("--poisson", help="With --rate: random gaps.")] = False,
    pipeline: Annotated[int, typer.Option(min=1, help="Frames in flight a connection.")] = 1,
    mac: Annotated[Mac, typer.Option(help="Algorithm of the tags.")] = Mac.BLAKE2B,
    verify_every: Annotated[
        int, typer.Option(min=0, help="Check the tag of every n-th answer; 0 = of none.")
    ] = 1,
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

    Starts a gateway of its own, or loads the running one that --config names. Exit status 1 when a
    tap was lost, taken twice or answered wrongly.

    Example: `faregate bench link --connections 50 --accounts 100000 --seconds 10`
    """
    from gateway.bench.link import is_sound, run
    from gateway.bench.options import BenchOptions
    from gateway.bench.report import print_report

    options = BenchOptions(
        connections=connections,
        accounts=accounts,
        seconds=seconds,
        warmup_s=warmup,
        batch=batch,
        rate=rate,
        poisson=poisson,
        pipeline=pipeline,
        mac=str(mac),
        verify_every=verify_every,
        tariff=tariff,
        folder=folder,
        keep=keep,
        pin=pin,
        config=config,
        settings=tuple(parse_flags(replaced).items()),
    )
    result = run(options, say)
    if as_json:
        print_json(result)
    else:
        print_report(result)
    if not is_sound(result):
        raise typer.Exit(EXIT_FINDINGS)
