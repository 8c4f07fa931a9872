"""Passes, concessions and re-rating as commands, one case a row."""

from __future__ import annotations

from copy import deepcopy

import pytest

from fastpath import reference
from fastpath.reference_commands_cells import KEPT_AFTER_US, pack_lines
from fastpath.types import AccountStatus, Op, Reason, Rule
from tests.fastpath.city import minor, rows
from tests.fastpath.world import DAY_US

NOW_US = 400 * DAY_US
PASS, OTHER = 5, 6


def account(balance: str = "10.00", **changes: int) -> reference.Account:
    made = reference.Account(account_id=77, version=3, currency=156, balance_minor=minor(balance))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def decide(
    op: Op,
    of: reference.Account,
    extras: reference.Extras | None,
    rerate: reference.Rerate | None = None,
    **fields: int,
) -> reference.Decision:
    order = reference.Command(op=op, account_id=77, now_us=NOW_US, **fields)
    before = deepcopy((of, extras))
    made = reference.decide_command(of, 5, None, order, extras=extras, rerate=rerate)
    if made.reason != Reason.OK:
        assert before == (of, extras)
        assert made.fare_minor == 0
    assert before[0].balance_minor - of.balance_minor == made.fare_minor
    return made


ADDED = """
# price  balance credit status        room fields                     reason
  5.00   10.00   0.00   -             1    -                          OK
  10.00  10.00   0.00   -             1    -                          OK
  10.01  10.00   0.00   -             1    -                          INSUFFICIENT_BALANCE
  10.01  10.00   1.00   -             1    -                          OK
  0.00   -5.00   0.00   -             1    -                          OK
  0.00   10.00   0.00   FROZEN_DEBIT  1    -                          OK
  5.00   10.00   0.00   FROZEN_DEBIT  1    -                          ACCOUNT_FROZEN
  5.00   10.00   0.00   FROZEN_CREDIT 1    -                          OK
  5.00   10.00   0.00   CLOSED        1    -                          ACCOUNT_CLOSED
  -1.00  10.00   0.00   -             1    -                          AMOUNT_INVALID
  5.00   10.00   0.00   -             0    -                          TOO_MANY_CELLS
  50.00  10.00   0.00   -             0    -                          INSUFFICIENT_BALANCE
  5.00   10.00   0.00   -             1    pass_id=0                  BAD_REQUEST
  5.00   10.00   0.00   -             1    rides=0                    BAD_REQUEST
  5.00   10.00   0.00   -             1    rides=-2                   BAD_REQUEST
  5.00   10.00   0.00   -             1    from_us=-1                 BAD_REQUEST
  5.00   10.00   0.00   -             1    from_us=9,expires_us=9     BAD_REQUEST
  5.00   10.00   0.00   -             1    from_us=9,expires_us=10    OK
  5.00   10.00   0.00   -             1    purse=1                    BAD_REQUEST
  5.00   10.00   0.00   -             1    currency=840               CURRENCY_MISMATCH
  5.00   10.00   0.00   -             1    expected_version=2         VERSION_CONFLICT
  5.00   10.00   0.00   -             1    expected_version=3         OK
"""


@pytest.mark.parametrize("row", rows(ADDED), ids=" ".join)
def test_pass_add(row: list[str]) -> None:
    price, balance, credit, status, room, named, reason = row
    fields = {"pass_id": PASS, "rides": -1, "amount_minor": minor(price)}
    if named != "-":
        fields |= {key: int(value) for key, value in (one.split("=") for one in named.split(","))}
    of = account(balance, credit_limit_minor=minor(credit))
    of.status = 0 if status == "-" else AccountStatus[status]
    cells = reference.Extras(room=int(room))
    made = decide(Op.PASS_ADD, of, cells, **fields)
    assert Reason(made.reason).name == reason
    if reason == "OK":
        assert made.fare_minor == minor(price)
        assert bool(made.rules & Rule.CREDIT_LINE) == (of.balance_minor < 0 < made.fare_minor)
        kept = reference.Pass(fields.get("from_us", 0), fields.get("expires_us", 0), 0, -1)
        assert cells.cells == [reference.Cell(reference.CellType.PASS, PASS, kept)]
        assert cells.room == int(room) - 1


