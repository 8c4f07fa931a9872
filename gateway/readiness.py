"""How a process tells its supervisor that it serves, or why not: one JSON line on a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress

from gateway.errors import FareGatewayError

NO_PIPE = -1
EXIT_FAILED = 1
EXIT_REFUSED = 3
"""Refused to start: the same start would be refused again."""
EXIT_JOURNAL_BROKEN = 70
"""Only recovery, that is a new start, can tell what is on the disk."""
_closed: set[int] = set()  # a number closed here may by now be another file


def tell_ready(ready_fd: int, where: Mapping[str, str]) -> None:
    """Say where this process listens, once, and close the pipe. Does nothing without one."""
    _tell(ready_fd, {"ready": dict(where)})


def tell_failure(ready_fd: int, error: FareGatewayError) -> None:
    """Say why this process cannot serve. After `tell_ready` it does nothing."""
    _tell(ready_fd, {"error": error.as_dict()})


def _tell(ready_fd: int, said: Mapping[str, object]) -> None:
    if ready_fd == NO_PIPE or ready_fd in _closed:
        return
    _closed.add(ready_fd)
    with os.fdopen(ready_fd, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        pipe.write(json.dumps(said).encode() + b"\n")  # broken: the supervisor is gone
