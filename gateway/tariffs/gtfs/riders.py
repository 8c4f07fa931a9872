"""Rider categories and fare media of a feed as the numbers that accounts and media have."""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.layers import CATEGORIES_MAX, MEDIA_MAX
from fastpath.types import MediumKind
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.settings import FeedSettings
from gateway.tariffs.gtfs.tables import FareMedium, Feed

ANY_MEDIUM = 0
NONE, PAPER, TRANSIT_CARD, CEMV, APP = range(5)
KINDS_BY_TYPE = {
    MediumKind.CARD: (TRANSIT_CARD,),
    MediumKind.PHONE: (APP,),
    MediumKind.QR: (APP, PAPER),
    MediumKind.EMV: (CEMV,),
    MediumKind.WRISTBAND: (TRANSIT_CARD,),
    MediumKind.BLE: (APP,),
}
"""Which fare_media_type a kind of medium stands for; without any of them, type 0 (none)."""
FIRST_NAMED = max(MediumKind) + 1


@dataclass(frozen=True, slots=True)
class Riders:
    """Categories by number, the default one first, and media by the kinds of the engine.

    media[kind]: the feed's media that a medium of this kind stands for, None = any. Kinds from
    FIRST_NAMED on are the feed's own media, so that a quote can name one.
    """

    categories: tuple[str, ...]
    media: tuple[frozenset[str] | None, ...]
    kind_of_media: dict[str, int]

    def number_of(self, category_id: str) -> int | None:
        """Number of a category; "" = the default one. None = no such category."""
        if not category_id:
            return 0
        return self.categories.index(category_id) if category_id in self.categories else None


def build_riders(feed: Feed, settings: FeedSettings, findings: Findings) -> Riders:
    """Numbers as the settings fix them, else in the feed's order."""
    media, kind_of = _media(feed, settings, findings)
    return Riders(_categories(feed, settings, findings), media, kind_of)


def _categories(feed: Feed, settings: FeedSettings, findings: Findings) -> tuple[str, ...]:
    known = [one.category_id for one in feed.categories]
    known += [one.category_id for one in feed.products if one.category_id]
    default = next((one.category_id for one in feed.categories if one.is_default), "")
    ordered = list(dict.fromkeys([*(settings.categories or (default,)), *known]))
    if len(ordered) > CATEGORIES_MAX:
        said = f"{len(ordered)} categories, at most {CATEGORIES_MAX}"
        findings.add("GTFS_TOO_LARGE", "rider_categories.txt", said)
    return tuple(ordered[:CATEGORIES_MAX])


def _media(
    feed: Feed, settings: FeedSettings, findings: Findings
) -> tuple[tuple[frozenset[str] | None, ...], dict[str, int]]:
    slots: list[frozenset[str] | None] = [frozenset()] * MEDIA_MAX
    slots[ANY_MEDIUM] = None
    for kind in MediumKind:
        named = settings.media.get(kind.name.lower())
        slots[kind] = frozenset({named}) if named is not None else _media_for(feed.media, kind)
    known = list(dict.fromkeys(one.media_id for one in feed.media))
    known += [one.media_id for one in feed.products if one.media_id and one.media_id not in known]
    known = list(dict.fromkeys(known))
    kind_of = {one: FIRST_NAMED + at for at, one in enumerate(known[: MEDIA_MAX - FIRST_NAMED])}
    for media_id, slot in kind_of.items():
        slots[slot] = frozenset({media_id})
    if len(known) > len(kind_of):
        said = f"{len(known)} media, quotes can name {len(kind_of)} of them"
        findings.add("GTFS_MEDIA_SLOTS", "fare_media.txt", said)
    return tuple(slots), kind_of


def _media_for(media: tuple[FareMedium, ...], kind: MediumKind) -> frozenset[str]:
    for types in (KINDS_BY_TYPE[kind], (NONE,)):
        fitting = frozenset(one.media_id for one in media if one.kind in types)
        if fitting:
            return fitting
    return frozenset()
