"""Compiled limits kept by their digest for as long as a journal group may name them.

`<dir>/<digest>.fgl`: the blob as it is; its name is its check. Written once, never changed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fastpath.api import LimitBook
from gateway.errors import ConfigError

SUFFIX = ".fgl"


class LimitStore:
    """A folder of compiled limits. Raises: ConfigError: a blob does not fit its name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, limits: LimitBook) -> Path:
        """Keep limits, durably, before any decision may use them."""
        path = self._path(limits.digest.hex())
        if path.exists():
            return path
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        with fresh.open("wb") as file:
            file.write(limits.blob)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        self._sync()
        return path

    def get(self, digest: str) -> LimitBook:
        """The limits with this digest. Raises: ConfigError: LIMITS_NOT_FOUND."""
        path = self._path(digest)
        if not path.is_file():
            raise ConfigError("LIMITS_NOT_FOUND", f"no limits {digest} are kept")
        return _load(path)

    def list(self) -> list[LimitBook]:
        """All that is kept."""
        return [_load(path) for path in sorted(self._directory.glob(f"*{SUFFIX}"))]

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}{SUFFIX}"

    def _sync(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _load(path: Path) -> LimitBook:
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != path.stem:
        raise ConfigError("LIMITS_INVALID", f"{path} does not hold what its name says")
    try:
        return LimitBook.load(blob)
    except ValueError as error:
        raise ConfigError("LIMITS_INVALID", f"{path}: {error}") from error
