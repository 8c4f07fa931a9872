"""Extension cells as the reference engine sees them: the unions of layout.h as Python objects.

Field names are those of layout.h. What is kept where, and what happens without room, is said in
docs/fares.md, "Cells". Must import only the standard library and fastpath.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields, replace

from fastpath.cells import CellType
from fastpath.checks import sure
from fastpath.layers import PASS_CELLS_MAX
from fastpath.reference_model import Period


@dataclass(slots=True)
class Counter:
    """A running total in one window; id 0 = a free place."""

    id: int = 0
    window: int = 0
    zones: int = 0
    trips: int = 0
    paid_minor: int = 0


@dataclass(slots=True)
class Chain:
    """Legs that transfers join."""

    first_dep_us: int = 0
    last_dep_us: int = 0
    last_arr_us: int = 0
    journey_dep_us: int = 0
    last_charged_minor: int = 0
    span_paid_minor: int = 0
    distance_m: int = 0
    last_group: int = 0
    transfers: int = 0
    network: int = 0


@dataclass(slots=True)
class Span:
    """First legs that windows are measured from, now and as they were before the last tap: arrivals
    of the span's, and of the legs in a row of one group; 0 = not known, or the leg before itself.
    """

    first_arr_us: int = 0
    run_dep_us: int = 0
    run_arr_us: int = 0
    before_first_arr_us: int = 0
    before_run_dep_us: int = 0
    before_run_arr_us: int = 0

    @property
    def now(self) -> tuple[int, int, int]:
        return self.first_arr_us, self.run_dep_us, self.run_arr_us

    @now.setter
    def now(self, times: tuple[int, int, int]) -> None:
        self.first_arr_us, self.run_dep_us, self.run_arr_us = times

    @property
    def before(self) -> tuple[int, int, int]:
        return self.before_first_arr_us, self.before_run_dep_us, self.before_run_arr_us

    @before.setter
    def before(self, times: tuple[int, int, int]) -> None:
        self.before_first_arr_us, self.before_run_dep_us, self.before_run_arr_us = times


@dataclass(slots=True)
class Pass:
    """A pass of the account; until_us 0 = begins with its first use."""

    from_us: int = 0
    until_us: int = 0
    last_used_us: int = 0
    rides_left: int = -1


@dataclass(slots=True)
class Concession:
    """A rider category for a span of time, the end exclusive."""

    from_us: int = 0
    until_us: int = 0


@dataclass(slots=True)
class Purse:
    """A further purse; expires_us 0 = never; purposes: bits."""

    balance_minor: int = 0
    expires_us: int = 0
    sponsor: int = 0
    purposes: int = 0
    priority: int = 0


@dataclass(slots=True)
class Hold:
    """Money reserved on the main purse and the credit line; left_minor of it still is."""

    placed_minor: int = 0
    captured_minor: int = 0
    left_minor: int = 0
    expires_us: int = 0
    merchant: int = 0
    purpose: int = 0


@dataclass(slots=True)
class Spent:
    """What was spent in the running windows: local dates, minor units."""

    day: int = 0
    month: int = 0
    year: int = 0
    day_minor: int = 0
    month_minor: int = 0
    year_minor: int = 0
    lifetime_minor: int = 0


@dataclass(slots=True)
class Plan:
    """Drawn credit that is paid back in instalments."""

    principal_minor: int = 0
    outstanding_minor: int = 0
    opened_us: int = 0
    instalments: int = 0


@dataclass(slots=True)
class Refunded:
    """How much of a charge was given back; the cell's key is the low half of the charge's id."""

    client: int = 0
    id_high: int = 0
    charged_minor: int = 0
    refunded_minor: int = 0
    charge_us: int = 0


Wallet = Purse | Hold | Spent | Plan | Refunded
Payload = Period | list[Counter] | Chain | Span | Pass | Concession | Wallet | None
HEAD = struct.Struct("<IBB2xQ")
FORMATS: dict[int, tuple[type, struct.Struct]] = {
    CellType.MEDIUM_PERIOD: (Period, struct.Struct("<IIqIIqIIq")),
    CellType.CHAIN: (Chain, struct.Struct("<qqqqiiIHBB")),
    CellType.CHAIN_BEFORE: (Chain, struct.Struct("<qqqqiiIHBB")),
    CellType.SPAN: (Span, struct.Struct("<6q")),
    CellType.PASS: (Pass, struct.Struct("<qqq16xi4x")),
    CellType.CONCESSION: (Concession, struct.Struct("<qq32x")),
    CellType.PURSE: (Purse, struct.Struct("<qqQIB19x")),
    CellType.HOLD: (Hold, struct.Struct("<qqqqQB7x")),
    CellType.LIMITS: (Spent, struct.Struct("<III4xqqqq")),
    CellType.PLAN: (Plan, struct.Struct("<qqqI20x")),
    CellType.REFUND: (Refunded, struct.Struct("<QQqqq8x")),
}
COUNTER = struct.Struct("<IIIIq")


def _values(value: object) -> list[int]:
    return [getattr(value, one.name) for one in fields(value)]  # type: ignore[arg-type]


@dataclass(slots=True)
class Cell:
    """One cell; key: the owner's, a pass id or a rider category."""

    type: int
    key: int
    payload: Payload
    riders: int = 0

    def free(self) -> None:
        """Nobody's any more; its place is used again."""
        self.type = self.key = self.riders = 0
        self.payload = None

    def pack(self) -> bytes:
        """The 64 bytes of layout.h, with next = 0."""
        head = HEAD.pack(0, self.type, self.riders, self.key)
        if isinstance(self.payload, list):
            return head + b"".join(COUNTER.pack(*_values(one)) for one in self.payload)
        if self.payload is None:
            return head + bytes(48)
        return head + FORMATS[self.type][1].pack(*_values(self.payload))

    @classmethod
    def unpack(cls, image: bytes) -> Cell:
        """From the 64 bytes of layout.h; `next` is left out."""
        _, kind, riders, key = HEAD.unpack(image[:16])
        payload: Payload = None
        if kind == CellType.COUNTERS:
            payload = [Counter(*COUNTER.unpack(image[at : at + 24])) for at in (16, 40)]
        elif kind:
            made, layout = FORMATS[kind]
            payload = made(*layout.unpack(image[16:]))
        return cls(kind, key, payload, riders)


