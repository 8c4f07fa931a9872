"""What an account's records say about its fares: the taps that stand, and changes beside them.

Reads journal records only. Instants are int microseconds UTC, money is int minor units.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fastpath.records import RecordView
from fastpath.types import Item, MediumKind, Op, Reason, Rule, TapFlag, TapKind

NETWORK_SHIFT, KIND_SHIFT, SLOT_SHIFT = 8, 16, 24
DISTANCE_KEPT = 0x80
"""Bit of a record's flags: its distance came with the tap and priced nothing."""
BY_DESK = 0x10
"""Bit of a claim's kind: said at a service desk, not by the rider."""
CHANGES = (Op.ACCOUNT_OPEN, Op.SET_CATEGORY, Op.PASS_ADD, Op.PASS_REMOVE, Op.CONCESSION)
"""Commands that change what later taps cost."""
MEDIUM_KIND_AT = 20
LAST_TAP_LINE = 3
LAST_TAP = struct.Struct("<QQI")
LAST_MEDIUM_KIND_AT = 49
TapId = tuple[int, int, int]
"""Device, boot, sequence."""


@dataclass(frozen=True, slots=True)
class PastTap:
    """An accepted tap as its record tells it; a claim is one that no device made."""

    kind: int
    stop: int
    at_us: int
    token: bytes
    medium_kind: int
    tariff_slot: int
    network: int = 0
    distance_m: int = 0
    amount_minor: int = -1
    flags: int = 0
    tap_id: TapId = (0, 0, 0)
    tariff_key: int = 0
    charged_minor: int = 0
    """What its own record charged; later corrections stand in records of their own."""
    position: int = 0
    is_claim: bool = False
    is_new_claim: bool = False
    """Being said now; no record has it yet."""

    @property
    def is_offline(self) -> bool:
        return bool(self.flags & TapFlag.OFFLINE)


@dataclass(frozen=True, slots=True)
class Change:
    """A command that later taps depend on."""

    op: int
    at_us: int
    rider_category: int = 0
    from_us: int = 0
    until_us: int = 0
    pass_id: int = 0
    rides: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Where an incomplete journey began (kind CHECK_IN) or ended (CHECK_OUT), as somebody says."""

    kind: TapKind
    stop: int
    at_us: int
    by_desk: bool = False
    said_us: int = 0

    def is_same(self, other: Claim) -> bool:
        """Whether another claim says the same, whoever says it."""
        return (self.kind, self.stop, self.at_us) == (other.kind, other.stop, other.at_us)

    @property
    def code(self) -> int:
        """As it stands in the record."""
        return int(self.kind) | (BY_DESK if self.by_desk else 0)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that fares depend on. order_us: its place in history; index: of its record."""

    index: int
    order_us: int
    what: PastTap | Change


