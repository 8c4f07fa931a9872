"""The way to PostgreSQL: TLS as the URL says, and nobody waits for ever for a server that hangs."""

from __future__ import annotations

import datetime
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.engine import make_url

from gateway import postgres
from gateway.db import Database
from gateway.errors import DatabaseError
from gateway.postgres import read_tls
from gateway.registry.store import open_registry
from tests.support.postgres import running_postgres

URL = "postgresql://faregate@127.0.0.1/postgres"


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """One that is its own authority, for a host name."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    pem = serialization.Encoding.PEM
    files[0].write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(pem, *plain))
    return files


def free_port() -> int:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        port: int = plug.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    server, key = make_certificate(folder, "localhost")
    other, _ = make_certificate(folder, "other.example")
    return {"server": server, "key": key, "other": other}


@pytest.fixture(scope="module")
def servers(files: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The URL over its socket, and its port with TLS."""
    port = free_port()
    with running_postgres(tls=(files["server"], files["key"], port)) as url:
        yield url.replace(".5432", f".{port}"), port


def is_encrypted(url: str) -> bool:
    database = open_registry(url, create=True)
    try:
        with database.reading() as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return bool(connection.scalar(text(query)))
    finally:
        database.close()


def test_a_server_is_believed_by_its_certificate_and_name(
    servers: tuple[str, int], files: dict[str, Path]
) -> None:
    _, port = servers
    here = f"postgresql://faregate@localhost:{port}/postgres"
    assert is_encrypted(f"{here}?sslmode=verify-full&sslrootcert={files['server']}")
    assert is_encrypted(f"{here}?sslmode=require")
    assert is_encrypted(here)
    assert not is_encrypted(f"{here}?sslmode=disable")
    numbered = here.replace("localhost", "127.0.0.1")
    assert is_encrypted(f"{numbered}?sslmode=verify-ca&sslrootcert={files['server']}")
    for wrong in (
        f"{here}?sslmode=verify-full&sslrootcert={files['other']}",
        f"{here}?sslmode=verify-ca&sslrootcert={files['other']}",
        f"{here}?sslmode=verify-full",
        f"{numbered}?sslmode=verify-full&sslrootcert={files['server']}",
    ):
        with pytest.raises(DatabaseError, match="CERTIFICATE_VERIFY_FAILED"):
            is_encrypted(wrong)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=verify", "disable, prefer, require, verify-ca or verify-full"),
        ("sslmode=verify-full&sslrootcert=ca.pem", "absolute path"),
        ("sslmode=verify-full&sslrootcert=/none/ca.pem", "No such file"),
        ("sslmode=require&sslrootcert=/none/ca.pem", "nobody looks at it"),
        ("sslmode=require&sslmode=disable", "stands twice"),
    ],
)
def test_what_would_not_protect_is_refused(query: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        read_tls(make_url(f"{URL}?{query}"))


def test_a_statement_that_takes_too_long_is_broken_off(servers: tuple[str, int]) -> None:
    url, _ = servers
    open_registry(url, create=True).close()
    database = open_registry(url, timeout_s=0.2)
    with (
        pytest.raises(DatabaseError, match="statement timeout"),
        database.reading() as connection,
    ):
        connection.execute(text("SELECT pg_sleep(30)"))
    with database.reading() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.close()


def ask_the_stopped(database: Database, stopped: list[int]) -> None:
    """Stop the process behind a connection, then ask it something."""
    with database.reading() as connection:
        stopped.append(int(connection.scalar(text("SELECT pg_backend_pid()")) or 0))
        os.kill(stopped[0], signal.SIGSTOP)
        connection.execute(text("SELECT 1"))


def test_a_server_that_hangs_is_given_up_and_found_again(
    servers: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MARGIN_S", 0.3)
    url, _ = servers
    open_registry(url, create=True).close()
    database = open_registry(url, timeout_s=0.2)
    stopped: list[int] = []
    try:
        with pytest.raises(DatabaseError, match="timed out"):
            ask_the_stopped(database, stopped)
        with database.reading() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) not in stopped
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        database.close()


def test_one_that_takes_connections_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "MARGIN_S", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://faregate@127.0.0.1:{silent.getsockname()[1]}/postgres"
        with pytest.raises(DatabaseError, match="timed out"):
            open_registry(url, timeout_s=0.1)
    with pytest.raises(DatabaseError, match="refused"):
        open_registry(url, timeout_s=0.1)


def test_migrations_may_take_as_long_as_they_take(servers: tuple[str, int]) -> None:
    url, _ = servers
    database = open_registry(url, create=True, timeout_s=0.2)
    assert isinstance(database, Database)
    patient = database._patient
    assert patient is not None
    engine = patient()
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "0"
    engine.dispose()
    database.close()
