"""The fares of the crash harness's town: its own table against both engines' tariff file."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from benchmarks.crash_fares import BUS, CHECK_OUT, FLAT, TRAM, TownFares
from benchmarks.crash_recount import Record
from benchmarks.crash_tariffs import TOWN, sim_tariffs
from fastpath.types import MediumKind, Reason, TapKind
from gateway.tariffs.loaded import load
from gateway.tariffs.pricing import RiderRequest, TapRequest
from tests.tariffs.both_engines import BothEngines

LINES = {BUS: 7, TRAM: 8}
BEGIN_US = int(datetime(2026, 11, 30, 13, tzinfo=UTC).timestamp()) * 1_000_000
"""Three hours before the next day and month of the town."""


def make_record(network: int, op: int, at_us: int, fare_minor: int) -> Record:
    blank: dict[str, int | bytes] = dict.fromkeys(Record._fields, 0)
    said = {"op": op, "fare_ts_us": at_us, "fare_minor": fare_minor, "flags": network << 8}
    return Record(**(blank | {"account_id": 1, "token": b""} | said))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_the_recounts_own_table_is_the_tariff_file(seed: int) -> None:
    rng = random.Random(seed)
    spec = load(TOWN).spec
    request = RiderRequest(MediumKind.CARD, BEGIN_US, balance_minor=100_000)
    rider = BothEngines({"crash-town": spec}, request)
    fares, at_us, acted = TownFares(), BEGIN_US, set()
    for _ in range(180):
        at_us += rng.choice((1_000_000, 60_000_000, 300_000_000, 3_600_000_000 // 4))
        network = rng.choice((BUS, TRAM, TRAM))
        made = rider.tap(TapRequest("crash-town", TapKind.FLAT, 11, at_us, line=LINES[network]))
        assert made.reason == Reason.OK
        acted.add(made.rules)
        fares(make_record(network, FLAT, at_us, made.fare_minor))
    assert fares.wrong == []
    assert fares.priced == 180
    assert len(acted) > 4


def test_a_fare_that_forgot_the_cap_is_told() -> None:
    fares = TownFares()
    for minute in range(30):
        fares(make_record(TRAM, FLAT, BEGIN_US + minute * 60_000_000, 300))
    assert len(fares.wrong) > 20
    assert "300 for a ride of 0" in fares.wrong[-1]


def test_the_metro_ends_a_chain_of_transfers() -> None:
    fares = TownFares()
    fares(make_record(BUS, FLAT, BEGIN_US, 200))
    fares(make_record(0, CHECK_OUT, BEGIN_US + 1, 450))
    fares(make_record(TRAM, FLAT, BEGIN_US + 2, 300))
    assert fares.wrong == []


def test_the_schedules_have_tariffs_with_and_without_layers() -> None:
    plain, town, of_medium = sim_tariffs()
    assert plain.spec.layers is None
    assert len({plain.compiled.key, town.compiled.key, of_medium.compiled.key}) == 3
