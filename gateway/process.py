"""One process of the gateway, as the supervisor starts it: `python -m gateway.process NAME ...`.

Exit status: 0 stopped when asked to, 3 refused to start (nothing will change by trying again),
70 the journal is broken and only recovery can help, 75 another gateway took the lead, 1 anything
else.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from gateway.bootstrap import PROCESSES
from gateway.config import load_config
from gateway.errors import (
    AuthError,
    ConfigError,
    Corrupt,
    EnvironmentFault,
    FareGatewayError,
    Fenced,
    JournalBroken,
    RegistryError,
    SnapshotError,
    TariffError,
)
from gateway.observability.logging import setup_logging
from gateway.readiness import (
    EXIT_FAILED,
    EXIT_JOURNAL_BROKEN,
    EXIT_REFUSED,
    NO_PIPE,
    follow_parent,
    tell_failure,
)

_REFUSALS = (
    AuthError,
    ConfigError,
    Corrupt,
    EnvironmentFault,
    Fenced,
    RegistryError,
    SnapshotError,
    TariffError,
)

_REFUSED_CODES = frozenset({"DATABASE_NEWER"})
"""Of errors that are else worth another try."""

OURS = 0o077
"""Whatever a process of the gateway writes is for its own user, where nothing else is said."""

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run one process to its end."""
    os.umask(OURS)
    options = _parse(argv)
    if options.life_fd != NO_PIPE:
        follow_parent(options.life_fd)
    try:
        flags = dict(pair.split("=", 1) for pair in options.set)
        config = load_config(options.config, flags=flags).config
        setup_logging(config.log, options.name)
        sys.excepthook = log_crash  # one line of JSON in place of a bare traceback
        return PROCESSES[options.name](config, options.ready_fd)
    except FareGatewayError as error:
        log.critical("process_failed", extra=error.as_dict(), exc_info=_unexpected(error))
        tell_failure(options.ready_fd, error)
        return exit_status(error)


def log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody expected, in the log; Python then ends the process with status 1."""
    log.critical("process_crashed", exc_info=(kind, error, trace))


def exit_status(error: FareGatewayError) -> int:
    """What the supervisor is told by the exit status."""
    if isinstance(error, JournalBroken):
        return EXIT_JOURNAL_BROKEN
    return EXIT_FAILED if _unexpected(error) else EXIT_REFUSED


def _unexpected(error: FareGatewayError) -> bool:
    return not isinstance(error, _REFUSALS) and error.code not in _REFUSED_CODES


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gateway.process", description=__doc__)
    parser.add_argument("name", choices=sorted(PROCESSES))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ready-fd", type=int, default=NO_PIPE)
    parser.add_argument("--life-fd", type=int, default=NO_PIPE)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
