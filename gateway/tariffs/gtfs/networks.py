"""Routes -> network classes of the engine, from either form a feed may use.

Class 0 is a route in no network. Networks that no rule names are one class.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from fastpath.layers import NETWORKS_MAX
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.numbers import network_key, number_all
from gateway.tariffs.gtfs.tables import Feed

OTHERS = "\0others"
NO_NETWORK = ""


@dataclass(frozen=True, slots=True)
class Networks:
    """Network classes by number, and the lines that belong to them."""

    names: tuple[str, ...]
    """Network of each class: "" = none, OTHERS = any that no rule names."""
    numbers: dict[str, int]
    """Route id, or network key, -> what taps carry as their line."""
    line_ids: array[int]
    line_network: bytes
    are_defined: bool
    """Whether the feed has any network at all."""


def networks_of_routes(feed: Feed) -> dict[str, str]:
    """Network of each route: network_id of routes.txt, else route_networks.txt."""
    if feed.has_route_networks:
        return {row.route_id: row.network_id for row in feed.routes}
    found = {row.route_id: NO_NETWORK for row in feed.routes}
    return found | {row.member: row.group for row in feed.route_networks}


def list_networks(feed: Feed) -> list[str]:
    """Every network there is, in the order of the files."""
    routes = (row.network_id for row in feed.routes if row.network_id)
    return list(dict.fromkeys([*(row.row_id for row in feed.networks), *routes]))


def build_networks(feed: Feed, findings: Findings) -> Networks:
    """Classes by the networks that leg rules and join rules name."""
    named = {rule.network_id for rule in feed.leg_rules}
    for join in feed.join_rules:
        named |= {join.from_network_id, join.to_network_id}
    of_line = networks_of_routes(feed) | {network_key(one): one for one in list_networks(feed)}
    return classify_lines(
        {line: one if one in named or not one else OTHERS for line, one in of_line.items()},
        are_defined=bool(list_networks(feed)),
        file="fare_leg_rules.txt",
        findings=findings,
    )


def classify_lines(
    class_of: dict[str, str], *, are_defined: bool, file: str, findings: Findings
) -> Networks:
    """Numbers for lines and their classes."""
    names = list(dict.fromkeys([NO_NETWORK, *class_of.values()]))
    if len(names) > NETWORKS_MAX:
        said = f"{len(names)} kinds of networks, at most {NETWORKS_MAX}"
        findings.add("GTFS_TOO_LARGE", file, said)
        names = names[:NETWORKS_MAX]
    numbers = number_all(class_of, "routes.txt", findings)
    at = {name: index for index, name in enumerate(names)}
    lines = sorted(class_of, key=numbers.__getitem__) if len(names) > 1 else []
    return Networks(
        names=tuple(names),
        numbers=numbers,
        line_ids=array("I", [numbers[line] for line in lines]),
        line_network=bytes(at.get(class_of[line], 0) for line in lines),
        are_defined=are_defined,
    )
