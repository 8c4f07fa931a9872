"""fare_transfer_rules.txt -> transfers of the engine, in the order in which they are tried.

A record for exactly this pair of leg groups beats records with an empty group, which stands for
the groups that no record names in that column. Of several for one pair the one with the smallest
sufficient transfer_count comes first, then the shorter duration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fastpath.layers import (
    GROUPS_MAX,
    OWN_TRANSFERS_MAX,
    TRANSFERS_MAX,
    Begins,
    Measured,
    Transfer,
    TransferEffect,
)
from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.origins import Origin, Origins
from gateway.tariffs.gtfs.products import PriceTable
from gateway.tariffs.gtfs.settings import Switches
from gateway.tariffs.gtfs.tables import Feed, TransferRule

FILE = "fare_transfer_rules.txt"
LegGroups = frozenset[str]
Signature = tuple[tuple[TransferRule, ...], ...]
COUNT_LAST = 1 << 30
EFFECTS = {
    0: TransferEffect.FIRST_AND_TRANSFER,
    1: TransferEffect.ALL,
    2: TransferEffect.TRANSFER_ONLY,
}


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """Transfers, and the engine's group of each set of leg groups (0 = none)."""

    transfers: tuple[Transfer, ...]
    group_of: dict[LegGroups, int]
    group_count: int


class TransferMatcher:
    """Which transfer rules fit a pair of leg groups."""

    def __init__(self, feed: Feed) -> None:
        self._rules = feed.transfer_rules
        self._froms = {one.from_group_id for one in self._rules if one.from_group_id}
        self._tos = {one.to_group_id for one in self._rules if one.to_group_id}

    def fit(self, start: str, end: str) -> tuple[TransferRule, ...]:
        """Rules from one leg group to another, in the order of the file."""
        exact = [one for one in self._rules if (one.from_group_id, one.to_group_id) == (start, end)]
        if exact:
            return tuple(exact)
        return tuple(
            one
            for one in self._rules
            if (one.from_group_id == start or (not one.from_group_id and start not in self._froms))
            and (one.to_group_id == end or (not one.to_group_id and end not in self._tos))
        )

    def fit_sets(self, start: LegGroups, end: LegGroups) -> tuple[TransferRule, ...]:
        """Rules from any of some leg groups to any of others."""
        found = {rule for one in start for other in end for rule in self.fit(one, other)}
        return tuple(sorted(found, key=_order))


def _order(rule: TransferRule) -> tuple[int, int, int]:
    count = rule.count if rule.count >= 0 else COUNT_LAST
    limit_s = rule.limit_s if rule.limit_s >= 0 else COUNT_LAST
    return count, limit_s, rule.line


def build_transfers(
    feed: Feed, used: list[LegGroups], prices: PriceTable, tools: TransferTools
) -> TransferPlan:
    """Transfers between the sets of leg groups that legs have."""
    matcher = TransferMatcher(feed)
    group_of, members = _merge(matcher, used)
    if len(members) >= GROUPS_MAX:
        said = f"{len(members)} leg groups that differ, at most {GROUPS_MAX - 1}"
        tools.findings.add("GTFS_TOO_LARGE", FILE, said)
        return TransferPlan((), dict.fromkeys(used, 0), 0)
    transfers = [
        one
        for start, some in enumerate(members, start=1)
        for end, others in enumerate(members, start=1)
        for rule in matcher.fit_sets(some, others)
        for one in _compile(rule, start, end, prices, tools)
    ]
    if len(transfers) > TRANSFERS_MAX:
        said = f"{len(transfers)} pairs of leg groups with rules, at most {TRANSFERS_MAX}"
        tools.findings.add("GTFS_TOO_LARGE", FILE, said)
        transfers = []
    return TransferPlan(tuple(transfers), group_of, len(members))


@dataclass(frozen=True, slots=True)
class TransferTools:
    """What compiling a transfer needs beside prices."""

    switches: Switches
    origins: Origins
    findings: Findings


