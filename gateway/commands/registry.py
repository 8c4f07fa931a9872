"""`faregate registry`: the keys that personal data lies under."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_result,
    say,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="The registry: its keys, and fitting it to a journal."
    )
    group.command("rotate-keys")(rotate_keys)
    group.command("make-keys")(make_keys)
    group.command("status")(status)
    group.command("fit")(fit)
    group.command("load")(load)
    app.add_typer(group, name="registry", rich_help_panel="Look after")


def rotate_keys(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Bring every person's key, webhooks' secrets, commands in the outbox, merges and payouts that
    are under way, and answers kept for repeats under the current registry key. Broken off, it goes
    on where it was.

    Make a new file, name it in security.registry_key_file and the old one in
    security.registry_old_key_files, restart, run this until nothing is left (exit 0), then take the
    old one out of the settings and destroy it.
    Example: `faregate registry rotate-keys`
    """
    from gateway.bootstrap import build_access
    from gateway.key_rotation import KeyRotation

    settings = load_settings(config, replaced).config
    rotation = KeyRotation(settings, build_access(settings))
    done, left = rotation.rotate(build_actor()), rotation.count_left()
    result = {"resealed": done.as_dict(), "left": left.as_dict()}
    print_result(result, as_json=as_json)
    if left.total:
        say(f"{left.total} still lie under another key: keep it, look at its files, run this again")
        raise typer.Exit(EXIT_FINDINGS)


def make_keys(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Make the secrets that a data folder of an earlier version does not have yet.

    Nothing is ever overwritten, and none is made in the place of one that something lies under.
    Example: `faregate registry make-keys`
    """
    from gateway.bootstrap import make_missing_secrets

    made = make_missing_secrets(load_settings(config, replaced).config)
    print_result({"made": [str(path) for path in made]}, as_json=as_json)


def status(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Tell how many persons there are, and how much lies under an older key, of every kind.

    Example: `faregate registry status`
    """
    from gateway.bootstrap import build_access
    from gateway.key_rotation import KeyRotation

    settings = load_settings(config, replaced).config
    access = build_access(settings)
    left = KeyRotation(settings, access).count_left().as_dict()
    result = {"registry": access.database.name, "persons": access.persons.count(), "left": left}
    print_result(result, as_json=as_json)


def fit(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Take out of a restored registry what the journal beside it does not know, before serving, and
    put in the idempotency keys of the API that only the journal knows: none of them pays twice.

    `faregate restore` does it by itself; after restoring a pg_dump do it by
    hand. Payouts younger than the journal become dead letters: `faregate adapter dead`.
    Example: `faregate registry fit`
    """
    from gateway.bootstrap import build_registry
    from gateway.fitting import fit_restored

    settings = load_settings(config, replaced).config
    database = build_registry(settings)
    try:
        fitted = fit_restored(settings, database, build_actor().subject)
    finally:
        database.close()
    print_result(fitted.as_dict(), as_json=as_json)


def load(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A registry's file; else that of the data folder."),
    ] = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a registry that is a file into the empty PostgreSQL database that registry.url names.

    After a restore, or to move from SQLite. Every table is read again and compared before anything
    counts; the gateway must be stopped. The file stays: remove it when the gateway serves.
    Example: `faregate registry load`
    """
    from gateway.fitting import load_registry

    settings = load_settings(config, replaced).config
    file = source or settings.registry_path
    if settings.registry.url is None:
        raise UsageError(detail="registry.url names no database to copy it into")
    sums = load_registry(settings, file)
    rows = {name: one.rows for name, one in sums.items() if one.rows}
    print_result({"loaded": str(file), "rows": rows}, as_json=as_json)
