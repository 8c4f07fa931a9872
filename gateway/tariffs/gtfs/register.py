"""A feed as a registered tariff: `ID.toml` with the settings, and `ID.gtfs.zip` with its tables.

The zip file holds only the tables that fares need, byte for byte, and is the same for the same
feed. Where tariffs are looked for, such a file stands like any other tariff.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

from fastpath.types import MediumKind, TariffSpec
from gateway.errors import TariffError
from gateway.tariffs.calendar import local_time
from gateway.tariffs.gtfs.columns import COLUMNS
from gateway.tariffs.gtfs.findings import Findings as FeedFindings
from gateway.tariffs.gtfs.loaded import LoadedFeed, load
from gateway.tariffs.gtfs.read import open_feed
from gateway.tariffs.gtfs.settings import SWITCH_NAMES, FeedSettings, Switches
from gateway.tariffs.reader import Findings, Table, load_document

FORMAT = 1
KIND = "gtfs"
KEPT = frozenset(COLUMNS) | {
    "agency.txt", "calendar.txt", "calendar_dates.txt", "feed_info.txt", "routes.txt", "stops.txt",
}  # fmt: skip
KEPT_FOR_ZONES = frozenset({"trips.txt", "stop_times.txt"})
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_KIND_LINE = re.compile(r'^kind\s*=\s*"gtfs"\s*$', re.MULTILINE)


def is_feed_file(path: Path) -> bool:
    """Whether a tariff file is one of a feed. Unreadable files are not: others say why."""
    try:
        return _KIND_LINE.search(path.read_text(encoding="utf-8")) is not None
    except (OSError, UnicodeDecodeError):
        return False


def load_registered(path: Path) -> LoadedFeed:
    """A registered feed.

    Raises: TariffError: TARIFF_INVALID (the settings), TARIFF_FEED (the feed).
    """
    feed, settings = read_registered(path)
    return load(feed, settings)


def compile_registered(path: Path) -> TariffSpec:
    """The compiled form of a registered feed. Raises: as load_registered."""
    return load_registered(path).built.spec


def describe_feed(path: Path) -> dict[str, object]:
    """What lists of tariffs show of a registered feed. Raises: as load_registered."""
    loaded = load_registered(path)
    built = loaded.built
    return {
        "id": built.spec.tariff_id,
        "version": built.spec.version,
        "title": {"zh": built.spec.tariff_id, "en": built.spec.tariff_id},
        "currency": built.currency.code,
        "valid_from": local_time(built.spec.valid_from_us, built.zone).date().isoformat(),
        "stations": len(built.spec.stop_ids),
        "warnings": [str(one) for one in loaded.warnings],
    }


def source_files(path: Path) -> list[Path]:
    """The files a registered feed is made of."""
    return [path, read_registered(path)[0]]


def read_registered(path: Path) -> tuple[Path, FeedSettings]:
    """Where the feed is, and its settings. Raises: TariffError: TARIFF_INVALID."""
    findings = Findings()
    root = Table.root(load_document(path, findings), findings)
    root.whole("format", high=FORMAT, low=FORMAT)
    root.choice("kind", (KIND,))
    feed = path.parent / root.text("feed")
    settings = FeedSettings(
        tariff_id=root.text("id"),
        version=root.text("version", ""),
        zone=root.text("zone", ""),
        valid_from=_day(root, "valid_from"),
        valid_until=_day(root, "valid_until"),
        switches=_switches(root),
        passes=frozenset(root.texts("passes", ())),
        media=_media(root),
        categories=root.texts("categories", ()),
        category_fallback=root.flag("category_fallback", False),
        v1_measured_at_arrival=root.flag("v1_measured_at_arrival", False),
    )
    root.close()
    findings.raise_if_any()
    return feed, settings


def register_feed(source: Path, folder: Path, settings: FeedSettings) -> tuple[Path, LoadedFeed]:
    """Check a feed, then write its two files into a folder; the feed that stood there gives way.

    The numbers of rider categories are written down: a version that lists them in another order
    leaves accounts what they are.

    Raises: TariffError: TARIFF_FEED; the id is not a file name.
    """
    if _ID.fullmatch(settings.tariff_id) is None:
        said = f"{settings.tariff_id!r} is no tariff id: small letters, digits, -, _ and ."
        raise TariffError("TARIFF_INVALID", said, hint="name it with --id")
    path = folder / f"{settings.tariff_id}.toml"
    if path.exists() and is_feed_file(path) and not settings.categories:
        settings = replace(settings, categories=read_registered(path)[1].categories)
    loaded = load(source, settings)
    settings = replace(settings, categories=loaded.built.riders.categories)
    folder.mkdir(parents=True, exist_ok=True)
    zip_name = f"{settings.tariff_id}.gtfs.zip"
    _write_zip(source, folder / zip_name, with_trips=bool(loaded.feed.stop_times))
    fresh = path.with_suffix(".tmp")
    fresh.write_text(render(settings, zip_name), encoding="utf-8")
    fresh.rename(path)
    return path, load_registered(path)


def render(settings: FeedSettings, feed: str) -> str:
    """The text of a registered feed's file."""
    lines = [f"format = {FORMAT}", f'kind = "{KIND}"', f"id = {_quoted(settings.tariff_id)}"]
    lines.append(f"feed = {_quoted(feed)}")
    for key in ("version", "zone"):
        if getattr(settings, key):
            lines.append(f"{key} = {_quoted(getattr(settings, key))}")
    for key in ("valid_from", "valid_until"):
        if getattr(settings, key):
            lines.append(f"{key} = {getattr(settings, key).isoformat()}")
    lines.append(f"categories = [{', '.join(map(_quoted, settings.categories))}]")
    if settings.passes:
        lines.append(f"passes = [{', '.join(map(_quoted, sorted(settings.passes)))}]")
    for key in ("category_fallback", "v1_measured_at_arrival"):
        if getattr(settings, key):
            lines.append(f"{key} = true")
    lines += ["", "[switches]"]
    lines += [f"{name} = {str(getattr(settings.switches, name)).lower()}" for name in SWITCH_NAMES]
    if settings.media:
        lines += ["", "[media]"]
        lines += [f"{kind} = {_quoted(name)}" for kind, name in sorted(settings.media.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _day(root: Table, key: str) -> date | None:
    return root.day(key) if root.has(key) else None


def _switches(root: Table) -> Switches:
    table = root.table("switches", needed=False)
    switches = Switches(**{name: table.flag(name, False) for name in SWITCH_NAMES})
    table.close()
    return switches


def _media(root: Table) -> dict[str, str]:
    table = root.table("media", needed=False)
    kinds = [kind.name.lower() for kind in MediumKind]
    media = {kind: table.text(kind) for kind in kinds if table.has(kind)}
    table.close()
    return media


def _write_zip(source: Path, target: Path, *, with_trips: bool) -> None:
    files = open_feed(source, FeedFindings())
    kept = KEPT | KEPT_FOR_ZONES if with_trips else KEPT
    fresh = target.with_suffix(".tmp")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files.names & kept):
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), files.read_bytes(name))
    fresh.rename(target)