def test_a_new_pass_takes_the_place_of_one_that_is_long_over() -> None:
    old_us = NOW_US - KEPT_AFTER_US
    for until_us, is_over in [(old_us - 1, True), (old_us, False), (0, False)]:
        cells = reference.Extras(room=0)
        one = reference.Pass(0, until_us, 0, -1)
        cells.cells.append(reference.Cell(reference.CellType.PASS, OTHER, one))
        made = decide(Op.PASS_ADD, account(), cells, pass_id=PASS, rides=2)
        assert made.reason == (Reason.OK if is_over else Reason.TOO_MANY_CELLS)
        assert cells.cells[0].key == (PASS if is_over else OTHER)


def test_pass_remove_gives_back_what_is_said() -> None:
    of, cells = account("1.00"), reference.Extras(room=2)
    for begin in (10, 20):
        decide(Op.PASS_ADD, of, cells, pass_id=PASS, rides=-1, from_us=begin)
    assert decide(Op.PASS_REMOVE, of, cells, pass_id=OTHER).reason == Reason.NOTHING_TO_REVERSE
    assert decide(Op.PASS_REMOVE, of, cells, pass_id=0).reason == Reason.BAD_REQUEST
    wrong = decide(Op.PASS_REMOVE, of, cells, pass_id=PASS, amount_minor=-1)
    assert wrong.reason == Reason.AMOUNT_INVALID
    made = decide(Op.PASS_REMOVE, of, cells, pass_id=PASS, from_us=20, amount_minor=150)
    assert (made.reason, made.fare_minor, of.balance_minor) == (Reason.OK, -150, 250)
    assert [cell.type for cell in cells.cells] == [reference.CellType.PASS, 0]
    again = decide(Op.PASS_REMOVE, of, cells, pass_id=PASS, from_us=20)
    assert again.reason == Reason.NOTHING_TO_REVERSE


def test_concession() -> None:
    of, cells = account(), reference.Extras(room=1)
    student = {"rider_category": 2}
    assert decide(Op.CONCESSION, of, cells, **student).reason == Reason.NOTHING_TO_REVERSE
    for span in ({"from_us": -1}, {"from_us": 9, "expires_us": 8}):
        assert decide(Op.CONCESSION, of, cells, **student, **span).reason == Reason.BAD_REQUEST
    for end in (NOW_US, NOW_US + 1):
        made = decide(Op.CONCESSION, of, cells, **student, from_us=9, expires_us=end)
        assert made.reason == Reason.OK
        assert cells.cells[0].payload == reference.Concession(9, end)
    full = decide(Op.CONCESSION, of, cells, rider_category=3, from_us=9, expires_us=NOW_US)
    assert full.reason == Reason.TOO_MANY_CELLS
    assert decide(Op.CONCESSION, of, cells, **student).reason == Reason.OK
    assert cells.cells[0].type == 0
    of.status = AccountStatus.CLOSED
    assert decide(Op.CONCESSION, of, cells, **student).reason == Reason.ACCOUNT_CLOSED


def chain_cell(**changes: int) -> reference.Cell:
    return reference.Cell(reference.CellType.CHAIN, 0, reference.Chain(**changes))


def counter_cell(*ids: int) -> reference.Cell:
    places = [reference.Counter(id=one, paid_minor=one) for one in (*ids, 0)[:2]]
    return reference.Cell(reference.CellType.COUNTERS, 0, places)


