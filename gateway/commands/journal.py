"""`faregate journal`: read and check the journal; works beside a running gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_table,
)
from gateway.commands.quote import Language, note_line

if TYPE_CHECKING:
    from gateway.journals import ReadableJournal

JournalOption = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="A journal's folder; else the settings'."),
]
TOKEN_SHOWN = 6


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Check and read the journal.")
    group.command("verify")(verify)
    group.command("show")(show)
    group.command("audit")(audit)
    group.command("trim")(trim)
    app.add_typer(group, name="journal", rich_help_panel="Look after")


def verify(
    folder: JournalOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every group: checksum, chain, totals, roots and signatures. Exit 1 on a finding.

    Example: `faregate journal verify --json`
    """
    from gateway.bootstrap import verify_configured
    from gateway.journal.verify import verify_journal

    found = (
        verify_journal(folder)
        if folder is not None
        else verify_configured(load_settings(config, replaced).config)
    )
    if as_json:
        print_json(found.as_dict())
    else:
        fields = found.as_dict()
        findings = [(one.severity, one.path, one.offset, one.detail) for one in found.findings]
        print_fields({name: value for name, value in fields.items() if name != "findings"})
        if findings:
            print_table(("severity", "file", "offset", "what"), findings)
    if not found.is_sound:
        raise typer.Exit(1)


def show(
    account: Annotated[int | None, typer.Option(min=1, help="Only this account.")] = None,
    device: Annotated[int | None, typer.Option(min=1, help="Only this validator's taps.")] = None,
    start: Annotated[int, typer.Option("--from", min=0, help="First position.")] = 0,
    until: Annotated[int | None, typer.Option(min=0, help="Position to stop before.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most records.")] = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Say why: each rule with its file and line.")
    ] = False,
    language: Annotated[
        Language, typer.Option("--language", help="Of the reasons; both if not given.")
    ] = Language.BOTH,
    folder: JournalOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print records, oldest first; with --json one line each. Tokens are cut short.

    Example: `faregate journal show --account 1001 --limit 20 --explain`
    """
    from gateway.journal.records import ShowFilter, show_records

    journal = _open(folder, config, replaced)
    wanted = ShowFilter(account, device, start, until, limit)
    try:
        records = map(_without_token, show_records(journal, wanted))
        if explained:
            records = map(_explaining(config, replaced), records)
        _print_records(records, language, as_json=as_json)
    finally:
        journal.close()


def _explaining(
    config: ConfigOption, replaced: SetOption
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Adds `why` to a record: the rules of its tariff that acted."""
    from gateway.resources import calendar_dirs, list_tariffs
    from gateway.tariffs.explain_record import RecordExplainer

    tariffs = load_settings(config, replaced).config.tariffs
    explainer = RecordExplainer(list_tariffs(tariffs), calendar_dirs(tariffs))
    return lambda record: record | {"why": explainer.explain_shown(record)}


def _print_records(records: Iterator[dict[str, Any]], language: Language, *, as_json: bool) -> None:
    if as_json:
        for record in records:
            print_json(record)
        return
    columns = (
        "position",
        "op",
        "reason",
        "account_id",
        "stop",
        "fare_minor",
        "amount_minor",
        "balance_minor",
    )
    kept = list(records)
    rows = [[*(record[column] for column in columns), *_beside(record)] for record in kept]
    print_table((*columns, "acts", "cells"), rows)
    for record in kept:
        for note in record.get("why", ()):
            typer.echo(f"{record['position']}: {note_line(note, language)}")


def _beside(record: dict[str, Any]) -> tuple[str, str]:
    """Rules of the tariff that acted, and what changed beside the account's own lines."""
    items = record["items"]
    acts = [act for item in items for act in item.get("acts", ())]
    return ", ".join(acts), ", ".join(item["cell"] for item in items if "cell" in item)


def audit(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Decide every tap again with the recorded tariffs and compare. Exit 1 on a difference.

    Example: `faregate journal audit`
    """
    from gateway.bootstrap import audit_journal

    report = audit_journal(load_settings(config, replaced).config)
    fields = report.as_dict()
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
    if not report.is_sound:
        raise typer.Exit(1)


def trim(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Drop what a journal in Valkey holds from before the oldest snapshot of this data folder.

    A standby without a snapshot of its own cannot begin any more: copy one to it first.

    Example: `faregate journal trim`
    """
    from gateway.bootstrap import trim_journal

    print_result(trim_journal(load_settings(config, replaced).config), as_json=as_json)


def _open(folder: Path | None, config: ConfigOption, replaced: SetOption) -> ReadableJournal:
    from gateway.journal.segments import SegmentJournal
    from gateway.journals import open_reader

    if folder is not None:
        return SegmentJournal.open(folder, read_only=True)
    return open_reader(load_settings(config, replaced).config)


def _without_token(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it may be shown: tokens cut, also in the after-images of media."""
    token = str(record["token"])
    cut = f"{token[:TOKEN_SHOWN]}…" if token.strip("0") else ""
    items = [
        {name: value for name, value in item.items() if name != "image" or item["type"] != "medium"}
        for item in record["items"]
    ]
    return record | {"token": cut, "items": items}
