"""Compiled tariffs: a TariffSpec packed into one immutable little-endian blob, and a C view on it.

The blob is canonical (the same spec gives the same bytes), so its SHA-256 names it. Layout: header,
section table, then the sections in the order of SECTIONS, each 8-byte aligned with zero padding.
`load` trusts nothing in it.
"""

import hashlib
import json
import struct
from array import array

from libc.stdint cimport (
    INT64_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t,
)
from libc.string cimport memset

cimport cython

from fastpath._limit_book cimport LimitBook
from fastpath._layout cimport FAREGATE_STRUCT_VERSION, MONTH_BASIS_TRIPS

from fastpath._layers import count_splits, find_largest_factors, load_layers
from fastpath._layers_packing import SECTIONS as LAYER_SECTIONS
from fastpath._layers_packing import (
    OPTIONAL_SECTIONS, names_of_layers, pack_layers, unpack_layers,
)
from fastpath.blob import TariffBlobError, TariffSpecError
from fastpath.blob import packed as _packed
from fastpath.blob import require as _require
from fastpath.blob import sized as _sized
from fastpath.types import (
    DayTable, MonthlyTier, OutOfStation, TariffRules, TariffSpec, TimeDiscount,
)

MAGIC = b"FGTARIFF"
FORMAT = 3
PLAIN_FORMAT = 2                       # without the optional sections of the layers
FARE_MAX_MINOR = 100_000_000
STOPS_MAX = 8192
DAYS_MAX = 20_000

cdef enum:
    FARE_MAX = 100000000               # times the largest factors a fare still fits into 31 bits
    MEDIUM_FACTOR_MAX = 4 * FACTOR_ONE
    OTHER_FACTOR_MAX = 2 * FACTOR_ONE
    FACTORS_MAX = 16                   # all together, in a tariff with layers

cdef int64_t DAY_US = 86400000000
cdef int64_t DURATION_MAX_US = 3650 * DAY_US

HEADER = struct.Struct("<8sHHIQ")      # magic, format, struct version, sections, total bytes
ENTRY = struct.Struct("<IIQQ")         # id, item bytes, offset, count
SECTIONS = (
    ("meta", 1), ("scalars", 8), ("stop_ids", 4), ("slots", sizeof(StopSlot)),
    ("fares", sizeof(OdFare)), ("highest", 8), ("day_start", 8), ("day_month", 4),
    ("discount_ppm", 8), ("discount_stops", 1), ("discount_start", 8), ("discount_end", 8),
    ("interchange_rows", 4), ("interchanges", sizeof(Interchange)), ("tiers", sizeof(Tier)),
    *LAYER_SECTIONS,
)
_RULE_NAMES = tuple(TariffRules.__dataclass_fields__)
_SCALAR_COUNT = sizeof(Scalars) // 8


class BookFullError(ValueError):
    """All places of a slot hold a version."""

    code = "TARIFF_BOOK_FULL"


# --- building -------------------------------------------------------------------------------------

cdef size_t _padding(size_t size):
    return (8 - size % 8) % 8


def _pack_scalars(spec):
    rules = [int(getattr(spec.rules, name)) for name in _RULE_NAMES]
    values = [spec.valid_from_us, spec.valid_until_us, spec.currency, spec.days.first_day, *rules,
              *_sized("medium_factor_ppm", spec.medium_factor_ppm, 16)]
    return _packed("q", "rules", values)


def _pack_slots(stop_ids):
    cdef uint32_t bits = 1
    cdef uint32_t at
    cdef uint32_t stop_id
    while (1 << bits) < 2 * len(stop_ids):
        bits += 1
    table = [0] * (2 << bits)
    for index, stop_id in enumerate(stop_ids):
        at = (stop_id * <uint32_t> 2654435769) >> (32 - bits)
        while table[2 * at]:
            at = (at + 1) & ((1 << bits) - 1)
        table[2 * at], table[2 * at + 1] = stop_id, index
    return array("I", table).tobytes()