@dataclass(slots=True)
class Story:
    """An account's records read for fares, in the journal's order.

    charged: (index, minor units) of everything that moved a fare. disturbed: (index, instant) of
    what came out of its turn, or was taken back. rerated: (index, instant from which it priced
    again).
    """

    events: list[Event] = field(default_factory=list)
    charged: list[tuple[int, int]] = field(default_factory=list)
    disturbed: list[tuple[int, int]] = field(default_factory=list)
    rerated: list[tuple[int, int]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    undone: list[tuple[int, int]] = field(default_factory=list)
    """(index of a tap, index of what took it back)."""


def read_story(records: Sequence[RecordView]) -> Story:
    """Read an account's records, oldest first. Cost: one pass, and one over the events."""
    reader = _Reader(records)
    for index, record in enumerate(records):
        if Reason(record.reason).accepted and record.reason != Reason.OK_RISK:
            reader.take(index, record)
    return reader.finish()


def is_undoing(record: RecordView) -> bool:
    """Whether a record takes an accepted tap back."""
    if record.op == Op.REVERSAL:
        return True
    return record.op == Op.SETTLEMENT and not record.flags & TapFlag.DEVICE_OPENED


def undone_id(record: RecordView) -> TapId:
    """Which tap a reversal or settlement takes back."""
    for item in record.items:
        if item.type == Item.ORIGINAL:
            boot = int.from_bytes(item.image[:8], "little")
            return record.id_a, boot, int.from_bytes(item.image[8:12], "little")
    return record.id_a, record.id_b, record.id_c


def claim_of(record: RecordView) -> Claim | None:
    """The claim that a re-rating carries."""
    code = record.period_paid_minor
    if record.op != Op.RERATE or code <= 0:
        return None
    kind = TapKind(code & ~BY_DESK)
    by_desk = bool(code & BY_DESK)
    return Claim(kind, record.other_stop, record.device_ts_us, by_desk, record.ts_us)


def change_of(record: RecordView) -> Change:
    """A command on categories or passes, from its record."""
    return Change(
        op=record.op,
        at_us=record.ts_us,
        rider_category=record.distance_m >> KIND_SHIFT & 0xFF,
        from_us=record.fare_ts_us,
        until_us=record.device_ts_us,
        pass_id=record.other_stop,
        rides=record.period_paid_minor,
    )


class _Reader:
    """Takes records one by one."""

    def __init__(self, records: Sequence[RecordView]) -> None:
        self.story = Story()
        self._kinds = dict(_medium_kinds(records))
        self._taps: dict[TapId, tuple[int, PastTap]] = {}
        self._changes: list[tuple[int, Change]] = []
        self._claims: list[tuple[int, Claim]] = []
        self._undone: list[tuple[int, int]] = []

    def take(self, index: int, record: RecordView) -> None:
        story = self.story
        if record.op in CHANGES:
            self._changes.append((index, change_of(record)))
        elif record.op == Op.RERATE:
            story.charged.append((index, record.fare_minor))
            story.rerated.append((index, record.fare_ts_us))
            claim = claim_of(record)
            if claim is not None:
                story.claims.append(claim)
                self._claims.append((index, claim))
        elif record.op < Op.ACCOUNT_OPEN and record.op != Op.CONTEXT:
            story.charged.append((index, record.fare_minor))
            self._take_tap(index, record)

    def _take_tap(self, index: int, record: RecordView) -> None:
        if not is_undoing(record):
            tap = self._tap_of(record)
            self._taps[tap.tap_id] = (index, tap)
            return
        found = self._taps.pop(undone_id(record), None)
        if found is not None:
            self.story.undone.append((found[0], index))
            self._undone.append((index, found[1].at_us))

    def _tap_of(self, record: RecordView) -> PastTap:
        rules = Rule(record.rules)
        keeps_distance = rules & Rule.GIVEN_DISTANCE or record.flags & DISTANCE_KEPT
        return PastTap(
            kind=record.flags >> KIND_SHIFT & 0xFF,
            stop=record.stop,
            at_us=record.fare_ts_us,
            token=record.token,
            medium_kind=self._kinds.get(record.token, MediumKind.CARD),
            tariff_slot=record.flags >> SLOT_SHIFT & 0xFF,
            network=record.flags >> NETWORK_SHIFT & 0xFF,
            distance_m=record.distance_m if keeps_distance else 0,
            amount_minor=record.nominal_minor if rules & Rule.DEVICE_AMOUNT else -1,
            flags=record.flags & ~DISTANCE_KEPT & 0xFF,
            tap_id=(record.id_a, record.id_b, record.id_c),
            tariff_key=record.tariff_key,
            charged_minor=record.fare_minor,
            position=record.position,
        )

    def finish(self) -> Story:
        """Put everything into its place in history."""
        story = self.story
        story.events = sorted(
            [*_in_turn(self._taps.values(), self._changes)], key=lambda one: one.index
        )
        for index, claim in self._claims:
            made = tap_of_claim(claim, story.events)
            if made is not None:
                story.events.append(Event(index, claim.at_us, made))
        story.events.sort(key=lambda one: one.index)
        story.disturbed = [*_late(story.events), *self._undone]
        return story


def _medium_kinds(records: Sequence[RecordView]) -> Iterator[tuple[bytes, int]]:
    """(token, kind) as media were linked, or as an account's last tap names it; the newest last."""
    for record in records:
        for item in record.items:
            if item.type == Item.MEDIUM:
                yield item.image[:16], item.image[MEDIUM_KIND_AT]
            elif item.type == Item.ACCOUNT_LINE and item.line == LAST_TAP_LINE:
                device, boot, seq = LAST_TAP.unpack_from(item.image)
                if (device, boot, seq) == (record.id_a, record.id_b, record.id_c):
                    yield record.token, item.image[LAST_MEDIUM_KIND_AT]


def _in_turn(
    taps: Iterable[tuple[int, PastTap]], changes: Iterable[tuple[int, Change]]
) -> Iterator[Event]:
    """Online taps and commands stand in the order they were decided, whatever clocks say; a tap
    made offline stands where its device says.
    """
    newest_us = 0
    found: list[tuple[int, PastTap | Change]] = [*taps, *changes]
    for index, what in sorted(found, key=lambda one: one[0]):
        order_us = what.at_us
        if isinstance(what, Change) or not what.is_offline:
            newest_us = order_us = max(newest_us, order_us)
        yield Event(index, order_us, what)


def _late(events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """Taps that came after something they were made before."""
    newest_us = 0
    for event in events:
        is_tap = isinstance(event.what, PastTap) and not event.what.is_claim
        if is_tap and event.order_us < newest_us:
            yield event.index, event.order_us
        newest_us = max(newest_us, event.order_us)


def tap_of_claim(claim: Claim, events: Sequence[Event]) -> PastTap | None:
    """The tap that somebody says was made: by the medium of the tap it belongs to."""
    taps = [one.what for one in events if isinstance(one.what, PastTap)]
    if claim.kind == TapKind.CHECK_OUT:
        before = [one for one in taps if one.kind == TapKind.CHECK_IN and one.at_us < claim.at_us]
        other = max(before, key=lambda one: one.at_us, default=None)
    else:
        behind = [one for one in taps if one.kind == TapKind.CHECK_OUT and one.at_us > claim.at_us]
        other = min(behind, key=lambda one: one.at_us, default=None)
    if other is None:
        return None
    return replace(
        other,
        kind=int(claim.kind),
        stop=claim.stop,
        at_us=claim.at_us,
        distance_m=0,
        amount_minor=-1,
        flags=int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED),
        tap_id=(0, 0, 0),
        charged_minor=0,
        position=0,
        is_claim=True,
    )
