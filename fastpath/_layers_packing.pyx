"""The layers of a TariffSpec as sections of the blob, and back. What the blob says is checked when
it is loaded (_layers.pyx); here only that everything fits into the sections' integers.
"""

import struct
from array import array

from libc.stdint cimport INT32_MAX, UINT16_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t

from fastpath._layers cimport (
    Band, BandRow, CounterRule, JoinRule, LegCell, PassProduct, PeriodRule,
    PeriodStep, SameStopRule, Scope, TransferRule,
)

from fastpath import layers as spec_of
from fastpath.blob import TariffSpecError, packed, sized

SECTIONS = (
    ("layer_scalars", 8), ("frame_row", 4), ("frame_start", 8), ("frame", 1), ("stop_class", 4),
    ("column", 4), ("leg_cells", sizeof(LegCell)), ("line_ids", 4), ("line_network", 1),
    ("products", 4), ("band_rows", sizeof(BandRow)), ("bands", sizeof(Band)), ("leg_factor", 4),
    ("stays", 8), ("same_stops", sizeof(SameStopRule)), ("joins", sizeof(JoinRule)),
    ("transfers", sizeof(TransferRule)), ("counters", sizeof(CounterRule)),
    ("period_rules", sizeof(PeriodRule)), ("steps", sizeof(PeriodStep)),
    ("passes", sizeof(PassProduct)), ("scopes", sizeof(Scope)), ("span_networks", 4),
)
# The last ones, which only tariffs have that use them: others stay as they were before these came.
OPTIONAL_SECTIONS = 2
CLASSES_MAX = 8192
CELLS_MAX = 1 << 26

BAND_ROW = struct.Struct("<IIIIii")
BAND = struct.Struct("<Ii")
SAME_STOP = struct.Struct("<qiiII")
JOIN = struct.Struct("<qiiIHH")
TRANSFER = struct.Struct("<qiiiIHHBBBB")
COUNTER = struct.Struct("<qIIHBBB3x")
STEP = struct.Struct("<qqqI4x")
PERIOD_RULE = struct.Struct("<IIIIHBBBB2x")
PASS = struct.Struct("<qqiiIIIIHBBB3x")
SCOPE = struct.Struct("<QHB5x")
PLAIN_SCOPE = (spec_of.ALL_FRAMES, spec_of.ALL_MEDIA, 0)


def _rows(layout, name, rows):
    try:
        return b"".join(layout.pack(*row) for row in rows)
    except struct.error as error:
        raise TariffSpecError(f"{name}: {error}") from error


def _scalars(layers):
    legs = layers.legs
    of_legs = [0] * 9 if legs is None else [
        1, legs.network_count, legs.frames.count, legs.category_count, legs.class_count,
        int(legs.any_stop), legs.highest_any_minor, int(legs.flat_by_leg), int(len(legs.zones) > 0),
    ]
    return packed("q", "layers", [*of_legs, layers.group_count, int(layers.overstay),
                                  int(layers.round_mode), layers.group_riders_max])


cdef object _wide(str name, object values, Py_ssize_t count):
    return array("q", sized(name, values, count))


def _cells(legs):
    cdef Py_ssize_t count = len(legs.fare)
    cdef Py_ssize_t i
    if count > CELLS_MAX:
        raise TariffSpecError(f"{count} leg cells, at most {CELLS_MAX}")
    cdef bytearray out = bytearray(count * sizeof(LegCell))
    if count == 0:
        return b""
    cdef LegCell* cells = <LegCell*> <char*> out
    cdef int64_t[::1] fare = array("q", legs.fare)
    cdef int64_t[::1] share = _wide("discountable", legs.discountable, count)
    cdef int64_t[::1] distance = _wide("distance_m", legs.distance_m, count)
    cdef int64_t[::1] group = _wide("group", legs.group, count)
    cdef int64_t[::1] source = _wide("source", legs.source, count)
    cdef int64_t[::1] zones = array("q", [<uint32_t> UINT32_MAX]) * count
    cdef const uint8_t[::1] part = bytes(sized("part", legs.part, count))
    cdef const uint8_t[::1] stay = bytes(sized("stay", legs.stay, count))
    if len(legs.zones):
        zones = _wide("zones", legs.zones, count)
    for i in range(count):
        if not (-1 <= fare[i] <= INT32_MAX and 0 <= share[i] <= INT32_MAX):
            raise TariffSpecError(f"leg cell {i} has a fare of {fare[i]}, {share[i]} of it")
        if not (0 <= distance[i] <= UINT32_MAX and 0 <= zones[i] <= UINT32_MAX
                and 0 <= group[i] <= UINT16_MAX and 0 <= source[i] <= UINT32_MAX):
            raise TariffSpecError(f"leg cell {i} has a distance, zones, group or source too large")
        cells[i].fare = <int> fare[i]
        cells[i].discountable_minor = <int> share[i]
        cells[i].distance_m = <uint32_t> distance[i]
        cells[i].zones = <uint32_t> zones[i]
        cells[i].source = <uint32_t> source[i]
        cells[i].group = <unsigned short> group[i]
        cells[i].part = part[i]
        cells[i].stay = stay[i]
    return bytes(out)


