"""Compiled tariffs: canonical, checked in full, and true to the spec."""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
from array import array
from bisect import bisect_right
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpath import _tariff
from fastpath._tariff import CompiledTariff, TariffBlobError, TariffSpecError
from fastpath.types import DayTable, MonthlyTier, OutOfStation, TapKind, TariffSpec, TimeDiscount
from tests.fastpath.city import BEGIN_US, STOPS, town
from tests.fastpath.strategies import specs
from tests.fastpath.strategies_layers import layered_specs
from tests.fastpath.world import DAY_US, HOUR_US, World

HEADER = struct.Struct("<8sHHIQ")
ENTRY = struct.Struct("<IIQQ")
NAMES = [
    *("meta", "scalars", "stop_ids", "slots", "fares", "highest", "day_start", "day_month"),
    *("discount_ppm", "discount_stops", "discount_start", "discount_end"),
    *("interchange_rows", "interchanges", "tiers"),
    *("layer_scalars", "frame_row", "frame_start", "frame", "stop_class", "column", "leg_cells"),
    *("line_ids", "line_network", "products", "band_rows", "bands", "leg_factor", "stays"),
    *("same_stops", "joins", "transfers", "counters", "period_rules", "steps", "passes"),
    *("scopes", "span_networks"),
]
BLOB = CompiledTariff.build(town()).blob
with warnings.catch_warnings(action="ignore"):  # examples are drawn once, here, on purpose
    SOME_LAYERED = [layered_specs().example() for _ in range(12)]


def section(name: str) -> tuple[int, int]:
    """Offset and count of a section of BLOB."""
    at = HEADER.size + ENTRY.size * NAMES.index(name)
    _, _, offset, count = ENTRY.unpack_from(BLOB, at)
    return offset, count


def patched(offset: int, layout: str, *values: object) -> bytes:
    blob = bytearray(BLOB)
    struct.pack_into(layout, blob, offset, *values)
    return bytes(blob)


def inside(name: str, item: int, layout: str, *values: object) -> bytes:
    return patched(section(name)[0] + item * struct.calcsize(layout), layout, *values)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs())
