"""Layers that cannot be compiled are refused with a code and the place; sound ones come back."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fastpath._tariff import CompiledTariff, TariffBlobError, TariffSpecError
from fastpath.layers import (
    Bands,
    Begins,
    Counter,
    Frames,
    Join,
    Layers,
    Legs,
    Measure,
    PassProduct,
    PassStart,
    PeriodKind,
    PeriodRule,
    SameStop,
    SameStopKind,
    Step,
    Transfer,
    TransferEffect,
    Window,
)
from fastpath.types import MonthBasis, MonthlyTier
from tests.fastpath.city import town
from tests.fastpath.layered_town import by_distance, grid
from tests.fastpath.test_tariff_blob import ENTRY, HEADER, NAMES

DATA = Path(__file__).parents[1] / "data"
DAY = Counter("day", 1, Window.DAY)
TIERS = PeriodRule("tiers", PeriodKind.TIERS, 0, (Step(100, 900_000), Step(200, 800_000)))
PASS = PassProduct("pass", 7, 100, PassStart.FIRST_USE)
SAME = SameStop(-1, SameStopKind.FREE)
TRANSFER = Transfer(1, 1, TransferEffect.ALL)
SOUND = Layers(
    legs=grid([["3.00", "4.00"], ["4.00", "3.00"]]),
    same_stop=(SAME,),
    joins=(Join(0, 1),),
    group_count=2,
    transfers=(TRANSFER,),
    counters=(DAY,),
    period_rules=(TIERS,),
    passes=(PASS,),
)


def of_legs(**changes: object) -> Callable[[], Layers]:
    assert SOUND.legs is not None
    legs: Legs = SOUND.legs
    return lambda: replace(SOUND, legs=replace(legs, **changes))  # type: ignore[arg-type]


def but(**changes: object) -> Callable[[], Layers]:
    return lambda: replace(SOUND, **changes)  # type: ignore[arg-type]


def banded(bands: Bands) -> Callable[[], Layers]:
    return lambda: Layers(legs=replace(by_distance(), bands=(bands,)))


def rule(**changes: object) -> Callable[[], Layers]:
    return but(period_rules=(replace(TIERS, **changes),))  # type: ignore[arg-type]


def doubling(count: int) -> tuple[PeriodRule, ...]:
    return (replace(TIERS, steps=(Step(0, 2_000_000),)),) * count


BROKEN: dict[str, tuple[Callable[[], Layers], str]] = {
    "no network": (of_legs(network_count=0), "network_count is 0"),
    "networks": (of_legs(network_count=33), "network_count is 33"),
    "too few columns": (of_legs(network_count=3), "section column"),
    "categories": (of_legs(category_count=17), "category_count is 17"),
    "class of a stop": (of_legs(stop_class=array("I", [2] * 6)), "stop 0 is of class 2"),
    "classes for too few stops": (of_legs(stop_class=array("I", [0])), "stop_class"),
    "column": (of_legs(column=array("i", [0, 1])), "leg 1 leads to column 1"),
    "fare": (of_legs(fare=array("i", [-2] * 4)), "leg cell 0"),
    "fare too high": (of_legs(fare=array("i", [100_000_001] * 4)), "leg cell 0"),
    "half a column": (of_legs(fare=array("i", [1] * 3)), "leg_cells"),
    "discountable": (of_legs(discountable=array("i", [301] * 4)), "discountable"),
    "too few of a field": (of_legs(part=bytes(3)), "part has 3 entries"),
    "part": (of_legs(part=bytes([5] * 4)), "part or group"),
    "group": (of_legs(group=array("H", [3] * 4)), "part or group"),
    "source": (of_legs(source=array("I", [1 << 24] * 4)), "source or stay"),
    "stay class": (
        of_legs(stays_us=array("q", [5]), stay=bytes([1] * 4)),
        "source or stay",
    ),
    "distance": (of_legs(distance_m=array("q", [1 << 32] * 4)), "too large"),
    "product": (
        of_legs(products=array("i", [5] * 16), fare=array("i", [1] * 4)),
        "fare or product of 1",
    ),
    "products cut": (of_legs(products=array("i", [5] * 15)), "products"),
    "product price": (of_legs(products=array("i", [-2] * 16)), "product price"),
    "lines descend": (
        of_legs(line_ids=array("I", [2, 1]), line_network=bytes(2)),
        "lines do not ascend",
    ),
    "network of a line": (
        of_legs(line_ids=array("I", [2]), line_network=bytes([2])),
        "line 2 is of network 2",
    ),
    "lines without networks": (of_legs(line_ids=array("I", [2]), line_network=b""), "line_network"),
    "leg factor": (of_legs(factor_ppm=array("i", [4_000_001] * 16)), "leg factor 0"),
    "too few leg factors": (of_legs(factor_ppm=array("i", [1])), "leg_factor"),
    "stay": (of_legs(stays_us=array("q", [-2])), "stays_us"),
    "frames for too few days": (
        of_legs(frames=Frames(1, array("I", [0]), array("q"), b"")),
        "frames.row",
    ),
    "frame": (
        of_legs(frames=Frames(1, array("I", [0, *[1] * 90]), array("q", [5]), b"\1")),
        "is of frame 1",
    ),
    "frames descend": (
        of_legs(frames=Frames(1, array("I", [0, *[2] * 90]), array("q", [5, 5]), bytes(2))),
        "do not ascend",
    ),
    "rows descend": (
        of_legs(frames=Frames(1, array("I", [0, 2, *[1] * 89]), array("q", [5]), bytes(1))),
        "go back",
    ),
    "bands descend": (banded(Bands(array("I", [5, 5]), array("i", [1, 2]))), "do not ascend"),
    "band fare": (banded(Bands(array("I", [5]), array("i", [-2]))), "band 0"),
    "bands without fares": (banded(Bands(array("I", [5]), array("i"))), "fare_minor has 0"),
    "bands of too few columns": (
        of_legs(bands=(None, None)),
        "band_rows",
    ),
    "beyond": (banded(Bands(array("I"), array("i"), beyond_minor=-2)), "beyond_minor"),
    "same stop fare": (but(same_stop=(replace(SAME, fare_minor=-2),)), "same_stop 0"),
    "same stop times": (but(same_stop=(replace(SAME, times=17),)), "times of same_stop 0"),
    "join of no network": (but(joins=(Join(2, 0),)), "join 0 names no network"),
    "join of no stop": (but(joins=(Join(0, 0, 6),)), "join 0 names no stop"),
    "join window": (but(joins=(Join(0, 0, window_us=-2),)), "window_us of join 0"),
    "transfer of no group": (but(transfers=(replace(TRANSFER, to_group=3),)), "names no group"),
    "transfer amount": (but(transfers=(replace(TRANSFER, amount_minor=-1),)), "amount_minor"),
    "transfer product": (but(transfers=(replace(TRANSFER, product=0),)), "product of transfer"),
    "transfer count": (but(transfers=(replace(TRANSFER, count_max=255),)), "count_max"),
    "too many transfers": (but(transfers=(TRANSFER,) * 4097), "4097 transfers"),
    "groups": (but(group_count=513), "group_count is 513"),
    "counter twice": (but(counters=(DAY, DAY)), "another's"),
    "counter without id": (but(counters=(replace(DAY, counter_id=0),)), "which is 0"),
    "too many counters": (
        but(counters=tuple(Counter(str(i), i, Window.DAY) for i in range(1, 10))),
        "9 counters",
    ),
    "length": (but(counters=(replace(DAY, window=Window.ROLLING),)), "length of counter 0"),
    "length of a day": (but(counters=(replace(DAY, length=1),)), "length of counter 0"),
    "week start": (but(counters=(replace(DAY, week_start=7),)), "week_start"),
    "networks of a counter": (but(counters=(replace(DAY, networks=-1),)), "counters"),
    "rule of no counter": (rule(counter=1), "names no counter"),
    "steps descend": (rule(steps=(Step(2), Step(1))), "do not ascend"),
    "too many steps": (rule(steps=tuple(Step(i) for i in range(17))), "17 steps"),
    "step factor": (rule(steps=(Step(0, 2_000_001),)), "factor_ppm of step 0"),
    "limit": (rule(kind=PeriodKind.CAP, steps=(Step(limit_minor=-1),)), "limit_minor"),
    "split cap": (rule(kind=PeriodKind.CAP, is_split=True), "cannot be split"),
    "split twice": (but(period_rules=(replace(TIERS, is_split=True),) * 2), "more than one"),
    "factors": (but(period_rules=doubling(5)), "more than 16 of 1"),
    "pass twice": (but(passes=(PASS, PASS)), "another's"),
    "pass price": (but(passes=(replace(PASS, price_minor=-1),)), "price_minor of pass 0"),
    "pass rides": (but(passes=(replace(PASS, rides=-2),)), "rides of pass 0"),
    "riders": (but(group_riders_max=0), "group_riders_max"),
    "too many riders": (but(group_riders_max=256), "group_riders_max"),
    "a run of two groups": (
        but(transfers=(replace(TRANSFER, to_group=2, begins=Begins.RUN),)),
        "can have no run",
    ),
    "a counter of no frame": (but(counters=(replace(DAY, frames=0),)), "scope 0 is of nothing"),
    "a rule of no medium": (rule(media=0), "scope 1 is of nothing"),
    "a pass of a frame that is not there": (
        but(passes=(replace(PASS, frames=0b10),)),
        "scope 2 names no frame",
    ),
    "more media than there are": (rule(media=1 << 16), "frames or media"),
    "too many months": (but(passes=(replace(PASS, months=121),)), "months of pass 0 is 121"),
    "too many weeks": (but(passes=(replace(PASS, weeks=256),)), "passes"),
    "a span of no network": (but(span_networks=0b100), "span_networks names no network"),
}


def compiled(layers: Layers, **changes: object) -> CompiledTariff:
    return CompiledTariff.build(town(layers=layers, **changes))


@pytest.mark.parametrize(("made", "text"), BROKEN.values(), ids=BROKEN)
def test_unsound_layers_are_refused(made: Callable[[], Layers], text: str) -> None:
    with pytest.raises((TariffSpecError, TariffBlobError), match=text) as caught:
        compiled(made())
    assert caught.value.code in {"TARIFF_SPEC", "TARIFF_BLOB"}


def test_sound_layers_come_back() -> None:
    assert compiled(SOUND).spec().layers == SOUND
    assert compiled(Layers()).spec().layers == Layers()
    assert CompiledTariff.build(town()).spec().layers is None


def test_scopes_come_back_in_a_format_of_their_own() -> None:
    """Tariffs that use none of it keep the bytes, and so the key, that they had before it came."""
    some = replace(
        SOUND,
        counters=(replace(DAY, frames=0b1, skips_free=True),),
        period_rules=(replace(TIERS, media=0b101),),
        passes=(replace(PASS, months=1, media=0b10),),
        span_networks=0b10,
    )
    made = compiled(some)
    assert made.spec().layers == some
    assert CompiledTariff.load(made.blob).digest == made.digest
    formats = [int.from_bytes(one.blob[8:10], "little") for one in (made, compiled(SOUND))]
    assert formats == [3, 2]
    with pytest.raises(TariffBlobError, match="are needed"):
        CompiledTariff.load(made.blob[:8] + (2).to_bytes(2, "little") + made.blob[10:])


def test_a_tariff_compiled_before_scopes_came_is_read_and_written_as_it_was() -> None:
    kept = (DATA / "tariff-2.fgt").read_bytes()
    loaded = CompiledTariff.load(kept)
    assert loaded.spec().layers == SOUND
    assert CompiledTariff.build(loaded.spec()).blob == kept


def test_layers_change_the_key() -> None:
    assert compiled(Layers()).key != CompiledTariff.build(town()).key
    assert compiled(SOUND).key != compiled(replace(SOUND, group_riders_max=2)).key


def test_as_many_factors_as_may_be() -> None:
    """Four times two is sixteen: with the month's tier of two it is too much."""
    assert compiled(replace(SOUND, period_rules=doubling(4)))
    with pytest.raises(TariffBlobError, match="more than 16"):
        compiled(
            replace(SOUND, period_rules=doubling(4)), monthly_tiers=(MonthlyTier(0, 1_000_001),)
        )


def test_a_month_and_a_rule_are_not_both_split() -> None:
    layers = replace(SOUND, period_rules=(replace(TIERS, is_split=True),))
    assert compiled(layers)
    assert compiled(layers, tier_split=True, month_basis=MonthBasis.TRIPS)
    of_trips = replace(TIERS, is_split=True, measure=Measure.TRIPS)
    assert compiled(replace(layers, period_rules=(*layers.period_rules, of_trips)))
    with pytest.raises(TariffBlobError, match="more than one rule is split"):
        compiled(layers, tier_split=True)


def test_a_cell_has_no_zones_in_a_tariff_without_them() -> None:
    """Such bytes were taken, and the two engines made something else of them."""
    blob = bytearray(compiled(of_legs(zones=array("I"))()).blob)
    place = HEADER.size + ENTRY.size * NAMES.index("leg_cells")
    cells = ENTRY.unpack_from(blob, place)[2]
    struct.pack_into("<I", blob, cells + 12, 7)
    with pytest.raises(TariffBlobError, match="leg cell 0 has zones"):
        CompiledTariff.load(bytes(blob))
