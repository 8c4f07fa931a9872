"""Reading TOML tables with all faults collected, each with file, line, key path and a hint.

A `Table` hands out checked values and remembers which keys were asked for; what nobody asked for is
reported as unknown. A faulty value becomes a finding and a harmless stand-in, so that one run tells
everything. Knows nothing of tariffs. Must not import the rest of the gateway but its errors.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from gateway.errors import TariffError
from gateway.tariffs.units import AmountError, parse_amount, parse_factor

KeyPath = tuple[str | int, ...]
Value = TypeVar("Value")
NumberParser = Callable[[str], int]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one file."""

    file: str
    line: int
    path: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        named = f"{where}: {self.path}: {self.what}" if self.path else f"{where}: {self.what}"
        return f"{named} ({self.hint})" if self.hint else named


@dataclass(slots=True)
class Findings:
    """What is wrong so far."""

    items: list[Finding] = field(default_factory=list)

    def raise_if_any(self, code: str = "TARIFF_INVALID") -> None:
        """Raises: TariffError: with every finding, in file and line order."""
        if self.items:
            found = sorted(dict.fromkeys(self.items), key=lambda one: (one.file, one.line))
            raise TariffError(code, f"{len(found)} faults", findings=[str(one) for one in found])


@dataclass(frozen=True, slots=True)
class Document:
    """One TOML file: its text (to find lines) and what it says."""

    name: str
    text: str
    data: dict[str, object]

    def line_of(self, path: KeyPath) -> int:
        """The line of a key, 0 = not found. tomllib keeps no positions, so the text is scanned."""
        return locate(self.text, path)


def load_document(path: Path, findings: Findings, *, name: str = "") -> Document:
    """Read a TOML file. What cannot be read is a finding and an empty document."""
    shown = name or path.name
    try:
        text = path.read_text(encoding="utf-8")
        return Document(shown, text, tomllib.loads(text))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        findings.items.append(Finding(shown, 0, "", f"cannot be read: {reason}"))
    except UnicodeDecodeError:
        findings.items.append(Finding(shown, 0, "", "is not UTF-8 text"))
    except tomllib.TOMLDecodeError as error:
        said = re.search(r"line (\d+)", str(error))
        line = int(said[1]) if said else 0
        findings.items.append(Finding(shown, line, "", f"is not valid TOML: {error}"))
    return Document(shown, "", {})


def locate(text: str, path: KeyPath) -> int:
    """Line number (from 1) of the key `path` in TOML text, or of the nearest part that is found."""
    lines = text.splitlines()
    if not path:
        return 0
    start, rest = _find_header(lines, path)
    if not rest:
        return start
    key_line = _find_key(lines, start, str(rest[0]))
    if key_line and len(rest) > 1 and isinstance(rest[1], int):
        return _find_row(lines, key_line, rest[1])
    return key_line or start


def _find_header(lines: list[str], path: KeyPath) -> tuple[int, KeyPath]:
    """Line of the `[name]` or n-th `[[name]]` header; the part of the path behind it."""
    wanted = path[1] if len(path) > 1 and isinstance(path[1], int) else 0
    seen = 0
    for number, line in enumerate(lines, start=1):
        header = _HEADER.match(line)
        if header is None or header[2] != path[0]:
            continue
        if header[1] == "[" or seen == wanted:
            return number, path[2:] if header[1] == "[[" else path[1:]
        seen += 1
    return 0, path


def _find_key(lines: list[str], start: int, key: str) -> int:
    """Line of `key = ...` behind line `start` and before the next header; 0 = not there."""
    pattern = re.compile(rf'^\s*"?{re.escape(key)}"?\s*=')
    for number, line in enumerate(lines[start:], start=start + 1):
        if _HEADER.match(line):
            return 0
        if pattern.match(line):
            return number
    return 0


def _find_row(lines: list[str], key_line: int, wanted: int) -> int:
    """Line of the n-th `{...}` row of an array that begins at `key_line`."""
    seen = 0
    for number, line in enumerate(lines[key_line:], start=key_line + 1):
        if _HEADER.match(line) or line.strip() == "]":
            break
        if line.lstrip().startswith("{"):
            if seen == wanted:
                return number
            seen += 1
    return key_line