@dataclass(slots=True)
class Extras:
    """What a decision needs of an account beyond its four lines (fastpath/_extras.pxd).

    owner: key of chain and counters. room: how many more cells the account may get.
    """

    owner: int = 0
    cells: list[Cell] = field(default_factory=list)
    room: int = 0

    def find(self, kind: CellType, key: int) -> Cell | None:
        """The first cell of this type and key."""
        return next((one for one in self.cells if (one.type, one.key) == (kind, key)), None)

    def append(self, cell: Cell) -> bool:
        """One cell more, if there is room."""
        if self.room == 0:
            return False
        self.room -= 1
        self.cells.append(cell)
        return True

    def list_passes(self) -> list[tuple[int, Pass]]:
        """(pass id, pass) of the first few pass cells."""
        found = [(one.key, one.payload) for one in self.cells if one.type == CellType.PASS]
        return [(key, it) for key, it in found[:PASS_CELLS_MAX] if isinstance(it, Pass)]

    def find_category(self, ts_us: int) -> int | None:
        """The lowest category of the concessions valid at an instant."""
        valid = [
            cell.key
            for cell in self.cells
            if isinstance(cell.payload, Concession)
            and cell.payload.from_us <= ts_us < cell.payload.until_us
        ]
        return min(valid, default=None)

    # The owner's chain.

    def find_chain(self, kind: CellType = CellType.CHAIN) -> Chain | None:
        """The owner's chain, or the one before the last tap."""
        cell = self.find(kind, self.owner)
        return cell.payload if cell is not None and isinstance(cell.payload, Chain) else None

    def put_chain(self, chain: Chain, kind: CellType = CellType.CHAIN) -> None:
        """Replace a chain that is kept."""
        cell = self.find(kind, self.owner)
        if cell is not None:
            cell.payload = replace(chain)

    def _missing_chains(self) -> list[CellType]:
        pair = (CellType.CHAIN, CellType.CHAIN_BEFORE)
        return [kind for kind in pair if self.find(kind, self.owner) is None]

    def find_span(self) -> Span | None:
        """First legs beside the owner's chain, if they are kept."""
        cell = self.find(CellType.SPAN, self.owner)
        return cell.payload if cell is not None and isinstance(cell.payload, Span) else None

    def make_chains(self, *, has_span: bool = False) -> bool:
        """See to it that both chain cells are there; False = no room.

        has_span: the cell of first legs comes third, if it finds room.
        """
        missing = self._missing_chains()
        if len(missing) > self.room:
            return False
        for kind in missing:
            self.append(Cell(kind, self.owner, Chain()))
        if has_span and self.find_span() is None:
            self.append(Cell(CellType.SPAN, self.owner, Span()))
        return True

    # The owner's counters.

    def _counter_places(self) -> list[Counter]:
        return [
            place
            for cell in self.cells
            if cell.key == self.owner and isinstance(cell.payload, list)
            for place in cell.payload
        ]

    def find_counter(self, counter_id: int) -> Counter | None:
        """The owner's counter, if it is kept."""
        return next((one for one in self._counter_places() if one.id == counter_id), None)

    def make_counter(self, counter_id: int) -> Counter | None:
        """The owner's counter, in the first free place if it is new; None = no room."""
        found = self.find_counter(counter_id) or self.find_counter(0)
        if found is None:
            cell = Cell(CellType.COUNTERS, self.owner, [Counter(), Counter()])
            found = cell.payload[0] if isinstance(cell.payload, list) else None
            if not self.append(cell):
                return None
        found = sure(found)
        found.id = counter_id
        return found

    def count_needed(self, *, has_chain: bool, has_span: bool, counter_ids: list[int]) -> int:
        """How many more cells all that a tariff may keep for the owner would take."""
        new = [one for one in counter_ids if self.find_counter(one) is None]
        free = sum(place.id == 0 for place in self._counter_places())
        cells = (max(0, len(new) - free) + 1) // 2
        if not has_chain:
            return cells
        return cells + len(self._missing_chains()) + int(has_span and self.find_span() is None)
