"""Compiled tariffs kept by their digest for as long as a journal record may name them.

`<dir>/<slot>-<digest>.fgt`: the blob as it is; its name is its check. Written once, never changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from fastpath.api import TARIFF_FORMAT, CompiledTariff
from fastpath.types import ENGINE_VERSION, STRUCT_VERSION
from gateway.errors import TariffError

log = logging.getLogger(__name__)


class TariffStore:
    """A folder of compiled tariffs. Raises: TariffError: a blob does not fit its name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, slot: int, tariff: CompiledTariff) -> Path:
        """Keep a tariff, durably, before any decision may use it."""
        path = self._directory / f"{slot:02d}-{tariff.digest.hex()}.fgt"
        if path.exists():
            return path
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        with fresh.open("wb") as file:
            file.write(tariff.blob)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        _sync_directory(self._directory)
        return path

    def list(self) -> list[tuple[int, CompiledTariff]]:
        """Every tariff kept, with its slot, oldest version first."""
        found = [self._load(path) for path in sorted(self._directory.glob("*-*.fgt"))]
        return sorted(found, key=lambda pair: (pair[0], pair[1].valid_from_us))

    def get(self, slot: int, digest: str) -> CompiledTariff:
        """One tariff of a slot."""
        path = self._directory / f"{slot:02d}-{digest}.fgt"
        if not path.is_file():
            raise TariffError("TARIFF_NOT_FOUND", f"no tariff {digest} for slot {slot} is kept")
        return self._load(path)[1]

    def find_by_key(self, key: int) -> CompiledTariff | None:
        """The tariff that records name by this key (the first 8 bytes of its digest)."""
        begins = key.to_bytes(8, "little").hex()
        for path in sorted(self._directory.glob(f"*-{begins}*.fgt")):
            return self._load(path)[1]
        return None

    def note_sources(self, slot: int, sources: str, tariff: CompiledTariff) -> None:
        """Remember what a set of source files compiled to: a restart need not do it again."""
        note = self._directory / f"{slot:02d}.sources"
        fresh = note.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(f"{sources} {tariff.digest.hex()}\n")
        fresh.rename(note)

    def find_compiled(self, slot: int, sources: str) -> CompiledTariff | None:
        """What exactly these source files compiled to, if it is kept."""
        try:
            noted, digest = (self._directory / f"{slot:02d}.sources").read_text().split()
            return self.get(slot, digest) if noted == sources else None
        except (OSError, ValueError, TariffError):
            return None  # no note, or one that does not help: compile

    def _load(self, path: Path) -> tuple[int, CompiledTariff]:
        slot, _, digest = path.stem.partition("-")
        blob = path.read_bytes()
        if hashlib.sha256(blob).hexdigest() != digest or not slot.isdigit():
            raise TariffError("TARIFF_INVALID", f"{path} does not hold what its name says")
        try:
            return int(slot), CompiledTariff.load(blob)
        except ValueError as error:
            raise TariffError("TARIFF_INVALID", f"{path}: {error}") from error


def digest_sources(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of source files and the versions of what compiles them."""
    digest = hashlib.sha256(f"{ENGINE_VERSION} {STRUCT_VERSION} {TARIFF_FORMAT}".encode())
    for path in sorted(paths):
        content = path.read_bytes() if path.is_file() else b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