def _bands(legs):
    rows, bands = [], []
    for number, one in enumerate(legs.bands):
        if one is None:
            rows.append((0, 0, 0, 0, 0, 0))
            continue
        sized(f"bands[{number}].fare_minor", one.fare_minor, len(one.to_m))
        rows.append((len(bands), len(one.to_m), 1, one.per_m, one.add_minor, one.beyond_minor))
        bands += zip(one.to_m, one.fare_minor)
    return _rows(BAND_ROW, "bands", rows), _rows(BAND, "bands", bands)


def _pack_legs(legs, days):
    frames = legs.frames
    entries = frames.row[len(frames.row) - 1] if len(frames.row) else 0
    band_rows, bands = _bands(legs)
    return {
        "frame_row": packed("I", "frames.row", sized("frames.row", frames.row, days + 1)),
        "frame_start": packed("q", "frames.start_us",
                              sized("frames.start_us", frames.start_us, entries)),
        "frame": bytes(sized("frames.frame", frames.frame, entries)),
        "stop_class": packed("I", "stop_class", legs.stop_class),
        "column": packed("i", "column", legs.column),
        "leg_cells": _cells(legs),
        "line_ids": packed("I", "line_ids", legs.line_ids),
        "line_network": bytes(legs.line_network),
        "products": packed("i", "products", legs.products),
        "band_rows": band_rows,
        "bands": bands,
        "leg_factor": packed("i", "factor_ppm", legs.factor_ppm),
        "stays": packed("q", "stays_us", legs.stays_us),
    }


def _pack_periods(layers):
    rules, steps = [], []
    for one in layers.period_rules:
        rules.append((len(steps), len(one.steps), one.networks, one.source, one.categories,
                      one.kind, one.counter, one.measure, one.is_split))
        steps += [(step.from_value, step.factor_ppm, step.limit_minor, step.zones)
                  for step in one.steps]
    return {
        "counters": _rows(COUNTER, "counters", [
            (one.length, one.counter_id, one.networks, one.categories, one.window, one.week_start,
             one.counts_nominal) for one in layers.counters]),
        "period_rules": _rows(PERIOD_RULE, "period_rules", rules),
        "steps": _rows(STEP, "steps", steps),
        "passes": _rows(PASS, "passes", [
            (one.price_minor, one.duration_us, one.service_days, one.rides, one.pass_id,
             one.networks, one.zones, one.source, one.categories, one.start, one.months, one.weeks)
            for one in layers.passes]),
        "scopes": _scopes(layers),
    }


def _scopes(layers):
    rows = [(one.frames, one.media, int(one.skips_free)) for one in layers.counters]
    rows += [(one.frames, one.media, 0) for one in (*layers.period_rules, *layers.passes)]
    if all(row == PLAIN_SCOPE for row in rows):
        return b""
    return _rows(SCOPE, "frames or media", rows)


def pack_layers(spec):
    """Section name -> bytes; nothing in them when the spec has no layers.

    Raises: TariffSpecError: something is missing or does not fit.
    """
    found = {name: b"" for name, _ in SECTIONS}
    layers = spec.layers
    if layers is None:
        return found
    found["layer_scalars"] = _scalars(layers)
    if layers.legs is not None:
        found.update(_pack_legs(layers.legs, len(spec.days.start_us) - 1))
    found["same_stops"] = _rows(SAME_STOP, "same_stop", [
        (one.until_us, one.fare_minor, one.times, one.source, one.kind)
        for one in layers.same_stop])
    found["joins"] = _rows(JOIN, "joins", [
        (one.window_us, one.from_idx, one.to_idx, one.source, one.from_network, one.to_network)
        for one in layers.joins])
    found["transfers"] = _rows(TRANSFER, "transfers", [
        (one.window_us, one.amount_minor, one.product, one.count_max, one.source, one.from_group,
         one.to_group, one.effect, one.measured, one.begins, one.counts_own)
        for one in layers.transfers])
    found.update(_pack_periods(layers))
    if layers.span_networks:
        found["span_networks"] = packed("I", "span_networks", [layers.span_networks])
    return found


def names_of_layers(spec):
    """What the blob's meta says about the layers: names, in the order of the tables."""
    layers = spec.layers
    if layers is None:
        return {}
    return {"counters": [one.name for one in layers.counters],
            "period_rules": [one.name for one in layers.period_rules],
            "passes": [one.name for one in layers.passes]}


# --- and back -------------------------------------------------------------------------------------

def _unpack_bands(rows, bands):
    made = []
    for first, count, has_bands, per_m, add_minor, beyond_minor in BAND_ROW.iter_unpack(rows):
        own = list(BAND.iter_unpack(bands[first * BAND.size:(first + count) * BAND.size]))
        made.append(spec_of.Bands(
            array("I", [to_m for to_m, _ in own]), array("i", [fare for _, fare in own]), per_m,
            add_minor, beyond_minor) if has_bands else None)
    return tuple(made)