class Table:
    """A TOML table whose values are handed out checked."""

    def __init__(
        self, document: Document, findings: Findings, data: dict[str, object], path: KeyPath = ()
    ) -> None:
        self.document = document
        self.path = path
        self._findings = findings
        self._data = data
        self._asked: set[str] = set()
        self._children: dict[str, Table] = {}

    @classmethod
    def root(cls, document: Document, findings: Findings) -> Table:
        """The whole file."""
        return cls(document, findings, document.data)

    def fault(self, key: str | None, what: str, hint: str = "") -> None:
        """Note a fault of this table, or of one of its keys."""
        path = self.path if key is None else (*self.path, key)
        line = self.document.line_of(path)
        self._findings.items.append(Finding(self.document.name, line, dotted(path), what, hint))

    def has(self, key: str) -> bool:
        """Whether the key is there; does not count as asking for it."""
        return key in self._data

    def is_text(self, key: str) -> bool:
        """Whether the key is there with a text; does not count as asking for it."""
        return isinstance(self._data.get(key), str)

    def is_list(self, key: str) -> bool:
        """Whether the key is there with a list; does not count as asking for it."""
        return isinstance(self._data.get(key), list)

    def values(self, key: str) -> list[object]:
        """A list of anything; empty when left out."""
        return list(self._take(key, list, "a list", [], []))

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty."""
        value = self._take(key, str, "text in quotes", default, "")
        if value == "" and default != "":
            self.fault(key, "is empty")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of a few words."""
        value = self._take(key, str, "one of " + ", ".join(choices), default, choices[0])
        if value not in choices:
            self.fault(key, f"is {value!r}", "must be one of " + ", ".join(choices))
            return choices[0]
        return value

    def whole(self, key: str, default: int | None = None, *, low: int = 0, high: int) -> int:
        """A whole number in low..high."""
        value = self._take(key, int, "a whole number", default, low)
        if not low <= value <= high:
            self.fault(key, f"is {value}", f"must be {low} to {high}")
            return low
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        return self._take(key, bool, "true or false", default, False)

    def day(self, key: str) -> date:
        """A date without quotes."""
        value = self._take(key, date, "a date as 2026-01-31, no quotes", None, date(2000, 1, 1))
        if isinstance(value, datetime):
            self.fault(key, "has a time of day", "write the date only")
            return value.date()
        return value

    def moment(self, key: str) -> datetime:
        """A local date and time without quotes or offset."""
        wanted = "a local date and time as 2026-01-31T07:30:00, no quotes"
        value = self._take(key, datetime, wanted, None, datetime(2000, 1, 1))  # noqa: DTZ001
        if value.tzinfo is not None:
            self.fault(key, "has an offset", "write local time; the tariff names the zone")
        return value.replace(tzinfo=None)

    def time_of_day(self, key: str, default: time | None = None) -> time:
        """A time of day without quotes."""
        return self._take(key, time, "a time as 07:00:00, no quotes", default, time(0))

    def amount(self, key: str, exponent: int, default: int | None = None) -> int:
        """An amount as text ("3.00"), in minor units."""
        return self._number(key, lambda value: parse_amount(value, exponent), "3.00", default)

    def factor(self, key: str, default: int | None = None) -> int:
        """A factor as text ("0.5"), in parts per million."""
        return self._number(key, parse_factor, "0.5", default)

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts."""
        value = self._take(key, list, "a list of texts", None if default is None else [], [])
        bad = [one for one in value if not isinstance(one, str)]
        for one in bad:
            self.fault(key, f"holds {one!r}", "write texts in quotes")
        if default is not None and not self.has(key):
            return default
        return tuple(one for one in value if isinstance(one, str))

    def days(self, key: str) -> tuple[date, ...]:
        """A list of dates."""
        value = self._take(key, list, "a list of dates", [], [])
        good = tuple(one for one in value if isinstance(one, date))
        if len(good) != len(value):
            self.fault(key, "holds something that is not a date", "as 2026-01-31, no quotes")
        return good

    def table(self, key: str, *, needed: bool = True) -> Table:
        """A table inside this one; an empty one stands in when it may be left out.

        Asked for again it is the same object, so that several readers may share a table.
        """
        if key in self._children:
            return self._children[key]
        data = self._take(key, dict, "a table", None if needed else {}, {})
        inside = Table(self.document, self._findings, data, (*self.path, key))
        self._children[key] = inside
        return inside

    def tables(self, key: str, *, needed: bool = True) -> Iterator[Table]:
        """A list of tables."""
        rows = self._take(key, list, "a list of tables", None if needed else [], [])
        for index, row in enumerate(rows):
            path = (*self.path, key, index)
            if isinstance(row, dict):
                yield Table(self.document, self._findings, row, path)
            else:
                self.fault(key, f"entry {index + 1} is not a table", "write { key = value, ... }")

    def close(self) -> None:
        """Report every key nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, n=1)
                self.fault(key, "is not a known key", f"did you mean {near[0]}?" if near else "")

    def _take(
        self, key: str, kind: type[Value], wanted: str, default: Value | None, stand_in: Value
    ) -> Value:
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                self.fault(key, "is missing", f"write {wanted}")
                return stand_in
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fault(key, f"is {value!r}", f"must be {wanted}")
            return stand_in
        return value

    def _number(self, key: str, parse: NumberParser, example: str, default: int | None) -> int:
        if default is not None and key not in self._data:
            self._asked.add(key)
            return default
        value = self._take(key, str, f'text as "{example}"', None, example)
        try:
            return parse(value)
        except AmountError as error:
            self.fault(key, str(error), f'write text as "{example}"')
            return 0


def dotted(path: KeyPath) -> str:
    """The path as people write it: fare[0].bands[2].to_m."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown
