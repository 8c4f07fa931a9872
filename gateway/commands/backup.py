"""`faregate backup`, `faregate restore` and the drill of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    build_actor,
    load_settings,
    print_result,
    say,
)


def register(app: typer.Typer) -> None:
    app.command("backup", rich_help_panel="Look after")(backup)
    app.command("restore", rich_help_panel="Look after")(restore)
    app.command("drill", rich_help_panel="Look after")(drill)


def backup(
    target: Annotated[Path, typer.Argument(metavar="DEST", help="A new or empty folder.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything but the secrets, while the gateway runs. Keep the secrets apart.

    A registry in PostgreSQL goes into the backup as a file, copied from one state and compared.
    Example: `faregate backup /mnt/backup/2026-11-23`
    """
    from gateway.backup import make_backup

    manifest = make_backup(load_settings(config, replaced), target)
    print_result({"backup": str(target), **manifest.summary()}, as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A backup.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="NEW", help="A new or empty folder.")],
    secrets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder with the secrets (*.key) to copy."),
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="INSTANT", help="Take it back to then: 2026-11-23T08:00+08:00.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check a backup from end to end and lay it out as a new data folder.

    Its registry is a file. To have it in PostgreSQL, name an empty database in registry.url of the
    new settings, then `faregate registry load`.
    Example: `faregate restore /mnt/backup/2026-11-23 --dir metro2 --secrets metro/secrets`
    """
    from gateway.backup import restore_backup

    until_us = _instant(until) if until else None
    actor = build_actor().subject
    done = restore_backup(source, folder, secrets=secrets, until_us=until_us, actor=actor)
    fields = {"config": str(folder / "gateway.toml"), **done.manifest.summary()}
    if done.point is not None:
        fields |= {"taken_back": done.point.as_dict()}
    if done.fitted is not None:
        fields |= {"fitted": done.fitted.as_dict()}
    print_result(fields, as_json=as_json)
    if done.fitted is None:
        say("there is no registry in this backup; if it was in PostgreSQL, restore its pg_dump,")
        say(f"name that database in registry.url of {folder}/gateway.toml,")
        say("then, before serving: faregate registry fit, with that configuration")
    elif done.fitted.again.torn:
        say(f"{done.fitted.again.torn} merges were being undone, and are stopped: compare their")
        say("accounts (`not_in_journal`)")
    for setting, path in done.missing:
        say(f"{setting} names {path}, which is not here: bring that file along")
    if secrets is None:
        say(f"put the secrets (*.key) into {folder / 'secrets'} (mode 0600) before serving")


def drill(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="NEW", help="Keep everything here; else a temporary folder."),
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="INSTANT", help="Also take it back to then, as with restore.")
    ] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the running gateway, restore it elsewhere, and compare journal, registry and ledger.
    Without --dir that is in the data folder, and goes when it is over. A registry in PostgreSQL is
    restored as a file; a ledger there is built anew as one, as after every restore.

    Example: `faregate drill --until 2026-11-23T08:00+08:00`
    """
    import tempfile

    from gateway.drill import Drill

    loaded = load_settings(config, replaced)
    until_us = _instant(until) if until else None
    beside = loaded.config.gateway.data_dir  # as much room as the journal has, and as private
    with tempfile.TemporaryDirectory(prefix="drill-", dir=None if folder else beside) as temporary:
        place = folder or Path(temporary)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        report = Drill(loaded, place, lambda step: say(f"{step} ...")).run(until_us)
    print_result(report.as_dict(), as_json=as_json)
    if report.breaks:
        raise typer.Exit(EXIT_FINDINGS)


def _instant(text: str) -> int:
    """Microseconds UTC. Raises: UsageError."""
    from datetime import datetime

    from gateway.commands.common import UsageError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(detail=f"--until {text}: write 2026-11-23T08:00+08:00") from error
    if moment.tzinfo is None:
        raise UsageError(detail=f"--until {text}: name the offset")
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
