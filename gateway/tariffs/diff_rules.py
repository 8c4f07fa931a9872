"""Which keys of two tariff files differ: by name of the row, not by its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.tariffs.reader import Document, Findings, KeyPath, load_document

NOT_RULES = ("example", "sources", "assumptions", "title", "version", "format", "id")
"""What a price does not come from."""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A key that one version has and the other has not, or has otherwise; line 0 = not there."""

    key: str
    before: str
    after: str
    before_line: int
    after_line: int

    def as_dict(self) -> dict[str, object]:
        """As JSON."""
        return {
            "key": self.key,
            "before": self.before,
            "after": self.after,
            "before_line": self.before_line,
            "after_line": self.after_line,
        }


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    line: int


def diff_rules(before: Path, after: Path) -> Iterator[RuleChange]:
    """The keys that differ, in the order of the new file, then those that are gone.

    Raises: TariffError: a file cannot be read.
    """
    findings = Findings()
    documents = [load_document(path, findings) for path in (before, after)]
    findings.raise_if_any()
    old, new = (dict(_values(one)) for one in documents)
    for key in dict.fromkeys((*new, *old)):
        first, second = old.get(key), new.get(key)
        if (first and first.text) != (second and second.text):
            yield RuleChange(
                key,
                first.text if first else "",
                second.text if second else "",
                first.line if first else 0,
                second.line if second else 0,
            )


def _values(document: Document) -> Iterator[tuple[str, _Value]]:
    for key, value in document.data.items():
        if key not in NOT_RULES:
            yield from _flat(document, key, value, (key,))


def _flat(
    document: Document, key: str, value: object, path: KeyPath
) -> Iterator[tuple[str, _Value]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "title":
                yield from _flat(document, f"{key}.{name}", inner, (*path, name))
    elif isinstance(value, list) and any(isinstance(row, dict) for row in value):
        for place, row in enumerate(value):
            name = row.get("name", place) if isinstance(row, dict) else place
            yield from _flat(document, f"{key}[{name}]", row, (*path, place))
    else:
        yield key, _Value(str(value), document.line_of(path))
