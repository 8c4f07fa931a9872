"""Which leg rules match a leg: networks, areas, timeframes, priorities, and what empty means.

With a column rule_priority an empty field does not matter and the highest priority wins. Without,
an empty network or area stands for those that no rule names in that column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.tariffs.gtfs.frames import Groups
from gateway.tariffs.gtfs.networks import NO_NETWORK, OTHERS
from gateway.tariffs.gtfs.places import PlaceClass
from gateway.tariffs.gtfs.settings import Switches
from gateway.tariffs.gtfs.tables import Feed, LegRule


@dataclass(frozen=True, slots=True)
class _Side:
    """One column of areas: which of them rules name in it, and what an empty one covers."""

    listed: frozenset[str]
    any_matches: bool
    outside_matches: bool

    def empty_matches(self, place: PlaceClass) -> bool:
        if self.any_matches:
            return True
        return not place.areas & self.listed and (place.inside or self.outside_matches)


class LegMatcher:
    """The leg rules of a feed, ready to be asked."""

    def __init__(self, feed: Feed, switches: Switches, *, networks_defined: bool) -> None:
        rules = feed.leg_rules
        self._rules = rules
        self._priority = feed.has_priority
        self._networks = frozenset(one.network_id for one in rules if one.network_id)
        self._no_network_matches = (
            feed.has_priority or switches.outside_matches_empty or not networks_defined
        )
        outside = switches.outside_matches_empty or not feed.areas
        self._from = _side([one.from_area_id for one in rules], feed.has_priority, outside)
        self._to = _side([one.to_area_id for one in rules], feed.has_priority, outside)

    def fit_network(
        self, network: str, at_start: Groups, at_end: Groups
    ) -> dict[str, list[LegRule]]:
        """Rules that fit a network and the timeframes of both ends, by their from_area_id."""
        fitting = [
            rule
            for rule in self._rules
            if self._fits_network(rule.network_id, network)
            and (not rule.from_timeframe_id or rule.from_timeframe_id in at_start)
            and (not rule.to_timeframe_id or rule.to_timeframe_id in at_end)
        ]
        by_area: dict[str, list[LegRule]] = {}
        for rule in fitting:
            by_area.setdefault(rule.from_area_id, []).append(rule)
        return by_area

    def fit_from(self, by_area: dict[str, list[LegRule]], place: PlaceClass) -> list[LegRule]:
        """Those of the rules, by their from_area_id, that fit the place of departure."""
        fitting = [rule for area in place.areas for rule in by_area.get(area, ())]
        return fitting + by_area.get("", []) if self._from.empty_matches(place) else fitting

    def fit_all(
        self, rules: list[LegRule], places: Iterable[PlaceClass]
    ) -> list[tuple[LegRule, ...]]:
        """For each place of arrival the rules that match, of the highest priority only."""
        by_area: dict[str, list[LegRule]] = {}
        for rule in rules:
            by_area.setdefault(rule.to_area_id, []).append(rule)
        found = []
        for place in places:
            fitting = [rule for area in place.areas for rule in by_area.get(area, ())]
            if self._to.empty_matches(place):
                fitting += by_area.get("", [])
            found.append(self._highest(fitting))
        return found

    def _highest(self, rules: list[LegRule]) -> tuple[LegRule, ...]:
        if self._priority and rules:
            highest = max(rule.priority for rule in rules)
            rules = [rule for rule in rules if rule.priority == highest]
        return tuple(sorted(rules, key=lambda rule: rule.line))

    def _fits_network(self, wanted: str, network: str) -> bool:
        if wanted:
            return wanted == network
        if self._priority or network == OTHERS:
            return True
        if network == NO_NETWORK:
            return self._no_network_matches
        return network not in self._networks


def _side(listed: list[str], has_priority: bool, outside: bool) -> _Side:
    return _Side(frozenset(one for one in listed if one), has_priority, outside)
