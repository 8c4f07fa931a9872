"""The crash harness itself, small: real processes killed under load, everything compared.

More of it: `python -m benchmarks.crash --rounds N`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import crash_rounds
from benchmarks.crash_bench import ACKED_A_ROUND, RoundsReport
from benchmarks.crash_process import FLAGS
from benchmarks.crash_recount import (
    COUNTED,
    DEBIT,
    ITEM_BYTES,
    ITEM_CELL,
    LIMITS,
    RECORD,
    REFUSALS,
    REVERSAL,
    Answer,
    BrokenLawError,
    Record,
    Recount,
    Told,
)
from benchmarks.crash_rounds import RoundsPlan, run_rounds
from benchmarks.crash_storm import run_storm
from tests.support.valkey import needs_server

ROUNDS = 2


async def test_a_gateway_killed_under_load_keeps_what_it_told(tmp_path: Path) -> None:
    report = await run_rounds(RoundsPlan(ROUNDS, 2, tmp_path))
    assert report.ok, report.as_dict()
    assert report.acked >= ROUNDS * ACKED_A_ROUND
    assert report.kills >= ROUNDS


async def test_a_supervised_gateway_killed_piece_by_piece_keeps_what_it_told(
    tmp_path: Path,
) -> None:
    plan = RoundsPlan(1, 3, tmp_path, only="serve_kill_data_then_all")
    report = await run_rounds(plan)
    assert report.ok, report.as_dict()
    assert report.kills == 3
    assert report.acked >= ACKED_A_ROUND


async def test_caps_tiers_and_transfers_outlive_kills(tmp_path: Path) -> None:
    report = await run_rounds(RoundsPlan(ROUNDS, 9, tmp_path, tariff="layered"))
    assert report.ok, report.as_dict()
    assert report.repriced > ACKED_A_ROUND


@needs_server
@pytest.mark.parametrize("scenario", ["kill_leader", "kill_leader_and_primary"])
async def test_two_gateways_and_two_servers_keep_what_they_told(
    tmp_path: Path, scenario: str
) -> None:
    report = await run_rounds(RoundsPlan(1, 4, tmp_path, journal="valkey", only=scenario))
    assert report.ok, report.as_dict()
    assert report.acked >= ACKED_A_ROUND


@needs_server
@pytest.mark.slow
async def test_layered_fares_with_the_journal_in_valkey(tmp_path: Path) -> None:
    report = await run_rounds(RoundsPlan(4, 5, tmp_path, journal="valkey", tariff="layered"))
    assert report.ok, report.as_dict()
    assert report.repriced > ACKED_A_ROUND


@needs_server
@pytest.mark.slow
async def test_rounds_with_the_journal_in_valkey(tmp_path: Path) -> None:
    report = await run_rounds(RoundsPlan(8, 5, tmp_path, journal="valkey"))
    assert report.ok, report.as_dict()


@pytest.mark.slow
@pytest.mark.parametrize("served", [0.0, 1.0])
async def test_more_rounds(tmp_path: Path, served: float) -> None:
    report = await run_rounds(RoundsPlan(10, 6, tmp_path, served=served))
    assert report.ok, report.as_dict()
    assert report.in_flight_at_kill >= 0.9 * report.kills


async def test_a_gateway_that_was_stopped_longer_than_its_sessions_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP past the idle time-out, SIGCONT: it goes on, or ends sessions; nothing is lost."""
    monkeypatch.setitem(FLAGS, "link.heartbeat_s", "1")
    monkeypatch.setitem(FLAGS, "link.idle_timeout_s", "2")
    monkeypatch.setattr(crash_rounds, "LONG_PAUSE_S", 3.5)
    report = await run_rounds(RoundsPlan(1, 8, tmp_path, only="pause_long"))
    assert report.ok, report.as_dict()
    assert report.acked >= ACKED_A_ROUND + crash_rounds.ACKED_BETWEEN


async def test_a_fleet_that_is_cut_off_while_it_comes_back_loses_nothing(tmp_path: Path) -> None:
    report, ok = await run_storm(tmp_path, 120)
    assert ok, report


@pytest.mark.slow
async def test_a_pause_longer_than_the_heartbeat_loses_nothing(tmp_path: Path) -> None:
    report = await run_rounds(RoundsPlan(1, 7, tmp_path, only="pause_long"))
    assert report.ok, report.as_dict()


