"""Random months of a rider under random limits: the core and the reference agree after every step,
and what is counted is what a recount of the decisions finds."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.cells import CellType
from fastpath.limits import LimitProfile, LimitSpec
from fastpath.reference_cells import Spent
from fastpath.types import Op, Rule, TariffSpec
from tests.fastpath.strategies import (
    FIRST_DAY,
    MIDDLE_US,
    TAPS,
    CommandStep,
    SwitchStep,
    UndoStep,
    specs,
)
from tests.fastpath.strategies_layers import LAYER_DAYS, extras, layered_specs
from tests.fastpath.test_core_history import ACCOUNTS, MEDIA, ROOMY, Life
from tests.fastpath.test_core_layers import GOOD, RICH, play
from tests.fastpath.world import DAY_US, World
from tests.limits.both import limits
from tests.limits.test_both_engines import ZONES

FIRST = date(1970, 1, 1) + timedelta(days=FIRST_DAY - 30)
MOST = st.sampled_from([-1, -1, 0, 300, 1000, 2500, 100_000])


@dataclass(frozen=True)
class LimitStep:
    """Load limits: one of two, or none."""

    which: int


@st.composite
def books(draw: st.DrawFn) -> LimitSpec:
    """Limits of tiers 0 and 1; those of tier 0 change in the middle of things."""
    starts = (0, MIDDLE_US + 86_400_000_000)
    profiles = [
        LimitProfile(tier, from_us, *(draw(MOST) for _ in range(6)))
        for tier, from_us in ((0, starts[0]), (0, starts[1]), (1, starts[0]))
    ]
    return limits(*profiles, first=FIRST, count=400, zone=draw(ZONES))


@dataclass
class Recounted(World):
    """Adds up what the decisions say was counted."""

    counted_minor: int = 0

    def decide(self, tap: reference.Tap) -> reference.Decision:
        made = super().decide(tap)
        self.counted_minor += made.fare_minor if made.rules & Rule.COUNTED else 0
        return made

    def reverse(self, tap: reference.Tap, charged: reference.Decision) -> reference.Decision:
        made = super().reverse(tap, charged)
        self.counted_minor += made.fare_minor if charged.rules & Rule.COUNTED else 0
        return made

    def command(self, op: int, **fields: object) -> reference.Decision:
        made = super().command(op, **fields)
        if made.rules & Rule.COUNTED:
            self.counted_minor += made.fare_minor - made.amount_minor
        return made


AMOUNTS = st.sampled_from([1, 300, 300, 1000, 2500, 100_000, 0, -1, (1 << 63) - 1])
FACTS = st.builds(
    reference.Facts,
    key=st.sampled_from([0, 2, 2, 7, 7]),
    purpose=st.sampled_from([0, 1, 255]),
    number=st.integers(0, 12),
    tier=st.sampled_from([0, 0, 1, 2, 16]),
    flags=st.sampled_from([0, 0, *range(8), 8, 16, 24]),
    purposes=st.sampled_from([0, 3, 3]),
)
COMMANDS = st.builds(
    CommandStep,
    op=st.sampled_from([one for one in Op if one >= Op.ACCOUNT_OPEN]),
    fields=st.fixed_dictionaries(
        {"facts": FACTS, "amount_minor": AMOUNTS},
        optional={
            "purse": st.sampled_from([0, 0, 1, 2]),
            "expires_us": st.sampled_from([0, MIDDLE_US + DAY_US, MIDDLE_US + 30 * DAY_US]),
            "expected_version": st.sampled_from([0, 1, 2]),
            "pass_id": st.sampled_from([0, 11]),
            "rides": st.sampled_from([-1, 1]),
        },
    ),
)
MONEY = st.builds(
    CommandStep,
    op=st.sampled_from(
        [Op.CREDIT, Op.DEBIT, Op.DEBIT, Op.HOLD_PLACE, Op.HOLD_CAPTURE, Op.PASS_ADD]
    ),
    fields=st.fixed_dictionaries(
        {
            "facts": st.builds(reference.Facts, key=st.just(7), flags=st.integers(0, 1)),
            "amount_minor": st.sampled_from([1, 300, 1000]),
            "expires_us": st.just(MIDDLE_US + 90 * DAY_US),
            "pass_id": st.just(11),
            "rides": st.just(-1),
        }
    ),
)
STEPS = st.one_of(
    *(TAPS, TAPS, TAPS, TAPS, COMMANDS, MONEY, MONEY),
    st.builds(UndoStep, back=st.integers(0, 3)),
    st.builds(SwitchStep, what=st.sampled_from(["drop", "load", "owner"])),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=25)
LIMITED = st.lists(
    st.one_of(STEPS, STEPS, STEPS, STEPS, st.builds(LimitStep, which=st.integers(0, 2))),
    min_size=1,
    max_size=25,
)


@ROOMY
@given(
    spec=specs(),
    two=st.tuples(books(), books()),
    account=ACCOUNTS,
    medium=MEDIA,
    room=st.sampled_from([0, 1, 16]),
    steps=LIMITED,
)
def test_the_core_equals_the_reference(
    *,
    spec: TariffSpec,
    two: tuple[LimitSpec, LimitSpec],
    account: reference.Account,
    medium: reference.Medium,
    room: int,
    steps: list[object],
) -> None:
    world = World(MIDDLE_US, account=deepcopy(account), medium=deepcopy(medium), cells_max=room)
    world.limit(two[0])
    life = Life(world, [spec])
    for step in steps:
        if isinstance(step, LimitStep):
            world.limit((*two, None)[step.which])
        else:
            life.play(step)


@settings(ROOMY, max_examples=60)
@given(spec=layered_specs(), held=extras(), book=books(), steps=LAYER_DAYS)
def test_layers_and_limits_share_the_cells(
    spec: TariffSpec, held: reference.Extras, book: LimitSpec, steps: list[object]
) -> None:
    world = World(MIDDLE_US, account=deepcopy(RICH), medium=deepcopy(GOOD))
    world.cells = deepcopy(held.cells)
    world.cells_max = len(held.cells) + held.room
    world.load(spec)
    world.limit(book)
    for step in steps:
        play(world, spec, step)  # type: ignore[arg-type]


@ROOMY
@given(spec=specs(), book=books(), steps=HISTORIES)
def test_the_lifetime_is_a_recount_of_the_records(
    spec: TariffSpec, book: LimitSpec, steps: list[object]
) -> None:
    """Every counted fare less what was undone of it: what an auditor finds in the records."""
    profile = replace(book.profiles[0], lifetime_minor=1 << 60)
    world = Recounted(MIDDLE_US)
    world.limit(replace(book, profiles=(profile,)))
    life = Life(world, [spec])
    for step in steps:
        life.play(step)
        kept = [one.payload for one in world.cells if one.type == CellType.LIMITS]
        spent = sum(one.lifetime_minor for one in kept if isinstance(one, Spent))
        assert spent == world.counted_minor
