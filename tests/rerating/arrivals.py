"""Taps that arrive in some order, decided by both engines and written as journal records, and the
re-rating that reads these records.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

from fastpath import _journal as codec
from fastpath import reference
from fastpath._tariff import CompiledTariff
from fastpath.cells import CellType
from fastpath.reference_commands_cells import Rerate, pack_lines
from fastpath.types import Item, Op, Reason, TapFlag, TariffSpec
from gateway.control.views import ACCOUNT, ACCOUNT_FIELDS
from gateway.rerating.books import Books
from gateway.rerating.events import DISTANCE_KEPT, KIND_SHIFT, NETWORK_SHIFT, SLOT_SHIFT, Claim
from gateway.rerating.plan import Plan, Standing, make_plan
from gateway.rerating.standing import standing_of
from tests.fastpath.world import SECOND_US, World

OPENED = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
CELLS_MAX = 16
PERIOD_PLACE = 900
"""Place of the cell with the medium's months."""


@dataclass(frozen=True)
class Made:
    """A tap as it was made, whenever it arrives."""

    kind: int
    stop: int
    at_us: int
    line: int = 0
    distance_m: int = 0
    amount_minor: int = -1
    slot: int = 0
    flags: int = int(OPENED)
    device: int = 9


@dataclass
class Arrivals:
    """One account whose taps arrive one after the other, from `begin_us` on."""

    specs: Sequence[TariffSpec]
    begin_us: int
    of_medium: bool = False
    category: int = 0
    cells: list[reference.Cell] = field(default_factory=list)
    period: reference.Period = field(default_factory=reference.Period)
    """What was counted before."""
    records: list[codec.RecordView] = field(default_factory=list)

    def __post_init__(self) -> None:
        account = reference.Account(
            account_id=77,
            version=1,
            currency=156,
            balance_minor=10**9,
            rider_category=self.category,
        )
        self.world = World(self.begin_us, account=account)
        self.world.cells = list(self.cells)
        self.world.cells_max = CELLS_MAX - int(self.of_medium)
        if self.of_medium:
            self.world.medium_period = replace(self.period)
        else:
            self.world.rider.period = replace(self.period)
        self.tariffs = [(slot, self.world.load(one, slot)) for slot, one in enumerate(self.specs)]
        self.seqs = itertools.count(1)
        self.undone: dict[int, Made] = {}
        self._write(Op.ACCOUNT_OPEN, now_us=1, distance_m=156 | self.category << KIND_SHIFT)
        self._write(Op.MEDIUM_LINK, now_us=2, items=[self._medium_item()])

    def add_tariff(self, slot: int, compiled: CompiledTariff) -> None:
        """One more version for re-ratings to find."""
        self.tariffs.append((slot, compiled))

    def _medium_item(self) -> bytes:
        medium = self.world.medium
        assert medium is not None
        image = medium.token + bytes(4) + bytes([medium.kind, medium.state])
        return codec.build_item(Item.MEDIUM, 0, 0, image.ljust(64, b"\0"))

    # --- what arrives

    def arrive(self, tap: Made, *, now_us: int | None = None) -> reference.Decision:
        """One tap reaches the gateway; its record is written if it was accepted."""
        world = self.world
        world.now_us = max(world.now_us + SECOND_US, now_us or 0)
        made = world.tap(
            tap.kind,
            tap.stop,
            clock_us=tap.at_us - world.now_us,
            flags=tap.flags,
            amount_minor=tap.amount_minor,
            slot=tap.slot,
            line=tap.line,
            distance_m=tap.distance_m,
            device=tap.device,
        )
        if Reason(made.reason).accepted:
            world.rider.version += 1
            self._write_tap(world.history[-1][0], made)
        return made

    def undo(self, back: int = 0) -> reference.Decision:
        """Undo the n-th tap from the end, as a validator does whose rider did not pass."""
        tap, charged = self.world.history.pop(-1 - back)
        self.world.now_us += SECOND_US
        made = self.world.reverse(tap, charged)
        if Reason(made.reason).accepted:
            self.world.rider.version += 1
            original = tap.boot.to_bytes(8, "little") + tap.seq.to_bytes(4, "little")
            item = codec.build_item(Item.ORIGINAL, 0, 0, original.ljust(64, b"\0"))
            fields_of = self._fields_of(tap, made)
            self._write(Op.REVERSAL, items=[item], **fields_of | {"id_c": 10_000 + tap.seq})
        return made

    def command(self, op: Op, **fields_of: int) -> reference.Decision:
        """A command on passes, concessions or the category."""
        self.world.now_us += SECOND_US
        made = self.world.command(op, **fields_of)
        self._write(
            op,
            reason=made.reason,
            distance_m=fields_of.get("rider_category", 0) << KIND_SHIFT,
            fare_ts_us=fields_of.get("from_us", 0),
            device_ts_us=fields_of.get("expires_us", 0),
            other_stop=fields_of.get("pass_id", 0),
            period_paid_minor=fields_of.get("rides", 0),
        )
        return made

    # --- re-rating

    def plan(self, claim: Claim | None = None, since_us: int | None = None) -> Plan:
        return make_plan(
            self.now(),
            self.records,
            Books(self.tariffs),
            cells_max=CELLS_MAX,
            claim=claim,
            since_us=since_us,
        )

    def rerate(self, claim: Claim | None = None) -> Plan:
        """Plan and carry out, through both engines' RERATE."""
        plan = self.plan(claim)
        if plan.is_needed:
            self.carry_out(plan)
        return plan

    def carry_out(self, plan: Plan) -> None:
        world = self.world
        world.now_us += SECOND_US
        order = reference.Command(
            op=Op.RERATE,
            account_id=77,
            now_us=world.now_us,
            expected_version=plan.version,
            amount_minor=plan.amount_minor,
        )
        self._take_in()
        images = tuple(reference.Cell.unpack(one) for one in plan.cells)
        made = world.cell_command(order, Rerate(plan.lines, images))
        assert made.reason == Reason.OK, Reason(made.reason)
        self._take_out()
        claim = plan.claim
        self._write(
            Op.RERATE,
            fare_minor=made.fare_minor,
            fare_ts_us=plan.from_us,
            other_stop=claim.stop if claim else 0,
            device_ts_us=claim.at_us if claim else 0,
            period_paid_minor=claim.code if claim else 0,
        )

    def _take_in(self) -> None:
        """The medium's months as the cell that they are in memory."""
        period = self.world.medium_period
        if period is not None and period != reference.Period():
            self.world.cells.append(self._period_cell(period))
        self.world.cells_max = CELLS_MAX

    def _take_out(self) -> None:
        world = self.world
        if world.medium_period is not None:
            found = [one for one in world.cells if one.type == CellType.MEDIUM_PERIOD]
            period = found[0].payload if found else reference.Period()
            assert isinstance(period, reference.Period)
            world.medium_period = period
            world.cells = [one for one in world.cells if one.type != CellType.MEDIUM_PERIOD]
            world.cells_max = CELLS_MAX - 1

    def _period_cell(self, period: reference.Period) -> reference.Cell:
        medium = self.world.medium
        assert medium is not None
        key = int.from_bytes(medium.token[:8], "little")
        return reference.Cell(CellType.MEDIUM_PERIOD, key, period)

    # --- what can be read

    @property
    def charged_minor(self) -> int:
        """All fares so far, corrections included."""
        return sum(record.fare_minor for record in self.records)

    def now(self) -> Standing:
        """The account as the data plane shows it."""
        images = [image for _, image in self._cells()]
        return Standing(77, self.world.rider.version, self._account_image(), images)

    def standing(self) -> dict[str, object]:
        """What later fares depend on."""
        return standing_of(
            pack_lines(self.world.rider), [image for _, image in self._cells() if image[4]]
        )

    def _cells(self) -> list[tuple[int, bytes]]:
        found = [(at, one.pack()) for at, one in enumerate(self.world.cells, start=1)]
        period = self.world.medium_period
        if period is not None and period != reference.Period():
            found.append((PERIOD_PLACE, self._period_cell(period).pack()))
        return found

    def _account_image(self) -> bytes:
        account = self.world.rider
        values = {one.name: getattr(account, one.name) for one in fields(account)}
        values |= {one.name: getattr(account.period, one.name) for one in fields(account.period)}
        values["cell_count"] = len(self._cells())
        return ACCOUNT.pack(*(values[name] for name in ACCOUNT_FIELDS))

    def _fields_of(self, tap: reference.Tap, made: reference.Decision) -> dict[str, int | bytes]:
        flags = tap.flags | made.network << NETWORK_SHIFT
        flags |= tap.kind << KIND_SHIFT | tap.tariff_slot << SLOT_SHIFT
        keeps = tap.distance_m and not made.distance_m
        flags |= DISTANCE_KEPT if keeps else 0
        return {
            "reason": made.reason,
            "rules": made.rules,
            "fare_minor": made.fare_minor,
            "nominal_minor": made.nominal_minor,
            "fare_ts_us": made.ts_us,
            "tariff_key": made.tariff_key,
            "stop": tap.stop,
            "flags": flags,
            "distance_m": tap.distance_m if keeps else made.distance_m,
            "token": tap.token,
            "id_a": tap.device,
            "id_b": tap.boot,
            "id_c": tap.seq,
        }

    def _write_tap(self, tap: reference.Tap, made: reference.Decision) -> None:
        self._write(tap.kind, **self._fields_of(tap, made))

    def _write(
        self, op: int, *, items: Iterable[bytes] = (), now_us: int = 0, **fields_of: int | bytes
    ) -> None:
        image = self._account_image()
        lines = [
            codec.build_item(Item.ACCOUNT_LINE, line, 1, image[64 * line : 64 * line + 64])
            for line in range(4)
        ]
        cells = [codec.build_item(Item.CELL, 0, at, one) for at, one in self._cells()]
        seq = next(self.seqs)
        record = codec.build_record(
            op=op,
            seq=seq,
            ts_us=now_us or self.world.now_us,
            account_id=77,
            items=[*lines, *cells, *items],
            **fields_of,  # type: ignore[arg-type]
        )
        self.records.append(codec.view_record(record, 1_000 * seq))
