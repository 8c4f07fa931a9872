"""Passes, concessions and re-rating: the compiled commands against the reference's."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import _probe, cells, reference
from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Chain, Concession, Counter, Extras, Pass
from fastpath.reference_commands_cells import KEPT_AFTER_US, Rerate, decide_cell_command, pack_lines
from fastpath.reference_model import Period
from fastpath.types import Op, Reason
from tests.fastpath.world import DAY_US, as_struct, state_of, without_spare

NOW_US = 400 * DAY_US
OLD_US = NOW_US - KEPT_AFTER_US
EDGES = st.sampled_from([0, 1, OLD_US - 1, OLD_US, NOW_US - DAY_US, NOW_US, NOW_US + DAY_US])
AMOUNTS = st.sampled_from([-(1 << 61), -500, 0, 1, 500, 1000, 1001, 1 << 60, 1 << 61])
IDS = st.sampled_from([5, 6])
OWNERS = st.sampled_from([0, 77])

PASSES = st.builds(
    Cell,
    st.just(CellType.PASS),
    IDS,
    st.builds(Pass, EDGES, EDGES, EDGES, st.sampled_from([-1, 0, 1, 9])),
)
CONCESSIONS = st.builds(
    Cell, st.just(CellType.CONCESSION), st.integers(0, 3), st.builds(Concession, EDGES, EDGES)
)
COUNTERS = st.builds(Counter, IDS, st.integers(0, 3), st.integers(0, 7), IDS, st.integers(0, 999))
CHAINS = st.builds(Chain, EDGES, EDGES, EDGES, EDGES, st.integers(-5, 5), st.integers(0, 5))
TOTALS = st.one_of(
    st.builds(Cell, st.just(CellType.COUNTERS), OWNERS, st.lists(COUNTERS, min_size=2, max_size=2)),
    st.builds(Cell, st.just(CellType.CHAIN), OWNERS, CHAINS, st.integers(0, 4)),
    st.builds(Cell, st.just(CellType.CHAIN_BEFORE), OWNERS, CHAINS),
    st.builds(Cell, st.just(CellType.MEDIUM_PERIOD), OWNERS, st.builds(Period, IDS, IDS)),
)
ACCOUNTS = st.builds(
    reference.Account,
    account_id=st.just(77),
    version=st.just(3),
    currency=st.just(156),
    balance_minor=st.sampled_from([-100, 0, 1000, 1 << 60]),
    credit_limit_minor=st.sampled_from([0, 1]),
    held_minor=st.sampled_from([0, 1]),
    status=st.sampled_from([0, 0, 0, 1, 2, 4]),
    first_cell=st.just(9),
)
ORDERS = st.builds(
    reference.Command,
    op=st.sampled_from([Op.PASS_ADD, Op.PASS_REMOVE, Op.CONCESSION, Op.RERATE]),
    account_id=st.just(77),
    now_us=st.just(NOW_US),
    expected_version=st.sampled_from([0, 3, 3, 4]),
    amount_minor=AMOUNTS,
    currency=st.sampled_from([0, 0, 156, 840]),
    purse=st.sampled_from([0, 0, 0, 1, 2]),
    rider_category=st.integers(0, 3),
    from_us=EDGES | st.just(-1),
    expires_us=EDGES,
    pass_id=st.sampled_from([0, 5, 5, 6]),
    rides=st.sampled_from([-2, -1, 0, 1, 10]),
)
RERATES = st.none() | st.builds(
    Rerate,
    st.builds(pack_lines, st.builds(reference.Account, entry_ts_us=EDGES, origin_stop=IDS)),
    st.lists(TOTALS | PASSES, max_size=4).map(tuple)
    | st.just((Cell(CellType.CONCESSION, 0, Concession()),)),
)


@settings(max_examples=600, deadline=None)
@given(
    st.none() | ACCOUNTS,
    ORDERS,
    st.lists(PASSES | CONCESSIONS | TOTALS, max_size=6),
    st.integers(0, 2),
    RERATES,
)
def test_core_and_reference_agree(
    account: reference.Account | None,
    order: reference.Command,
    held: list[Cell],
    room: int,
    rerate: Rerate | None,
) -> None:
    images = [cell.pack() for cell in held]
    brought = [cell.pack() for cell in rerate.cells] if rerate else None
    after, found, decision = _probe.cell_command(
        as_struct(account) if account else None,
        as_struct(order),
        room,
        images,
        rerate.lines if rerate else None,
        brought,
    )
    extras, before = Extras(0, deepcopy(held), room), deepcopy(account)
    expected = decide_cell_command(account, extras, rerate, order)
    assert without_spare(decision) == state_of(expected)
    if Reason(expected.reason).accepted:
        assert after == asdict(account)  # type: ignore[call-overload]
        assert found == [cell.pack() for cell in extras.cells]
    else:
        assert after == (asdict(before) if before else None)


def test_cells_and_acts_have_names() -> None:
    shown = cells.describe_cell(Cell(CellType.PASS, 5, Pass(1, 2, 3, 4)).pack())
    assert shown == {
        "cell": "pass",
        "pass_id": 5,
        "from_us": 1,
        "until_us": 2,
        "last_used_us": 3,
        "rides_left": 4,
    }
    counters = Cell(CellType.COUNTERS, 7, [Counter(1, 2, 3, 4, 5), Counter()])
    assert cells.describe_cell(counters.pack()) == {
        "cell": "counters",
        "owner": 7,
        "counters": [{"counter_id": 1, "window": 2, "zones": 3, "trips": 4, "paid_minor": 5}],
    }
    assert cells.describe_acts(bytes([3, 0, 0, 2, 1, 0, 0, 99]).ljust(64, b"\0")) == [
        "transfer 3",
        "99 1",
    ]
    assert cells.describe_cell(bytes(64)) == {"cell": "free"}


@pytest.mark.parametrize("payload", [Chain(*range(1, 11)), Period(*range(1, 10))])
def test_every_field_is_shown(payload: Chain | Period) -> None:
    kind = CellType.CHAIN if isinstance(payload, Chain) else CellType.MEDIUM_PERIOD
    shown = cells.describe_cell(Cell(kind, 1, payload, riders=2).pack())
    assert shown == {"cell": kind.name.lower(), "owner": 1, "riders": 2, **asdict(payload)}
