"""Random lives of a wallet: commands of every kind that run into each other, and taps between."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Hold, Plan, Purse
from fastpath.types import AccountStatus, FactFlag, Op, Purpose, TapFlag, TapKind
from tests.fastpath.world import DAY_US, HOUR_US

KEYS = st.integers(2, 7)
FEW = st.sampled_from([2, 3, 3])
HOLDS = st.sampled_from([1, 1, 2])
AMOUNTS = st.sampled_from(
    [1, 1, 100, 100, 250, 400, 400, 999, 0, -1, -400, 1 << 60, (1 << 60) + 1, (1 << 63) - 1]
)
SMALL = st.sampled_from([1, 50, 100, 100, 250, 400])
PURPOSES = st.sampled_from([Purpose.TRANSIT, Purpose.TRANSIT, Purpose.MEAL, Purpose.NONE, 31, 40])
MASKS = st.sampled_from([0, 1, 1, 2, 3, 3, 1 << 31])
ENDS = st.sampled_from([0, 0, -1, HOUR_US, HOUR_US, 3 * HOUR_US, 40 * DAY_US])
"""From now; 0 = never."""
FLAGS = st.sampled_from([0, 0, 0, *FactFlag, FactFlag.PAYOUT | FactFlag.TRANSFER])
OWN = st.sampled_from([FactFlag.PAYOUT, FactFlag.TRANSFER])
GAPS = st.sampled_from([0, 0, 1, HOUR_US, DAY_US, 31 * DAY_US])


@dataclass(frozen=True)
class WalletStep:
    """A command. ends: of purse or hold, from now; charge: which charge a refund names, from the
    end.
    """

    op: int
    gap_us: int = 0
    amount_minor: int = 0
    ends_us: int = 0
    purse: int = 0
    expected: bool = False
    charge: int = 0
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RideStep:
    kind: int
    gap_us: int
    flags: int


@dataclass(frozen=True)
class UndoStep:
    back: int


@dataclass(frozen=True)
class StatusStep:
    """Something else happened to the account: a freeze, another credit limit."""

    status: int
    credit_limit_minor: int


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "key": KEYS | HOLDS | st.just(0),
        "merchant": st.integers(0, 2),
        "purpose": PURPOSES,
        "number": st.sampled_from([0, 1, 9, 10, 10, 11, 255]),
        "tier": st.sampled_from([0, 3, 15, 16]),
        "flags": FLAGS,
        "purposes": MASKS,
    },
)
ANYTHING = st.builds(
    WalletStep,
    op=st.sampled_from(
        [Op.CREDIT, Op.DEBIT, Op.ADJUST, Op.ACCOUNT_CLOSE, *range(Op.PURSE_OPEN, Op.MEDIUM_MOVE)]
    ),
    gap_us=GAPS,
    amount_minor=AMOUNTS,
    ends_us=ENDS,
    purse=st.sampled_from([0, 0, 1, 2, 2, 3]),
    expected=st.booleans(),
    charge=st.integers(0, 3),
    facts=FACTS,
)


def sensible(op: Op, **facts: st.SearchStrategy[int]) -> st.SearchStrategy[WalletStep]:
    """Commands that mostly succeed: without them, nothing would ever be held or refunded."""
    given = {
        "purpose": st.sampled_from([Purpose.TRANSIT, Purpose.MEAL, Purpose.NONE]),
        "flags": st.sampled_from([0, 0, FactFlag.FINAL]),
    } | facts
    return st.builds(
        WalletStep,
        op=st.just(op),
        gap_us=st.sampled_from([0, 0, 1, HOUR_US]),
        amount_minor=SMALL,
        ends_us=st.sampled_from([HOUR_US, 3 * HOUR_US, DAY_US]),
        charge=st.integers(0, 2),
        facts=st.fixed_dictionaries(given),
    )


def filled_purse() -> st.SearchStrategy[WalletStep]:
    return st.builds(
        WalletStep,
        op=st.just(Op.CREDIT),
        amount_minor=SMALL,
        purse=st.just(2),
        facts=st.fixed_dictionaries({"key": FEW}),
    )


SENSIBLE = st.one_of(
    sensible(
        Op.PURSE_OPEN,
        key=FEW,
        purposes=st.sampled_from([1, 2, 3]),
        number=st.sampled_from([1, 10, 10, 11]),
    ),
    filled_purse(),
    filled_purse(),
    sensible(Op.DEBIT),
    sensible(Op.DEBIT, flags=OWN),
    sensible(Op.CREDIT),
    sensible(Op.HOLD_PLACE, key=HOLDS),
    sensible(Op.HOLD_CAPTURE, key=HOLDS),
    sensible(Op.HOLD_CAPTURE, key=HOLDS),
    sensible(Op.HOLD_EXPIRE, key=HOLDS),
    sensible(Op.REFUND),
    sensible(Op.REFUND),
    sensible(Op.REFUND, flags=OWN),
    sensible(Op.PLAN_OPEN, key=HOLDS, number=st.just(6)),
    sensible(Op.PLAN_REPAY, key=HOLDS),
)
RIDES = st.builds(
    RideStep,
    kind=st.sampled_from([TapKind.FLAT, TapKind.FLAT, TapKind.CHECK_IN, TapKind.CHECK_OUT]),
    gap_us=st.sampled_from([0, HOUR_US, DAY_US]),
    flags=st.sampled_from([0, 0, 0, TapFlag.OFFLINE | TapFlag.DEVICE_OPENED]),
)
STEPS = st.one_of(
    ANYTHING,
    SENSIBLE,
    SENSIBLE,
    SENSIBLE,
    RIDES,
    RIDES,
    st.builds(UndoStep, back=st.integers(0, 2)),
    st.builds(
        StatusStep,
        status=st.sampled_from([0, 0, 0, *AccountStatus]),
        credit_limit_minor=st.sampled_from([0, 300, 1000]),
    ),
)
LIVES = st.lists(STEPS, min_size=5, max_size=30)


def purses(now_us: int) -> st.SearchStrategy[list[Cell]]:
    """Purses to begin with: more than may pay at once."""
    made = st.builds(
        Purse,
        balance_minor=st.sampled_from([0, 40, 100, 100, 250]),
        expires_us=st.sampled_from([0, 0, now_us, now_us + 1, now_us + HOUR_US]),
        purposes=st.sampled_from([1, 1, 2, 3]),
        priority=st.sampled_from([1, 10, 10, 11]),
    )
    pairs = st.lists(st.tuples(st.integers(2, 9), made), max_size=7, unique_by=lambda one: one[0])
    return pairs.map(lambda found: [Cell(CellType.PURSE, key, one) for key, one in found])


def debts(now_us: int) -> st.SearchStrategy[list[Cell]]:
    """A hold and a plan to begin with, each there or not."""
    hold = st.builds(
        lambda left, ends: Cell(CellType.HOLD, 1, Hold(500, 500 - left, left, now_us + ends)),
        st.sampled_from([100, 400, 500]),
        st.sampled_from([0, 1, HOUR_US]),
    )
    plan = st.builds(
        lambda left: Cell(CellType.PLAN, 1, Plan(600, left, 1, 6)), st.sampled_from([50, 600])
    )
    return st.tuples(hold | st.none(), plan | st.none()).map(
        lambda two: [one for one in two if one]
    )