def test_rerate_replaces_lines_and_totals() -> None:
    of, cells = account("1.00", first_cell=8, origin_stop=1), reference.Extras(room=1)
    one = reference.Cell(reference.CellType.PASS, PASS, reference.Pass())
    cells.cells += [chain_cell(network=1), counter_cell(1, 2), one, counter_cell(3)]
    now = account(entry_ts_us=99, leg_count=2, origin_stop=17, last_flat_ts_us=5, first_cell=4)
    now.period = reference.Period(month=24_000, month_trips=3, day_paid_minor=4)
    images = (counter_cell(4), counter_cell(5, 6))
    made = decide(
        Op.RERATE,
        of,
        cells,
        reference.Rerate(pack_lines(now), images),
        amount_minor=5_00,
        expected_version=3,
    )
    assert (made.reason, made.fare_minor, of.balance_minor) == (Reason.OK, 5_00, -4_00)
    assert made.rules == Rule.CREDIT_LINE
    assert pack_lines(of)[:64] == pack_lines(now)[:64]
    assert (of.period, of.origin_stop, of.first_cell) == (now.period, 17, 8)
    free = reference.Cell(0, 0, None)
    assert cells.cells == [free, counter_cell(4), one, counter_cell(5, 6)]


def test_rerate_brings_what_passes_were_used_for() -> None:
    """Passes named are replaced in their order, others stay, whatever totals become."""
    kind, of, cells = reference.CellType.PASS, account(), reference.Extras(room=0)
    cells.cells += [
        reference.Cell(kind, PASS, reference.Pass(from_us=1, rides_left=4)),
        reference.Cell(kind, OTHER, reference.Pass(from_us=2)),
        reference.Cell(kind, PASS, reference.Pass(from_us=3, rides_left=4)),
    ]
    images = tuple(
        reference.Cell(kind, PASS, reference.Pass(from_us=begin, rides_left=left))
        for begin, left in ((1, 2), (3, 3))
    )
    rerate = reference.Rerate(pack_lines(of), images)
    assert decide(Op.RERATE, of, cells, rerate, expected_version=3).reason == Reason.OK
    assert cells.cells == [images[0], reference.Cell(kind, OTHER, reference.Pass(2)), images[1]]


RERATES = """
# version amount images      room status reason
  0       1.00   -           1    0      BAD_REQUEST
  3       1.00   none        1    0      BAD_REQUEST
  3       1.00   concession  1    0      BAD_REQUEST
  3       1.00   pass        1    0      NOTHING_TO_REVERSE
  2       1.00   -           1    0      VERSION_CONFLICT
  3       -1.00  -           1    7      OK
  3       0.00   -           1    0      OK
  3       0.00   chain       1    0      OK
  3       0.00   chain       0    0      TOO_MANY_CELLS
"""


@pytest.mark.parametrize("row", rows(RERATES), ids=" ".join)
def test_rerate_refused(row: list[str]) -> None:
    version, amount, images, room, status, reason = row
    of, cells = account(status=int(status)), reference.Extras(room=int(room))
    given = {
        "chain": (chain_cell(),),
        "pass": (reference.Cell(reference.CellType.PASS, PASS, reference.Pass()),),
        "concession": (reference.Cell(reference.CellType.CONCESSION, 2, reference.Concession()),),
    }.get(images, ())
    rerate = None if images == "none" else reference.Rerate(pack_lines(of), given)
    made = decide(
        Op.RERATE, of, cells, rerate, expected_version=int(version), amount_minor=minor(amount)
    )
    assert Reason(made.reason).name == reason


@pytest.mark.parametrize("op", [Op.PASS_ADD, Op.PASS_REMOVE, Op.CONCESSION, Op.RERATE])
def test_an_unknown_account(op: Op) -> None:
    order = reference.Command(
        op=op, pass_id=PASS, rides=-1, from_us=1, expires_us=2, expected_version=1
    )
    rerate = reference.Rerate(bytes(128))
    made = reference.decide_command(
        None, 5, None, order, extras=reference.Extras(room=1), rerate=rerate
    )
    assert made.reason == Reason.UNKNOWN_ACCOUNT


def test_the_largest_debt() -> None:
    of, cells = account("0.00"), reference.Extras()
    rerate = reference.Rerate(pack_lines(of))
    for amount, reason in [(1 << 60, Reason.OK), (1, Reason.AMOUNT_OVERFLOW)]:
        made = decide(Op.RERATE, of, cells, rerate, expected_version=3, amount_minor=amount)
        assert made.reason == reason
