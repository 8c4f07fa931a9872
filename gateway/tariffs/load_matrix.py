"""A CSV table of prices between stops -> Matrix. Every broken row is a finding."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import TariffError
from gateway.tariffs.load_names import Origins
from gateway.tariffs.names import StationNames
from gateway.tariffs.reader import Finding, Findings, Table
from gateway.tariffs.source import Network
from gateway.tariffs.source_layers import Matrix, MatrixFare
from gateway.tariffs.units import AmountError, parse_amount

COLUMNS = ("from", "to", "fare", "distance_m")
STOP_ID_MAX = 2**32 - 1
FINDINGS_MAX = 100
DISTANCE_MAX_M = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    columns: dict[str, str]
    exponent: int
    names: StationNames | None
    findings: Findings

    def fault(self, line: int, column: str, what: str, hint: str = "") -> None:
        self.findings.items.append(Finding(self.name, line, self.columns[column], what, hint))


@dataclass(frozen=True, slots=True)
class MatrixPlace:
    """The tariff's file, the digits of its currency, and its stops (none: numbers are taken)."""

    tariff: Path
    exponent: int
    network: Network


def load_matrix(row: Table, place: MatrixPlace, origins: Origins, findings: Findings) -> Matrix:
    """The table that `matrix` names, a file beside the tariff."""
    name = row.text("matrix")
    columns = _read_columns(row)
    both_ways = row.flag("both_ways", False)
    names = StationNames(place.network.stations) if place.network.stations else None
    file = _File(name, columns, place.exponent, names, findings)
    cells: dict[tuple[int, int], MatrixFare] = {}
    for line, fields in _read_rows(place.tariff.parent / name, row, file):
        found = _read_cell(fields, line, file)
        if found is None:
            continue
        pair, fare, distance_m = found
        if pair in cells:
            file.fault(line, "from", f"the pair {pair[0]} → {pair[1]} is there twice")
        origin = origins.add_line(name, line, columns["fare"], f"{pair[0]} → {pair[1]}")
        cells[pair] = MatrixFare(fare, distance_m, origin)
    return Matrix(cells, both_ways)


def _read_columns(row: Table) -> dict[str, str]:
    table = row.table("columns", needed=False)
    columns = {key: table.text(key, key) for key in COLUMNS}
    table.close()
    return columns


def _read_rows(path: Path, row: Table, file: _File) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        row.fault("matrix", f"{file.name} cannot be read: {error}")
        return
    reader = csv.DictReader(text.splitlines())
    missing = {file.columns[key] for key in COLUMNS[:3]} - set(reader.fieldnames or ())
    if missing:
        hint = "the head line has: " + ", ".join(reader.fieldnames or ())
        row.fault("columns", f"{file.name} has no column {', '.join(sorted(missing))}", hint)
        return
    for number, fields in enumerate(reader, start=2):
        if len(file.findings.items) > FINDINGS_MAX:
            return
        yield number, {key: value or "" for key, value in fields.items() if key}


def _read_cell(
    fields: Mapping[str, str], line: int, file: _File
) -> tuple[tuple[int, int], int, int] | None:
    """A pair, its fare and distance; None = no price, or a fault."""
    ends = [_find_stop(fields[file.columns[key]], key, line, file) for key in ("from", "to")]
    text = fields[file.columns["fare"]].strip()
    if not text or None in ends:
        return None
    try:
        fare = parse_amount(text, file.exponent)
    except AmountError as error:
        file.fault(line, "fare", str(error))
        return None
    metres = fields.get(file.columns["distance_m"], "").strip() or "0"
    if not (metres.isdecimal() and int(metres) <= DISTANCE_MAX_M):
        file.fault(line, "distance_m", f"{metres!r} is not whole metres")
        return None
    return (ends[0] or 0, ends[1] or 0), fare, int(metres)


def _find_stop(text: str, key: str, line: int, file: _File) -> int | None:
    if file.names is None:
        if text.isdecimal() and 0 < int(text) <= STOP_ID_MAX:
            return int(text)
        file.fault(line, key, f"{text!r} is not a stop number", "declare [[stop]] to use names")
        return None
    try:
        return file.names.get(text).stop_id
    except TariffError as error:
        file.fault(line, key, error.detail, error.hint)
        return None
