"""The small tariff with layers that can be reckoned by hand.

Four stops; lines of the metro (network 0) cost what the small tariff asks; the bus (line 7,
network 1) costs by the distance handed in: 2.00 to 5 km, 4.00 beyond. Metro to bus within an hour:
1.00 off. At most 9.00 a day. A pass "ten" covers the metro.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from zlib import crc32

from fastpath.api import CompiledTariff
from fastpath.layers import (
    Bands,
    Counter,
    Frames,
    Layers,
    Legs,
    PassProduct,
    PassStart,
    PeriodKind,
    PeriodRule,
    Step,
    Transfer,
    TransferEffect,
    Window,
)
from fastpath.types import CapOwner, TariffSpec
from tests.support.tariff import DAYS, STOPS, fare_minor, small_spec

BUS_LINE = 7
HOUR_US = 3_600_000_000
DAY_CAP_MINOR = 900
TEN = crc32(b"ten")
DAY_COUNTER = crc32(b"day")


def _legs() -> Legs:
    pairs = [(a, b) for a in STOPS for b in STOPS]
    fares = [fare_minor(a, b) for a, b in pairs]
    cells = 2 * len(pairs)
    return Legs(
        network_count=2,
        frames=Frames(1, array("I", [0] * (DAYS + 1)), array("q"), b""),
        category_count=2,
        class_count=len(STOPS),
        stop_class=array("I", range(len(STOPS))),
        column=array("i", [0, 0, 1, 1]),
        fare=array("i", fares + [-1] * len(pairs)),
        discountable=array("i", fares + [0] * len(pairs)),
        distance_m=array("I", [0] * cells),
        part=bytes(cells),
        group=array("H", [1] * len(pairs) + [2] * len(pairs)),
        stay=bytes(cells),
        zones=array("I", [1] * cells),
        source=array("I", [5] * len(pairs) + [6] * len(pairs)),
        line_ids=array("I", [BUS_LINE]),
        line_network=bytes([1]),
        bands=(None, Bands(array("I", [5_000]), array("i", [200]), beyond_minor=400)),
        flat_by_leg=True,
    )


def layered_spec(owner: CapOwner = CapOwner.ACCOUNT) -> TariffSpec:
    """The tariff; owner: of its counters and chain."""
    layers = Layers(
        legs=_legs(),
        group_count=2,
        transfers=(
            Transfer(1, 2, TransferEffect.MINUS, amount_minor=100, window_us=HOUR_US, source=7),
        ),
        counters=(Counter("day", DAY_COUNTER, Window.DAY),),
        period_rules=(
            PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=DAY_CAP_MINOR),), source=8),
        ),
        passes=(
            PassProduct(
                "ten", TEN, 2000, PassStart.FIRST_USE, 24 * HOUR_US, rides=10, networks=1, source=9
            ),
        ),
    )
    spec = small_spec(cap_owner=owner, passback_us=0)
    return replace(spec, tariff_id="layered", monthly_tiers=(), layers=layers)


def layered_tariff(owner: CapOwner = CapOwner.ACCOUNT) -> CompiledTariff:
    """The same, compiled."""
    return CompiledTariff.build(layered_spec(owner))
