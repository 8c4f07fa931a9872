"""`faregate tariff`: which tariffs there are, what they say, whether they are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    JsonOption,
    print_json,
    print_result,
    print_table,
)

if TYPE_CHECKING:
    from gateway.config import TariffsConfig
    from gateway.tariffs.loaded import LoadedTariff

NameArgument = Annotated[str, typer.Argument(metavar="TARIFF", help="Tariff id or file.")]
DirOption = Annotated[
    list[Path] | None,
    typer.Option("--dir", help="Folder of tariffs, before those that come with faregate."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Tariffs: list, show, check, compile.")
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("check")(check)
    group.command("compile")(compile_one)
    app.add_typer(group, name="tariff", rich_help_panel="Fares")


def load_named(name: str, folders: list[Path] | None) -> LoadedTariff:
    """A tariff by id or file. Raises: TariffError."""
    from gateway.resources import calendar_dirs, find_tariff
    from gateway.tariffs.loaded import load

    config = _tariffs_config(folders)
    return load(find_tariff(name, config), calendars=calendar_dirs(config))


def list_all(folders: DirOption = None, as_json: JsonOption = False) -> None:
    """List the tariffs that can be found.

    Example: `faregate tariff list`
    """
    from gateway.resources import list_tariffs

    rows = [_summary(load_named(str(path), folders)) for path in _paths(list_tariffs, folders)]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        columns = ("tariff", "version", "valid_from", "currency", "stations", "file")
        print_table(columns, [[row[column] for column in columns] for row in rows])


def show(name: NameArgument, folders: DirOption = None, as_json: JsonOption = False) -> None:
    """Show a tariff: validity, network, rules, sources and assumptions.

    Example: `faregate tariff show beijing-subway`
    """
    tariff = load_named(name, folders)
    source = tariff.source
    details = {
        "zone": str(source.zone),
        "lines": len(source.network.lines),
        "examples": len(source.examples),
        "sources": [str(note) for note in source.sources],
        "assumptions": [str(note) for note in source.assumptions],
    }
    print_result(_summary(tariff) | details, as_json=as_json)


def check(name: NameArgument, folders: DirOption = None, as_json: JsonOption = False) -> None:
    """Check a tariff file and run its example journeys. Exit 1 with all findings.

    Example: `faregate tariff check my-tariff.toml`
    """
    from gateway.errors import TariffError
    from gateway.tariffs.check import check_tariff

    tariff = load_named(name, folders)
    report = check_tariff(tariff)
    if report.findings:
        raise TariffError(findings=[str(finding) for finding in report.findings])
    print_result(_summary(tariff) | {"examples_passed": report.passed}, as_json=as_json)


def compile_one(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the compiled blob.")
    ] = None,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a tariff to the tables the engine uses; print its digest and key.

    Example: `faregate tariff compile beijing-subway --out beijing.ftb`
    """
    from fastpath.api import CompiledTariff

    tariff = load_named(name, folders)
    compiled = CompiledTariff.build(tariff.spec)
    if out is not None:
        out.write_bytes(compiled.blob)
    fields = {
        "digest": compiled.digest.hex(),
        "key": f"{int.from_bytes(compiled.digest[:8], 'little'):016x}",
        "bytes": len(compiled.blob),
        "stops": len(tariff.spec.stop_ids),
        "file": str(out or ""),
    }
    print_result(_summary(tariff) | fields, as_json=as_json)


def _tariffs_config(folders: list[Path] | None) -> TariffsConfig:
    from gateway.config import TariffsConfig

    return TariffsConfig(dirs=tuple(folders or ()))


def _paths(list_tariffs: Any, folders: list[Path] | None) -> list[Path]:
    return [path for _, path in sorted(list_tariffs(_tariffs_config(folders)).items())]


def _summary(tariff: LoadedTariff) -> dict[str, Any]:
    source = tariff.source
    return {
        "tariff": source.tariff_id,
        "version": source.version,
        "title": source.title,
        "valid_from": str(source.valid_from),
        "currency": source.currency.code,
        "stations": len(source.network.stations),
        "file": str(tariff.path),
    }