def test_what_goes_in_comes_out(spec: TariffSpec) -> None:
    compiled = CompiledTariff.build(spec)
    again = compiled.spec()
    unpriced = [fare < 0 for fare in spec.od_fare_minor]

    def blank(values: object) -> list[int]:
        return [0 if bad else value for bad, value in zip(unpriced, values, strict=True)]  # type: ignore[call-overload]

    assert list(again.stop_ids) == list(spec.stop_ids)
    assert list(again.od_fare_minor) == list(spec.od_fare_minor)
    assert list(again.od_distance_m) == blank(spec.od_distance_m)
    assert list(again.od_part) == blank(spec.od_part)
    assert list(again.od_discountable_minor) == blank(spec.od_discountable_minor)
    assert list(again.highest_minor) == [max(0, fare) for fare in spec.highest_minor]
    assert again.rules == spec.rules
    assert {type(value) for value in vars_of(again.rules)} == {type(v) for v in vars_of(spec.rules)}
    assert (again.days, again.time_discounts) == (spec.days, spec.time_discounts)
    assert set(again.out_of_station) == set(spec.out_of_station)
    assert again.monthly_tiers == spec.monthly_tiers
    assert again.medium_factor_ppm == spec.medium_factor_ppm
    assert (again.tariff_id, again.version, again.currency) == ("random", spec.version, 156)
    assert CompiledTariff.build(again).blob == compiled.blob


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(layered_specs())
def test_layers_go_in_and_come_out(spec: TariffSpec) -> None:
    compiled = CompiledTariff.build(spec)
    again = compiled.spec()
    assert again.layers == spec.layers
    assert CompiledTariff.build(again).blob == compiled.blob
    assert CompiledTariff.load(compiled.blob).key == compiled.key


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 200), st.data())
def test_changed_layers_are_refused_or_harmless(which: int, data: st.DataObject) -> None:
    """As below, for the sections of the layers: every byte of the small ones may be wrong."""
    spec = SOME_LAYERED[which % len(SOME_LAYERED)]
    blob = bytearray(CompiledTariff.build(spec).blob)
    first = HEADER.size + ENTRY.size * NAMES.index("layer_scalars")
    begin = ENTRY.unpack_from(blob, first)[2]
    at = data.draw(st.integers(begin, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    try:
        compiled = CompiledTariff.load(bytes(blob))
    except TariffBlobError:
        return
    world = World(compiled.spec().days.start_us[0] + 5 * DAY_US)
    world.book.put(0, compiled)
    world.spec_book.put(0, compiled.key, compiled.spec())
    for stop in (*spec.stop_ids, *spec.stop_ids):
        world.wait(HOUR_US).enter(stop, line=1)
        world.wait(HOUR_US).leave(spec.stop_ids[0], line=2, distance_m=55)
        world.wait(HOUR_US).tap(TapKind.FLAT, stop, line=1)


def vars_of(rules: object) -> list[object]:
    return [getattr(rules, name) for name in type(rules).__slots__]  # type: ignore[attr-defined]


def test_the_digest_names_the_blob() -> None:
    compiled = CompiledTariff.load(BLOB)
    assert compiled.digest == hashlib.sha256(BLOB).digest()
    assert compiled.key == int.from_bytes(compiled.digest[:8], "little")
    assert CompiledTariff.build(town()).key == compiled.key
    assert CompiledTariff.build(town(version="2")).key != compiled.key
    assert pickle.loads(pickle.dumps(compiled)).key == compiled.key


def test_any_integer_array_will_do() -> None:
    spec = town()
    wide = replace(
        spec,
        stop_ids=array("q", spec.stop_ids),
        od_fare_minor=array("q", spec.od_fare_minor),
        od_distance_m=array("l", spec.od_distance_m),
        od_part=bytearray(spec.od_part),
        highest_minor=array("h", spec.highest_minor),
        days=DayTable(
            spec.days.first_day,
            array("q", spec.days.start_us),
            array("i", [*spec.days.month, spec.days.month[-1]]),
        ),
    )
    assert CompiledTariff.build(wide).blob == BLOB


def test_it_is_made_by_build_or_load_only() -> None:
    with pytest.raises(TypeError, match="build"):
        CompiledTariff()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.lists(st.integers(-2, 125), max_size=20), st.integers(-1, DAY_US))
def test_days_are_found_as_by_bisection(spec: TariffSpec, days: list[int], shift: int) -> None:
    compiled = CompiledTariff.build(spec)
    starts = spec.days.start_us
    instants = [starts[0] + day * DAY_US + shift for day in days]
    edges = [at + by for at in starts for by in (-1, 0, 1)]
    for ts_us in instants + edges:
        place = bisect_right(starts, ts_us) - 1
        expected = (
            (spec.days.first_day + place, spec.days.month[place])
            if 0 <= place < len(starts) - 1
            else None
        )
        assert compiled.find_day(ts_us) == expected


def test_fares_are_found_by_public_ids() -> None:
    compiled = CompiledTariff.load(BLOB)
    assert compiled.find_fare(101, 110) == (2800, 300, 35000, 4)
    assert compiled.find_fare(101, 120) is None
    assert compiled.find_fare(101, 999) is None
    assert compiled.find_fare(0, 101) is None


@given(st.sets(st.integers(1, 2**32 - 1), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_stops_of_any_ids_are_found(ids: set[int]) -> None:
    count = len(ids)
    spec = replace(
        town(out_of_station=(), time_discounts=()),
        stop_ids=array("I", sorted(ids)),
        od_fare_minor=array("i", range(count * count)),
        od_distance_m=array("i", [0]) * count**2,
        od_discountable_minor=array("i", [0]) * count**2,
        od_part=bytes(count * count),
        highest_minor=array("i", [0]) * count,
    )
    compiled = CompiledTariff.build(spec)
    for at, stop in enumerate(sorted(ids)):
        found = compiled.find_fare(stop, stop)
        assert found is not None
        assert found[0] == at * count + at


BAD_SPECS = {
    "fare too high": {"od_fare_minor": array("i", [100_000_001] * 36)},
    "fare below -1": {"od_fare_minor": array("i", [-2] * 36)},
    "too few fares": {"od_fare_minor": array("i", [1] * 35)},
    "discountable above fare": {"od_discountable_minor": array("i", [5000] * 36)},
    "distance below 0": {"od_distance_m": array("i", [-1] * 36)},
    "unknown part": {"od_part": bytes([9] * 36)},
    "stops not ascending": {"stop_ids": array("I", [5, 4, 6, 7, 8, 9])},
    "stop twice": {"stop_ids": array("I", [5, 5, 6, 7, 8, 9])},
    "stop 0": {"stop_ids": array("I", [0, 5, 6, 7, 8, 9])},
    "stop too large": {"stop_ids": array("q", [1, 5, 6, 7, 8, 2**32])},
    "no days": {"days": DayTable(1, array("q", []), array("I", []))},
    "one instant, no day": {"days": DayTable(1, array("q", [5]), array("I", []))},
    "day 0": {"days": DayTable(0, array("q", [0, DAY_US]), array("I", [1]))},
    "days not ascending": {"days": DayTable(1, array("q", [5, 5]), array("I", [1]))},
    "a day of three days": {"days": DayTable(1, array("q", [0, 3 * DAY_US]), array("I", [1]))},
    "month 0": {"days": DayTable(1, array("q", [0, DAY_US]), array("I", [0]))},
    "months go back": {
        "days": DayTable(1, array("q", [0, DAY_US, 2 * DAY_US]), array("I", [2, 1])),
        "time_discounts": (),
    },
    "currency": {"currency": 0},
    "valid_until before valid_from": {"valid_until_us": BEGIN_US},
    "interchange to nowhere": {"out_of_station": (OutOfStation(0, 6, 1),)},
    "interchange from nowhere": {"out_of_station": (OutOfStation(6, 0, 1),)},
    "interchange before it began": {"out_of_station": (OutOfStation(0, 1, -1),)},
    "tiers not ascending": {"monthly_tiers": (MonthlyTier(5, 1), MonthlyTier(5, 1))},
    "tier below 0": {"monthly_tiers": (MonthlyTier(-5, 1),)},
    "tier factor": {"monthly_tiers": (MonthlyTier(5, 2_000_001),)},
    "medium factor": {"medium_factor_ppm": (4_000_001,) * 16},
    "too few medium factors": {"medium_factor_ppm": (1,) * 15},
    "round_to": {"round_to_minor": 0},
    "passback": {"passback_us": -1},
    "entry minimum": {"entry_minimum_minor": -1},
    "overstay": {"overstay_minor": 100_000_001},
    "too many discounts": {"time_discounts": town().time_discounts * 16},
    "discount window backwards": {
        "time_discounts": (
            TimeDiscount("x", 1, bytes(6), array("q", [5] * 90), array("q", [5] * 90)),
        )
    },
    "discount for too few days": {
        "time_discounts": (
            TimeDiscount("x", 1, bytes(6), array("q", [5] * 89), array("q", [6] * 90)),
        )
    },
    "discount flag": {
        "time_discounts": (
            TimeDiscount("x", 1, bytes([2] * 6), array("q", [5] * 90), array("q", [6] * 90)),
        )
    },
}


@pytest.mark.parametrize("changes", BAD_SPECS.values(), ids=BAD_SPECS)
def test_unsound_specs_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises((TariffSpecError, TariffBlobError)) as caught:
        CompiledTariff.build(town(**changes))
    assert str(caught.value)
    assert caught.value.code in {"TARIFF_SPEC", "TARIFF_BLOB"}


SCALARS = [
    "valid_from_us",
    "valid_until_us",
    "currency",
    "first_day",
    "entry_minimum_minor",
    "exit_overdraft",
    "same_stop_fare_minor",
    "max_stay_us",
    "overstay_minor",
    "missing_check_in",
    "missing_check_out_after_us",
    "passback_us",
    "flat_minor",
    "cap_owner",
    "month_basis",
    "month_by_entry",
    "clock_ahead_us",
    "clock_behind_us",
    "offline_horizon_us",
    "round_to_minor",
    *(f"medium_factor_ppm[{kind}]" for kind in range(16)),
]


@pytest.mark.parametrize("at", range(len(SCALARS)), ids=SCALARS)
@pytest.mark.parametrize("value", [-2, -(1 << 63)])
def test_no_scalar_takes_everything(at: int, value: int) -> None:
    with pytest.raises(TariffBlobError):
        CompiledTariff.load(inside("scalars", at, "<q", value))


BAD_BLOBS = {
    "nothing": (b"", "too few"),
    "wrong magic": (patched(0, "<8s", b"NOTATARI"), "magic"),
    "other format": (patched(8, "<H", 1), "format 1"),
    "other structs": (patched(10, "<H", 99), "struct version 99"),
    "fewer sections": (patched(12, "<I", 3), "3 sections"),
    "wrong length": (patched(16, "<Q", len(BLOB) + 8), "the header says"),
    "cut": (BLOB[:-8], "the header says"),
    "longer": (BLOB + bytes(8), "the header says"),
    "cut in the table": (HEADER.pack(b"FGTARIFF", 2, 1, 36, 40) + bytes(16), "cut off"),
    "section elsewhere": (patched(HEADER.size + 8, "<Q", 0), "meta"),
    "section too long": (patched(HEADER.size + 16, "<Q", 1 << 60), "runs over"),
    "meta not JSON": (patched(section("meta")[0], "<B", 0), "not JSON"),
    "meta without names": (patched(section("meta")[0], "<12s", b'{"discount_"'), "lacks"),
    "slot behind the stops": (inside("slots", 1, "<II", 5, 99), "points behind|entries"),
    "slot that leads astray": (inside("highest", 0, "<q", -1), "highest"),
    "no row": (inside("interchange_rows", 6, "<I", 9), "rows"),
    "row goes back": (inside("interchange_rows", 3, "<I", 7), "rows"),
    "interchange of another row": (inside("interchanges", 0, "<I", 5), "row of its stop"),
    "unpriced pair that says more": (inside("fares", 5, "<iiII", -1, 1, 0, 0), "says more"),
    "unknown part": (inside("fares", 0, "<iiII", 1, 1, 0, 5), "out of range"),
}


@pytest.mark.parametrize(("blob", "text"), BAD_BLOBS.values(), ids=BAD_BLOBS)
def test_unsound_blobs_are_refused(blob: bytes, text: str) -> None:
    with pytest.raises(TariffBlobError, match=text):
        CompiledTariff.load(blob)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_harmless(at: int, flip: int) -> None:
    """What loads after a change can be used: no index leads outside (the sanitizer build looks)."""
    blob = bytearray(BLOB)
    blob[at] ^= flip
    try:
        compiled = CompiledTariff.load(bytes(blob))
    except TariffBlobError:
        return
    assert compiled.blob != BLOB
    world = World(BEGIN_US + 5 * DAY_US + 5 * HOUR_US)
    world.book.put(0, compiled)
    world.spec_book.put(0, compiled.key, compiled.spec())
    for origin in STOPS:
        world.wait(HOUR_US).enter(origin)
        world.wait(HOUR_US).leave(STOPS[at % len(STOPS)])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(TariffBlobError):
        CompiledTariff.load(noise)
    with pytest.raises(TariffBlobError):
        CompiledTariff.load(BLOB[:40] + noise)


def test_names_of_the_sections_are_in_step() -> None:
    assert [name for name, _ in _tariff.SECTIONS] == NAMES
