"""A PostgreSQL cluster of a test session's own, from the programs that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOMES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
USERS = ("postgres", "nobody")


def _find(name: str) -> str:
    for home in HOMES:
        if (home / name).exists():
            return str(home / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: no {name} (Debian: postgresql)")
    return os.path.realpath(found)


def _find_user() -> int | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("the tests run as root, and there is no other user for PostgreSQL")


@contextmanager
def running_postgres() -> Iterator[str]:
    """URL of an empty database; the server listens on a socket in its own folder only.

    Skips the test, saying why, when there is no PostgreSQL here.
    """
    initdb, control, user = _find("initdb"), _find("pg_ctl"), _find_user()
    folder = Path(tempfile.mkdtemp(prefix="fg-pg-"))
    if user is not None:
        os.chown(folder, user, -1)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(
            command, user=user, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr[-500:]}{done.stdout[-500:]}"

    try:
        run(initdb, "-D", str(data), "-A", "trust", "-U", "faregate", "-N", "-E", "UTF8")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run(control, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://faregate@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        finally:
            run(control, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
