"""The files of a feed: a folder or a zip file of CSV tables, read into rows that know their lines.

Rows are texts by column name; what they mean is the business of tables.py.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.tariffs.gtfs.findings import Findings

FILE_BYTES_MAX = 1 << 30
"""A larger table is refused: a zip file may hold far more than its size says."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its first line in the file, and its values without spaces around them."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class RawTable:
    """One file as texts."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class FeedFiles:
    """Where the tables of a feed are. Tables are read when they are asked for."""

    def __init__(self, name: str, opened: dict[str, Callable[[], bytes]]) -> None:
        self.name = name
        self._opened = opened

    @property
    def names(self) -> frozenset[str]:
        """The files there are."""
        return frozenset(self._opened)

    def read_bytes(self, file: str) -> bytes:
        """A file as it is. Raises: KeyError, OSError, zipfile.BadZipFile."""
        return self._opened[file]()

    def find_table(self, file: str, findings: Findings) -> RawTable | None:
        """A table; None = no such file, or it cannot be read (a finding says why)."""
        if file not in self._opened:
            return None
        try:
            text = self.read_bytes(file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            findings.add("GTFS_UNREADABLE", file, f"byte {error.start} is not UTF-8")
            return None
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            findings.add("GTFS_UNREADABLE", file, f"cannot be read: {error}")
            return None
        return _parse(file, text, findings)


def open_feed(path: Path, findings: Findings) -> FeedFiles:
    """The files of a folder or a zip file. Faults become findings."""
    try:
        if path.is_dir():
            return FeedFiles(path.name, _folder_files(path))
        return FeedFiles(path.name, _zip_files(path, findings))
    except (OSError, zipfile.BadZipFile) as error:
        findings.add("GTFS_UNREADABLE", path.name, f"cannot be read: {error}")
    return FeedFiles(path.name, {})


def _folder_files(path: Path) -> dict[str, Callable[[], bytes]]:
    return {file.name: file.read_bytes for file in sorted(path.glob("*.txt")) if file.is_file()}


def _zip_files(path: Path, findings: Findings) -> dict[str, Callable[[], bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith(".txt")]
    members = [one for one in members if "__MACOSX" not in one.filename]
    if members and all("/" in one.filename for one in members):
        findings.add("GTFS_FOLDER", path.name, f"its tables are in {members[0].filename}")
    else:
        members = [one for one in members if "/" not in one.filename]
    return {
        one.filename.rpartition("/")[2]: lambda one=one: _read_member(path, one)  # type: ignore[misc]
        for one in members
    }


def _read_member(path: Path, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > FILE_BYTES_MAX:
        raise ValueError(f"{member.file_size} bytes, at most {FILE_BYTES_MAX}")
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def _parse(file: str, text: str, findings: Findings) -> RawTable | None:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = list(_iter_rows(file, reader, findings))
    if not rows:
        findings.add("GTFS_CSV", file, "has no line of column names")
        return None
    columns = tuple(name.strip() for name in rows[0][1])
    for name in sorted({one for one in columns if columns.count(one) > 1}):
        findings.add("GTFS_COLUMN", file, "is named twice", line=1, field=name)
    return RawTable(file, columns, tuple(_keep_rows(file, columns, rows[1:], findings)))


def _iter_rows(
    file: str, reader: Iterator[list[str]], findings: Findings
) -> Iterator[tuple[int, list[str]]]:
    """Rows with their first line. A quoting fault ends the table: what follows cannot be told."""
    line = 1
    try:
        for values in reader:
            if any(values):
                yield line, values
            line = getattr(reader, "line_num", line) + 1
    except csv.Error as error:
        findings.add("GTFS_CSV", file, str(error), line=getattr(reader, "line_num", line))


def _keep_rows(
    file: str, columns: tuple[str, ...], rows: list[tuple[int, list[str]]], findings: Findings
) -> Iterator[Row]:
    for line, values in rows:
        if len(values) > len(columns):
            said = f"has {len(values)} values for {len(columns)} columns"
            findings.add("GTFS_CSV", file, said, line=line)
            continue
        filled = [*values, *("" for _ in columns[len(values) :])]
        yield Row(line, {name: value.strip() for name, value in zip(columns, filled, strict=True)})
