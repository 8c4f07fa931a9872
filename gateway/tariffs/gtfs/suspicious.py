"""Warnings: what a feed may say but seldom means. The feed is used as it stands."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.tariffs.gtfs.build import Built
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.products import NOT_SOLD, PriceTable
from gateway.tariffs.gtfs.settings import FeedSettings
from gateway.tariffs.gtfs.tables import Feed, TransferRule
from gateway.tariffs.gtfs.transfers import TransferMatcher
from gateway.tariffs.units import format_amount

LEGS = "fare_leg_rules.txt"
TRANSFERS = "fare_transfer_rules.txt"
V1_FILES = {"fare_attributes.txt", "fare_rules.txt"}


def warn_of_feed(feed: Feed, settings: FeedSettings, built: Built, findings: Findings) -> None:
    """Every warning that needs more than one row."""
    _warn_of_forms(feed, findings)
    _warn_of_time_zones(feed, findings)
    if feed.is_v2 and built.prices is not None:
        _warn_of_categories(feed, settings, findings)
        _warn_of_unused(feed, findings)
        _warn_of_unmatched(feed, built, findings)
        _warn_of_joins(feed, findings)
        _Transfers(feed, built, built.prices, findings).warn()


def _warn_of_forms(feed: Feed, findings: Findings) -> None:
    both = feed.has_route_networks and any(row.network_id for row in feed.routes)
    for file in ("networks.txt", "route_networks.txt"):
        if both and file in feed.files:
            findings.add("GTFS_NETWORK_FORMS", file, "stands beside routes.network_id")
    if feed.is_v2 and feed.files & V1_FILES:
        findings.add("GTFS_BOTH_VERSIONS", "fare_attributes.txt", "stands beside Fares v2")


def _warn_of_time_zones(feed: Feed, findings: Findings) -> None:
    zones = {row.zone for row in feed.agencies}
    if len(zones) > 1:
        findings.add("GTFS_TIME_ZONES", "agency.txt", ", ".join(sorted(zones)))
    if feed.timeframes:
        for stop in feed.stops:
            if stop.zone and zones and stop.zone not in zones:
                said = f"is {stop.zone!r}"
                findings.add(
                    "GTFS_TIME_ZONES", "stops.txt", said, line=stop.line, field="stop_timezone"
                )


def _warn_of_categories(feed: Feed, settings: FeedSettings, findings: Findings) -> None:
    defaults = {row.category_id for row in feed.categories if row.is_default}
    of_product: dict[str, set[str]] = {}
    for row in feed.products:
        of_product.setdefault(row.product_id, set()).add(row.category_id)
    for product, categories in of_product.items():
        named = categories - {""}
        if len(named) > 1 and len(named & defaults) != 1:
            first = next(row for row in feed.products if row.product_id == product)
            said = f"{product!r} has {len(named & defaults)} of {len(named)} categories as default"
            findings.add("GTFS_DEFAULT_CATEGORY", "fare_products.txt", said, line=first.line)
    used = {rule.product_id for rule in feed.leg_rules} - settings.passes
    sold = {row.category_id for row in feed.products if row.product_id in used}
    for category in feed.categories:
        is_sold = category.category_id in sold or "" in sold or settings.category_fallback
        if not is_sold:
            said = f"no single ride is sold to {category.category_id!r}"
            findings.add("GTFS_NOT_SOLD", "rider_categories.txt", said, line=category.line)


def _warn_of_unused(feed: Feed, findings: Findings) -> None:
    used = {rule.product_id for rule in feed.leg_rules}
    used |= {rule.product_id for rule in feed.transfer_rules}
    told = set()
    for row in feed.products:
        if row.product_id not in used and row.product_id not in told:
            told.add(row.product_id)
            findings.add("GTFS_UNUSED", "fare_products.txt", repr(row.product_id), line=row.line)


def _warn_of_unmatched(feed: Feed, built: Built, findings: Findings) -> None:
    prices = built.prices
    for rule in feed.leg_rules:
        if rule not in built.matched:
            said = "other rules, or times that never come, stand before it"
            findings.add("GTFS_NEVER_MATCHES", LEGS, said, line=rule.line)
        elif prices is not None and not prices.rows_of.get(rule.product_id):
            said = f"{rule.product_id!r} is not sold in {prices.currency.code}"
            findings.add("GTFS_NOT_SOLD", LEGS, said, line=rule.line, field="fare_product_id")


def _warn_of_joins(feed: Feed, findings: Findings) -> None:
    for rule in feed.join_rules:
        if rule.from_network_id != rule.to_network_id:
            said = f"{rule.from_network_id!r} and {rule.to_network_id!r} differ"
            findings.add("GTFS_JOIN_NETWORKS", "fare_leg_join_rules.txt", said, line=rule.line)


class _Transfers:
    """Transfers by leg groups and the prices of what is ridden in them."""

    def __init__(self, feed: Feed, built: Built, prices: PriceTable, findings: Findings) -> None:
        self._feed = feed
        self._prices = prices
        self._findings = findings
        self._matcher = TransferMatcher(feed)
        self._prices_of = {group: found - {NOT_SOLD} for group, found in built.prices_of.items()}

    def warn(self) -> None:
        used = set()
        cheap: dict[TransferRule, tuple[int, int]] = {}
        for start, firsts in self._prices_of.items():
            for end, seconds in self._prices_of.items():
                for rule in self._matcher.fit(start, end):
                    used.add(rule)
                    if not firsts or not seconds:
                        continue
                    total = self._total(rule, min(firsts), max(seconds))
                    if total < max(seconds):
                        cheap.setdefault(rule, (total, max(seconds)))
        self._tell(used, cheap)

    def _tell(
        self, used: Iterable[TransferRule], cheap: dict[TransferRule, tuple[int, int]]
    ) -> None:
        digits = self._prices.currency.exponent
        known = set(used)
        for rule in self._feed.transfer_rules:
            if rule not in known:
                said = "no pair of leg groups is left for it"
                self._findings.add("GTFS_NEVER_MATCHES", TRANSFERS, said, line=rule.line)
            if rule in cheap:
                total, second = (format_amount(one, digits) for one in cheap[rule])
                said = f"a journey of {total} with a second leg of {second}"
                self._findings.add("GTFS_CHEAP_TRANSFER", TRANSFERS, said, line=rule.line)

    def _total(self, rule: TransferRule, first: int, second: int) -> int:
        products = frozenset({rule.product_id}) if rule.product_id else frozenset()
        amount = self._prices.default_minor(products) if products else 0
        if rule.transfer_type == 0:
            return first + amount
        return first + amount + second if rule.transfer_type == 1 else amount
