"""PostgreSQL: the same check-and-debit as a stored procedure, by pgbench, synchronous_commit on."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers_common import (
    START_S,
    Sample,
    Scope,
    Skip,
    await_port,
    find_program,
    free_port,
    percentile,
    run_client,
    scratch,
    server,
)

USERS = ("postgres", "nobody")
SETTINGS = ("synchronous_commit", "fsync", "wal_sync_method", "commit_delay", "shared_buffers")
SCHEMA = """
CREATE TABLE purse (id bigint PRIMARY KEY, balance_minor bigint NOT NULL) WITH (fillfactor = 80);
CREATE TABLE tap (tap_id bigint PRIMARY KEY, account bigint NOT NULL, fare_minor bigint NOT NULL,
                  balance_minor bigint NOT NULL);
CREATE FUNCTION take_tap(p_tap bigint, p_account bigint, p_fare bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE left_minor bigint;
BEGIN
  SELECT balance_minor INTO left_minor FROM tap WHERE tap_id = p_tap;
  IF FOUND THEN RETURN left_minor; END IF;
  UPDATE purse SET balance_minor = balance_minor - p_fare
   WHERE id = p_account AND balance_minor >= p_fare RETURNING balance_minor INTO left_minor;
  IF NOT FOUND THEN RETURN -1; END IF;
  INSERT INTO tap VALUES (p_tap, p_account, p_fare, left_minor);
  RETURN left_minor;
END $$;
"""
SCRIPT = """\\set account random(1, {accounts})
\\set tap random(1, 9000000000000000000)
SELECT take_tap(:tap, :account, 300);
"""


class PostgresPeer:
    """50 connections, one prepared statement in flight on each."""

    name = "postgres"
    cases = ("c50",)

    def __init__(self, scope: Scope, port: int, folder: Path, programs: dict[str, str]) -> None:
        self._scope = scope
        self._port = port
        self._folder = folder
        self._programs = programs
        self._runs = 0

    def psql(self, text: str) -> str:
        """One command, its bare answer. Raises: Skip."""
        command = [self._programs["psql"], "-h", "127.0.0.1", "-p", str(self._port)]
        command += ["-U", "postgres", "-d", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip(f"psql: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def await_ready(self) -> None:
        """It listens before it answers. Raises: Skip: it never does."""
        until = time.monotonic() + START_S
        while True:
            try:
                self.psql("SELECT 1")
            except Skip:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def fill(self) -> None:
        """Tables, the procedure, the purses."""
        self.psql(SCHEMA)
        series = f"generate_series(1, {self._scope.accounts})"
        self.psql(
            f"INSERT INTO purse SELECT n, 1000000 FROM {series} n; VACUUM ANALYZE; CHECKPOINT"
        )
        (self._folder / "tap.sql").write_text(SCRIPT.format(accounts=self._scope.accounts))

    def measure(self, case: str) -> Sample:
        self._runs += 1
        seconds, prefix = max(round(self._scope.seconds), 1), f"run{self._runs}"
        command = [self._programs["pgbench"], "-h", "127.0.0.1", "-p", str(self._port)]
        command += ["-U", "postgres", "-n", "-M", "prepared", "-f", "tap.sql", "-j", "1"]
        command += ["-c", str(self._scope.connections), "-T", str(seconds), "-l"]
        command += [f"--log-prefix={prefix}", f"--random-seed={self._runs}", "postgres"]
        said, share = run_client(command, self._scope, cwd=self._folder)
        rate = re.search(r"tps = ([\d.]+)", said)
        waits = sorted(self._waits(prefix))
        p50, p99 = percentile(waits, 500), percentile(waits, 990)
        return Sample(float(rate[1]) if rate else 0.0, p50, p99, share)

    def _waits(self, prefix: str) -> Iterator[float]:
        for path in self._folder.glob(f"{prefix}.*"):
            for line in path.read_text().splitlines():
                yield float(line.split()[2])
            path.unlink()

    def about(self) -> Mapping[str, object]:
        settings = {name: self.psql(f"SHOW {name}") for name in SETTINGS}
        return {"version": self.psql("SHOW server_version"), "settings": settings}


def _find_programs() -> dict[str, str]:
    homes = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    names = ("postgres", "initdb", "psql", "pgbench")
    return {name: os.path.realpath(find_program(name, *homes)) for name in names}


def _find_user() -> int | None:
    """PostgreSQL refuses to run as root: somebody else then. Raises: Skip: there is nobody."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise Skip("started as root, and there is no other user to run it")


@contextmanager
def open_postgres(scope: Scope) -> Iterator[PostgresPeer]:
    """A fresh cluster, filled. Raises: Skip."""
    programs, user = _find_programs(), _find_user()
    with scratch(scope, "postgres") as folder:
        if user is not None:
            os.chown(folder, user, -1)
        folder.chmod(0o755)
        data, log = folder / "data", folder / "server.log"
        made = subprocess.run(
            [programs["initdb"], "-D", str(data), "-A", "trust", "-U", "postgres", "-N"],
            capture_output=True, text=True, user=user, cwd=folder, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Skip(f"initdb: {made.stderr.strip()[-300:]}")
        port = free_port()
        flags = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                 "max_connections": 128, "shared_buffers": "512MB", "max_wal_size": "8GB",
                 "checkpoint_timeout": "1h", "synchronous_commit": "on"}  # fmt: skip
        command = [programs["postgres"], "-D", str(data)]
        command += [part for name, value in flags.items() for part in ("-c", f"{name}={value}")]
        with server(command, core=scope.server_core, log=log, user=user) as process:
            await_port(port, process, log)
            peer = PostgresPeer(scope, port, folder, programs)
            peer.await_ready()
            peer.fill()
            yield peer
