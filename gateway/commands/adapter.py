"""`faregate adapter`: peers, what waits for them, what died, what they told us."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    build_actor,
    load_settings,
    print_json,
    print_result,
    print_rows,
    print_table,
)

if TYPE_CHECKING:
    from adapters.contract import CheckResult
    from gateway.config import Config
    from gateway.delivery.kinds import Configured

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As in [adapters.NAME].")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key of a command to a peer.")]
MessageArgument = Annotated[
    str, typer.Argument(metavar="MESSAGE", help="Id of the message, as `held` shows it.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Peers: check, test, hand in files, dead letters, held events."
    )
    group.command("list")(list_adapters)
    group.command("check")(check)
    group.command("test")(try_kit)
    group.command("dead")(dead)
    group.command("show")(show)
    group.command("replay")(replay)
    group.command("take")(take)
    group.command("held")(held)
    group.command("decide")(decide)
    app.add_typer(group, name="adapter", rich_help_panel="Operate")


def list_adapters(
    kinds: Annotated[
        bool, typer.Option("--kinds", help="The kinds there are, in place of those configured.")
    ] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the configured adapters with their queues. With --json one line each.

    Example: `faregate adapter list`
    """
    from gateway.delivery.kinds import list_kinds, load_adapters

    if kinds:
        rows = [{"kind": kind, "place": place} for kind, place in list_kinds().items()]
    else:
        settings = load_settings(config, replaced).config
        rows = _rows(settings, list(load_adapters(settings).values()))
    print_rows(rows, list(rows[0]) if rows else ["adapter"], as_json=as_json)


def _rows(settings: Config, configured: list[Configured]) -> list[dict[str, Any]]:
    from gateway.bootstrap import build_registry
    from gateway.delivery.inbox import Inbox
    from gateway.delivery.outbox import Outbox
    from gateway.observability.worker_page import read_page

    registry = build_registry(settings)
    view = read_page(settings.worker_page_path)
    jobs = view.jobs if view is not None and view.writer_lives() else {}
    rows = []
    for one in configured:
        relay = jobs.get(f"relay-{one.name}", {})
        rows.append(
            {
                "adapter": one.name,
                "kind": one.kind,
                "domain": one.adapter.info.domain.value,
                "state": relay.get("state", "not running"),
                "breaker": relay.get("breaker", "-"),
                "commands": Outbox(registry).count(one.name),
                "events": Inbox(registry).count(one.name),
            }
        )
    return rows


