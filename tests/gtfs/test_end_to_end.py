"""Feeds imported into a gateway that serves: what riders pay at its socket is what the quote says.

Journeys are moved to the last hours, because a gateway refuses taps of another year; the feeds are
imported with days around today. None of these fares depends on the time of day.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fastpath.api import CompiledTariff
from fastpath.types import TapKind
from gateway.bootstrap import keep_tariff
from gateway.config import Config
from gateway.tariffs.gtfs.journeys import JourneyRequest, parse_journeys
from gateway.tariffs.gtfs.loaded import LoadedFeed
from gateway.tariffs.gtfs.quote import LegTaps, Options, list_taps, quote_journey
from gateway.tariffs.gtfs.register import register_feed
from gateway.tariffs.gtfs.rows import parse_money
from gateway.tariffs.gtfs.settings import FeedSettings
from tests.support.feeds import OWN, read_journeys, shared_folder
from tests.support.plane import Running, make_folder, running

S = 1_000_000
SLOT = 1
PLENTY_MINOR = 100_000
TOKENS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Priced:
    """A journey, its taps in the last hours, and what the quote says of it."""

    journey: JourneyRequest
    taps: tuple[LegTaps, ...]
    total_minor: int


def import_feed(config: Config, source: Path, folder: Path) -> LoadedFeed:
    """Register a feed for days around today, and keep it where the gateway looks for it."""
    today = datetime.now(UTC).date()
    settings = FeedSettings(
        "feed",
        valid_from=today - timedelta(days=3),
        valid_until=today + timedelta(days=30),
    )
    path, loaded = register_feed(source, folder, settings)
    compiled = keep_tariff(config, SLOT, str(path))
    assert compiled.stop_count == len(loaded.built.spec.stop_ids)
    return loaded


def price(loaded: LoadedFeed, journeys: Sequence[dict[str, object]]) -> list[Priced]:
    """Journeys that have a price, ridden a while ago."""
    day = (datetime.now(loaded.built.zone) - timedelta(days=1)).date().isoformat()
    dated = []
    for journey in journeys:
        legs = journey["legs"]
        assert isinstance(legs, list)
        dated.append(
            journey | {"fare_media_id": "card", "legs": [leg | {"date": day} for leg in legs]}
        )
    priced = []
    for request in parse_journeys(dated):
        assert isinstance(request, JourneyRequest)
        total = quote_journey(loaded, request, Options())["total"]
        if total is not None:
            minor = parse_money(str(total), loaded.built.currency.exponent)
            assert minor is not None
            priced.append(Priced(request, recent(tuple(list_taps(loaded, request.legs))), minor))
    return priced


def recent(taps: tuple[LegTaps, ...]) -> tuple[LegTaps, ...]:
    """The same taps, the last of them a minute ago."""
    shift_us = time.time_ns() // 1000 - 60 * S - taps[-1].arr_us
    return tuple(
        LegTaps(one.from_stop, one.to_stop, one.line, one.dep_us + shift_us, one.arr_us + shift_us)
        for one in taps
    )


async def ride(hands: Running, loaded: LoadedFeed, priced: Priced) -> tuple[int, int]:
    """(sum of the fares told at the gate, what the account has less) of one new rider."""
    account_id, token = await open_rider(hands, loaded, priced)
    before = (await hands.account(account_id))["balance_minor"]
    gate = await hands.gate(boot=account_id)
    paid_minor = 0
    for leg in priced.taps:
        for kind, stop, at_us in (
            (TapKind.CHECK_IN, leg.from_stop, leg.dep_us),
            (TapKind.CHECK_OUT, leg.to_stop, leg.arr_us),
        ):
            answer = await gate.tap(kind, token, stop, line=leg.line, device_ts_us=at_us)
            paid_minor += answer.fare_minor
    return paid_minor, before - (await hands.account(account_id))["balance_minor"]


async def open_rider(hands: Running, loaded: LoadedFeed, priced: Priced) -> tuple[int, bytes]:
    token = next(TOKENS).to_bytes(16, "big")
    opened = await hands.call("account_open", currency=loaded.built.currency.number)
    account_id: int = opened["account_id"]
    await hands.call("credit", account_id=account_id, amount_minor=PLENTY_MINOR)
    number = loaded.built.riders.number_of(priced.journey.category_id)
    await hands.call("set_category", account_id=account_id, rider_category=number)
    await hands.call("medium_link", account_id=account_id, token=token, kind="card")
    return account_id, token


async def ride_all(tmp_path: Path, source: Path, journeys: Sequence[dict[str, object]]) -> int:
    config = make_folder(tmp_path / "gateway")
    loaded = import_feed(config, source, tmp_path / "tariffs")
    priced = price(loaded, journeys)
    async with running(config) as hands:
        digest = CompiledTariff.build(loaded.built.spec).digest.hex()
        await hands.call("tariff_load", slot=SLOT, digest=digest)
        for one in priced:
            paid = await ride(hands, loaded, one)
            assert paid == (one.total_minor, one.total_minor), one.journey.journey_id
    return len(priced)


def journey(start: str, end: str, **leg: str) -> dict[str, object]:
    ridden = {"from_stop": start, "to_stop": end, "dep": "10:00:00", "arr": "10:20:00"}
    return {"id": f"{start}>{end}", "legs": [ridden | leg]}


async def test_light_rail(tmp_path: Path) -> None:
    source = shared_folder("gtfs", "utsunomiya-lrt")
    ends = ["1_01", "2_01", "7_01", "10_01", "19_01"]
    journeys = [journey(a, b, route_id="1") for a in ends for b in ends if a != b]
    assert await ride_all(tmp_path, source, journeys) >= 10


async def test_bus_with_areas(tmp_path: Path) -> None:
    source = shared_folder("gtfs", "zakroczym")
    ends = ["100", "117-2", "126", "202"]
    journeys = [journey(a, b, route_id="Z1") for a in ends for b in ends]
    assert await ride_all(tmp_path, source, journeys) == len(journeys)


@pytest.mark.parametrize("name", ["transfers", "leg_groups", "joins", "zones_v1", "held"])
async def test_journeys_of_several_legs(tmp_path: Path, name: str) -> None:
    journeys = [one | {"expect": None} for one in read_journeys(OWN / name / "journeys.json")]
    assert await ride_all(tmp_path, OWN / name, journeys) >= 2
