"""`faregate audit`: the trail of changes and refusals, signed checkpoints, and proving both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_table,
)
from gateway.commands.ledger import with_bar

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.ledger.auditing import AuditReport
    from gateway.ledger.proof import Finding

COLUMNS = ("seq", "at", "actor", "action", "subject", "outcome", "facts")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who changed what, and proving it.")
    group.command("verify")(verify)
    group.command("show")(show)
    group.command("checkpoint")(checkpoint)
    group.command("prove")(prove)
    group.command("check")(check)
    app.add_typer(group, name="audit", rich_help_panel="Look after")


def verify(
    quick: Annotated[
        bool, typer.Option("--quick", help="Chains and signatures only, not every row.")
    ] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check journal, ledger, audit trail and every checkpoint. Exit 1 on a finding.

    The journal's files are read; the ledger's copy of it is hashed again, its rows are made again
    and compared; the trail's chain is followed; signatures and signed totals are checked.

    Example: `faregate audit verify`
    """
    report = with_bar(lambda told: _verify(load_settings(config, replaced).config, quick, told))
    fields = report.as_dict()
    if as_json:
        print_json(fields)
    else:
        print_fields({name: value for name, value in fields.items() if name != "findings"})
        if report.findings:
            rows = [(one.what, one.where, one.detail) for one in report.findings]
            print_table(("what", "where", "finding"), rows)
    if not report.is_sound:
        raise typer.Exit(EXIT_FINDINGS)


def _verify(settings: Config, quick: bool, told: Any) -> AuditReport:
    from gateway.bootstrap import build_ledger, build_registry
    from gateway.ledger.auditing import Evidence, audit, read_signing_key
    from gateway.ledger.projector import build_calendar

    key = read_signing_key(settings.security.signing_key_file).public_key()
    ledger, records = build_ledger(settings), build_registry(settings)
    try:
        evidence = Evidence(
            ledger, records, build_calendar(settings), key, settings.checkpoints_dir
        )
        report = audit(evidence, rows=not quick, told=told)
        report.add(_journal_findings(settings, ledger))
    finally:
        ledger.close()
        records.close()
    return report


def _journal_findings(settings: Config, ledger: Any) -> list[Finding]:
    """Faults of the journal itself, and whether it is the one the ledger was made of."""
    from gateway.bootstrap import verify_configured
    from gateway.errors import JournalError, LedgerError
    from gateway.journals import open_reader
    from gateway.ledger.batch import find_watermark
    from gateway.ledger.projector import check_witness
    from gateway.ledger.proof import Finding

    try:
        found = verify_configured(settings)
        faults = [
            Finding("journal", f"{one.path}:{one.offset}", one.detail)
            for one in found.findings
            if one.severity == "error"
        ]
        with ledger.reading() as connection:
            mark = find_watermark(connection)
        journal = open_reader(settings)
        try:
            check_witness(journal, mark)
        finally:
            journal.close()
    except (JournalError, LedgerError) as error:
        return [Finding("journal", error.code, error.detail)]
    return faults


def show(
    after: Annotated[int, typer.Option(min=0, help="Only events behind this number.")] = 0,
    subject: Annotated[str, typer.Option(help="Only of this subject, as tenant:metro.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most events.")] = 100,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print changes and refusals, oldest first; with --json one line each.

    What happened to accounts is in the journal: `faregate journal show`.

    Example: `faregate audit show --subject tenant:metro`
    """
    from itertools import islice

    from gateway.bootstrap import build_registry
    from gateway.registry.audit import iter_events

    records = build_registry(load_settings(config, replaced).config)
    try:
        with records.reading() as connection:
            events = iter_events(connection, after, subject=subject or None)
            rows = [event.as_dict() for event in islice(events, limit)]
    finally:
        records.close()
    if as_json:
        for row in rows:
            print_json(row)
        return
    shown = [row | {"at": _clock(row["at_us"])} for row in rows]
    print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in shown])


def _clock(at_us: object) -> str:
    """An instant for people, UTC."""
    return datetime.fromtimestamp(int(str(at_us)) // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checkpoint(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Sign the heads of journal and trail and the ledger's totals now; the worker does it daily.

    Example: `faregate audit checkpoint`
    """
    from gateway.bootstrap import build_ledger, build_registry
    from gateway.clock import now_us
    from gateway.ledger.auditing import read_signing_key
    from gateway.ledger.checkpoints import make_checkpoint, write_file

    settings = load_settings(config, replaced).config
    key = read_signing_key(settings.security.signing_key_file)
    ledger, records = build_ledger(settings), build_registry(settings)
    try:
        made = make_checkpoint(ledger, records, key, now_us(), build_actor().subject)
    finally:
        ledger.close()
        records.close()
    path = write_file(settings.checkpoints_dir, made)
    print_result(made.as_dict() | {"file": str(path)}, as_json=as_json)


def prove(
    position: Annotated[int, typer.Argument(min=0, help="Journal position of the record.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a proof that a record stands under a signed checkpoint: a file for `audit check`.

    It holds the record, so give it only to who may read that.
    Example: `faregate audit prove 8192 > proof.json`
    """
    from gateway.bootstrap import build_ledger, build_registry
    from gateway.ledger.inclusion import prove as make

    settings = load_settings(config, replaced).config
    ledger, records = build_ledger(settings), build_registry(settings)
    try:
        with ledger.reading() as of_ledger, records.reading() as of_records:
            print_json(make(of_ledger, of_records, position))
    finally:
        ledger.close()
        records.close()


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `audit prove` printed.")],
    public_key: Annotated[
        str, typer.Option("--public-key", metavar="HEX", help="Default: of the settings' key.")
    ] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a proof of one record, without journal, ledger and registry. Exit 1 when it is none.

    With `--public-key` no settings are read: an auditor needs that key and the file.
    Example: `faregate audit check proof.json`
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fastpath.types import Op, Reason
    from gateway.errors import LedgerError
    from gateway.ledger.auditing import read_signing_key
    from gateway.ledger.inclusion import check as follow

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError("LEDGER_FILE", f"{file}: {error}") from error
    if public_key:
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        except ValueError as error:
            raise UsageError(detail=f"--public-key: {error}") from error
    else:
        settings = load_settings(config, replaced).config
        key = read_signing_key(settings.security.signing_key_file).public_key()
    found = follow(text, key)
    head = found.record.head
    shown = {
        "position": found.record.position,
        "seq": head.seq,
        "at": _clock(head.ts_us),
        "op": Op(head.op).name.lower(),
        "reason": Reason(head.reason).name.lower(),
        "account_id": head.account_id,
        "amount_minor": head.amount_minor,
        "fare_minor": head.fare_minor,
        "checkpoint": found.checkpoint,
        "signed_at": _clock(found.at_us),
        "public_key": key.public_bytes_raw().hex(),
    }
    print_result(shown, as_json=as_json)
