"""`faregate config`: check and show settings."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_json,
    print_table,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Check and show the settings.")
    group.command("check")(check)
    group.command("show")(show)
    app.add_typer(group, name="config", rich_help_panel="Look after")


def check(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Check all settings, secrets and tariff names, and tell everything that is wrong at once.

    Example: `faregate config check --config metro/gateway.toml`
    """
    from gateway.delivery.kinds import load_adapters
    from gateway.errors import ConfigError
    from gateway.keys import check_secrets
    from gateway.resources import list_limits, list_tariffs

    loaded = load_settings(config, replaced)
    findings: list[str] = []
    try:
        check_secrets(loaded.config)
    except ConfigError as error:
        findings += error.findings
    known = list_tariffs(loaded.config.tariffs)
    for slot, name in loaded.config.tariffs.by_slot().items():
        if name not in known:
            findings.append(f"tariffs.slots.{slot}: there is no tariff {name}")
    limits = loaded.config.limits
    if limits.profile and limits.profile not in list_limits(limits):
        findings.append(f"limits.profile: there are no limits {limits.profile}")
    try:
        load_adapters(loaded.config)
    except ConfigError as error:
        findings += error.findings
    if findings:
        raise ConfigError(findings=findings)
    if as_json:
        print_json({"ok": True, "config": str(loaded.path)})
    else:
        typer.echo(f"{loaded.path}: all settings are good")


def show(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show every setting and where it came from. Secrets are named, never shown.

    Example: `FARE__LINK__PORT=7401 faregate config show`
    """
    from gateway.config import flatten

    loaded = load_settings(config, replaced)
    rows = [(name, _plain(value), loaded.origins[name]) for name, value in flatten(loaded.config)]
    if as_json:
        settings = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        print_json({"config": str(loaded.path), "settings": settings})
    else:
        print_table(("setting", "value", "from"), rows)


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
