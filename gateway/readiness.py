"""How a process tells its supervisor that it serves: one JSON line on an inherited pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

NO_PIPE = -1


def tell_ready(ready_fd: int, where: Mapping[str, str]) -> None:
    """Say where this process listens, once, and close the pipe. Does nothing without one."""
    if ready_fd == NO_PIPE:
        return
    line = json.dumps(dict(where)).encode() + b"\n"
    try:
        os.write(ready_fd, line)
    except BrokenPipeError:
        pass  # the supervisor is gone; the parent-death signal is on its way
    finally:
        os.close(ready_fd)


def read_ready(line: bytes) -> dict[str, str]:
    """What `tell_ready` said. Raises: ValueError."""
    where = json.loads(line)
    if not isinstance(where, dict):
        raise ValueError("a readiness line is a JSON object")
    return {str(name): str(address) for name, address in where.items()}