def make_record(seq: int, **fields: int | bytes) -> Record:
    blank: dict[str, int | bytes] = dict.fromkeys(Record._fields, 0)
    return Record(**(blank | {"seq": seq, "token": b"", "id_a": 1, "id_b": 2} | fields))  # type: ignore[arg-type]


def told(recount: Recount, position: int, answer: Answer) -> tuple[int, int, int]:
    said = Told()
    said.tap((1, 2, 3), position, answer)
    verdict = said.compare(recount)
    return len(verdict.lost), len(verdict.doubled), len(verdict.altered)


def test_the_comparison_tells_lost_doubled_and_altered_apart() -> None:
    recount = Recount(lambda _: None)
    record = make_record(1, id_c=3, fare_minor=300)
    assert told(recount, 64, record.answer) == (1, 0, 0)
    recount.records[64] = record
    recount._note_identity(record, 64)
    assert told(recount, 64, record.answer) == (0, 0, 0)
    assert told(recount, 64, (0, 0, 301, *record.answer[3:])) == (0, 0, 1)
    assert told(recount, 128, record.answer) == (0, 0, 1)
    recount._note_identity(record, 300)
    assert told(recount, 64, record.answer) == (0, 1, 0)


def test_a_report_with_a_finding_is_not_ok() -> None:
    assert RoundsReport().ok
    assert not RoundsReport(lost=1).ok
    assert not RoundsReport(findings=["the drain ended with status 1"]).ok


def test_kills_that_meet_nobody_prove_nothing() -> None:
    assert RoundsReport(kills=10, in_flight_at_kill=9).ok
    assert not RoundsReport(kills=10, in_flight_at_kill=8).ok


def test_a_standby_that_takes_its_time_is_told_beside_the_laws() -> None:
    report = RoundsReport(standby_ms=[300, 2_000, 2_001])
    assert report.ok
    assert report.missed == ["a standby led after 2001 ms, not 2000"]
    assert report.as_dict()["standby_ms_max"] == 2_001


def fed(recount: Recount, *records: Record) -> None:
    """Records one after the other, as far as the laws of what was spent see them."""
    for place, record in enumerate(records, 64 * (1 + len(recount.records))):
        recount.records[place] = record
        recount._note_identity(record, place)
        recount._note_spent(record)


def test_what_was_spent_is_a_recount_of_what_was_counted() -> None:
    recount = Recount(lambda _: None)
    tap = make_record(1, id_c=3, op=3, account_id=5, fare_minor=300, rules=COUNTED)
    debit = make_record(2, id_c=4, op=DEBIT, account_id=5, amount_minor=-50, rules=COUNTED)
    recount._note_limits(5, (2, LIMITS, 0, 0), (350, 350, 350, 350))
    recount.spent[5] = 0
    with pytest.raises(BrokenLawError, match="350 spent, 300 was counted"):
        fed(recount, tap)
    fed(recount, debit)
    undo = make_record(3, id_c=9, op=REVERSAL, account_id=5, fare_minor=-300)
    recount.undone[undo.key] = tap.key
    recount._note_limits(5, (2, LIMITS, 0, 0), (50, 50, 50, 50))
    fed(recount, undo)
    uncounted = make_record(4, id_c=5, op=3, account_id=5, fare_minor=100)
    fed(recount, uncounted, make_record(5, id_c=6, op=3, reason=REFUSALS, rules=COUNTED))
    recount._note_limits(5, (2, LIMITS, 0, 0), (0, 0, 0, 49))
    with pytest.raises(BrokenLawError, match="49 spent, 50 was counted"):
        fed(recount, make_record(6, id_c=7, op=3, account_id=5))


@pytest.mark.parametrize("windows", [(5, 0, 0, 4), (0, 0, -1, 4)])
def test_no_window_holds_more_than_the_lifetime(windows: tuple[int, ...]) -> None:
    with pytest.raises(BrokenLawError, match="account 5 spent"):
        Recount(lambda _: None)._note_limits(5, (2, LIMITS, 0, 0), windows)


def test_a_refusal_changes_nothing() -> None:
    size = RECORD.size + ITEM_BYTES
    refused = make_record(1, op=3, reason=REFUSALS, length_bytes=size, item_count=1)
    data = RECORD.pack(*refused) + bytes([ITEM_CELL]).ljust(ITEM_BYTES, b"\0")
    with pytest.raises(BrokenLawError, match="a refusal changes a cell"):
        Recount(lambda _: None)._record(data, 0, 64)