def _array(typecode, data):
    values = array(typecode)
    values.frombytes(data)
    return values


def _unpack_legs(at, scalars):
    cdef const unsigned char[::1] raw
    cdef const LegCell* cells = NULL
    cdef Py_ssize_t count = len(at["leg_cells"]) // sizeof(LegCell)
    cdef Py_ssize_t i
    if count:
        raw = at["leg_cells"]
        cells = <const LegCell*> &raw[0]
    return spec_of.Legs(
        network_count=scalars[1],
        frames=spec_of.Frames(scalars[2], _array("I", at["frame_row"]),
                              _array("q", at["frame_start"]), at["frame"]),
        category_count=scalars[3], class_count=scalars[4],
        stop_class=_array("I", at["stop_class"]), column=_array("i", at["column"]),
        fare=array("i", [cells[i].fare for i in range(count)]),
        discountable=array("i", [cells[i].discountable_minor for i in range(count)]),
        distance_m=array("I", [cells[i].distance_m for i in range(count)]),
        part=bytes([cells[i].part for i in range(count)]),
        group=array("H", [cells[i].group for i in range(count)]),
        stay=bytes([cells[i].stay for i in range(count)]),
        zones=array("I", [cells[i].zones for i in range(count)] if scalars[8] else []),
        source=array("I", [cells[i].source for i in range(count)]),
        line_ids=_array("I", at["line_ids"]), line_network=at["line_network"],
        any_stop=bool(scalars[5]), highest_any_minor=scalars[6],
        products=_array("i", at["products"]), bands=_unpack_bands(at["band_rows"], at["bands"]),
        factor_ppm=_array("i", at["leg_factor"]), stays_us=_array("q", at["stays"]),
        flat_by_leg=bool(scalars[7]),
    )


def _unpack_periods(at, meta):
    steps = [spec_of.Step(*row) for row in STEP.iter_unpack(at["steps"])]
    counts = [len(meta[name]) for name in ("counters", "period_rules", "passes")]
    scopes = list(SCOPE.iter_unpack(at["scopes"])) or [PLAIN_SCOPE] * sum(counts)
    of_rules, of_passes = scopes[counts[0]:], scopes[counts[0] + counts[1]:]
    counters = tuple(
        spec_of.Counter(name, counter_id, spec_of.Window(window), length, week_start, networks,
                        categories, bool(nominal), frames, media, bool(skips_free))
        for name, (length, counter_id, networks, categories, window, week_start, nominal),
        (frames, media, skips_free)
        in zip(meta["counters"], COUNTER.iter_unpack(at["counters"]), scopes))
    rules = tuple(
        spec_of.PeriodRule(name, spec_of.PeriodKind(kind), counter,
                           tuple(steps[first:first + count]), spec_of.Measure(measure),
                           bool(is_split), networks, categories, source, frames, media)
        for name, (first, count, networks, source, categories, kind, counter, measure, is_split),
        (frames, media, _)
        in zip(meta["period_rules"], PERIOD_RULE.iter_unpack(at["period_rules"]), of_rules))
    passes = tuple(
        spec_of.PassProduct(name, pass_id, price, spec_of.PassStart(start), duration, days, rides,
                            networks, zones, categories, source, months, weeks, frames, media)
        for name, (price, duration, days, rides, pass_id, networks, zones, source, categories,
                   start, months, weeks), (frames, media, _)
        in zip(meta["passes"], PASS.iter_unpack(at["passes"]), of_passes))
    return counters, rules, passes


def unpack_layers(at, meta):
    """Layers again from section bytes; None = there are none. Only for blobs that loaded."""
    if not at["layer_scalars"]:
        return None
    scalars = _array("q", at["layer_scalars"])
    counters, rules, passes = _unpack_periods(at, meta)
    return spec_of.Layers(
        legs=_unpack_legs(at, scalars) if scalars[0] else None,
        same_stop=tuple(
            spec_of.SameStop(until_us, spec_of.SameStopKind(kind), fare, times, source)
            for until_us, fare, times, source, kind in SAME_STOP.iter_unpack(at["same_stops"])),
        joins=tuple(
            spec_of.Join(from_network, to_network, from_idx, to_idx, window_us, source)
            for window_us, from_idx, to_idx, source, from_network, to_network
            in JOIN.iter_unpack(at["joins"])),
        group_count=scalars[9],
        transfers=tuple(
            spec_of.Transfer(from_group, to_group, spec_of.TransferEffect(effect), amount, product,
                             count_max, window_us, spec_of.Measured(measured), spec_of.Begins(begins),
                             source, bool(counts_own))
            for window_us, amount, product, count_max, source, from_group, to_group, effect,
            measured, begins, counts_own in TRANSFER.iter_unpack(at["transfers"])),
        counters=counters, period_rules=rules, passes=passes,
        overstay=spec_of.OverstayKind(scalars[10]), round_mode=spec_of.RoundMode(scalars[11]),
        group_riders_max=scalars[12],
        span_networks=_array("I", at["span_networks"])[0] if at["span_networks"] else 0,
    )