def _merge(
    matcher: TransferMatcher, used: list[LegGroups]
) -> tuple[dict[LegGroups, int], list[LegGroups]]:
    """One engine group for all sets that rules treat alike; those without any rule have none."""
    numbers: dict[Signature, int] = {}
    group_of: dict[LegGroups, int] = {}
    members: list[LegGroups] = []
    for one in used:
        leaving = tuple(matcher.fit_sets(one, other) for other in used)
        arriving = tuple(matcher.fit_sets(other, one) for other in used)
        if not any(leaving) and not any(arriving):
            group_of[one] = 0
            continue
        signature = leaving + arriving
        if signature not in numbers:
            numbers[signature] = len(numbers) + 1
            members.append(one)
        group_of[one] = numbers[signature]
    return group_of, members


def _compile(
    rule: TransferRule, start: int, end: int, prices: PriceTable, tools: TransferTools
) -> Iterator[Transfer]:
    same = rule.from_group_id == rule.to_group_id
    transfer_type = 0 if tools.switches.transfer_type_ignored else rule.transfer_type
    plain = Transfer(
        from_group=start,
        to_group=end,
        effect=EFFECTS[transfer_type],
        count_max=rule.count if same else -1,
        window_us=rule.limit_s * US_PER_S if rule.limit_s >= 0 else -1,
        measured=Measured(rule.limit_type),
        begins=_begins(rule, is_one_group=start == end),
        counts_own=start == end and same and 0 < rule.count <= OWN_TRANSFERS_MAX,
        source=tools.origins.number_of(Origin(FILE, (rule.line,), _products(rule))),
    )
    if tools.switches.product_held and not same:
        plain = replace(plain, count_max=1)
    paid = _with_amount(plain, rule, prices, tools)
    yield from _by_place_in_span(paid, plain, rule, tools.switches)


def _begins(rule: TransferRule, *, is_one_group: bool) -> Begins:
    """A duration of equal leg groups runs from the first of such legs in a row.

    Legs of several leg groups at once may be of two engine groups: then from the span's first leg.
    """
    if rule.from_group_id != rule.to_group_id or rule.limit_s < 0:
        return Begins.LEG
    return Begins.RUN if is_one_group else Begins.SPAN


def _by_place_in_span(
    paid: Transfer, plain: Transfer, rule: TransferRule, switches: Switches
) -> Iterator[Transfer]:
    """The first transfer of a span, and later ones where they cost something else.

    By the reference's table a later transfer costs S + BC with types 0 and 2: only the first leg
    of a span is replaced by a transfer of type 2.
    """
    once = switches.transfer_product_once and bool(rule.product_id)
    if paid.effect is not TransferEffect.TRANSFER_ONLY and not once:
        yield paid
        return
    yield replace(paid, count_max=1, counts_own=False)
    if paid.count_max == 1 and not paid.counts_own:
        return
    later = plain if once else paid
    if later.effect is TransferEffect.TRANSFER_ONLY:
        later = replace(later, effect=TransferEffect.FIRST_AND_TRANSFER)
    yield later


def _with_amount(
    plain: Transfer, rule: TransferRule, prices: PriceTable, tools: TransferTools
) -> Transfer:
    if not rule.product_id:
        return plain
    rows = prices.rows_of.get(rule.product_id, ())
    amounts = {row.amount_minor for row in rows}
    if all(amount >= 0 for amount in amounts):
        return replace(plain, product=prices.index_of(_products(rule)))
    if len(amounts) == 1 and plain.effect is TransferEffect.ALL:
        return replace(plain, effect=TransferEffect.MINUS, amount_minor=-min(amounts))
    said = f"{rule.product_id!r} is below 0: only for everybody alike, with type 1"
    tools.findings.add("GTFS_NEGATIVE", FILE, said, line=rule.line, field="fare_product_id")
    return plain


def _products(rule: TransferRule) -> LegGroups:
    return frozenset({rule.product_id} if rule.product_id else ())
