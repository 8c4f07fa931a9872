"""CSV as it leaves the ledger: UTF-8, commas, CRLF (RFC 4180), one head line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would take text that begins so for a formula."""


def render(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as text, in the order of the columns."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_safe(row.get(column, "")) for column in columns])
    return out.getvalue()


def render_all(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows that all have the same columns; nothing for none."""
    return render(list(rows[0]), rows) if rows else ""


def _safe(value: object) -> object:
    """Text from outside is never a formula; numbers are left as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