def _pack_fares(spec):
    cdef Py_ssize_t count = len(spec.stop_ids) ** 2
    cdef Py_ssize_t i
    cdef bytearray out = bytearray(count * sizeof(OdFare))
    if count == 0:
        return bytes(out)
    cdef OdFare* cells = <OdFare*> <char*> out
    cdef int64_t[::1] fare = array("q", _sized("od_fare_minor", spec.od_fare_minor, count))
    cdef int64_t[::1] share = array(
        "q", _sized("od_discountable_minor", spec.od_discountable_minor, count))
    cdef int64_t[::1] distance = array("q", _sized("od_distance_m", spec.od_distance_m, count))
    cdef const uint8_t[::1] part = _sized("od_part", spec.od_part, count)
    for i in range(count):
        if not (-1 <= fare[i] <= FARE_MAX):
            raise TariffSpecError(f"od_fare_minor[{i}] is {fare[i]}, outside -1 to {FARE_MAX}")
        if fare[i] < 0:
            cells[i].fare_minor = -1
            continue
        if not (0 <= share[i] <= fare[i]):
            raise TariffSpecError(f"od_discountable_minor[{i}] is {share[i]} of {fare[i]}")
        if not (0 <= distance[i] <= UINT32_MAX):
            raise TariffSpecError(f"od_distance_m[{i}] is {distance[i]}")
        cells[i].fare_minor = <int32_t> fare[i]
        cells[i].discountable_minor = <int32_t> share[i]
        cells[i].distance_m = <uint32_t> distance[i]
        cells[i].part = part[i]
    return bytes(out)


def _pack_interchanges(spec):
    rows = [0] * (len(spec.stop_ids) + 1)
    packed = []
    for one in sorted(spec.out_of_station, key=lambda pair: (pair.from_idx, pair.to_idx)):
        if not 0 <= one.from_idx < len(spec.stop_ids):
            raise TariffSpecError(f"out_of_station from index {one.from_idx} does not exist")
        rows[one.from_idx + 1] += 1
        packed.append(struct.pack("<IIq", one.from_idx, one.to_idx, one.window_us))
    for i in range(1, len(rows)):
        rows[i] += rows[i - 1]
    return array("I", rows).tobytes(), b"".join(packed)


def _pack_sections(spec):
    stops, days = len(spec.stop_ids), len(spec.days.start_us) - 1
    discounts = spec.time_discounts
    meta = {"discounts": [one.name for one in discounts], "tariff_id": spec.tariff_id,
            "version": spec.version, **names_of_layers(spec)}
    rows, interchanges = _pack_interchanges(spec)
    return {
        "meta": json.dumps(meta, ensure_ascii=False, separators=(",", ":"),
                           sort_keys=True).encode(),
        "scalars": _pack_scalars(spec),
        "stop_ids": _packed("I", "stop_ids", spec.stop_ids),
        "slots": _pack_slots(spec.stop_ids),
        "fares": _pack_fares(spec),
        "highest": _packed("q", "highest_minor",
                           [max(0, fare) for fare in _sized("highest", spec.highest_minor, stops)]),
        "day_start": _packed("q", "days.start_us", spec.days.start_us),
        "day_month": _packed("I", "days.month", _sized("days.month", spec.days.month, days)),
        "discount_ppm": _packed("q", "factor_ppm", [one.factor_ppm for one in discounts]),
        "discount_stops": b"".join(bytes(_sized("stop_flags", one.stop_flags, stops))
                                   for one in discounts),
        "discount_start": b"".join(_packed("q", one.name, _sized(one.name, one.start_us, days))
                                   for one in discounts),
        "discount_end": b"".join(_packed("q", one.name, _sized(one.name, one.end_us, days))
                                 for one in discounts),
        "interchange_rows": rows,
        "interchanges": interchanges,
        "tiers": b"".join(struct.pack("<qq", one.from_minor, one.factor_ppm)
                          for one in spec.monthly_tiers),
        **pack_layers(spec),
    }


