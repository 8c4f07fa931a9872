"""`faregate tariff`: which tariffs there are, what they say, whether they are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_rows,
    print_table,
)
from gateway.commands.gtfs import import_feed
from gateway.errors import TariffError

if TYPE_CHECKING:
    from gateway.config import TariffsConfig
    from gateway.tariffs.diff import TariffDiff
    from gateway.tariffs.gtfs.loaded import LoadedFeed
    from gateway.tariffs.loaded import LoadedTariff

NameArgument = Annotated[str, typer.Argument(metavar="TARIFF", help="Tariff id or file.")]
DirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Folder of tariffs, before those that come with faregate.",
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Tariffs: list, show, check, compile, load; feeds; what a new version changes.",
    )
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("check")(check)
    group.command("compile")(compile_one)
    group.command("load")(load_live)
    group.command("import-gtfs")(import_feed)
    group.command("diff")(diff)
    app.add_typer(group, name="tariff", rich_help_panel="Fares")


def load_named(name: str, folders: list[Path] | None) -> LoadedTariff:
    """A tariff by id or file. Raises: TariffError."""
    from gateway.resources import calendar_dirs, find_tariff
    from gateway.tariffs.gtfs.register import is_feed_file
    from gateway.tariffs.loaded import load

    config = _config(folders)
    path = find_tariff(name, config)
    if is_feed_file(path):
        hint = "`faregate quote --feed` prices journeys on it, `faregate tariff check` checks it"
        raise TariffError("TARIFF_FEED", f"{path.name} is a GTFS feed", hint)
    return load(path, calendars=calendar_dirs(config))


def list_all(folders: DirOption = None, as_json: JsonOption = False) -> None:
    """List the tariffs that can be found; with --json one line each.

    Example: `faregate tariff list`
    """
    from gateway.resources import calendar_dirs, list_tariffs
    from gateway.tariffs.catalogue import list_tariffs as describe

    config = _config(folders)
    rows = describe(list_tariffs(config), calendars=calendar_dirs(config))
    columns = ("name", "version", "valid_from", "currency", "stations", "file")
    print_rows(rows, columns, as_json=as_json, missing="faulty")


def show(
    name: NameArgument,
    stations: Annotated[bool, typer.Option("--stations", help="List the stations too.")] = False,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a tariff: validity, lines, fares, rules, sources and assumptions.

    Example: `faregate tariff show beijing-subway --stations`
    """
    from gateway.tariffs.catalogue import show_tariff

    fields = show_tariff(load_named(name, folders), stations=stations)
    if as_json:
        print_json(fields)
        return
    lists: dict[str, Any] = {key: value for key, value in fields.items() if _is_table(value)}
    print_fields({key: value for key, value in fields.items() if key not in lists})
    for key, rows in lists.items():
        typer.echo(f"\n{key}")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        print_table(columns, [[row.get(column) for column in columns] for row in rows])


def check(name: NameArgument, folders: DirOption = None, as_json: JsonOption = False) -> None:
    """Check a tariff file, compile it, and run its example journeys. Exit 1 with all findings.

    Example: `faregate tariff check my-tariff.toml`
    """
    from gateway.resources import calendar_dirs, find_tariff
    from gateway.tariffs.catalogue import check_tariff

    config = _config(folders)
    report = check_tariff(find_tariff(name, config), calendars=calendar_dirs(config))
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if not report["ok"]:
        raise typer.Exit(EXIT_FINDINGS)


