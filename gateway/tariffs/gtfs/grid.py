"""Prices of legs as the dense tables of fastpath.layers.Legs: equal columns are stored once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastpath.layers import COLUMNS_MAX, Frames, Legs
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.networks import Networks
from gateway.tariffs.gtfs.places import Places

CELLS_MAX = 16_000_000
NOT_PRICED = -1


@dataclass(frozen=True, slots=True)
class Cell:
    """What a leg between two classes costs: an amount or a product set, its group and origin."""

    fare: int
    group: int
    source: int


NO_CELL = Cell(NOT_PRICED, 0, 0)
Column = tuple[Cell, ...]
ColumnBuilder = Callable[[int, int, int], Column]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a grid."""

    networks: Networks
    places: Places
    frames: Frames
    categories: int

    @property
    def classes(self) -> int:
        return len(self.places.classes)


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns, and which of them each network and pair of frames uses."""

    shape: Shape
    columns: tuple[Column, ...]
    column: array[int]


def build_grid(shape: Shape, build: ColumnBuilder, findings: Findings) -> Grid:
    """Ask for every column, [network, frame_in, frame_out], and keep each once."""
    columns: dict[Column, int] = {}
    numbers = array("H")
    limit = min(COLUMNS_MAX, max(1, CELLS_MAX // max(1, shape.classes**2)))
    for network, frame_in, frame_out in _keys(shape):
        column = build(network, frame_in, frame_out)
        number = columns.setdefault(column, len(columns))
        numbers.extend([min(number, limit - 1)] * shape.categories)
    if len(columns) > limit:
        said = f"{len(columns)} price tables of {shape.classes}² classes, at most {limit}"
        findings.add("GTFS_TOO_LARGE", "fare_leg_rules.txt", said)
    return Grid(shape, tuple(columns), numbers)


def _keys(shape: Shape) -> Iterator[tuple[int, int, int]]:
    frames = range(shape.frames.count)
    for network in range(len(shape.networks.names)):
        for frame_in in frames:
            for frame_out in frames:
                yield network, frame_in, frame_out


def build_legs(grid: Grid, *, products: array[int], any_stop: bool, highest_minor: int) -> Legs:
    """The tables of layer 1."""
    cells = [cell for column in grid.columns for cell in column]
    count, shape = len(cells), grid.shape
    return Legs(
        network_count=len(shape.networks.names),
        frames=shape.frames,
        category_count=shape.categories,
        class_count=shape.classes,
        stop_class=shape.places.stop_class,
        column=grid.column,
        fare=array("i", [cell.fare for cell in cells]),
        discountable=array("i", [0]) * count,
        distance_m=array("I", [0]) * count,
        part=bytes(count),
        group=array("H", [cell.group for cell in cells]),
        stay=bytes(count),
        zones=array("I"),
        source=array("I", [cell.source for cell in cells]),
        line_ids=shape.networks.line_ids,
        line_network=shape.networks.line_network,
        any_stop=any_stop,
        highest_any_minor=highest_minor,
        products=products,
    )


def highest_by_class(grid: Grid, price: Callable[[int], int]) -> list[int]:
    """Dearest fare from or to each class; `price` of a cell's fare, -1 = none."""
    size = grid.shape.classes
    highest = [0] * size
    for column in grid.columns:
        for at, cell in enumerate(column):
            minor = price(cell.fare) if cell.fare >= 0 else NOT_PRICED
            for place in divmod(at, size):
                highest[place] = max(highest[place], minor)
    return highest