def _pack(spec):
    if not spec.days.start_us:
        raise TariffSpecError("the day table is empty")
    if len(spec.stop_ids) > STOPS_MAX:
        raise TariffSpecError(f"{len(spec.stop_ids)} stops, at most {STOPS_MAX}")
    bodies = _pack_sections(spec)
    is_plain = not any(bodies[name] for name, _ in SECTIONS[-OPTIONAL_SECTIONS:])
    version = PLAIN_FORMAT if is_plain else FORMAT
    sections = _sections_in(version)
    offset = HEADER.size + ENTRY.size * len(sections)
    table, parts = [], []
    for number, (name, item_bytes) in enumerate(sections, start=1):
        body = bodies[name]
        table.append(ENTRY.pack(number, item_bytes, offset, len(body) // item_bytes))
        body += bytes(_padding(len(body)))
        parts.append(body)
        offset += len(body)
    head = HEADER.pack(MAGIC, version, FAREGATE_STRUCT_VERSION, len(sections), offset)
    return b"".join([head, *table, *parts])


def _sections_in(version):
    return SECTIONS if version == FORMAT else SECTIONS[:-OPTIONAL_SECTIONS]


# --- loading --------------------------------------------------------------------------------------

def _sections_of(blob):
    """Name -> (offset, count), after checking that the table describes exactly these bytes."""
    _require(len(blob) >= HEADER.size, f"{len(blob)} bytes are too few for a compiled tariff")
    magic, version, struct_version, count, total = HEADER.unpack_from(blob)
    _require(magic == MAGIC, "this is not a compiled tariff (wrong magic)")
    _require(PLAIN_FORMAT <= version <= FORMAT,
             f"tariff format {version}, this build reads {PLAIN_FORMAT} and {FORMAT}")
    sections = _sections_in(version)
    _require(struct_version == FAREGATE_STRUCT_VERSION,
             f"struct version {struct_version}, this build has {FAREGATE_STRUCT_VERSION}")
    _require(count == len(sections), f"{count} sections, {len(sections)} are needed")
    _require(total == len(blob), f"the header says {total} bytes, there are {len(blob)}")
    end = HEADER.size + ENTRY.size * len(sections)
    _require(end <= total, "the section table is cut off")
    found = {name: (end, 0) for name, _ in SECTIONS}
    for number, (name, item_bytes) in enumerate(sections, start=1):
        said, size, offset, items = ENTRY.unpack_from(blob, HEADER.size + ENTRY.size * (number - 1))
        _require((said, size, offset) == (number, item_bytes, end),
                 f"section {name} is not where it belongs")
        _require(items <= total // size and offset + items * size <= total,
                 f"section {name} runs over the end")
        found[name] = (offset, items)
        end = offset + items * size
        padding = _padding(end)
        _require(not any(blob[end:end + padding]), f"padding behind section {name} is not zero")
        end += padding
    _require(end == total, f"{total - end} bytes behind the last section")
    _require(version == PLAIN_FORMAT
             or any(found[name][1] for name, _ in SECTIONS[-OPTIONAL_SECTIONS:]),
             f"format {FORMAT} without what it is for")
    return found


def _check_counts(sections):
    count = {name: entry[1] for name, entry in sections.items()}
    stops, days, discounts = count["stop_ids"], count["day_month"], count["discount_ppm"]
    slots = count["slots"]
    _require(stops <= STOPS_MAX, f"{stops} stops, at most {STOPS_MAX}")
    _require(days <= DAYS_MAX, f"{days} service days, at most {DAYS_MAX}")
    _require(discounts <= DISCOUNTS_MAX, f"{discounts} time discounts, at most {DISCOUNTS_MAX}")
    _require(slots >= 2 and slots & (slots - 1) == 0 and slots > stops,
             f"a stop table of {slots} slots")
    wanted = {
        "scalars": _SCALAR_COUNT, "fares": stops * stops, "highest": stops, "day_start": days + 1,
        "discount_stops": discounts * stops, "discount_start": discounts * days,
        "discount_end": discounts * days,
        "interchange_rows": stops + 1,
    }
    for name, items in wanted.items():
        _require(count[name] == items,
                 f"section {name} has {count[name]} entries, {items} are needed")


def _check_meta(raw, sections):
    try:
        meta = json.loads(raw)
    except ValueError as error:
        raise TariffBlobError(f"section meta is not JSON: {error}") from error
    sound = (isinstance(meta, dict) and isinstance(meta.get("tariff_id"), str)
             and isinstance(meta.get("version"), str))
    _require(sound, "section meta lacks tariff_id or version")
    counts = {"discounts": sections["discount_ppm"][1]}
    if sections["layer_scalars"][1]:
        counts |= {name: sections[name][1] for name in ("counters", "period_rules", "passes")}
    for name, count in counts.items():
        names = meta.get(name)
        _require(isinstance(names, list) and all(isinstance(one, str) for one in names),
                 f"section meta lacks the names of {name}")
        _require(len(names) == count, f"{name} and their names differ in number")
    return meta


# Lower and upper bounds of the scalars behind first_day, in the order of TariffRules.
cdef tuple _rule_bounds():
    return (
        ("entry_minimum_minor", 0, FARE_MAX), ("exit_overdraft", 0, 1),
        ("same_stop_fare_minor", -1, FARE_MAX), ("max_stay_us", -1, DURATION_MAX_US),
        ("overstay_minor", 0, FARE_MAX), ("missing_check_in", 0, 2),
        ("missing_check_out_after_us", -1, DURATION_MAX_US), ("passback_us", 0, DURATION_MAX_US),
        ("flat_minor", -1, FARE_MAX), ("cap_owner", 0, 1), ("month_basis", 0, 2),
        ("month_by_entry", 0, 1), ("clock_ahead_us", 0, DURATION_MAX_US),
        ("clock_behind_us", 0, DURATION_MAX_US), ("offline_horizon_us", 0, DURATION_MAX_US),
        ("round_to_minor", 1, 1_000_000), ("tier_split", 0, 1),
    )


@cython.final
cdef class CompiledTariff:
    """One tariff as an immutable blob with a C view on it. Made by `build` or `load`."""

    def __init__(self, *args, **kwargs):
        raise TypeError("use CompiledTariff.build(spec) or CompiledTariff.load(blob)")

    @staticmethod
    def build(spec not None):
        """Pack a TariffSpec. Cost: O(stops squared).

        Raises: TariffSpecError, TariffBlobError: what is wrong with it.
        """
        return CompiledTariff.load(_pack(spec))

    @staticmethod
    def load(bytes blob not None):
        """Check a blob and take it as it is (no copy). Raises: TariffBlobError."""
        cdef CompiledTariff self = CompiledTariff.__new__(CompiledTariff)
        sections = _sections_of(blob)
        _check_counts(sections)
        _require(<uintptr_t> <const char*> blob % 8 == 0,
                 "the bytes are not 8-byte aligned in memory")
        self.blob = blob
        self.digest = hashlib.sha256(blob).digest()
        offset, count = sections["meta"]
        self.meta = _check_meta(blob[offset:offset + count], sections)
        self.point_at(sections)
        self.check_scalars()
        self.check_stops()
        self.check_fares()
        self.check_days()
        self.check_discounts()
        self.check_interchanges()
        self.check_tiers()
        self.check_layers(sections)
        return self

    cdef point_at(self, dict sections):
        cdef const char* base = self.blob
        cdef TariffC* c = &self.c
        cdef uint64_t key = int.from_bytes(self.digest[:8], "little")
        at = {name: entry[0] for name, entry in sections.items()}
        c.key = key if key != 0 else 1
        c.rules = <const Scalars*> (base + <size_t> at["scalars"])
        c.valid_from_us = c.rules.valid_from_us
        c.valid_until_us = c.rules.valid_until_us if c.rules.valid_until_us != 0 else INT64_MAX
        c.stop_count = sections["stop_ids"][1]
        c.day_count = sections["day_month"][1]
        c.discount_count = sections["discount_ppm"][1]
        c.tier_count = sections["tiers"][1]
        c.slot_mask = sections["slots"][1] - 1
        c.slot_shift = 33 - sections["slots"][1].bit_length()
        c.stop_ids = <const uint32_t*> (base + <size_t> at["stop_ids"])
        c.slots = <const StopSlot*> (base + <size_t> at["slots"])
        c.fares = <const OdFare*> (base + <size_t> at["fares"])
        c.highest_minor = <const int64_t*> (base + <size_t> at["highest"])
        c.day_start_us = <const int64_t*> (base + <size_t> at["day_start"])
        c.day_month = <const uint32_t*> (base + <size_t> at["day_month"])
        c.discount_ppm = <const int64_t*> (base + <size_t> at["discount_ppm"])
        c.discount_stops = <const uint8_t*> (base + <size_t> at["discount_stops"])
        c.discount_start_us = <const int64_t*> (base + <size_t> at["discount_start"])
        c.discount_end_us = <const int64_t*> (base + <size_t> at["discount_end"])
        c.interchange_rows = <const uint32_t*> (base + <size_t> at["interchange_rows"])
        c.interchanges = <const Interchange*> (base + <size_t> at["interchanges"])
        c.tiers = <const Tier*> (base + <size_t> at["tiers"])
        self.interchange_count = sections["interchanges"][1]

    cdef check_scalars(self):
        cdef const Scalars* rules = self.c.rules
        cdef const int64_t* values = <const int64_t*> rules
        cdef int i
        _require(rules.valid_from_us >= 0, "valid_from_us is below 0")
        _require(rules.valid_until_us == 0 or rules.valid_until_us > rules.valid_from_us,
                 "valid_until_us is not behind valid_from_us")
        _require(1 <= rules.currency <= 999, f"currency {rules.currency} is not an ISO 4217 number")
        for i, (name, low, high) in enumerate(_rule_bounds()):
            _require(low <= values[4 + i] <= high,
                     f"{name} is {values[4 + i]}, outside {low} to {high}")
        for i in range(16):
            _require(0 <= rules.medium_factor_ppm[i] <= MEDIUM_FACTOR_MAX,
                     f"medium_factor_ppm[{i}] is {rules.medium_factor_ppm[i]}")

    cdef check_stops(self):
        cdef const TariffC* c = &self.c
        cdef uint32_t i
        cdef uint32_t taken = 0
        for i in range(c.slot_mask + 1):
            if c.slots[i].stop_id != 0:
                taken += 1
                _require(c.slots[i].index < c.stop_count,
                         f"stop table slot {i} points behind the stops")
        _require(taken == c.stop_count,
                 f"the stop table has {taken} entries for {c.stop_count} stops")
        for i in range(c.stop_count):
            _require(c.stop_ids[i] != 0, "stop id 0 means no stop")
            _require(i == 0 or c.stop_ids[i] > c.stop_ids[i - 1],
                     f"stop ids do not ascend at index {i}")
            _require(stop_index(c, c.stop_ids[i]) == i,
                     f"the stop table does not lead to stop {c.stop_ids[i]}")
            _require(0 <= c.highest_minor[i] <= FARE_MAX,
                     f"highest_minor[{i}] is {c.highest_minor[i]}")

    cdef check_fares(self):
        cdef uint64_t i
        cdef uint64_t count = <uint64_t> self.c.stop_count * self.c.stop_count
        cdef const OdFare* one
        for i in range(count):
            one = &self.c.fares[i]
            if one.fare_minor == -1:
                if one.discountable_minor != 0 or one.distance_m != 0 or one.part != 0:
                    raise TariffBlobError(f"od pair {i} is not priced but says more")
            elif not (0 <= one.fare_minor <= FARE_MAX):
                raise TariffBlobError(f"od pair {i} has a fare of {one.fare_minor}")
            elif not (0 <= one.discountable_minor <= one.fare_minor) or one.part > 4:
                raise TariffBlobError(f"od pair {i} has a discountable part or kind out of range")

    cdef check_days(self):
        cdef const TariffC* c = &self.c
        cdef int64_t drift
        cdef uint32_t i
        _require(c.day_count > 0, "the day table is empty")
        _require(0 < c.rules.first_day <= 100_000, f"first_day is {c.rules.first_day}")
        _require(0 <= c.day_start_us[0] <= 100_000 * DAY_US, "the day table begins out of range")
        for i in range(c.day_count):
            _require(c.day_start_us[i] < c.day_start_us[i + 1],
                     f"service day {i} does not end after it begins")
            drift = c.day_start_us[i + 1] - c.day_start_us[0] - (<int64_t> i + 1) * DAY_US
            _require(-DAY_US <= drift <= DAY_US,
                     f"service day {i} ends too far from its ordinary time")
            _require(c.day_month[i] > 0, f"service day {i} has no month")
            _require(i == 0 or c.day_month[i] >= c.day_month[i - 1],
                     f"months go back at service day {i}")

    cdef check_discounts(self):
        cdef const TariffC* c = &self.c
        cdef uint64_t i
        cdef uint64_t windows = <uint64_t> c.discount_count * c.day_count
        for i in range(c.discount_count):
            _require(0 <= c.discount_ppm[i] <= OTHER_FACTOR_MAX,
                     f"time discount {i} has a factor of {c.discount_ppm[i]}")
        for i in range(<uint64_t> c.discount_count * c.stop_count):
            _require(c.discount_stops[i] <= 1,
                     f"stop flag {i} of the time discounts is {c.discount_stops[i]}")
        for i in range(windows):
            if c.discount_start_us[i] == 0 and c.discount_end_us[i] == 0:
                continue
            _require(c.discount_start_us[i] < c.discount_end_us[i],
                     f"time window {i} does not end after it begins")

    cdef check_interchanges(self):
        cdef const TariffC* c = &self.c
        cdef uint32_t i
        cdef const Interchange* one
        _require(c.interchange_rows[0] == 0
                 and c.interchange_rows[c.stop_count] == self.interchange_count,
                 "interchange rows do not cover the interchanges")
        for i in range(c.stop_count):
            _require(c.interchange_rows[i] <= c.interchange_rows[i + 1],
                     f"interchange rows go back at stop {i}")
        for i in range(self.interchange_count):
            one = &c.interchanges[i]
            _require(one.from_idx < c.stop_count and one.to_idx < c.stop_count,
                     f"interchange {i} names no stop")
            _require(c.interchange_rows[one.from_idx] <= i < c.interchange_rows[one.from_idx + 1],
                     f"interchange {i} is not in the row of its stop")
            _require(0 <= one.window_us <= DURATION_MAX_US,
                     f"interchange {i} has a window of {one.window_us} us")

    cdef check_tiers(self):
        cdef uint32_t i
        cdef const Tier* tiers = self.c.tiers
        for i in range(self.c.tier_count):
            _require(tiers[i].from_minor >= 0, f"monthly tier {i} begins below 0")
            _require(i == 0 or tiers[i].from_minor > tiers[i - 1].from_minor,
                     f"monthly tiers do not ascend at {i}")
            _require(0 <= tiers[i].factor_ppm <= OTHER_FACTOR_MAX,
                     f"monthly tier {i} has a factor of {tiers[i].factor_ppm}")

    cdef check_layers(self, dict sections):
        self.layers = load_layers(self.blob, sections, self.c.stop_count, self.c.day_count,
                                  sections["day_start"][0])
        if self.layers is None:
            return
        self.c.layers = &self.layers.c
        is_split = (self.c.rules.tier_split and self.c.tier_count > 0
                    and self.c.rules.month_basis != MONTH_BASIS_TRIPS)
        _require(count_splits(self.layers) + is_split <= 1, "more than one rule is split")
        self.check_factors()

    # So that every price fits into 31 bits (Chain, prev_paid_minor).
    cdef check_factors(self):
        cdef int64_t time_ppm = FACTOR_ONE
        cdef int64_t medium_ppm = FACTOR_ONE
        cdef int64_t tier_ppm = FACTOR_ONE
        cdef uint32_t i
        for i in range(self.c.discount_count):
            time_ppm = max(time_ppm, self.c.discount_ppm[i])
        for i in range(16):
            medium_ppm = max(medium_ppm, self.c.rules.medium_factor_ppm[i])
        for i in range(self.c.tier_count):
            tier_ppm = max(tier_ppm, self.c.tiers[i].factor_ppm)
        product, places = find_largest_factors(self.layers)
        product *= <object> time_ppm * medium_ppm * tier_ppm
        _require(product <= FACTORS_MAX * FACTOR_ONE ** (places + 3),
                 f"all factors together can make more than {FACTORS_MAX} of 1")

    # --- what it says -----------------------------------------------------------------------------

    @property
    def key(self):
        """First 8 bytes of the digest, little-endian; never 0. Journeys name versions by it."""
        return self.c.key

    @property
    def tariff_id(self):
        return self.meta["tariff_id"]

    @property
    def version(self):
        return self.meta["version"]

    @property
    def currency(self):
        """ISO 4217 numeric."""
        return self.c.rules.currency

    @property
    def valid_from_us(self):
        return self.c.valid_from_us

    @property
    def valid_until_us(self):
        """Exclusive; 0 = open end."""
        return self.c.rules.valid_until_us

    @property
    def stop_count(self):
        return self.c.stop_count

    def find_fare(self, uint32_t from_stop, uint32_t to_stop):
        """(fare_minor, discountable_minor, distance_m, part) of two stop ids; None = not priced."""
        cdef uint32_t origin = stop_index(&self.c, from_stop)
        cdef uint32_t destination = stop_index(&self.c, to_stop)
        cdef const OdFare* one
        if origin == NO_STOP or destination == NO_STOP:
            return None
        one = &self.c.fares[<uint64_t> origin * self.c.stop_count + destination]
        if one.fare_minor < 0:
            return None
        return one.fare_minor, one.discountable_minor, one.distance_m, one.part

    def find_day(self, int64_t ts_us):
        """(service day since 1970-01-01, month as year * 12 + month - 1); None = outside."""
        cdef int64_t day = day_index(&self.c, ts_us)
        return (self.c.rules.first_day + day, self.c.day_month[day]) if day >= 0 else None

    def spec(self):
        """The TariffSpec again, for the reference engine. Unpriced pairs are -1 and zeros."""
        return _unpack(self)

    def __reduce__(self):
        return CompiledTariff.load, (self.blob,)


def _slice(CompiledTariff tariff, str typecode, str name):
    offset, count = _sections_of(tariff.blob)[name]
    values = array(typecode)
    values.frombytes(tariff.blob[offset:offset + count * values.itemsize])
    return values


def _bytes_of_layers(CompiledTariff tariff):
    at = _sections_of(tariff.blob)
    return {name: tariff.blob[at[name][0]:at[name][0] + at[name][1] * item_bytes]
            for name, item_bytes in LAYER_SECTIONS}


def _unpack_discounts(CompiledTariff tariff):
    stops, days = tariff.c.stop_count, tariff.c.day_count
    factors = _slice(tariff, "q", "discount_ppm")
    flags = _slice(tariff, "B", "discount_stops").tobytes()
    starts, ends = _slice(tariff, "q", "discount_start"), _slice(tariff, "q", "discount_end")
    return tuple(
        TimeDiscount(name, factors[i], flags[i * stops:(i + 1) * stops],
                     starts[i * days:(i + 1) * days], ends[i * days:(i + 1) * days])
        for i, name in enumerate(tariff.meta["discounts"])
    )


def _unpack(CompiledTariff tariff):
    cdef uint64_t count = <uint64_t> tariff.c.stop_count * tariff.c.stop_count
    cdef uint32_t i
    cdef const TariffC* c = &tariff.c
    scalars = list(_slice(tariff, "q", "scalars"))
    kinds = TariffRules.__dataclass_fields__
    values = dict(zip(_RULE_NAMES, scalars[4:4 + len(_RULE_NAMES)]))
    typed = {name: type(kinds[name].default)(value) for name, value in values.items()}
    return TariffSpec(
        tariff_id=tariff.tariff_id, version=tariff.version, currency=tariff.currency,
        valid_from_us=tariff.valid_from_us, valid_until_us=tariff.valid_until_us,
        stop_ids=_slice(tariff, "I", "stop_ids"),
        od_fare_minor=array("i", [c.fares[j].fare_minor for j in range(count)]),
        od_distance_m=array("I", [c.fares[j].distance_m for j in range(count)]),
        od_part=bytes([c.fares[j].part for j in range(count)]),
        highest_minor=_slice(tariff, "q", "highest"),
        days=DayTable(scalars[3], _slice(tariff, "q", "day_start"),
                      _slice(tariff, "I", "day_month")),
        od_discountable_minor=array("i", [c.fares[j].discountable_minor for j in range(count)]),
        rules=TariffRules(**typed),
        time_discounts=_unpack_discounts(tariff),
        out_of_station=tuple(OutOfStation(c.interchanges[i].from_idx, c.interchanges[i].to_idx,
                                          c.interchanges[i].window_us)
                             for i in range(tariff.interchange_count)),
        monthly_tiers=tuple(MonthlyTier(c.tiers[i].from_minor, c.tiers[i].factor_ppm)
                            for i in range(c.tier_count)),
        medium_factor_ppm=tuple(scalars[4 + len(_RULE_NAMES):]),
        layers=unpack_layers(_bytes_of_layers(tariff), tariff.meta),
    )


# --- the book -------------------------------------------------------------------------------------

cdef const TariffC* book_at(const TariffBook* book, uint32_t slot, int64_t ts_us) noexcept nogil:
    cdef const TariffC* tariff
    cdef int64_t i
    if slot >= TARIFF_SLOTS:
        return NULL
    for i in range(<int64_t> book.counts[slot] - 1, -1, -1):
        tariff = book.slots[slot][i]
        if tariff.valid_from_us <= ts_us < tariff.valid_until_us:
            return tariff
    return NULL


cdef const TariffC* book_by_key(const TariffBook* book, uint64_t key) noexcept nogil:
    cdef uint32_t slot
    cdef uint32_t i
    for slot in range(<uint32_t> TARIFF_SLOTS):
        for i in range(book.counts[slot]):
            if book.slots[slot][i].key == key:
                return book.slots[slot][i]
    return NULL


@cython.final
cdef class Book:
    """The tariffs in force: 16 slots of up to 8 versions; and the limits of identity tiers.

    Thread: the one that decides.
    """

    def __cinit__(self):
        memset(&self.c, 0, sizeof(TariffBook))
        self.kept = {slot: [] for slot in range(TARIFF_SLOTS)}

    def put(self, uint32_t slot, CompiledTariff tariff not None):
        """Load a version into a slot; one with the same valid_from_us gives way to it.

        Raises: BookFullError: all places of the slot are taken. ValueError: no such slot.
        """
        versions = [one for one in self.kept.get(slot, ())
                    if one.valid_from_us != tariff.valid_from_us]
        if len(versions) == TARIFF_VERSIONS:
            raise BookFullError(f"slot {slot} holds {TARIFF_VERSIONS} versions; drop one first")
        self.set_versions(slot, sorted([*versions, tariff], key=lambda one: one.valid_from_us))

    def drop(self, uint32_t slot, uint64_t key):
        """Forget a version; its open journeys are then priced by the one in force at their entry.

        Raises: ValueError: no such slot.
        """
        self.set_versions(slot, [one for one in self.list_versions(slot) if one.key != key])

    def list_versions(self, uint32_t slot):
        """The versions of a slot, ascending valid_from_us."""
        return list(self.kept.get(slot, ()))

    def find_at(self, uint32_t slot, int64_t ts_us):
        """The version of a slot in force at an instant, or None."""
        cdef const TariffC* found = book_at(&self.c, slot, ts_us)
        return self.find_by_key(found.key) if found != NULL else None

    def find_by_key(self, uint64_t key):
        """The loaded version with this key, or None."""
        for versions in self.kept.values():
            for one in versions:
                if one.key == key:
                    return one
        return None

    def set_limits(self, LimitBook limits):
        """Load limits in place of those there are; None = nobody has any. Only between groups."""
        before = self.limits  # kept alive until nothing points to it
        self.limits = limits
        self.c.limits = &limits.c if limits is not None else NULL
        del before

    cdef set_versions(self, uint32_t slot, list versions):
        cdef uint32_t i
        cdef CompiledTariff one
        if slot >= TARIFF_SLOTS:
            raise ValueError(f"tariff slot {slot} does not exist (0 to {TARIFF_SLOTS - 1})")
        before = self.kept[slot]  # kept alive until nothing points to them
        self.kept[slot] = versions
        for i, one in enumerate(versions):
            self.c.slots[slot][i] = &one.c
        self.c.counts[slot] = len(versions)
        del before
