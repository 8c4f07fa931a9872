"""Fare products -> the engine's price table: the cheapest row sold to a category with a medium."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fastpath.layers import MEDIA_MAX
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.riders import ANY_MEDIUM, Riders
from gateway.tariffs.gtfs.settings import FeedSettings
from gateway.tariffs.gtfs.tables import FareProduct, Feed
from gateway.tariffs.units import Currency

NOT_SOLD = -1
FILE = "fare_products.txt"
ProductSet = frozenset[str]


@dataclass(slots=True)
class PriceTable:
    """Prices of sets of products: whoever may use any of a set pays for its cheapest."""

    currency: Currency
    riders: Riders
    rows_of: dict[str, tuple[FareProduct, ...]]
    category_fallback: bool
    sets: dict[ProductSet, int] = field(default_factory=dict)
    _default: dict[ProductSet, int] = field(default_factory=dict)

    def index_of(self, products: ProductSet) -> int:
        """Index of a set in the table; it is added when it is new."""
        return self.sets.setdefault(products, len(self.sets))

    def find_row(self, products: Iterable[str], category: int, kind: int) -> FareProduct | None:
        """The row that is charged; None = not sold so. Of equal prices the first in the file."""
        rows = [row for one in products for row in self.rows_of.get(one, ())]
        fitting = self._fitting(rows, category, kind)
        if not fitting and self.category_fallback:
            fitting = self._fitting(rows, 0, kind)
        return min(fitting, key=lambda row: (row.amount_minor, row.line), default=None)

    def list_rows(self, products: Iterable[str]) -> list[FareProduct]:
        """Every row of these products, cheapest first."""
        rows = [row for one in products for row in self.rows_of.get(one, ())]
        return sorted(rows, key=lambda row: (row.amount_minor, row.line))

    def default_minor(self, products: ProductSet) -> int:
        """What the default category pays with whatever medium, else anybody; NOT_SOLD = nobody."""
        if products not in self._default:
            row = self.find_row(products, 0, ANY_MEDIUM) or next(
                iter(self.list_rows(products)), None
            )
            self._default[products] = row.amount_minor if row else NOT_SOLD
        return self._default[products]

    def build(self) -> array[int]:
        """[(set * categories + category) * 16 + medium kind]."""
        return array("i", self._cells())

    def _cells(self) -> Iterator[int]:
        for products in self.sets:
            for category in range(len(self.riders.categories)):
                for kind in range(MEDIA_MAX):
                    row = self.find_row(products, category, kind)
                    yield row.amount_minor if row is not None else NOT_SOLD

    def _fitting(self, rows: list[FareProduct], category: int, kind: int) -> list[FareProduct]:
        category_id = self.riders.categories[category]
        media = self.riders.media[kind]
        return [
            row
            for row in rows
            if row.category_id in ("", category_id)
            and (media is None or not row.media_id or row.media_id in media)
        ]


def build_prices(
    feed: Feed, riders: Riders, settings: FeedSettings, findings: Findings
) -> PriceTable:
    """Prices in one currency: that of the first product; rows in others are not sold."""
    currency = feed.products[0].currency
    rows_of: dict[str, tuple[FareProduct, ...]] = {}
    for row in feed.products:
        if row.currency != currency:
            said = f"is in {row.currency.code}, the tariff in {currency.code}"
            findings.add("GTFS_CURRENCIES", FILE, said, line=row.line, field="currency")
        else:
            rows_of[row.product_id] = (*rows_of.get(row.product_id, ()), row)
    return PriceTable(currency, riders, rows_of, settings.category_fallback)


def is_single(products: Iterable[FareProduct], passes: frozenset[str]) -> bool:
    """Whether a product is a fare of one ride: no pass by the settings, no duration of its own."""
    rows = list(products)
    return bool(rows) and not any(row.is_period or row.product_id in passes for row in rows)
