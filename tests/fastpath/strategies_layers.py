"""Random tariffs with every layer, and random days of taps that run into all of it.

Numbers are few and small on purpose: legs meet the same prices, windows and limits again and again.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from fastpath.layers import (
    ALL_CATEGORIES,
    ALL_FRAMES,
    ALL_MEDIA,
    ALL_NETWORKS,
    ALL_ZONES,
    Bands,
    Begins,
    Counter,
    Frames,
    Join,
    Layers,
    Legs,
    Measure,
    Measured,
    OverstayKind,
    PassProduct,
    PassStart,
    PeriodKind,
    PeriodRule,
    RoundMode,
    SameStop,
    SameStopKind,
    Step,
    Transfer,
    TransferEffect,
    Window,
)
from fastpath.reference import Cell, CellType, Concession, Extras, Pass
from fastpath.types import DayTable, MonthBasis, TapKind, TariffSpec
from tests.fastpath.strategies import FLAGS, MIDDLE_US, PPM, STOPS_MAX, specs
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, SECOND_US

LINES = (1, 2, 70)
"""Lines that tariffs know, if they know any; 9 is never among them."""
PASS_IDS = (11, 12, 13)
NETWORKS = st.sampled_from([ALL_NETWORKS, ALL_NETWORKS, 0b1, 0b10])
CATEGORIES = st.sampled_from([ALL_CATEGORIES, ALL_CATEGORIES, 0b1, 0b110])
ZONES = st.sampled_from([ALL_ZONES, 0b1, 0b11, 0b110])
WINDOWS_US = st.sampled_from([-1, 0, 20 * MINUTE_US, HOUR_US, 3 * HOUR_US])
PRICES = st.sampled_from([-1, 0, 100, 250, 250, 301, 301, 400, 400, 999])
AMOUNTS = st.sampled_from([0, 50, 100, 300])
SOURCES = st.integers(0, 40)


@st.composite
def frames(draw: st.DrawFn, table: DayTable) -> Frames:
    """Up to three frames; days have none, one or two of them."""
    count = draw(st.integers(1, 3))
    if count == 1 and draw(st.booleans()):
        return Frames(1, array("I", [0] * len(table.start_us)), array("q"), b"")
    cuts = draw(st.lists(st.sampled_from([0, 3, 4, 12]), min_size=1, max_size=3, unique=True))
    kinds = draw(st.lists(st.integers(0, count - 1), min_size=21, max_size=21))
    row, starts, found = [0], [], []
    for day, begin_us in enumerate(table.start_us[:-1]):
        for place, hours in enumerate(sorted(cuts)):
            starts.append(begin_us + hours * HOUR_US)
            found.append(kinds[(day % 7) * 3 + place])
        row.append(len(starts))
    return Frames(count, array("I", row), array("q", starts), bytes(found))


@st.composite
def bands(draw: st.DrawFn) -> Bands:
    """Prices by distance; behind the last: a step, one price or none."""
    ends = sorted(draw(st.sets(st.sampled_from([10, 60, 100, 5000]), max_size=3)))
    return Bands(
        array("I", ends),
        array("i", [draw(PRICES) for _ in ends]),
        per_m=draw(st.sampled_from([0, 40, 1000])),
        add_minor=draw(AMOUNTS),
        beyond_minor=draw(PRICES),
    )


@st.composite
def legs(draw: st.DrawFn, spec: TariffSpec, group_count: int) -> Legs:
    """Layer 1 of a small network."""
    networks, categories, classes = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
    )
    inside = draw(frames(spec.days))
    columns = draw(st.integers(1, 3))
    cells = columns * classes * classes
    wanted = networks * inside.count**2 * categories

    def some(strategy: st.SearchStrategy[int], count: int) -> list[int]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    products = draw(st.sampled_from([0, 0, 2]))
    fares = some(st.integers(0, products - 1) | st.just(-1) if products else PRICES, cells)
    shares = [
        0 if products else max(0, fare) * share // 2
        for fare, share in zip(fares, some(st.integers(0, 2), cells), strict=True)
    ]
    lines = draw(st.sampled_from([(), LINES]))
    stay_classes = draw(st.integers(0, 2))
    return Legs(
        network_count=networks,
        frames=inside,
        category_count=categories,
        class_count=classes,
        stop_class=array("I", some(st.integers(0, classes - 1), len(spec.stop_ids))),
        column=array("i", some(st.integers(0, columns - 1) | st.sampled_from([0, 0, -1]), wanted)),
        fare=array("i", fares),
        discountable=array("i", shares),
        distance_m=array("I", some(st.sampled_from([0, 0, 8, 90, 7000]), cells)),
        part=bytes(some(st.integers(0, 4), cells)),
        group=array(
            "H",
            some(
                st.integers(min(1, group_count), group_count) | st.just(min(1, group_count)), cells
            ),
        ),
        stay=bytes(some(st.integers(0, max(0, stay_classes - 1)), cells)),
        zones=array("I", some(st.sampled_from([1, 2, 3, 4]), cells if draw(st.booleans()) else 0)),
        source=array("I", some(SOURCES, cells)),
        line_ids=array("I", lines),
        line_network=bytes(some(st.integers(0, networks - 1), len(lines))),
        any_stop=draw(st.booleans()),
        highest_any_minor=draw(AMOUNTS),
        products=array("i", some(PRICES, products * categories * 16)),
        bands=tuple(draw(st.none() | bands()) for _ in range(columns))
        if draw(st.booleans())
        else (),
        factor_ppm=array(
            "i", some(PPM, inside.count * categories * 16 if draw(st.booleans()) else 0)
        ),
        stays_us=array("q", some(WINDOWS_US, stay_classes * inside.count)),
        flat_by_leg=draw(st.booleans()),
    )


@st.composite
def transfers(draw: st.DrawFn, group_count: int, product_count: int) -> Transfer:
    groups = st.integers(min(1, group_count), group_count)
    start, end = draw(groups), draw(groups)
    return Transfer(
        from_group=start,
        to_group=end,
        counts_own=start == end and draw(st.booleans()),
        effect=draw(st.sampled_from(TransferEffect)),
        amount_minor=draw(AMOUNTS),
        product=draw(st.integers(-1, product_count - 1)),
        count_max=draw(st.sampled_from([-1, -1, 0, 1, 2])),
        window_us=draw(WINDOWS_US | st.sampled_from([-1, 3 * HOUR_US])),
        measured=draw(st.sampled_from(Measured)),
        begins=draw(st.sampled_from(Begins if start == end else [Begins.LEG, Begins.SPAN])),
        source=draw(SOURCES),
    )


@st.composite
def scopes(draw: st.DrawFn, frame_count: int) -> dict[str, int]:
    """Networks, categories, time frames and media of a counter, rule or pass."""
    frames = [ALL_FRAMES, ALL_FRAMES, 0b1, *([0b10, 0b110, 0b11][: frame_count - 1])]
    frames = [one for one in frames if one == ALL_FRAMES or one >> frame_count == 0]
    return {
        "networks": draw(NETWORKS),
        "categories": draw(CATEGORIES),
        "frames": draw(st.sampled_from(frames)),
        "media": draw(st.sampled_from([ALL_MEDIA] * 3 + [0b0011, 0b0101, 0b1100])),
    }


@st.composite
def counters(draw: st.DrawFn, number: int, frame_count: int) -> Counter:
    window = draw(st.sampled_from(Window))
    length = {Window.ROLLING_DAYS: draw(st.integers(1, 3)), Window.ROLLING: 2 * HOUR_US}
    return Counter(
        name=f"counter {number}",
        counter_id=1000 + number,
        window=window,
        length=length.get(window, 0),
        week_start=draw(st.integers(0, 6)),
        counts_nominal=draw(st.booleans()),
        skips_free=draw(st.booleans()),
        **draw(scopes(frame_count)),
    )


@st.composite
def steps(draw: st.DrawFn, kind: PeriodKind, measure: Measure) -> tuple[Step, ...]:
    if kind == PeriodKind.CAP:
        limit = st.sampled_from([0, 300, 700, 1200])
        made = st.builds(Step, limit_minor=limit, zones=ZONES)
        return tuple(draw(st.lists(made, max_size=3)))
    bounds = st.sampled_from([0, 1, 2, 3] if measure == Measure.TRIPS else [0, 300, 700, 1100])
    found = sorted(draw(st.lists(bounds, unique=True, max_size=3)))
    return tuple(Step(from_value=one, factor_ppm=draw(PPM)) for one in found)


@st.composite
def period_rules(
    draw: st.DrawFn, counter_count: int, frame_count: int, *, may_split: bool
) -> PeriodRule:
    kind = draw(st.sampled_from(PeriodKind))
    measure = draw(st.sampled_from(Measure))
    is_amount = kind == PeriodKind.TIERS and measure == Measure.PAID
    return PeriodRule(
        name="rule",
        kind=kind,
        counter=draw(st.integers(0, counter_count - 1)),
        steps=draw(steps(kind, measure)),
        measure=measure,
        is_split=may_split and is_amount and draw(st.booleans()),
        source=draw(SOURCES),
        **draw(scopes(frame_count)),
    )


@st.composite
def pass_products(draw: st.DrawFn, pass_id: int, frame_count: int) -> PassProduct:
    return PassProduct(
        name=f"pass {pass_id}",
        pass_id=pass_id,
        price_minor=500,
        start=draw(st.sampled_from(PassStart)),
        duration_us=draw(st.sampled_from([0, 2 * HOUR_US, DAY_US])),
        service_days=draw(st.sampled_from([0, 0, 1, 3])),
        months=draw(st.sampled_from([0, 0, 0, 1, 2])),
        weeks=draw(st.sampled_from([0, 0, 0, 1])),
        rides=draw(st.sampled_from([-1, 1, 2])),
        zones=draw(ZONES),
        source=draw(SOURCES),
        **draw(scopes(frame_count)),
    )


SAME_STOPS = st.builds(
    SameStop,
    until_us=st.sampled_from([-1, 2 * MINUTE_US, HOUR_US]),
    kind=st.sampled_from(SameStopKind),
    fare_minor=st.sampled_from([-1, 0, 150]),
    times=st.integers(0, 2),
    source=SOURCES,
)


@st.composite
def layers(draw: st.DrawFn, spec: TariffSpec, *, splits_month: bool) -> Layers:
    """Everything beyond the plain tables of `spec`."""
    group_count = draw(st.sampled_from([0, 1, 1, 2]))
    has_legs = draw(st.sampled_from([True, True, True, False]))
    of_legs = draw(legs(spec, group_count)) if has_legs else None
    sold = len(of_legs.products) // (of_legs.category_count * 16) if of_legs else 0
    network_count = of_legs.network_count if of_legs else 1
    networks = st.integers(0, network_count - 1)
    stops = st.integers(-1, len(spec.stop_ids) - 1) | st.just(-1)
    joins = st.builds(
        Join,
        from_network=networks,
        to_network=networks,
        from_idx=stops,
        to_idx=stops,
        window_us=WINDOWS_US,
        source=SOURCES,
    )
    frame_count = of_legs.frames.count if of_legs else 1
    counting = tuple(
        draw(counters(number, frame_count)) for number in range(draw(st.integers(0, 4)))
    )
    rules: list[PeriodRule] = []
    for _ in range(draw(st.integers(0, 4)) if counting else 0):
        may_split = not splits_month and not any(one.is_split for one in rules)
        rules.append(draw(period_rules(len(counting), frame_count, may_split=may_split)))
    sellable = draw(st.lists(st.sampled_from(PASS_IDS), unique=True, max_size=2))
    return Layers(
        legs=of_legs,
        same_stop=tuple(draw(st.lists(SAME_STOPS, max_size=2))),
        joins=tuple(draw(st.lists(joins, max_size=2))),
        group_count=group_count,
        transfers=tuple(
            draw(st.lists(transfers(group_count, sold), min_size=group_count, max_size=4))
        ),
        counters=counting,
        period_rules=tuple(rules),
        passes=tuple(draw(pass_products(one, frame_count)) for one in sellable),
        overstay=draw(st.sampled_from(OverstayKind)),
        round_mode=draw(st.sampled_from(RoundMode)),
        group_riders_max=draw(st.sampled_from([1, 1, 2, 4])),
        span_networks=draw(st.sampled_from([0, 0, 0b1, 0b10 if network_count > 1 else 0])),
    )


@st.composite
def layered_specs(
    draw: st.DrawFn, *, version: str = "1", from_us: int = 0, until_us: int = 0
) -> TariffSpec:
    """A tariff of a small network with layers."""
    spec = draw(specs(version=version, from_us=from_us, until_us=until_us))
    splits = draw(st.booleans())
    rules = replace(
        spec.rules,
        tier_split=splits,
        month_basis=draw(st.sampled_from(MonthBasis)),
        exit_overdraft=True,
        entry_minimum_minor=0,
        missing_check_out_after_us=draw(st.sampled_from([-1, 0, HOUR_US])),
        passback_us=draw(st.sampled_from([0, 90 * SECOND_US])),
        clock_behind_us=DAY_US,
        offline_horizon_us=30 * DAY_US,
    )
    tiers = spec.monthly_tiers
    if rules.month_basis == MonthBasis.TRIPS:
        tiers = tuple(replace(one, from_minor=at) for at, one in enumerate(tiers))
    spec = replace(spec, rules=rules, monthly_tiers=tiers)
    return replace(spec, layers=draw(layers(spec, splits_month=splits)))


# --- days of taps ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerTap:
    """`place` picks a stop; STOPS_MAX and above are unknown ones."""

    gap_us: int
    kind: int
    place: int
    line: int = 0
    distance_m: int = 0
    clock_us: int = 0
    flags: int = 0
    amount_minor: int = -1
    device: int = 1
    card: int = 0


@dataclass(frozen=True)
class LayerUndo:
    """Undo the n-th tap from the end (0 = the last)."""

    back: int


PLACES = st.sampled_from([0, 0, 0, 1, 1, 1, 2, 2, 3, STOPS_MAX])
TAP_LINES = st.sampled_from([0, *LINES, 9])
DISTANCES = st.sampled_from([0, 0, 55, 200, 4_294_967_295])
GAPS = st.sampled_from(
    [0, 5 * SECOND_US, MINUTE_US, 10 * MINUTE_US, 20 * MINUTE_US, HOUR_US, 3 * HOUR_US, DAY_US]
)
LAYER_TAPS = st.builds(
    LayerTap,
    gap_us=GAPS | st.just(9 * DAY_US),
    kind=st.sampled_from([TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.FLAT, TapKind.FLAT]),
    place=PLACES,
    line=TAP_LINES,
    distance_m=DISTANCES,
    clock_us=st.sampled_from([0, 0, 0, 0, 0, 0, -40 * MINUTE_US, -30 * HOUR_US]),
    flags=st.sampled_from([0, 0, 0]) | FLAGS,
    amount_minor=st.sampled_from([-1, -1, -1, -1, -1, 0, 777]),
    device=st.integers(1, 2),
    card=st.sampled_from([0, 0, 0, 0, 1, 2]),
)


@st.composite
def rides(draw: st.DrawFn) -> list[LayerTap]:
    """A check-in and its check-out."""
    line = draw(TAP_LINES)
    entry = LayerTap(draw(GAPS), TapKind.CHECK_IN, draw(PLACES), line)
    stay = draw(st.sampled_from([MINUTE_US, 20 * MINUTE_US, 2 * HOUR_US]))
    card = draw(st.sampled_from([0, 0, 0, 1]))
    leave = LayerTap(
        stay, TapKind.CHECK_OUT, draw(PLACES), line, distance_m=draw(DISTANCES), card=card
    )
    return [entry, leave]


LAYER_DAYS: st.SearchStrategy[list[LayerTap | LayerUndo]] = st.lists(
    st.one_of(
        rides(),
        rides(),
        LAYER_TAPS.map(lambda one: [one]),
        LAYER_TAPS.map(lambda one: [one]),
        st.builds(LayerUndo, back=st.integers(0, 2)).map(lambda one: [one]),
    ),
    min_size=2,
    max_size=14,
).map(lambda parts: [step for part in parts for step in part])
PASSES = st.builds(
    Pass,
    from_us=st.sampled_from([0, MIDDLE_US, MIDDLE_US + HOUR_US]),
    until_us=st.sampled_from([0, 0, MIDDLE_US + 3 * HOUR_US, MIDDLE_US + 9 * DAY_US]),
    rides_left=st.sampled_from([-1, -1, 0, 1, 2]),
)
CONCESSIONS = st.builds(
    Concession,
    from_us=st.sampled_from([0, MIDDLE_US + HOUR_US]),
    until_us=st.sampled_from([MIDDLE_US + 2 * HOUR_US, MIDDLE_US + 90 * DAY_US]),
)


@st.composite
def extras(draw: st.DrawFn) -> Extras:
    """Some passes and concessions, and more or less room; the owner's key is the caller's."""
    sold = draw(st.lists(st.tuples(st.sampled_from(PASS_IDS), PASSES), max_size=3))
    given = draw(st.dictionaries(st.integers(0, 4), CONCESSIONS, max_size=2))
    cells = [Cell(CellType.PASS, key, one) for key, one in sold]
    cells += [Cell(CellType.CONCESSION, key, one) for key, one in given.items()]
    return Extras(0, cells, draw(st.sampled_from([10] * 12 + [3, 1, 0])))
