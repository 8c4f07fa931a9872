"""Backup of a data folder while the gateway runs, and restoring it into a new one.

A backup holds snapshots, the journal up to a durable head, the registry, the compiled tariffs,
signed checkpoints, the folders of own tariffs, limits, credit and risk rules, the settings (paths
as in a new data folder) and, written last, a manifest with the SHA-256 of each file.
A journal in Valkey becomes one segment file, a registry in PostgreSQL a file of SQLite, copied from
one state and compared row by row, and the settings in the backup say so. Their URL and the way
there are not in them: a restored gateway must not work in the living one's database.
It holds no secrets: keep those apart. Order matters: snapshots first, then the journal, so that no
snapshot is ahead of it, and the registry last: what it knows and the journal does not is taken out
of it when it is restored (gateway/fitting.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway.clock import now_us
from gateway.config import Config, LoadedConfig, flatten, load_config
from gateway.config_file import own_folders, render_toml, settings_of_backup
from gateway.errors import EnvironmentFault, FareGatewayError, JournalError, RegistryError
from gateway.fitting import fit_restored
from gateway.journal.port import Head
from gateway.journal.segment import parse_name
from gateway.journal.segments import SegmentJournal
from gateway.journal.verify import verify_journal
from gateway.journals import valkey_options
from gateway.keys import SECRET_NAMES, read_secret
from gateway.point_in_time import CutPoint, take_back
from gateway.registry.copying import export_registry
from gateway.registry.opening import open_configured
from gateway.registry.store import check_file, copy_file, open_registry
from gateway.wallet.stores.fitting import Fitted

FORMAT = 1
MANIFEST = "manifest.json"
REGISTRY = "registry.sqlite"
CHUNK_BYTES = 1 << 20
SECRET_SUFFIXES = frozenset({".key", ".pem"})
OWN_SUFFIXES = frozenset({".toml", ".csv", ".txt", ".json", ".zip"})
TRIMMED_HINT = (
    "copy the primary's append-only folder instead, and this data folder without the journal: "
    "docs/replication.md, Backup"
)


class BackupError(FareGatewayError):
    """A backup is incomplete, was changed, or does not fit together."""

    default_code = "BACKUP_INVALID"


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file: path inside the backup, size, digest."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is made of. journal_position: where its last group ends."""

    format: int
    name: str
    created_us: int
    journal_position: int
    next_seq: int
    chain_hash: str
    files: tuple[BackupFile, ...]

    @property
    def has_registry(self) -> bool:
        """Whether the registry is in it: versions before left one in PostgreSQL out."""
        return any(file.path == REGISTRY for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """Without the list of files."""
        fields = asdict(self)
        fields["files"] = len(self.files)
        return fields | {
            "bytes": sum(file.bytes for file in self.files),
            "registry": self.has_registry,
        }


@dataclass(frozen=True, slots=True)
class Restored:
    """What was laid out. point: where the journal was cut, None = nowhere. fitted: what the
    registry knew and the journal does not, None = there is no registry in the backup. missing:
    settings whose files are not there, besides the secrets.
    """

    manifest: Manifest
    point: CutPoint | None
    fitted: Fitted | None
    missing: tuple[tuple[str, Path], ...] = ()


def make_backup(loaded: LoadedConfig, target: Path) -> Manifest:
    """Copy the data folder of a gateway, running or not.

    Raises: EnvironmentFault: the target is not empty. JournalError, RegistryError: nothing to copy.
        DatabaseError: the registry's server cannot be reached, or has another schema.
    """
    config = loaded.config
    _make_empty(target)
    kept = settings_of_backup(config)
    _copy_plain(config.snapshots.dir, target / "snapshots")
    if config.journal.kind == "valkey":
        head, size_mib = _export_stream(config, target / "journal")
        kept = replace(kept, journal=replace(kept.journal, kind="segments", segment_mib=size_mib))
    else:
        head = _copy_journal(config.journal.dir, target / "journal")
    _copy_plain(config.gateway.data_dir / "tariffs", target / "tariffs")
    _copy_plain(config.limits_dir, target / "limits")
    _copy_plain(config.checkpoints_dir, target / "checkpoints")
    for folder, there in own_folders(config):
        _copy_own(config, folder, target / there)
    _copy_registry(config, target / REGISTRY)
    text = render_toml(kept)
    (target / "gateway.toml").write_text(text, encoding="utf-8")
    for name in ("gateway.toml", REGISTRY):
        _seal(target / name)
    files = tuple(_describe(target, path) for path in _walk(target))
    manifest = Manifest(
        format=FORMAT,
        name=config.gateway.name,
        created_us=now_us(),
        journal_position=head.position,
        next_seq=head.next_seq,
        chain_hash=head.chain_hash.hex(),
        files=files,
    )
    _write_manifest(target, manifest)
    return manifest


def check_backup(source: Path) -> Manifest:
    """Compare every file with the manifest and walk the whole journal. Raises: BackupError."""
    manifest = _read_manifest(source)
    findings = list(_compare(source, manifest))
    if findings:
        raise BackupError(detail="; ".join(findings))
    found = verify_journal(source / "journal")
    if not found.is_sound:
        first = next(finding for finding in found.findings if finding.severity == "error")
        raise BackupError(detail=f"the journal is damaged: {first}")
    if (found.end_position, found.next_seq) != (manifest.journal_position, manifest.next_seq):
        raise BackupError(
            detail=f"the journal ends at {found.end_position}, not as the manifest says"
        )
    if manifest.has_registry:
        try:
            check_file(source / REGISTRY)
        except RegistryError as error:
            raise BackupError(detail=error.detail) from error
    return manifest


def restore_backup(
    source: Path,
    folder: Path,
    *,
    secrets: Path | None = None,
    until_us: int | None = None,
    actor: str = "restore",
) -> Restored:
    """Check a backup and lay it out as a new data folder, with the secrets from another place.

    until_us: take the new folder back to this instant (UTC); None = as the backup is. actor: whom
    the audit trail names.
    Raises: PointInTimeError. BackupError. EnvironmentFault: the folder is not empty. ConfigError:
        bad secrets.
    """
    manifest = check_backup(source)
    keys = _find_secrets(secrets) if secrets else []
    _make_empty(folder)
    for file in manifest.files:
        _copy_file(source / file.path, folder / file.path)
        if _describe(folder, folder / file.path) != file:
            raise BackupError(detail=f"{file.path} changed while it was copied")
    for key in keys:
        _copy_file(key, folder / "secrets" / key.name)
    point = take_back(folder, until_us) if until_us is not None else None
    fitted = _fit(folder, actor) if manifest.has_registry else None
    _sync_tree(folder)
    return Restored(manifest, point, fitted, _find_missing(folder))


def _find_missing(folder: Path) -> tuple[tuple[str, Path], ...]:
    config = load_config(folder / "gateway.toml", env={}).config
    return tuple(
        (name, value)
        for name, value in flatten(config)
        if isinstance(value, Path) and name.endswith("_file") and not name.startswith("security.")
        if not value.exists()
    )


def _fit(folder: Path, actor: str) -> Fitted:
    """Take out of the registry what the journal beside it does not know."""
    config = load_config(folder / "gateway.toml", env={}).config
    database = open_registry(config.registry_path, create=True)
    try:
        return fit_restored(config, database, actor)
    finally:
        database.close()


_NEEDED = ("master.key", "signing.key")
"""Without these a backup of any version is of no use; what else is missing, `serve` tells."""


def _find_secrets(folder: Path) -> list[Path]:
    """The secrets to go with a restored folder, each sound. Raises: ConfigError."""
    wanted = [(folder / name).resolve() for name in SECRET_NAMES]
    there = [path for path in wanted if path.name in _NEEDED or path.exists()]
    for path in there:
        read_secret(path)
    return there


def _make_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EnvironmentFault("ENV_EXISTS", f"{folder} is not empty")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(detail=f"cannot make {folder}: {error.strerror}") from error


def _copy_plain(source: Path, target: Path) -> None:
    """Files that are written once under another name and then renamed; one may go meanwhile."""
    for path in sorted(source.glob("*")) if source.is_dir() else ():
        if not path.is_file() or path.suffix == ".tmp" or path.name.startswith("."):
            continue
        try:
            _copy_file(path, target / path.name)
        except FileNotFoundError:
            (target / path.name).unlink(missing_ok=True)  # the snapshotter dropped an old one


def _copy_own(config: Config, folder: Path, target: Path) -> None:
    """A folder of own files with what is below it, but nothing that is or may be a secret; where
    the data folder itself is below it, only the files that lie directly in it.
    """
    secrets = config.security.master_key_file.resolve().parent
    holds_data = config.gateway.data_dir.resolve().is_relative_to(folder.resolve())
    for path in sorted(folder.glob("*") if holds_data else folder.rglob("*")):
        is_secret = path.suffix in SECRET_SUFFIXES or path.resolve().is_relative_to(secrets)
        is_other = holds_data and path.suffix not in OWN_SUFFIXES
        if path.is_file() and not is_secret and not is_other:
            _copy_file(path, target / path.relative_to(folder))


def _copy_journal(source: Path, target: Path) -> Head:
    """Everything up to a durable head; the segment it lies in is cut there."""
    journal = SegmentJournal.open(source, read_only=True)
    try:
        head = journal.head()
        size = journal.options.segment_bytes
    finally:
        journal.close()
    for path in sorted(source.iterdir()):
        named = parse_name(path.name)
        if named is None:
            continue
        base, kind = named
        if base + size <= head.position:
            _copy_file(path, target / path.name)
        elif base < max(head.position, 1) and kind == "seg":
            _copy_file(path, target / path.name, until=head.position - base)
    return head


def _copy_registry(config: Config, target: Path) -> None:
    if config.registry.url is None:
        if config.registry_path.is_file():
            copy_file(config.registry_path, target)
        return
    database = open_configured(config, create=False)
    try:
        export_registry(database, target)
    finally:
        database.close()


def _export_stream(config: Config, target: Path) -> tuple[Head, int]:
    """A journal in Valkey as one segment file, and its MiB: a restored gateway keeps files."""
    from gateway.journal.valkey import ValkeyJournal  # noqa: PLC0415 - redis only where it is used
    from gateway.journal.valkey_export import export_segment  # noqa: PLC0415

    journal = ValkeyJournal.open_reader(valkey_options(config))
    try:
        return export_segment(journal, target)
    except JournalError as error:
        if error.code != "JOURNAL_PAST_RETENTION":
            raise
        raise BackupError(detail=f"{error.detail}: it was trimmed", hint=TRIMMED_HINT) from error
    finally:
        journal.close()


def _copy_file(source: Path, target: Path, *, until: int | None = None) -> None:
    """A private copy; behind `until` it is empty, of the same length."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb") as reading, os.fdopen(fd, "wb") as writing:
        size = os.fstat(reading.fileno()).st_size
        left = size if until is None else min(until, size)
        while left and (chunk := reading.read(min(left, CHUNK_BYTES))):
            writing.write(chunk)
            left -= len(chunk)
        writing.truncate(size)
        writing.flush()
        os.fsync(writing.fileno())


def _seal(path: Path) -> None:
    """Private and durable."""
    if path.is_file():
        path.chmod(0o600)
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _walk(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)


def _describe(folder: Path, path: Path) -> BackupFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BackupFile(path.relative_to(folder).as_posix(), path.stat().st_size, digest)


def _compare(source: Path, manifest: Manifest) -> Iterator[str]:
    """What differs from the manifest."""
    there = {path.relative_to(source).as_posix() for path in _walk(source)}
    for file in manifest.files:
        if file.path not in there:
            yield f"{file.path} is missing"
        elif _describe(source, source / file.path) != file:
            yield f"{file.path} was changed"
    for extra in sorted(there - {file.path for file in manifest.files}):
        yield f"{extra} does not belong to it"


def _write_manifest(target: Path, manifest: Manifest) -> None:
    path = target / MANIFEST
    path.write_text(json.dumps(manifest.as_dict(), indent=1) + "\n", encoding="utf-8")
    _seal(path)
    _sync_tree(target)


def _read_manifest(source: Path) -> Manifest:
    if not (source / MANIFEST).is_file():
        raise BackupError("BACKUP_NOT_FOUND", f"there is no backup in {source}")
    try:
        fields = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        if fields["format"] != FORMAT:
            raise BackupError(detail=f"{source} has format {fields['format']}, not {FORMAT}")
        files = tuple(BackupFile(**file) for file in fields.pop("files"))
        manifest = Manifest(**fields, files=files)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(detail=f"{source / MANIFEST}: {error}") from error
    for file in manifest.files:
        parts = Path(file.path).parts
        if Path(file.path).is_absolute() or ".." in parts:
            raise BackupError(detail=f"the manifest names {file.path}, outside of the backup")
    return manifest


def _sync_tree(folder: Path) -> None:
    """Make the names durable; the files already are."""
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
