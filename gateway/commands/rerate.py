"""`faregate rerate` and `faregate journey`: fares priced again from history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_table,
)
from gateway.commands.spans import read_from

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.rerating.show import Explain

COLUMNS = ("at_us", "kind", "stop", "charged_minor", "fare_minor", "rules")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Late and undone taps: price history again.")
    group.command("show")(show)
    group.command("run")(run)
    group.command("waiting")(waiting)
    app.add_typer(group, name="rerate", rich_help_panel="Operate")
    journeys = typer.Typer(no_args_is_help=True, help="Incomplete journeys: list, complete later.")
    journeys.command("list")(list_journeys)
    journeys.command("complete")(complete)
    app.add_typer(journeys, name="journey", rich_help_panel="Operate")


def show(
    account_id: AccountArgument,
    since: Annotated[
        str, typer.Option("--from", metavar="WHEN", help="Price again from here, if it is earlier.")
    ] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what pricing an account again would change, and why; nothing is done.

    Example: `faregate rerate show 1001 --json`
    """
    from gateway.rerating.show import describe_plan

    settings = load_settings(config, replaced).config
    since_us = read_from(since) or None
    plan = _rerater(settings).plan(account_id, since_us=since_us)
    _print_changes(describe_plan(plan, _explainer(settings)), as_json=as_json)


def run(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price an account again now and charge or give back the difference. Twice does no harm.

    Example: `faregate rerate run 1001`
    """
    from gateway.rerating.show import describe_result

    settings = load_settings(config, replaced).config
    result = _rerater(settings).run(account_id)
    _print_changes(describe_result(result, _explainer(settings)), as_json=as_json)


def waiting(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """How far the worker has come, which accounts wait, and which could not be priced.

    Example: `faregate rerate waiting`
    """
    from gateway.rerating.follow import load_waiting

    folder = load_settings(config, replaced).config.gateway.data_dir
    found = load_waiting(folder / "rerating.json")
    fields = {"cursor": found.cursor, "pending": sorted(found.pending), "failed": found.failed}
    print_result(fields, as_json=as_json)


def list_journeys(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List journeys that can still be completed, with what they were charged.

    Example: `faregate journey list 1001`
    """
    from gateway.rerating.show import describe_incomplete

    completer = _completer(load_settings(config, replaced).config)
    found = [describe_incomplete(one) for one in completer.list_incomplete(account_id)]
    if as_json:
        print_json({"account_id": account_id, "journeys": found})
        return
    columns = ("position", "missing", "stop", "at_us", "charged_minor", "is_open")
    print_table(columns, [[one[name] for name in columns] for one in found])


def complete(
    account_id: AccountArgument,
    position: Annotated[int, typer.Argument(min=1, help="As `faregate journey list` prints it.")],
    stop: Annotated[int, typer.Argument(min=1, help="Stop where it began or ended.")],
    at: Annotated[
        str,
        typer.Option(metavar="WHEN", help="When, as 2026-12-01T08:30:00+08:00; else half an hour."),
    ] = "",
    desk: Annotated[bool, typer.Option("--desk", help="Said at a service desk.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Complete a journey: say where it began or ended; what was charged too much goes back.

    Example: `faregate journey complete 1001 73728 119 --at 2026-12-01T08:30:00+08:00`
    """
    from gateway.rerating.show import describe_result

    settings = load_settings(config, replaced).config
    at_us = read_from(at, "--at") or None
    result = _completer(settings).complete(account_id, position, stop, at_us=at_us, by_desk=desk)
    _print_changes(describe_result(result, _explainer(settings)), as_json=as_json)


def _print_changes(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(said)
        return
    changed: list[dict[str, Any]] = said.pop("changed", [])
    print_fields(said)
    if changed:
        print_table(COLUMNS, [[one[name] for name in COLUMNS] for one in changed])
    for one in changed:
        for note in one.get("why", ()):
            where = f"  [{note['file']}:{note['line']} {note['key']}]" if note["line"] else ""
            typer.echo(f"{one['at_us']}: {note['en']} {note['zh']}{where}")


def _rerater(settings: Config) -> Any:
    from gateway.bootstrap import build_control_client
    from gateway.rerating.build import build_rerater

    return build_rerater(settings, build_control_client(settings))


def _completer(settings: Config) -> Any:
    from gateway.bootstrap import build_control_client
    from gateway.rerating.build import build_completer

    return build_completer(settings, build_control_client(settings))


def _explainer(settings: Config) -> Explain:
    from gateway.resources import calendar_dirs, list_tariffs
    from gateway.tariffs.explain_record import RecordExplainer

    explainer = RecordExplainer(list_tariffs(settings.tariffs), calendar_dirs(settings.tariffs))
    return lambda made: [
        note.as_dict()
        for note in explainer.explain(rules=made.rules, acts=made.acts, tariff_key=made.tariff_key)
    ]
