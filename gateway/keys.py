"""Secrets: read from files that only their owner may read; and tokens of cards, derived from one.

    token key = HMAC-SHA256(master key, "faregate token")
    token     = BLAKE2b-128(key = token key, the card's text in UTF-8)

Device keys are derived in gateway/link/handshake.py. Must not log, print or keep a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gateway.config import Config
from gateway.errors import ConfigError, EnvironmentFault

SECRET_BYTES = 32
TOKEN_BYTES = 16
DISTINCT_BYTES_MIN = 16  # of 32 random bytes about 30 differ; under 16 it was typed by hand
SECRET_NAMES = ("master.key", "signing.key", "tokens.key", "registry.key", "index.key")
"""Files that `faregate init` makes."""
CONTROL_PROCESSES = frozenset({"http", "worker"})
"""Those that need the secrets of the control plane; the others never read them."""
_TOKEN_LABEL = b"faregate token"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of the data plane; their text form hides them."""

    master_key: bytes = field(repr=False)
    signing_seed: bytes = field(repr=False)


def load_secrets(config: Config) -> Secrets:
    """Read the secrets of the data plane. Raises: ConfigError with what is wrong with each."""
    return Secrets(*(secret for _, secret in _read_all(_secret_files(config))))


@dataclass(frozen=True, slots=True)
class ControlSecrets:
    """The secrets of the control plane. In each tuple the current one is first."""

    token_seeds: tuple[bytes, ...] = field(repr=False)
    registry_keys: tuple[bytes, ...] = field(repr=False)
    index_key: bytes = field(repr=False)


def load_control_secrets(config: Config) -> ControlSecrets:
    """Read what the control plane needs. Raises: ConfigError with what is wrong with each."""
    found = _read_all(_control_files(config))
    by_name: dict[str, list[bytes]] = {}
    for name, secret in found:
        by_name.setdefault(name.partition("_")[0], []).append(secret)
    (index_key,) = by_name["security.index"]
    return ControlSecrets(
        tuple(by_name["security.token"]), tuple(by_name["security.registry"]), index_key
    )


def check_secrets(config: Config, processes: Collection[str] = CONTROL_PROCESSES) -> None:
    """Read all secrets that these processes need. Raises: ConfigError with each that is wrong."""
    files = [*_secret_files(config)]
    if not CONTROL_PROCESSES.isdisjoint(processes):
        files += _control_files(config)
    _read_all(files)
    if (key_file := config.link.tls_key_file) is not None:
        check_private(key_file)


def _read_all(files: Iterable[tuple[str, Path]]) -> list[tuple[str, bytes]]:
    """Each setting's name with its secret. No two may be the same."""
    found: list[tuple[str, bytes]] = []
    findings: list[str] = []
    for name, path in files:
        try:
            secret = read_secret(path)
        except ConfigError as error:
            findings.append(f"{name}: {error.detail}")
            continue
        findings += [f"{name}: same as {other}" for other, known in found if known == secret]
        found.append((name, secret))
    if findings:
        raise ConfigError("CONFIG_SECRET", findings=findings)
    return found


def _control_files(config: Config) -> Iterator[tuple[str, Path]]:
    security = config.security
    yield "security.token_key_file", security.token_key_file
    if security.token_old_key_file is not None:
        yield "security.token_old_key_file", security.token_old_key_file
    yield "security.registry_key_file", security.registry_key_file
    for path in security.registry_old_key_files:
        yield "security.registry_old_key_files", path
    yield "security.index_key_file", security.index_key_file


def _secret_files(config: Config) -> Iterator[tuple[str, Path]]:
    yield "security.master_key_file", config.security.master_key_file
    yield "security.signing_key_file", config.security.signing_key_file


def read_secret(path: Path) -> bytes:
    """32 bytes from a file of 64 hex digits.

    Raises: ConfigError: missing, readable by others, not 64 hex digits, or a well-known value.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).strip()
    except OSError as error:
        raise ConfigError("CONFIG_SECRET", f"{path}: {error.strerror}") from error
    _check_mode(path, mode)
    if not re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        raise ConfigError("CONFIG_SECRET", f"{path}: must hold 64 hex digits (32 random bytes)")
    secret = bytes.fromhex(text.decode())
    if is_guessable(secret):
        raise ConfigError("CONFIG_SECRET", f"{path}: a well-known value; make a random one")
    return secret


def read_password(path: Path) -> str:
    """A password from a file that only its owner may read. Raises: ConfigError."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("CONFIG_SECRET", f"{path}: {error}") from error
    _check_mode(path, mode)
    if not text:
        raise ConfigError("CONFIG_SECRET", f"{path}: is empty")
    return text


def check_private(path: Path) -> None:
    """A file that something else reads: only its owner may. Raises: ConfigError."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError("CONFIG_SECRET", f"{path}: {error.strerror}") from error
    _check_mode(path, mode)


def _check_mode(path: Path, mode: int) -> None:
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("CONFIG_SECRET", f"{path}: others may read it; chmod 600")


def is_guessable(secret: bytes) -> bool:
    """Whether 32 bytes are a repetition, a count up or down, or the hash of a word people type."""
    steps = {(b - a) % 256 for a, b in pairwise(secret)}
    words = (b"", b"secret", b"changeme", b"password", b"faregate", b"test", b"demo", b"default")
    hashes = {hashlib.sha256(word).digest() for word in words}
    return len(set(secret)) < DISTINCT_BYTES_MIN or len(steps) == 1 or secret in hashes


def write_secret(path: Path) -> None:
    """Make a new random secret in a new file of mode 0600. Raises: FileExistsError."""
    write_hex(path, os.urandom(SECRET_BYTES))


def write_hex(path: Path, secret: bytes) -> None:
    """Write a secret as hex digits to a new file of mode 0600. Raises: FileExistsError."""
    write_text_secret(path, secret.hex())


def write_text_secret(path: Path, text: str) -> None:
    """Write a secret to a new file of mode 0600. Raises: FileExistsError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_secret_file(path: Path | None) -> Iterator[Callable[[str], None]]:
    """A new file of mode 0600, made before the secret is: what cannot be kept is not made.

    Gives what writes the secret; it does nothing without a path. Nothing written, the file goes.
    Raises: EnvironmentFault ENV_EXISTS, ENV_UNUSABLE.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise EnvironmentFault("ENV_EXISTS", str(path), "choose a new file") from error
    except OSError as error:
        raise EnvironmentFault("ENV_UNUSABLE", f"{path}: {error.strerror}") from error
    with os.fdopen(fd, "wb") as file:

        def write(text: str) -> None:
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

        try:
            yield write
        finally:
            if not file.tell():
                path.unlink(missing_ok=True)


def card_token(master_key: bytes, card: str) -> bytes:
    """Token of a card's printed or read text: a keyed hash, so that nobody can guess it back."""
    key = hmac.digest(master_key, _TOKEN_LABEL, "sha256")
    return hashlib.blake2b(card.encode(), digest_size=TOKEN_BYTES, key=key).digest()


def short_token(token: bytes) -> str:
    """Enough of a token to tell two apart on a screen, too little to use it."""
    return f"{token[:3].hex()}…"
