"""fare_leg_join_rules.txt -> joins of the engine: two legs that are one.

Without stops in a rule both legs must meet at one station, so that a rule becomes a join for each
pair of stops of each station. In a feed that knows no stops it holds anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastpath.layers import Join
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.networks import Networks
from gateway.tariffs.gtfs.origins import Origin, Origins
from gateway.tariffs.gtfs.places import Places
from gateway.tariffs.gtfs.tables import Feed, JoinRule

FILE = "fare_leg_join_rules.txt"
JOINS_MAX = 4096
ANY_STOP = (-1, -1)


def build_joins(
    feed: Feed, networks: Networks, places: Places, origins: Origins, findings: Findings
) -> tuple[Join, ...]:
    """Joins in the order of the file."""
    at = {name: number for number, name in enumerate(networks.names)}
    index_of = places.index_of
    joins = []
    for rule in feed.join_rules:
        if rule.from_network_id not in at or rule.to_network_id not in at:
            continue  # a finding of check.py
        source = origins.number_of(Origin(FILE, (rule.line,)))
        for start, end in dict.fromkeys(_pairs(rule, places, index_of)):
            joins.append(
                Join(at[rule.from_network_id], at[rule.to_network_id], start, end, -1, source)
            )
    if len(joins) > JOINS_MAX:
        findings.add("GTFS_TOO_LARGE", FILE, f"{len(joins)} pairs of stops, at most {JOINS_MAX}")
        return ()
    return tuple(joins)


def _pairs(rule: JoinRule, places: Places, index_of: dict[str, int]) -> Iterator[tuple[int, int]]:
    if rule.from_stop_id and rule.to_stop_id:
        for start in places.stops_of(rule.from_stop_id):
            for end in places.stops_of(rule.to_stop_id):
                if start in index_of and end in index_of:
                    yield index_of[start], index_of[end]
        return
    if not places.station_of:
        yield ANY_STOP
        return
    stations: dict[str, list[int]] = {}
    for stop, station in places.station_of.items():
        if stop in index_of:
            stations.setdefault(station, []).append(index_of[stop])
    for stops in stations.values():
        yield from ((start, end) for start in stops for end in stops)
