"""Both engines side by side: every step goes through compiled core and reference, which agree."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

from fastpath import _probe, reference
from fastpath._limit_book import LimitBook
from fastpath._tariff import Book, CompiledTariff
from fastpath.limits import LimitSpec
from fastpath.reference_cells import Purse
from fastpath.reference_commands_cells import CELL_OPS
from fastpath.reference_funding import PARTS_MAX
from fastpath.reference_wallet import WALLET_OPS
from fastpath.types import (
    JourneyState,
    MediumKind,
    MediumState,
    Op,
    Reason,
    TapFlag,
    TapKind,
    TariffSpec,
)

SLOT = 5
ACTS_MAX = 16
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
SECOND_US = 1_000_000


def as_struct(value: object) -> dict[str, object]:
    """A dataclass of the reference as the dict that the probe takes."""
    fields = asdict(value)  # type: ignore[call-overload]
    if isinstance(value, reference.Decision):
        acts = [*value.acts, *[0] * (ACTS_MAX - len(value.acts))]
        fields |= {"spare": 0, "acts": acts, "act_count": len(value.acts)}
        fields |= {"parts": parts_struct(value.parts), "part_count": len(value.parts)}
    if isinstance(value, reference.Command):
        fields["spare"] = bytes(6)
    return fields


def parts_struct(parts: tuple[tuple[int, int], ...]) -> dict[str, object]:
    """Parts of layout.h: four places, the rest empty."""
    filled = [*parts, *[(0, 0)] * (PARTS_MAX - len(parts))]
    return {"parts": [{"purse_id": purse, "amount_minor": minor} for purse, minor in filled]}


def without_spare(struct: dict[str, object] | None) -> dict[str, object] | None:
    """What the probe gave back, comparable with asdict of the reference."""
    if struct is None:
        return None
    found = {name: value for name, value in struct.items() if name != "spare"}
    if "act_count" in found:
        acts, count = found["acts"], found.pop("act_count")
        assert isinstance(acts, list)
        assert isinstance(count, int)
        assert not any(acts[count:])
        found["acts"] = tuple(acts[:count])
        parts, count = found["parts"]["parts"], found.pop("part_count")  # type: ignore[index]
        pairs = [(one["purse_id"], one["amount_minor"]) for one in parts]
        assert not any(map(any, pairs[count:]))  # type: ignore[misc]
        found["parts"] = tuple(pairs[:count])  # type: ignore[misc]
    return found


def paid_struct(paid: reference.Paid) -> dict[str, object]:
    """Paid of _wallet.pxd."""
    return asdict(paid) | {
        "is_known": True,
        "part_count": len(paid.parts),
        "parts": parts_struct(paid.parts),
    }


def state_of(value: object | None) -> dict[str, object] | None:
    return None if value is None else asdict(value)  # type: ignore[call-overload]


@dataclass
class World:
    """One rider: an account, a medium, tariffs, a clock. Steps return the agreed decision."""

    now_us: int
    book: Book = field(default_factory=Book)
    spec_book: reference.SpecBook = field(default_factory=reference.SpecBook)
    account: reference.Account | None = None
    medium: reference.Medium | None = None
    medium_period: reference.Period | None = None
    currency: int = 156
    seq: int = 0
    history: list[tuple[reference.Tap, reference.Decision]] = field(default_factory=list)
    cells: list[reference.Cell] = field(default_factory=list)
    cells_max: int = 16

    def __post_init__(self) -> None:
        self.account = self.account or reference.Account(
            account_id=77, version=1, currency=self.currency, balance_minor=100_00
        )
        self.medium = self.medium or reference.Medium(
            bytes(range(16)), SLOT, MediumKind.CARD, MediumState.ACTIVE
        )

    @property
    def rider(self) -> reference.Account:
        assert self.account is not None
        return self.account

    def load(self, spec: TariffSpec, slot: int = 0) -> CompiledTariff:
        """Put a tariff into both books."""
        compiled = CompiledTariff.build(spec)
        self.book.put(slot, compiled)
        self.spec_book.put(slot, compiled.key, spec)
        return compiled

    def drop(self, key: int, slot: int = 0) -> None:
        self.book.drop(slot, key)
        self.spec_book.drop(slot, key)

    def limit(self, spec: LimitSpec | None) -> None:
        """Put limits of identity tiers into both books."""
        compiled = LimitBook.build(spec) if spec is not None else None
        self.book.set_limits(compiled)
        self.spec_book.limits = None
        if compiled is not None and spec is not None:
            self.spec_book.limits = reference.LimitVersion(compiled.key, spec)

    def money(self) -> int:
        """What all purses hold together."""
        cells = [one.payload for one in self.cells]
        purses = sum(one.balance_minor for one in cells if isinstance(one, Purse))
        inline = self.account.balance_minor + self.account.subsidy_minor if self.account else 0
        return inline + purses

    def wait(self, us: int) -> World:
        self.now_us += us
        return self

    def tap(
        self,
        kind: int,
        stop: int = 0,
        *,
        clock_us: int = 0,
        flags: int = 0,
        amount_minor: int = -1,
        slot: int = 0,
        device: int = 9,
        line: int = 0,
        distance_m: int = 0,
        card: int = 0,
    ) -> reference.Decision:
        """One tap now, by a device whose clock is off by `clock_us`.

        card: 0 = the medium; else another one of the account, of another kind.
        """
        self.seq += 1
        token = self.medium.token if self.medium else bytes(16)
        kind_of = self.medium.kind if self.medium else 0
        return self.decide(
            reference.Tap(
                kind=kind,
                stop=stop,
                device_ts_us=self.now_us + clock_us,
                now_us=self.now_us,
                device=device,
                seq=self.seq,
                flags=flags,
                amount_minor=amount_minor,
                line=line,
                distance_m=distance_m,
                token=bytes([card]) + token[1:] if card else token,
                medium_kind=(kind_of + card) % 16,
                tariff_slot=slot,
            )
        )

    def decide(self, tap: reference.Tap) -> reference.Decision:
        """Both engines on one tap: same decision and account, no coin made or lost."""
        structs = [
            None if one is None else as_struct(one)
            for one in (self.medium, self.account, self.medium_period)
        ]
        before, money = deepcopy((self.account, self.medium_period)), self.money()
        owner = reference.wants_extras(self.spec_book, self.account, tap)
        assert _probe.extras_owner(self.book, structs[1], as_struct(tap)) == owner
        extras = self.find_extras(owner)
        account, period, *cells, compiled = self.compiled_tap(structs, tap, extras)
        decision = reference.decide_tap(
            self.spec_book, self.medium, self.account, self.medium_period, tap, extras=extras
        )
        if extras is not None:
            self.keep(extras, cells[0], is_accepted=Reason(decision.reason).accepted)
        assert without_spare(compiled) == state_of(decision)
        assert account == state_of(self.account)
        assert period == state_of(self.medium_period)
        assert _probe.wants_period(self.book, as_struct(tap)) == reference.wants_medium_period(
            self.spec_book, tap
        )
        self.check_money(decision, before, money)
        self.history.append((tap, decision))
        return decision

    def compiled_tap(
        self,
        structs: list[dict[str, object] | None],
        tap: reference.Tap,
        extras: reference.Extras | None,
    ) -> tuple[Any, ...]:
        """(account, period, decision) of the core, with cells before the decision if it had any."""
        if extras is None:
            return _probe.tap(self.book, *structs, as_struct(tap))
        images = [one.pack() for one in extras.cells]
        return _probe.layered_tap(
            self.book, *structs, as_struct(tap), extras.owner, extras.room, images
        )

    def find_extras(self, owner: int | None) -> reference.Extras | None:
        """Cells that a tariff or the funding looks at: as the engine gathers them."""
        return self.gather(owner or 0) if owner is not None or self.cells else None

    def gather(self, owner: int) -> reference.Extras:
        """Copies of the cells that a decision is handed."""
        kinds = (
            *(reference.CellType.PASS, reference.CellType.CONCESSION, reference.CellType.PURSE),
            *(reference.CellType.LIMITS, reference.CellType.PLAN),
        )
        of_owner = (
            reference.CellType.COUNTERS,
            reference.CellType.CHAIN,
            reference.CellType.CHAIN_BEFORE,
            reference.CellType.SPAN,
        )
        cells = [
            deepcopy(one)
            for one in self.cells
            if one.type in kinds or (one.type in of_owner and one.key == owner)
        ]
        return reference.Extras(owner, cells, max(0, self.cells_max - len(self.cells)))

    def keep(self, extras: reference.Extras, images: list[bytes], *, is_accepted: bool) -> None:
        """Both engines changed the same cells in the same way; what was accepted is kept."""
        before = self.gather(extras.owner).cells
        assert [reference.Cell.unpack(one) for one in images] == extras.cells
        assert [one.pack() for one in extras.cells] == images
        if not is_accepted:
            assert extras.cells == before
            return
        changed = iter(extras.cells)
        taken = [
            next(changed) if any(one == kept for kept in before) else one for one in self.cells
        ]
        self.cells = [*taken, *changed]

    def check_money(
        self,
        decision: reference.Decision,
        before: tuple[reference.Account | None, reference.Period | None],
        money: int,
    ) -> None:
        """The laws of every step: what the rider lost is the fare; a refusal changes nothing."""
        bears = Reason(decision.reason).accepted and decision.reason != Reason.OK_RISK
        if not bears:
            assert (self.account, self.medium_period) == before
            assert decision.reason == Reason.OK_RISK or decision.fare_minor == 0
            return
        assert money - self.money() == decision.fare_minor
        assert self.rider.subsidy_minor >= 0
        assert 0 <= decision.subsidy_minor <= max(0, decision.fare_minor)
        assert decision.balance_minor == self.rider.spendable_minor
        if decision.reason == Reason.OK and decision.fare_minor > 0 and not decision.parts:
            assert self.rider.spendable_minor + self.rider.credit_limit_minor >= 0

    def reverse(self, tap: reference.Tap, charged: reference.Decision) -> reference.Decision:
        """Both engines undo a tap."""
        structs = [
            None if one is None else as_struct(one) for one in (self.account, self.medium_period)
        ]
        before, money = deepcopy((self.account, self.medium_period)), self.money()
        owner = reference.reversal_owner(self.spec_book, tap, charged)
        extras = self.find_extras(owner)
        account, period, *cells, compiled = self.compiled_reversal(structs, tap, charged, extras)
        decision = reference.decide_reversal(
            *(self.spec_book, self.account, self.medium_period, tap, charged),
            extras=extras,
            spent_us=tap.now_us,
        )
        if extras is not None:
            self.keep(extras, cells[0], is_accepted=Reason(decision.reason).accepted)
        assert without_spare(compiled) == state_of(decision)
        assert account == state_of(self.account)
        assert period == state_of(self.medium_period)
        assert decision.fare_minor <= 0 or charged.fare_minor < 0
        if Reason(decision.reason).accepted and charged.reason != Reason.OK_RISK:
            assert money - self.money() == decision.fare_minor
        else:
            assert (self.account, self.medium_period) == before
        return decision

    def compiled_reversal(
        self,
        structs: list[dict[str, object] | None],
        tap: reference.Tap,
        charged: reference.Decision,
        extras: reference.Extras | None,
    ) -> tuple[Any, ...]:
        """(account, period, decision) of the core, with cells before the decision if it had any."""
        told = (as_struct(tap), as_struct(charged))
        if extras is None:
            return _probe.reversal(self.book, *structs, *told)
        images = [one.pack() for one in extras.cells]
        return _probe.layered_reversal(
            self.book, *structs, *told, extras.owner, extras.room, images, tap.now_us
        )

    def undo(self) -> reference.Decision:
        """Undo the tap made last."""
        return self.reverse(*self.history[-1])

    def command(self, op: int, **fields: object) -> reference.Decision:
        """Both engines decide a command on the rider's account and medium."""
        order = reference.Command(op=op, account_id=77, now_us=self.now_us, **fields)  # type: ignore[arg-type]
        if op in CELL_OPS:
            return self.cell_command(order)
        if op in WALLET_OPS:
            return self.wallet_command(order)
        if op == Op.MEDIUM_MOVE:
            return self.move(order, None)
        before, money = deepcopy((self.account, self.medium)), self.money()
        structs = [None if one is None else as_struct(one) for one in (self.account, self.medium)]
        account, medium, compiled = _probe.command(structs[0], SLOT, structs[1], as_struct(order))
        decision = reference.decide_command(self.account, SLOT, self.medium, order)
        assert without_spare(compiled) == state_of(decision)
        assert account == state_of(self.account)
        assert without_spare(medium) == state_of(self.medium)
        if decision.reason != Reason.OK:
            assert (self.account, self.medium) == before
        else:
            assert self.money() == money
        if self.account is not None and decision.reason == Reason.OK:
            self.account.version += 1
        return decision

    def wallet_command(
        self, order: reference.Command, paid: reference.Paid | None = None
    ) -> reference.Decision:
        """Both engines decide a wallet command; money is neither made nor lost."""
        extras = reference.Extras(0, deepcopy(self.cells), max(0, self.cells_max - len(self.cells)))
        before, money = deepcopy(self.account), self.money()
        account, images, compiled = _probe.wallet_command(
            None if self.account is None else as_struct(self.account),
            as_struct(order),
            extras.room,
            [one.pack() for one in extras.cells],
            paid and paid_struct(paid),
            self.book.limits,
        )
        decision = reference.decide_command(
            *(self.account, SLOT, self.medium, order),
            extras=extras,
            paid=paid,
            limits=self.spec_book.limits,
        )
        assert without_spare(compiled) == state_of(decision)
        assert account == state_of(self.account)
        if decision.reason == Reason.OK:
            assert images == [one.pack() for one in extras.cells]
            self.cells = [one for one in extras.cells if one.type]
            self.rider.version += 1
        else:
            assert self.account == before
            assert (decision.amount_minor, decision.parts) == (0, ())
        assert self.money() - money == decision.amount_minor
        return decision

    def move(
        self, order: reference.Command, leaves: reference.Account | None
    ) -> reference.Decision:
        """Both engines decide about a medium that leaves one account for the rider's."""
        structs = [
            None if one is None else as_struct(one) for one in (self.account, leaves, self.medium)
        ]
        compiled = _probe.move(structs[0], structs[1], SLOT, structs[2], as_struct(order))
        decision = reference.decide_command(self.account, SLOT, self.medium, order, leaves=leaves)
        assert without_spare(compiled) == state_of(decision)
        return decision

    def cell_command(
        self, order: reference.Command, rerate: reference.Rerate | None = None
    ) -> reference.Decision:
        """Both engines decide a command on passes, concessions or totals."""
        extras = reference.Extras(0, deepcopy(self.cells), max(0, self.cells_max - len(self.cells)))
        before, money = deepcopy(self.account), self.money()
        account, images, compiled = _probe.cell_command(
            None if self.account is None else as_struct(self.account),
            as_struct(order),
            extras.room,
            [one.pack() for one in extras.cells],
            rerate.lines if rerate else None,
            [one.pack() for one in rerate.cells] if rerate else None,
            self.book.limits,
        )
        decision = reference.decide_command(
            *(self.account, SLOT, self.medium, order),
            extras=extras,
            rerate=rerate,
            limits=self.spec_book.limits,
        )
        assert without_spare(compiled) == state_of(decision)
        assert account == state_of(self.account)
        if decision.reason == Reason.OK:
            assert images == [one.pack() for one in extras.cells]
            assert money - self.money() == decision.fare_minor
            self.cells = [one for one in extras.cells if one.type]
            self.rider.version += 1
        else:
            assert self.account == before
        return decision

    # What tests say most.

    def enter(self, stop: int, **how: int) -> reference.Decision:
        return self.tap(TapKind.CHECK_IN, stop, **how)

    def leave(self, stop: int, **how: int) -> reference.Decision:
        return self.tap(TapKind.CHECK_OUT, stop, **how)

    def ride(self, origin: int, destination: int, *, minutes: int = 30) -> reference.Decision:
        entered = self.enter(origin)
        assert entered.reason == Reason.OK, Reason(entered.reason)
        self.wait(minutes * MINUTE_US)
        return self.leave(destination)

    @property
    def is_inside(self) -> bool:
        return self.rider.journey_state == JourneyState.OPEN


OPENED = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
