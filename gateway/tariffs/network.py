"""The network as a graph: shortest distances within a price group, and the paths behind them.

Distances are metres; stations are indices into `Graph.names`. Pure computation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from gateway.tariffs.source import FareGroup, Line, Network

UNREACHABLE = -1
ON_FOOT = ""
"""Line name of an out-of-station walk."""


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A way from one station to the next."""

    to: int
    metres: int
    line: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a path on one line (ON_FOOT = a walk), with the stations it touches."""

    line: str
    stations: tuple[str, ...]
    metres: int


class Graph:
    """Stations of one price group and the hops between them, both ways."""

    def __init__(self, lines: Iterable[Line], walks: Iterable[tuple[str, str]] = ()) -> None:
        lines = tuple(lines)
        self.names = tuple(dict.fromkeys(stop for line in lines for stop in line.stops))
        self._index = {name: at for at, name in enumerate(self.names)}
        self._edges: list[list[Edge]] = [[] for _ in self.names]
        for line in lines:
            for here, there, metres in _hops(line):
                self._join(here, there, metres, line.zh)
        for here, there in walks:
            if here in self._index and there in self._index:
                self._join(here, there, 0, ON_FOOT)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def distances_m(self, start: str) -> dict[str, int]:
        """Shortest distance to every station that can be reached. Cost: E log V."""
        done, _ = self._search(self._index[start])
        return {self.names[at]: metres for at, metres in enumerate(done) if metres != UNREACHABLE}

    def find_path(self, start: str, end: str) -> tuple[Stretch, ...] | None:
        """The shortest path by lines; of several equally short ones always the same."""
        done, back = self._search(self._index[start])
        at = self._index[end]
        if done[at] == UNREACHABLE:
            return None
        steps: list[tuple[int, Edge]] = []
        while at != self._index[start]:
            before, edge = back[at]
            steps.append((before, edge))
            at = before
        return tuple(self._stretches(reversed(steps)))

    def _join(self, here: str, there: str, metres: int, line: str) -> None:
        first, second = self._index[here], self._index[there]
        self._edges[first].append(Edge(second, metres, line))
        self._edges[second].append(Edge(first, metres, line))

    def _search(self, start: int) -> tuple[list[int], dict[int, tuple[int, Edge]]]:
        """Dijkstra: distance a station, and the last step that led there."""
        done = [UNREACHABLE] * len(self.names)
        back: dict[int, tuple[int, Edge]] = {}
        queue: list[tuple[int, int, int, Edge | None]] = [(0, start, start, None)]
        while queue:
            metres, here, before, edge = heappop(queue)
            if done[here] != UNREACHABLE:
                continue
            done[here] = metres
            if edge is not None:
                back[here] = (before, edge)
            for way in self._edges[here]:
                if done[way.to] == UNREACHABLE:
                    heappush(queue, (metres + way.metres, way.to, here, way))
        return done, back

    def _stretches(self, steps: Iterable[tuple[int, Edge]]) -> Iterator[Stretch]:
        line, metres = "", 0
        stations: list[str] = []
        for before, edge in steps:
            if not stations or edge.line != line:
                if stations:
                    yield Stretch(line, tuple(stations), metres)
                line, stations, metres = edge.line, [self.names[before]], 0
            stations.append(self.names[edge.to])
            metres += edge.metres
        if stations:
            yield Stretch(line, tuple(stations), metres)


def _hops(line: Line) -> Iterator[tuple[str, str, int]]:
    following = [*line.stops[1:], line.stops[0]] if line.loop else line.stops[1:]
    yield from zip(line.stops, following, line.hops_m, strict=False)


def build_graph(network: Network, group: FareGroup) -> Graph:
    """The graph of one price group; walks belong to the main network."""
    if not group.is_main:
        return Graph(line for line in network.lines if line.zh in group.lines)
    elsewhere = {name for other in network.groups for name in other.lines}
    walks = [(pair.first, pair.second) for pair in network.pairs]
    return Graph((line for line in network.lines if line.zh not in elsewhere), walks)
