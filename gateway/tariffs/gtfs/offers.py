"""Fares v2: what a leg between two classes of stops may be sold as, and what is charged for it.

Of the rules that match, and the products they name, the cheapest single ride that is sold to the
rider's category with their medium is charged. Passes are not (they are `passes` of a feed's
settings, or products with a duration).
"""

from __future__ import annotations

from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.frames import FramePlan
from gateway.tariffs.gtfs.grid import NO_CELL, Cell, Column, Grid, Shape
from gateway.tariffs.gtfs.matching import LegMatcher
from gateway.tariffs.gtfs.origins import Origin, Origins
from gateway.tariffs.gtfs.products import NOT_SOLD, PriceTable, is_single
from gateway.tariffs.gtfs.tables import Feed, LegRule
from gateway.tariffs.gtfs.transfers import LegGroups

FILE = "fare_leg_rules.txt"
Rules = tuple[LegRule, ...]


class LegOffers:
    """Builds columns of cells. Groups are numbers of `group_sets` until transfers are known."""

    def __init__(
        self,
        feed: Feed,
        matcher: LegMatcher,
        prices: PriceTable,
        *,
        passes: frozenset[str],
        origins: Origins,
    ) -> None:
        self._matcher = matcher
        self._prices = prices
        self._origins = origins
        self._singles = {
            product for product, rows in prices.rows_of.items() if is_single(rows, passes)
        }
        self._cells: dict[Rules, Cell] = {}
        self.group_sets: list[LegGroups] = [frozenset()]
        self.matched: set[LegRule] = set()
        self.mixed: dict[Rules, None] = {}
        """Matching rules whose products differ in price: one of them is chosen for the rider."""
        self.prices_of: dict[str, set[int]] = {}
        """What the default category pays for legs of each leg group."""

    def build_column(self, shape: Shape, frames: FramePlan, key: tuple[int, int, int]) -> Column:
        """The cells of one network and pair of frames."""
        network, frame_in, frame_out = key
        fitting = self._matcher.fit_network(
            shape.networks.names[network], frames.groups[frame_in], frames.groups[frame_out]
        )
        places = shape.places.classes
        return tuple(
            self._cell(rules)
            for place in places
            for rules in self._matcher.fit_all(self._matcher.fit_from(fitting, place), places)
        )

    def _cell(self, rules: Rules) -> Cell:
        if rules not in self._cells:
            self.matched.update(rules)
            self._cells[rules] = self._make(rules)
        return self._cells[rules]

    def _make(self, rules: Rules) -> Cell:
        sold = [rule for rule in rules if rule.product_id in self._singles]
        if not sold:
            return NO_CELL
        products = frozenset(rule.product_id for rule in sold)
        if len(products) > 1:
            self.mixed[tuple(sold)] = None
        passes = frozenset(rule.product_id for rule in rules) - products
        origin = Origin(FILE, tuple(rule.line for rule in sold), products, passes)
        return Cell(
            fare=self._prices.index_of(products),
            group=self._group_of(sold),
            source=self._origins.number_of(origin),
        )

    def _group_of(self, rules: list[LegRule]) -> int:
        """Leg groups of the rules whose product is charged."""
        prices = [self._prices.default_minor(frozenset({rule.product_id})) for rule in rules]
        lowest = min((one for one in prices if one != NOT_SOLD), default=NOT_SOLD)
        groups = frozenset(
            rule.group_id
            for rule, price in zip(rules, prices, strict=True)
            if price == lowest and rule.group_id
        )
        for group in groups:
            self.prices_of.setdefault(group, set()).add(lowest)
        if groups not in self.group_sets:
            self.group_sets.append(groups)
        return self.group_sets.index(groups)


def renumber_groups(grid: Grid, group_of: list[int]) -> Grid:
    """The grid with engine groups in place of numbers of sets."""
    renamed: dict[Cell, Cell] = {}
    columns = tuple(
        tuple(renamed.setdefault(cell, _renamed(cell, group_of)) for cell in column)
        for column in grid.columns
    )
    return Grid(grid.shape, columns, grid.column)


def _renamed(cell: Cell, group_of: list[int]) -> Cell:
    return Cell(cell.fare, group_of[cell.group], cell.source) if cell.group else cell


def warn_of_offers(offers: LegOffers, prices: PriceTable, findings: Findings) -> None:
    """Several products for one leg, and several leg groups: legal, and seldom meant."""
    for rules in offers.mixed:
        amounts = {prices.default_minor(frozenset({rule.product_id})) for rule in rules}
        names = ", ".join(sorted({rule.product_id for rule in rules}))
        if len(amounts) > 1:
            findings.add("GTFS_SEVERAL_PRODUCTS", FILE, names, line=rules[0].line)
        groups = {rule.group_id for rule in rules if rule.group_id}
        if len(groups) > 1:
            said = ", ".join(sorted(groups))
            findings.add("GTFS_SEVERAL_GROUPS", FILE, said, line=rules[0].line)
