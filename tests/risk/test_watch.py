"""Risk rules: what counts, when a window ends, once per time above, never for offline uploads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import _journal as codec
from fastpath.types import Op, Reason, TapFlag
from gateway.errors import ConfigError
from gateway.resources import shipped_dir
from gateway.risk.rules import RiskRule, load_rules
from gateway.risk.watch import Watch

S = 1_000_000
CNY = 156


def rule(kind: str, above: int, window_s: int = 60, **fields: Any) -> RiskRule:
    return RiskRule(kind, kind, window_s, above, "alert", 0, fields.get("currency", 0), 1)


def record(seq: int, at_s: float, **fields: Any) -> codec.RecordView:
    fields = {"op": Op.FLAT, "account_id": 7, "stop": 1} | fields
    return codec.view_record(codec.build_record(seq=seq, ts_us=int(at_s * S), **fields))


def alarms(watch: Watch, records: list[codec.RecordView], currency: int = CNY) -> list[int]:
    return [alarm.seq for one in records for alarm in watch.feed(one, currency)]


@pytest.mark.parametrize("path", sorted((shipped_dir() / "risk").glob("*.toml")))
def test_what_ships_is_sound(path: Path) -> None:
    assert load_rules(path)


def test_every_fault_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'format = 1\n[[rule]]\nname = "a"\nkind = "luck"\nwindow_s = 0\n'
        'above = -1\naction = "shout"\n'
        '[[rule]]\nname = "a"\nkind = "spending"\nwindow_s = 1\nabove = 1.5\naction = "alert"\n'
        "freeze_s = 5\ncolour = 1\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    found = "\n".join(caught.value.findings)
    for word in (
        "luck",
        "window_s",
        "above",
        "shout",
        "currency",
        "freeze_s",
        "colour",
        "one name",
    ):
        assert word in found, word


def test_refusals_are_counted_and_told_once_while_they_go_on() -> None:
    watch = Watch([rule("refusals", 2)])
    bad = [record(n, n, reason=Reason.INSUFFICIENT_BALANCE) for n in range(1, 6)]
    good = [record(n, 5) for n in range(6, 9)]
    assert alarms(watch, bad + good) == [3]
    assert alarms(watch, [record(9, 200, reason=Reason.PASSBACK)]) == []
    assert alarms(watch, [record(n, 201, reason=Reason.PASSBACK) for n in (10, 11)]) == [11]


@pytest.mark.parametrize(("gap_s", "told"), [(59.9, [2]), (60, [])])
def test_a_window_ends(gap_s: float, told: list[int]) -> None:
    assert alarms(Watch([rule("taps", 1)]), [record(1, 0), record(2, gap_s)]) == told


def test_spending_is_fares_debits_and_captures_of_its_currency() -> None:
    rows = [
        record(1, 1, fare_minor=300),
        record(2, 2, op=Op.DEBIT, amount_minor=-500),
        record(3, 3, op=Op.HOLD_CAPTURE, amount_minor=-200),
        record(4, 4, op=Op.CREDIT, amount_minor=9_000),
        record(5, 5, op=Op.REVERSAL, fare_minor=-300),
        record(6, 6, op=Op.DEBIT, amount_minor=0, reason=Reason.INSUFFICIENT_BALANCE),
        record(7, 7, fare_minor=1),
    ]
    assert alarms(Watch([rule("spending", 1_000, currency=CNY)]), rows) == [7]
    assert alarms(Watch([rule("spending", 1_000, currency=840)]), rows) == []


def test_places_are_different_ones() -> None:
    watch = Watch([rule("places", 2)])
    stops = [1, 1, 2, 2, 1, 3]
    rows = [record(n, n, stop=stop) for n, stop in enumerate(stops, start=1)]
    rows.insert(3, record(9, 3.5, op=Op.CHECK_OUT, stop=8))
    assert alarms(watch, rows) == [6]


def test_offline_uploads_and_strangers_are_left_out() -> None:
    watch = Watch([rule("taps", 0)])
    assert alarms(watch, [record(1, 1, flags=int(TapFlag.OFFLINE))]) == []
    assert alarms(watch, [record(2, 1, account_id=0)]) == []


def test_memory_is_bounded() -> None:
    watch = Watch([rule("taps", 1)], accounts_max=2)
    for number in (1, 2, 3):
        assert alarms(watch, [record(number, 1, account_id=number)]) == []
    assert alarms(watch, [record(4, 2, account_id=1)]) == []  # forgotten meanwhile
    assert alarms(watch, [record(5, 2, account_id=3)]) == [5]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=40), st.integers(0, 5))
def test_the_window_is_what_a_recount_says(rows: list[tuple[int, int]], above: int) -> None:
    rows = sorted(rows)
    watch = Watch([rule("taps", above, window_s=10)])
    told = alarms(watch, [record(n, at, account_id=who) for n, (at, who) in enumerate(rows)])
    expected, over = [], {1: False, 2: False, 3: False}
    for n, (at, who) in enumerate(rows):
        count = sum(1 for then, other in rows[: n + 1] if other == who and then > at - 10)
        if count > above and not over[who]:
            expected.append(n)
        over[who] = count > above
    assert told == expected
