"""Pricing taps again in the order they were made, with the compiled core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastpath.api import Replay, Replayed
from fastpath.types import Op, Reason, Rule, TapKind
from gateway.errors import RerateError
from gateway.rerating.books import Books
from gateway.rerating.cut import Base
from gateway.rerating.events import Change, Event, PastTap


@dataclass(frozen=True, slots=True)
class PricedTap:
    """A tap and what it costs in its turn. entry: the check-in that it leaves incomplete."""

    tap: PastTap
    made: Replayed
    entry: PastTap | None = None
    was_open: bool = False
    """Whether a journey was open before it."""

    @property
    def is_missing_entry(self) -> bool:
        """Whether it is a check-out that nobody checked in for."""
        return not self.was_open and bool(self.made.rules & Rule.MISSING_CHECK_IN)

    @property
    def difference_minor(self) -> int:
        return self.made.fare_minor - self.tap.charged_minor


@dataclass(frozen=True, slots=True)
class Outcome:
    """An account as history makes it. open_entry: the check-in of the journey still open."""

    taps: list[PricedTap]
    lines: bytes
    cells: list[bytes]
    open_entry: PastTap | None

    @property
    def total_minor(self) -> int:
        return sum(one.made.fare_minor for one in self.taps)


def replay(base: Base, books: Books, *, room: int) -> Outcome:
    """Price what lies behind a base. room: how many more cells the account may get.

    Raises: RerateError RERATE_TARIFF: no tariff covers a tap. RERATE_BAD_CLAIM: nor a claim's stop.
    """
    engine = Replay(base.account, base.cells, room)
    priced: list[PricedTap] = []
    entry: PastTap | None = None
    for event in _in_order(base.events, engine):
        if isinstance(event.what, Change):
            _apply(engine, event.what)
            continue
        was_open = engine.is_open
        made = _price(engine, books, event.what)
        left = entry if made.rules & Rule.MISSING_CHECK_OUT else None
        priced.append(PricedTap(event.what, made, left, was_open))
        if event.what.kind == TapKind.CHECK_IN:
            entry = event.what
    return Outcome(priced, engine.lines, engine.cells, entry if engine.is_open else None)


def _in_order(events: Sequence[Event], engine: Replay) -> Iterator[Event]:
    """By their place in history; of taps of one instant the one that fits the journey goes first.

    What goes first must not hang on the order of arrival, or the result would.
    """
    waiting = sorted(events, key=_turn)
    while waiting:
        instant = waiting[0].order_us
        same = [one for one in waiting[:16] if one.order_us == instant]
        chosen = same[0] if isinstance(same[0].what, Change) else _fitting(same, engine)
        waiting.remove(chosen)
        yield chosen


def _fitting(same: Sequence[Event], engine: Replay) -> Event:
    wanted = TapKind.CHECK_OUT if engine.is_open else TapKind.CHECK_IN
    devices: set[tuple[int, int]] = set()
    for event in same:
        if not isinstance(event.what, PastTap):
            continue
        device = event.what.tap_id[:2]
        if device not in devices and event.what.kind == wanted:
            return event
        devices.add(device)
    return same[0]


def _turn(event: Event) -> tuple[int, bool, int, tuple[int, int, int]]:
    """Changes before taps; taps of one device as it numbered them; online taps as they came."""
    what = event.what
    if isinstance(what, Change):
        return event.order_us, False, event.index, (0, 0, 0)
    return event.order_us, True, 0 if what.is_offline else event.index, what.tap_id


def _apply(engine: Replay, change: Change) -> None:
    if change.op in (Op.ACCOUNT_OPEN, Op.SET_CATEGORY):
        engine.set_category(change.rider_category)
        return
    engine.command(
        change.op,
        now_us=change.at_us,
        rider_category=change.rider_category,
        from_us=change.from_us,
        until_us=change.until_us,
        pass_id=change.pass_id,
        rides=change.rides,
    )


def _price(engine: Replay, books: Books, tap: PastTap) -> Replayed:
    device, boot, seq = tap.tap_id
    made = engine.tap(
        books.book_for(tap),
        kind=tap.kind,
        stop=tap.stop,
        at_us=tap.at_us,
        token=tap.token,
        medium_kind=tap.medium_kind,
        tariff_slot=tap.tariff_slot,
        network=tap.network,
        distance_m=tap.distance_m,
        amount_minor=tap.amount_minor,
        flags=tap.flags,
        device=device,
        boot=boot,
        seq=seq,
    )
    reason = Reason(made.reason)
    if not reason.accepted or reason == Reason.OK_RISK:
        said = f"a tap at stop {tap.stop} cannot be priced again: {reason.name.lower()}"
        if tap.is_claim:
            raise RerateError("RERATE_BAD_CLAIM", said)
        raise RerateError("RERATE_TARIFF", said)
    return made