def check(
    name: NameArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the connection to a peer without writing anything there. Exit 1 when it is not ok.

    Example: `faregate adapter check city-bank`
    """
    from gateway.delivery.kinds import load_adapter

    one = load_adapter(load_settings(config, replaced).config, name)
    result = asyncio.run(_check(one))
    print_result(
        {
            "adapter": name,
            "status": result.status.value,
            "detail": result.detail,
            "latency_us": result.latency_us,
            "peer_version": result.peer_version,
            "clock_offset_us": result.clock_offset_us,
        },
        as_json=as_json,
    )
    raise typer.Exit(0 if result.status.value == "ok" else EXIT_FINDINGS)


async def _check(one: Configured) -> CheckResult:
    from adapters.contract import CheckResult, CheckStatus, Context
    from adapters.errors import AdapterError
    from gateway.clock import now_us

    adapter = one.adapter
    try:
        await adapter.open(Context(one.name, now_us, lambda *_: None))
        return await adapter.check()
    except AdapterError as error:
        return CheckResult(CheckStatus.MISCONFIGURED, error.detail)
    finally:
        await adapter.close()


def try_kit(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A kind (`adapter list --kinds`), or as configured."),
    ],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the conformance kit on an adapter, against its simulator: no peer is asked. Exit 1 on a
    failure.

    Example: `faregate adapter test bank`
    """
    from adapters.testing.kit import run_all
    from gateway.delivery.kinds import list_kinds, load_adapter, load_bench

    kind = name
    if name not in list_kinds():
        kind = load_adapter(load_settings(config, replaced).config, name).kind
    results = asyncio.run(run_all(load_bench(kind)))
    if as_json:
        for one in results:
            print_json({"check": one.name, "verdict": one.verdict, "why": one.why})
    else:
        print_table(
            ("check", "", "why"),
            [(one.name.replace("_", " "), one.verdict, one.why) for one in results],
        )
    failed = any(one.verdict == "failed" for one in results)
    raise typer.Exit(EXIT_FINDINGS if failed else 0)


def dead(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of this adapter only.")
    ] = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters: commands nobody tries any more, and why. With --json one line each.

    Example: `faregate adapter dead city-bank`
    """
    rows = _outbox(load_settings(config, replaced).config).list_dead(name)
    print_rows(rows, ("key", "adapter", "attempts", "created_us", "last_error"), as_json=as_json)


def show(
    key: KeyArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a command to a peer stands, and what came back. Not what it says.

    Example: `faregate adapter show funding:refund:0192f3c4`
    """
    print_result(_outbox(load_settings(config, replaced).config).show(key), as_json=as_json)


def replay(
    key: KeyArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a dead letter up again. The peer is asked about it first, then told if it never came.

    Example: `faregate adapter replay funding:refund:0192f3c4`
    """
    from gateway.bootstrap import build_note
    from gateway.clock import now_us

    outbox = _outbox(load_settings(config, replaced).config)
    outbox.replay(key, now_us(), build_note(build_actor().subject))
    print_result(outbox.show(key), as_json=as_json)


def take(
    name: NameArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="As it came.")
    ],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in a file of a peer (a bank's statement). Handed in twice it has its effect once.

    Example: `faregate adapter take city-bank statement-2026-11-28.csv`
    """
    from gateway.bootstrap import build_registry
    from gateway.clock import now_us
    from gateway.delivery.kinds import load_adapter
    from gateway.delivery.receive import Letterbox

    settings = load_settings(config, replaced).config
    one = load_adapter(settings, name)
    found = Letterbox(build_registry(settings)).hand_in(one, file.read_bytes(), now_us())
    print_result(
        {"file": str(file), "result": found.result.value, "events": found.events, **found.words},
        as_json=as_json,
    )
    raise typer.Exit(0 if found.result.value == "accepted" else EXIT_FINDINGS)


def held(
    name: NameArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what a peer told us that waits for a decision, and why. With --json one line each.

    Example: `faregate adapter held city-bank`
    """
    from gateway.bootstrap import build_registry
    from gateway.delivery.inbox import Inbox, Stored

    inbox = Inbox(build_registry(load_settings(config, replaced).config))
    states = (Stored.HELD, Stored.EXPIRED, Stored.PARKED, Stored.CONFLICT)
    columns = ("message_id", "kind", "state", "reason", "amount_minor", "reference", "received_us")
    print_rows(inbox.list_events(name, *states), columns, as_json=as_json)


def decide(
    name: NameArgument,
    message: MessageArgument,
    account: Annotated[
        int | None, typer.Option(min=1, metavar="ACCOUNT", help="It belongs to this account.")
    ] = None,
    ignore: Annotated[
        bool, typer.Option("--ignore", help="It needs nothing here: settled in another way.")
    ] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide an event that is held: name its account, ignore it, or (with neither) try it again.

    Example: `faregate adapter decide city-bank E-20261128-17 --account 1001`
    """
    from gateway.bootstrap import build_note, build_registry
    from gateway.clock import now_us
    from gateway.commands.common import UsageError
    from gateway.delivery.inbox import Inbox

    if account is not None and ignore:
        raise UsageError(detail="--account and --ignore exclude each other")
    decision: dict[str, Any] = {"account_id": account} if account is not None else {}
    if ignore:
        decision["ignore"] = True
    inbox = Inbox(build_registry(load_settings(config, replaced).config))
    inbox.decide(name, message, decision, now_us(), build_note(build_actor().subject))
    print_result({"message_id": message, "state": "stored", **decision}, as_json=as_json)


def _outbox(settings: Config) -> Any:
    from gateway.bootstrap import build_registry
    from gateway.delivery.outbox import Outbox

    return Outbox(build_registry(settings))
