"""The town of city.py with layers, and scripts of taps with the fares reckoned by hand.

A script is one tap a line: day, clock (UTC; service days begin at 04:00), what, stop, then in any
order `line=`, `km=`, `amount=`, the fare (or a reason), and rules that must have acted (`-RULE`:
must not). Lines: bus = 2 (network 1), all others are network 0.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace

from fastpath import reference
from fastpath.layers import Bands, Frames, Layers, Legs
from fastpath.types import MediumKind, MediumState, Reason, Rule, TapFlag, TapKind, TariffSpec
from tests.fastpath.city import BEGIN_US, DAYS, STOPS, at, minor, rows, stop_named, town
from tests.fastpath.world import DAY_US, HOUR_US

METRO, BUS = 1, 2
KINDS = {"in": TapKind.CHECK_IN, "out": TapKind.CHECK_OUT, "flat": TapKind.FLAT}
NO_FRAMES = Frames(1, array("I", [0] * (DAYS + 1)), array("q"), b"")
CENTRE = (0, 0, 1, 1, 1, 1)
"""Stop classes: EAST and WEST are the centre, the others outside."""


def peak_frames(begin: float = 3, end: float = 5.5) -> Frames:
    """Frame 1 from so many hours after the day's beginning (04:00): 07:00 to 09:30."""
    starts = [
        BEGIN_US + day * DAY_US + int(hours * HOUR_US)
        for day in range(DAYS)
        for hours in (0, begin, end)
    ]
    rows_of = array("I", range(0, 3 * DAYS + 1, 3))
    return Frames(2, rows_of, array("q", starts), bytes([0, 1, 0]) * DAYS)


def grid(*columns: list[list[str]] | str, **changes: object) -> Legs:
    """Legs of one class a column, or a matrix of classes a column; networks 0 and 1.

    Column 0 is network 0's, the last is network 1's, unless `column` says otherwise.
    """
    matrices = [[[one]] if isinstance(one, str) else one for one in columns]
    side = len(matrices[0])
    fares = [-1 if c == "-" else minor(c) for m in matrices for row in m for c in row]
    cells = len(fares)
    made = Legs(
        network_count=2,
        frames=NO_FRAMES,
        category_count=1,
        class_count=side,
        stop_class=array("I", CENTRE if side == 2 else [0] * len(STOPS)),
        column=array("i", [0, len(matrices) - 1]),
        fare=array("i", fares),
        discountable=array("i", [max(0, one) for one in fares]),
        distance_m=array("I", [0] * cells),
        part=bytes(cells),
        group=array("H", [1 + at * (len(matrices) > 1) for at in range(len(matrices))])
        if side == 1
        else array("H", [1] * cells),
        stay=bytes(cells),
        zones=array("I", [0xFFFF_FFFF] * cells),
        source=array("I", [0] * cells),
        line_ids=array("I", [METRO, BUS]),
        line_network=bytes([0, 1]),
        flat_by_leg=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def by_distance(**changes: object) -> Legs:
    """2.00 to 5 km, 3.00 to 10 km, then 1.00 more for each started 5 km; by the tap's distance."""
    bands = Bands(array("I", [5_000, 10_000]), array("i", [200, 300]), 5_000, 100)
    return grid("-", bands=(bands,), **changes)


def layered(layers: Layers, **changes: object) -> TariffSpec:
    """The town without time discounts, months and interchanges, unless they are asked for."""
    plain: dict[str, object] = {
        "time_discounts": (),
        "monthly_tiers": (),
        "out_of_station": (),
        "entry_minimum_minor": 0,
        "same_stop_fare_minor": -1,
        "max_stay_us": -1,
        "passback_us": 0,
    }
    return town(layers=layers, **{**plain, **changes})


@dataclass
class Traveller:
    """One rider of the reference engine, and the account's cells."""

    spec: TariffSpec
    account: reference.Account = field(
        default_factory=lambda: reference.Account(
            account_id=77, version=1, currency=156, balance_minor=1000_00
        )
    )
    medium_kind: int = MediumKind.CARD
    extras: reference.Extras | None = field(default_factory=lambda: reference.Extras(room=16))
    seq: int = 0
    history: list[tuple[reference.Tap, reference.Decision]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = reference.SpecBook()
        self.book.put(0, 4711, self.spec)

    @property
    def cells(self) -> reference.Extras:
        assert self.extras is not None
        return self.extras

    def give(self, kind: reference.CellType, key: int, payload: object) -> Traveller:
        """Put a pass or concession on the account."""
        self.cells.cells.append(reference.Cell(kind, key, payload))  # type: ignore[arg-type]
        return self

    def tap(self, kind: int, stop: int, now_us: int, **how: int) -> reference.Decision:
        """One tap; what the rider loses is the fare."""
        self.seq += 1
        how = {"device_ts_us": now_us, **how}
        tap = reference.Tap(
            kind, stop, now_us=now_us, seq=self.seq, medium_kind=self.medium_kind, **how
        )
        medium = reference.Medium(bytes(16), 5, self.medium_kind, MediumState.ACTIVE)
        before = self.account.balance_minor
        made = reference.decide_tap(self.book, medium, self.account, None, tap, extras=self.extras)
        assert before - self.account.balance_minor == made.fare_minor
        self.history.append((tap, made))
        return made

    def undo(self, back: int = 0) -> reference.Decision:
        """Undo the n-th tap from the end."""
        tap, charged = self.history[-1 - back]
        return reference.decide_reversal(
            self.book, self.account, None, tap, charged, extras=self.extras, spent_us=tap.now_us
        )

    def play(self, script: str) -> Traveller:
        """Make the taps of a script; every fare, reason and rule in it must come true."""
        for words in rows(script):
            self._play(words)
        return self

    def _play(self, words: list[str]) -> None:
        line = " ".join(words)
        day, clock, what, place, *rest = words
        named = dict(word.split("=") for word in rest if "=" in word)
        how: dict[str, int] = {"line": {"bus": BUS}.get(named.get("line", ""), METRO)}
        if "km" in named:
            how["distance_m"] = int(float(named["km"]) * 1000)
        if "amount" in named:
            how["amount_minor"] = minor(named["amount"])
        if "opened" in rest:
            how["flags"] = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
        if "late" in named:
            how["flags"] = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
            how["device_ts_us"] = at(int(day), named["late"])
        if what == "undo":
            made = self.undo()
        else:
            stop = int(place) if place.isdigit() else stop_named(place)
            made = self.tap(KINDS[what], stop, at(int(day), clock), **how)
        expected = "0.00"
        for word in rest:
            if word[:1].isdigit() or (word[:1] == "-" and word[1:2].isdigit()):
                expected = word
            elif word in Reason.__members__:
                assert Reason(made.reason).name == word, line
                return
            elif word.startswith("-"):
                assert not made.rules & Rule[word[1:]], line
            elif word in Rule.__members__:
                assert made.rules & Rule[word], (line, Rule(made.rules))
        assert Reason(made.reason).accepted, (line, Reason(made.reason))
        assert made.fare_minor == minor(expected), (line, made.fare_minor, Rule(made.rules))
