"""`faregate limits`: what accounts of which identity tier may spend and hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_rows,
    print_table,
)

if TYPE_CHECKING:
    from gateway.config import LimitsConfig

NameArgument = Annotated[str, typer.Argument(metavar="LIMITS", help="Name of limits, or a file.")]
DirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Folder of limits, before those that come with faregate.",
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Limits of identity tiers: list, show, check, load."
    )
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("check")(check)
    group.command("load")(load_live)
    app.add_typer(group, name="limits", rich_help_panel="Fares")


def list_all(folders: DirOption = None, as_json: JsonOption = False) -> None:
    """List the files of limits that can be found; with --json one line each.

    Example: `faregate limits list`
    """
    from gateway.limits.catalogue import list_limits as describe
    from gateway.resources import list_limits

    rows = describe(list_limits(_config(folders)))
    columns = ("id", "version", "currency", "tiers", "profiles", "file")
    print_rows(rows, columns, as_json=as_json, missing="faulty")


def show(name: NameArgument, folders: DirOption = None, as_json: JsonOption = False) -> None:
    """Show limits: tiers, dated profiles, sources, assumptions. Exit 1 with all faults.

    Example: `faregate limits show e-cny`
    """
    from gateway.limits.catalogue import show_limits
    from gateway.limits.load import load_limits
    from gateway.resources import find_limits

    fields = show_limits(load_limits(find_limits(name, _config(folders))))
    if as_json:
        print_json(fields)
        return
    lists: dict[str, Any] = {key: value for key, value in fields.items() if isinstance(value, list)}
    print_fields({key: value for key, value in fields.items() if key not in lists})
    for key, rows in lists.items():
        typer.echo(f"\n{key}")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        print_table(columns, [[row.get(column) for column in columns] for row in rows])


def check(name: NameArgument, folders: DirOption = None, as_json: JsonOption = False) -> None:
    """Check a file of limits and run its examples. Exit 1 with all findings.

    Example: `faregate limits check my-limits.toml`
    """
    from gateway.limits.catalogue import check_limits
    from gateway.resources import find_limits

    report = check_limits(find_limits(name, _config(folders)))
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if not report["ok"]:
        raise typer.Exit(EXIT_FINDINGS)


def load_live(
    name: NameArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring limits into the running gateway in place of those it has.

    Decisions from the next group on use them, and the journal says so. To have them after a restart
    too, name them in `limits.profile`. `faregate limits load none` takes all limits away.

    Example: `faregate limits load city/e-cny.toml`
    """
    from gateway.bootstrap import build_control_client, keep_limits

    settings = load_settings(config, replaced).config
    digest = "" if name == "none" else keep_limits(settings, name).digest.hex()
    client = build_control_client(settings)
    print_result(client.call("limits_load", {"digest": digest}), as_json=as_json)


def _config(folders: list[Path] | None) -> LimitsConfig:
    from gateway.config import LimitsConfig

    return LimitsConfig(dirs=tuple(folders or ()))


def _print_report(report: dict[str, Any]) -> None:
    texts = ("findings", "warnings")
    print_fields({name: value for name, value in report.items() if name not in texts})
    for name in texts:
        for line in report[name]:
            typer.echo(f"{name.removesuffix('s')}: {line}")