def compile_one(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the compiled tariff.")
    ] = None,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a tariff to the tables the engine uses; print its digest and key.

    Example: `faregate tariff compile beijing-subway --out beijing-subway.fgt`
    """
    from fastpath.api import CompiledTariff
    from gateway.tariffs.catalogue import compile_summary

    tariff = load_named(name, folders)
    compiled = CompiledTariff.build(tariff.spec)
    if out is not None:
        out.write_bytes(compiled.blob)
    fields = {
        "digest": compiled.digest.hex(),
        "key": f"{int.from_bytes(compiled.digest[:8], 'little'):016x}",
        "bytes": len(compiled.blob),
        "out": str(out or ""),
    }
    print_result(compile_summary(tariff) | fields, as_json=as_json)


def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="Tariff id or file, or a GTFS folder or zip file.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, of the same kind.")],
    journeys: Annotated[
        Path | None,
        typer.Option("--journeys", metavar="FILE", help="Journeys (JSON) to price; - = stdin."),
    ] = None,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which journeys change price when a new version comes, and which rules (of a feed: rows
    of its tables) differ. Exit 1 when a price changes. Without --journeys rides between all stops
    are made up, or a sample; journeys on feeds are those of `faregate quote --feed`.

    Example: `faregate tariff diff city/2025.toml city/2026.toml --journeys commuters.json`
    """
    from gateway.commands.quote import read_json

    data = None if journeys is None else read_json(journeys)
    found = _compare(old, new, folders, data)
    if as_json:
        print_json(found.as_dict())
    else:
        _print_diff(found)
    if found.journeys:
        raise typer.Exit(EXIT_FINDINGS)


def _compare(old: str, new: str, folders: list[Path] | None, data: object) -> TariffDiff:
    from gateway.tariffs.diff import diff_tariffs

    feeds = _find_feed(old, folders), _find_feed(new, folders)
    if feeds[0] is not None and feeds[1] is not None:
        from gateway.tariffs.gtfs.diff import diff_feeds

        return diff_feeds(feeds[0], feeds[1], data)
    if feeds != (None, None):
        raise UsageError(detail="a feed and a tariff file: give two of one kind")
    return diff_tariffs(load_named(old, folders), load_named(new, folders), data)


def _find_feed(name: str, folders: list[Path] | None) -> LoadedFeed | None:
    """A feed: a folder, a zip file, or a registered one; None = not a feed."""
    from gateway.resources import find_tariff
    from gateway.tariffs.gtfs.loaded import load
    from gateway.tariffs.gtfs.register import is_feed_file, load_registered

    path = Path(name)
    if path.is_dir() or path.suffix == ".zip":
        return load(path)
    path = find_tariff(name, _config(folders))
    return load_registered(path) if is_feed_file(path) else None


def _print_diff(found: TariffDiff) -> None:
    rows = [(one.journey_id, one.before, one.after, one.reason) for one in found.journeys]
    if rows:
        print_table(("journey", "before", "after", "why not"), rows)
    part = "" if found.is_complete else " (a sample)"
    typer.echo(f"{len(rows)} of {found.compared} journeys{part} change price")
    if found.rules:
        columns = ("rule", "before", "line", "after", "line")
        print_table(
            columns,
            [
                (one.key, one.before, one.before_line, one.after, one.after_line)
                for one in found.rules
            ],
        )


def load_live(
    name: NameArgument,
    slot: Annotated[int, typer.Option(min=0, max=15, help="Slot of the validators it is for.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a tariff version into the running gateway; it prices rides from its `valid_from` on.

    Journeys that are open keep the version of their entry. To have it after a restart too, put its
    file where the settings look for tariffs.

    Example: `faregate tariff load city/beijing-subway.toml --slot 1`
    """
    from gateway.bootstrap import build_control_client, keep_tariff

    settings = load_settings(config, replaced).config
    compiled = keep_tariff(settings, slot, name)
    args = {"slot": slot, "digest": compiled.digest.hex()}
    print_result(build_control_client(settings).call("tariff_load", args), as_json=as_json)


def _config(folders: list[Path] | None) -> TariffsConfig:
    from gateway.config import TariffsConfig

    return TariffsConfig(dirs=tuple(folders or ()))


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _print_report(report: dict[str, Any]) -> None:
    texts = ("findings", "warnings")
    print_fields({name: value for name, value in report.items() if name not in texts})
    for name in texts:
        for line in report[name]:
            typer.echo(f"{name.removesuffix('s')}: {line}")
