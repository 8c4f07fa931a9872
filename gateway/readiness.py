"""Between a process and its supervisor: exit statuses, a pipe for "I serve" or why not, and a pipe
that closes when the supervisor is gone.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress

from gateway.errors import FareGatewayError

NO_PIPE = -1
EXIT_FAILED = 1
EXIT_REFUSED = 3
"""Refused to start: the same start would be refused again."""
EXIT_JOURNAL_BROKEN = 70
"""Only recovery, that is a new start, can tell what is on the disk."""
EXIT_FENCED = 75
"""Another gateway took the lead: a new start would be a standby's, or be refused."""
KILL_AFTER_S = 30.0
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


def follow_parent(life_fd: int) -> None:
    """End with the supervisor: drain when its end of the pipe closes; too slow is killed."""

    def watch() -> None:
        while os.read(life_fd, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(KILL_AFTER_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="life", daemon=True).start()
