"""`faregate`: nouns, then verbs. Exit status 0 ok, 1 findings, 2 usage, 3 environment.

Every command takes --json: results and errors are then JSON on standard output. The commands are in
gateway/commands/, one file a noun, and load what they need only when they run.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module, metadata
from typing import Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_ENVIRONMENT,
    EXIT_FINDINGS,
    EXIT_USAGE,
    UsageError,
    print_json,
    say,
)
from gateway.commands.refusing import note_refusals
from gateway.errors import (
    ApiError,
    AuthError,
    CommandError,
    ConfigError,
    Corrupt,
    CreditError,
    DeliveryError,
    EnvironmentFault,
    FareGatewayError,
    LedgerError,
    MovingError,
    RegistryError,
    RerateError,
    SnapshotError,
    TariffError,
    Uncertain,
)

OURS = 0o077
COMMANDS = (
    "serve",
    "standby",
    "init",
    "status",
    "simulate",
    "bench",
    "quote",
    "tariff",
    "city",
    "limits",
    "device",
    "tenant",
    "merchant",
    "key",
    "person",
    "approval",
    "registry",
    "account",
    "medium",
    "passes",
    "hold",
    "credit_line",
    "rerate",
    "mode",
    "operation",
    "adapter",
    "clearing",
    "bank",
    "journal",
    "statement",
    "ledger",
    "settle",
    "reconcile",
    "audit",
    "backup",
    "moving",
    "config",
)

# New versions of typer carry their own copy of click, older ones use the package: name neither.
_ClickError: type[Exception] = next(
    kind
    for kind in typer.BadParameter.__mro__
    if kind.__name__ == "ClickException" and issubclass(kind, Exception)
)

_FINDINGS = (
    ApiError,
    AuthError,
    CommandError,
    ConfigError,
    Corrupt,
    CreditError,
    DeliveryError,
    LedgerError,
    MovingError,
    RegistryError,
    RerateError,
    SnapshotError,
    TariffError,
    Uncertain,
)
_ENVIRONMENT_CODES = frozenset(
    {
        "COMMAND_NOT_SENT",
        "CONFIG_NOT_FOUND",
        "LEDGER_ERROR",
        "LEDGER_MARK",
        "LEDGER_MOVED",
        "LEDGER_VERSION",
        "REGISTRY_ERROR",
    }
)
_FINDING_CODES = frozenset({"BACKUP_INVALID", "BACKUP_INSTANT"})


EPILOG = (
    "Every command has `--help` and `--json`. Exit status: 0 ok, 1 findings or a refusal, 2 usage, "
    "3 environment (no gateway, no file, no room)."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"faregate {metadata.version('faregate')}")
        raise typer.Exit


def _root_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def build_cli() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="faregate",
        help="A fare gateway: one wallet at the metro gate, on the bus, in the canteen.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        epilog=EPILOG,
        callback=_root_options,
    )
    for name in COMMANDS:
        import_module(f"gateway.commands.{name}").register(app)
    return app


@cache
def _root() -> Any:
    """The command tree, made once. Its type differs between versions of Typer."""
    root = typer.main.get_command(build_cli())
    note_refusals(root)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    os.umask(OURS)  # what commands write is of riders, money and keys
    try:
        status = _root().main(arguments, prog_name="faregate", standalone_mode=False)
    except typer.Abort:
        return EXIT_FINDINGS
    except _ClickError as error:
        return _usage(error, as_json="--json" in arguments)
    except FareGatewayError as error:
        _print_error(error, as_json="--json" in arguments)
        return exit_status(error)
    except BrokenPipeError:
        return EXIT_ENVIRONMENT
    except OSError as error:
        return _unusable(error, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0


def exit_status(error: FareGatewayError) -> int:
    """The exit status that goes with an error."""
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if error.code in _ENVIRONMENT_CODES:
        return EXIT_ENVIRONMENT
    found = isinstance(error, _FINDINGS) or error.code in _FINDING_CODES
    return EXIT_FINDINGS if found else EXIT_ENVIRONMENT


def _unusable(error: OSError, *, as_json: bool) -> int:
    """A file or folder that a command was told to use, and cannot."""
    named = f"{error.filename}: " if error.filename is not None else ""
    _print_error(EnvironmentFault(detail=f"{named}{error.strerror or error}"), as_json=as_json)
    return EXIT_ENVIRONMENT


def _usage(error: BaseException, *, as_json: bool) -> int:
    """Said by click itself, with the usage line, or as JSON."""
    if as_json:
        _print_error(UsageError(detail=str(error)), as_json=True)
    elif callable(show := getattr(error, "show", None)):
        show()
    return EXIT_USAGE


def _print_error(error: FareGatewayError, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "error": error.as_dict()})
        return
    findings = getattr(error, "findings", ())
    say(f"{error.code}: {error.detail}" if not findings else f"{error.code}:")
    for finding in findings:
        say(f"  {finding}")
    if error.hint:
        say(f"→ {error.hint}")


if __name__ == "__main__":
    sys.exit(main())
