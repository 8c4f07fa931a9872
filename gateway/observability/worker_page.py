"""`run/worker.json`: what the worker's jobs say of themselves; written by it alone, read by any.

A dead worker leaves its last words behind; who reads them looks at `pid` and `written_us`.
Must not import anything of the gateway but errors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import EnvironmentFault


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One reading of the page. jobs: name → state, restarts, last_error and what the job adds."""

    pid: int
    written_us: int
    jobs: Mapping[str, Mapping[str, Any]]

    def writer_lives(self) -> bool:
        """Whether the process that wrote it still exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def write_page(path: Path, report: Mapping[str, Any], now_us: int) -> None:
    """Put a new page in place of the old one in one step. Raises: EnvironmentFault."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    page = {"pid": os.getpid(), "written_us": now_us, **report}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(page, ensure_ascii=False, default=str), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise EnvironmentFault(
            detail=f"cannot write the worker's page {path}: {error.strerror}"
        ) from error


def read_page(path: Path) -> WorkerView | None:
    """None when there is none that can be read."""
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        return WorkerView(int(page["pid"]), int(page["written_us"]), dict(page["jobs"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
