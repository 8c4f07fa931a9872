"""Names that a tariff declares once and uses in many places, and the numbers of its rules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastpath.types import MediumKind
from gateway.tariffs.reader import Table, dotted
from gateway.tariffs.source_layers import ANY, Names, Origin

MEDIA = {kind.name.lower(): int(kind) for kind in MediumKind}


@dataclass(slots=True)
class Origins:
    """Gives every rule that can act its source number."""

    items: list[Origin] = field(default_factory=list)

    def add(self, row: Table, name: str, title: dict[str, str] | None = None) -> int:
        """The number of the rule that stands at `row`."""
        line = row.document.line_of(row.path)
        key = dotted(row.path)
        self.items.append(Origin(row.document.name, line, key, name, title or {}))
        return len(self.items)

    def add_line(self, file: str, line: int, key: str, name: str) -> int:
        """The number of a rule in a file that is not TOML."""
        self.items.append(Origin(file, line, key, name))
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Known:
    """What may be named."""

    categories: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


def pick(row: Table, key: str, known: Collection[str]) -> Names:
    """A list of declared names; () when it is left out. Unknown ones are faults."""
    names = row.texts(key, ())
    for name in names:
        check_name(row, key, name, known)
    if row.has(key) and not names:
        row.fault(key, "is empty", "leave it out for all of them")
    return tuple(name for name in names if name in known)


def pick_one(row: Table, key: str, known: Collection[str]) -> str:
    """One declared name."""
    name = row.text(key)
    check_name(row, key, name, known)
    return name


def pick_one_or_more(row: Table, key: str, known: Collection[str]) -> Names:
    """A declared name, a list of them, or "any"."""
    if row.is_text(key):
        name = row.text(key)
        if name != ANY:
            check_name(row, key, name, known)
        return (name,)
    if not row.has(key):
        row.text(key)
    return pick(row, key, known)


def pick_media(row: Table) -> tuple[int, ...]:
    """Kinds of media; () when it is left out."""
    return tuple(MEDIA[name] for name in pick(row, "media", MEDIA))


def check_name(row: Table, key: str, name: str, known: Collection[str]) -> None:
    """Note a name that nobody declared."""
    if name in known:
        return
    near = get_close_matches(name, sorted(known), n=2)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "known: " + (", ".join(known) or "none")
    )
    row.fault(key, f"{name!r} is not known", hint)


def check_unique(root: Table, key: str, names: Collection[str]) -> None:
    """Note names that are declared twice."""
    for name in sorted({name for name in names if list(names).count(name) > 1}):
        root.fault(key, f"{name!r} is there twice")


def read_title(row: Table, *, needed: bool = False) -> dict[str, str]:
    """Names for people by language; {} when left out."""
    if not row.has("title") and not needed:
        return {}
    title = row.table("title")
    names = {"zh": title.text("zh"), "en": title.text("en")}
    title.close()
    return names


def read_zone(row: Table) -> ZoneInfo:
    """The time zone of a table's `zone`; UTC stands in for one that is not known."""
    name = row.text("zone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        hint = "an IANA name such as Asia/Shanghai; without zone files, install tzdata"
        row.fault("zone", f"{name!r} is not known on this machine", hint)
        return ZoneInfo("UTC")
