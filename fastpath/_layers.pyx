"""The layers' sections of a compiled tariff: every index, count and bound is checked here, so that
the decisions need not look. Packing: _layers_packing.pyx.
"""

from array import array

from libc.stdint cimport (
    UINT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)

cimport cython

from fastpath import layers as limits
from fastpath._layers_packing import CELLS_MAX, CLASSES_MAX
from fastpath.blob import TariffBlobError, require, require_within

cdef enum:
    FARE_MAX = 100000000
    FACTOR_ONE = 1000000
    FACTOR_MAX = 4 * FACTOR_ONE          # of legs
    TIER_FACTOR_MAX = 2 * FACTOR_ONE
    SOURCE_MAX = 0xFFFFFF                # an act has 24 bits for its number
    TRANSFERS_IN_A_ROW_MAX = 254         # Chain.transfers has 8 bits
    OWN_TRANSFERS_MAX = 63               # Chain.last_group keeps six bits for it
    DAYS_OF_A_WINDOW_MAX = 3650
    TIMES_MAX = 16                       # times FARE_MAX still fits into 31 bits
    RIDES_MAX = 1000000
    MONTHS_MAX = 120

cdef int64_t DURATION_MAX_US = <int64_t> 3650 * 86400000000
cdef int64_t TOTAL_MAX_MINOR = <int64_t> 1 << 60


@cython.final
cdef class LayersView:
    """Made by `load_layers`."""

    cdef point_at(self, const char* base, dict sections):
        cdef LayersC* c = &self.c
        at = {name: entry[0] for name, entry in sections.items()}
        self.counts = {name: entry[1] for name, entry in sections.items()}
        counts = self.counts
        c.scalars = <const LayerScalars*> (base + <size_t> at["layer_scalars"])
        c.frame_row = <const uint32_t*> (base + <size_t> at["frame_row"])
        c.frame_start_us = <const int64_t*> (base + <size_t> at["frame_start"])
        c.frame = <const uint8_t*> (base + <size_t> at["frame"])
        c.stop_class = <const uint32_t*> (base + <size_t> at["stop_class"])
        c.column = <const int32_t*> (base + <size_t> at["column"])
        c.cells = <const LegCell*> (base + <size_t> at["leg_cells"])
        c.line_ids = <const uint32_t*> (base + <size_t> at["line_ids"])
        c.line_network = <const uint8_t*> (base + <size_t> at["line_network"])
        c.products = <const int32_t*> (base + <size_t> at["products"])
        if counts["band_rows"]:
            c.band_rows = <const BandRow*> (base + <size_t> at["band_rows"])
        c.bands = <const Band*> (base + <size_t> at["bands"])
        if counts["leg_factor"]:
            c.leg_factor_ppm = <const int32_t*> (base + <size_t> at["leg_factor"])
        if counts["stays"]:
            c.stays_us = <const int64_t*> (base + <size_t> at["stays"])
        c.same_stops = <const SameStopRule*> (base + <size_t> at["same_stops"])
        c.joins = <const JoinRule*> (base + <size_t> at["joins"])
        c.transfers = <const TransferRule*> (base + <size_t> at["transfers"])
        c.counters = <const CounterRule*> (base + <size_t> at["counters"])
        c.period_rules = <const PeriodRule*> (base + <size_t> at["period_rules"])
        c.steps = <const PeriodStep*> (base + <size_t> at["steps"])
        c.passes = <const PassProduct*> (base + <size_t> at["passes"])
        if counts["scopes"]:
            c.counter_scopes = <const Scope*> (base + <size_t> at["scopes"])
            c.rule_scopes = c.counter_scopes + <size_t> counts["counters"]
            c.pass_scopes = c.rule_scopes + <size_t> counts["period_rules"]
        if counts["span_networks"]:
            c.span_networks = (<const uint32_t*> (base + <size_t> at["span_networks"]))[0]

    cdef check_scalars(self):
        cdef LayersC* c = &self.c
        cdef const LayerScalars* said = c.scalars
        require_within("has_legs", said.has_legs, 0, 1)
        low = 1 if said.has_legs else 0
        high = said.has_legs
        for name, value, most in (
                ("network_count", said.network_count, NETWORKS_MAX),
                ("frame_count", said.frame_count, limits.FRAMES_MAX),
                ("category_count", said.category_count, CATEGORIES_MAX),
                ("class_count", said.class_count, CLASSES_MAX)):
            require_within(name, value, low, most * high)
        for name, value, most in (
                ("any_stop", said.any_stop, 1), ("flat_by_leg", said.flat_by_leg, 1),
                ("highest_any_minor", said.highest_any_minor, FARE_MAX),
                ("has_zones", said.has_zones, 1)):
            require_within(name, value, 0, most * high)
        require_within("group_count", said.group_count, 0, limits.GROUPS_MAX)
        require_within("overstay", said.overstay, 0, OVERSTAY_TWO_HIGHEST)
        require_within("round_mode", said.round_mode, 0, ROUND_UP)
        require_within("group_riders_max", said.group_riders_max, 1, 255)
        c.has_legs = said.has_legs != 0
        c.network_count = max(1, said.network_count)
        c.frame_count = max(1, said.frame_count)
        c.category_count = said.category_count if c.has_legs else CATEGORIES_MAX
        c.class_count = said.class_count
        c.group_count = said.group_count

    cdef check_counts(self):
        cdef LayersC* c = &self.c
        counts = self.counts
        legs = 1 if c.has_legs else 0
        columns = counts["leg_cells"] // (c.class_count * c.class_count) if legs else 0
        require(counts["leg_cells"] <= CELLS_MAX, f"{counts['leg_cells']} leg cells")
        require(columns <= limits.COLUMNS_MAX,
                f"{columns} columns, at most {limits.COLUMNS_MAX}")
        wanted = {
            "frame_row": legs * (self.day_count + 1), "frame": counts["frame_start"],
            "stop_class": legs * self.stop_count,
            "column": legs * c.network_count * c.frame_count * c.frame_count * c.category_count,
            "leg_cells": columns * c.class_count * c.class_count,
            "line_network": counts["line_ids"] * legs,
        }
        for name, items in wanted.items():
            require(counts[name] == items,
                    f"section {name} has {counts[name]} entries, {items} are needed")
        scopes = counts["counters"] + counts["period_rules"] + counts["passes"]
        for name, items in (("band_rows", columns), ("scopes", scopes), ("span_networks", 1),
                            ("leg_factor", legs * c.frame_count * c.category_count * MEDIA_MAX)):
            require(counts[name] in (0, items),
                    f"section {name} has {counts[name]} entries, 0 or {items} are needed")
        for name in ("bands", "products", "stays", "line_ids", "frame"):
            require(legs or not counts[name], f"section {name} has entries, but there are no legs")
        for name, most in (
                ("transfers", limits.TRANSFERS_MAX), ("counters", COUNTERS_MAX),
                ("period_rules", PERIOD_RULES_MAX), ("passes", limits.PASS_PRODUCTS_MAX),
                ("same_stops", 256), ("joins", 4096)):
            require(counts[name] <= most, f"{counts[name]} {name}, at most {most}")
        c.column_count, c.line_count = columns, counts["line_ids"]
        c.product_count = counts["products"] // (c.category_count * MEDIA_MAX)
        c.same_stop_count, c.join_count = counts["same_stops"], counts["joins"]
        c.transfer_count, c.counter_count = counts["transfers"], counts["counters"]
        c.period_rule_count, c.pass_count = counts["period_rules"], counts["passes"]
        c.has_frames = c.frame_count > 1
        c.has_chain = (c.transfer_count > 0 or c.join_count > 0
                       or (c.has_frames and self.has_pairs) or c.scalars.group_riders_max > 1)
        c.has_pass_chain = not c.has_chain and c.pass_count > 0 and self.has_pairs
        require(counts["products"] == c.product_count * c.category_count * MEDIA_MAX,
                "products are not one price a category and medium")
        require(counts["stays"] % c.frame_count == 0, "stays are not one a frame")

    cdef check_legs(self):
        cdef const LayersC* c = &self.c
        cdef uint64_t i
        for i in range(<uint64_t> self.counts["stop_class"]):
            if c.stop_class[i] >= c.class_count:
                raise TariffBlobError(f"stop {i} is of class {c.stop_class[i]}")
        for i in range(<uint64_t> self.counts["column"]):
            if not (-1 <= c.column[i] < <int64_t> c.column_count):
                raise TariffBlobError(f"leg {i} leads to column {c.column[i]}")
        for i in range(<uint64_t> self.counts["products"]):
            if not (-1 <= c.products[i] <= FARE_MAX):
                raise TariffBlobError(f"product price {i} is {c.products[i]}")
        for i in range(<uint64_t> self.counts["leg_factor"]):
            if not (0 <= c.leg_factor_ppm[i] <= FACTOR_MAX):
                raise TariffBlobError(f"leg factor {i} is {c.leg_factor_ppm[i]}")
        for i in range(<uint64_t> self.counts["stays"]):
            require_within(f"stays_us[{i}]", c.stays_us[i], -1, DURATION_MAX_US)
        for i in range(c.line_count):
            require(i == 0 or c.line_ids[i] > c.line_ids[i - 1],
                    f"lines do not ascend at {i}")
            require(c.line_network[i] < c.network_count,
                    f"line {c.line_ids[i]} is of network {c.line_network[i]}")

    cdef check_cells(self):
        cdef const LayersC* c = &self.c
        cdef uint64_t a_column = <uint64_t> c.class_count * c.class_count
        cdef uint64_t stay_classes = self.counts["stays"] // c.frame_count
        cdef uint64_t i
        cdef int64_t fare_max
        cdef bint is_plain
        cdef const LegCell* one
        for i in range(<uint64_t> self.counts["leg_cells"]):
            one = &c.cells[i]
            is_plain = c.product_count == 0
            if c.band_rows != NULL and c.band_rows[i // a_column].has_bands:
                is_plain, fare_max = False, FARE_MAX
            else:
                fare_max = FARE_MAX if is_plain else <int64_t> c.product_count - 1
            if not (-1 <= one.fare <= fare_max):
                raise TariffBlobError(f"leg cell {i} has a fare or product of {one.fare}")
            if one.discountable_minor < 0 or (
                    is_plain and one.discountable_minor > max(0, one.fare)):
                raise TariffBlobError(f"leg cell {i} has {one.discountable_minor} discountable")
            if one.part > 4 or one.group > c.group_count or one.spare != 0:
                raise TariffBlobError(f"leg cell {i} has a part or group out of range")
            if not c.scalars.has_zones and one.zones != UINT32_MAX:
                raise TariffBlobError(f"leg cell {i} has zones in a tariff that has none")
            if one.source > SOURCE_MAX or (c.stays_us != NULL and one.stay >= stay_classes):
                raise TariffBlobError(f"leg cell {i} has a source or stay out of range")

    cdef check_bands(self):
        cdef const LayersC* c = &self.c
        cdef uint64_t first = 0
        cdef uint64_t i
        cdef uint64_t j
        cdef const BandRow* row
        for i in range(<uint64_t> self.counts["band_rows"]):
            row = &c.band_rows[i]
            if not row.has_bands:
                require(row.first == 0 and row.count == 0 and row.per_m == 0
                        and row.add_minor == 0 and row.beyond_minor == 0,
                        f"column {i} has no bands but says more")
                continue
            require(row.has_bands == 1 and row.first == first,
                    f"the bands of column {i} are not where they belong")
            first += row.count
            require(first <= self.counts["bands"], f"the bands of column {i} run over the end")
            require_within(f"add_minor of column {i}", row.add_minor, 0, FARE_MAX)
            require_within(f"beyond_minor of column {i}", row.beyond_minor, -1, FARE_MAX)
            for j in range(row.first, first):
                require(j == row.first or c.bands[j].to_m > c.bands[j - 1].to_m,
                        f"bands of column {i} do not ascend")
                require_within(f"band {j}", c.bands[j].fare_minor, -1, FARE_MAX)
        require(first == self.counts["bands"], "there are bands of no column")

    cdef check_frames(self):
        cdef const LayersC* c = &self.c
        cdef uint64_t day
        cdef uint64_t i
        if not c.has_legs:
            return
        require(c.frame_row[0] == 0 and c.frame_row[self.day_count] == self.counts["frame"],
                "frame rows do not cover the frames")
        for day in range(self.day_count):
            require(c.frame_row[day] <= c.frame_row[day + 1], f"frame rows go back at {day}")
        for i in range(<uint64_t> self.counts["frame"]):
            if c.frame[i] >= c.frame_count:
                raise TariffBlobError(f"frame entry {i} is of frame {c.frame[i]}")
        for day in range(self.day_count):
            for i in range(c.frame_row[day] + 1, c.frame_row[day + 1]):
                require(c.frame_start_us[i - 1] < c.frame_start_us[i],
                        f"the frames of service day {day} do not ascend")

    cdef check_journeys(self):
        cdef const LayersC* c = &self.c
        cdef const SameStopRule* same
        cdef const JoinRule* join
        cdef uint32_t i
        for i in range(c.same_stop_count):
            same = &c.same_stops[i]
            require_within(f"until_us of same_stop {i}", same.until_us, -1, DURATION_MAX_US)
            require_within(f"fare_minor of same_stop {i}", same.fare_minor, -1, FARE_MAX)
            require_within(f"times of same_stop {i}", same.times, 0, TIMES_MAX)
            require_within(f"kind of same_stop {i}", same.kind, 0, SAME_STOP_HIGHEST)
        for i in range(c.join_count):
            join = &c.joins[i]
            require(join.from_network < c.network_count and join.to_network < c.network_count,
                    f"join {i} names no network")
            require(-1 <= join.from_idx < <int64_t> self.stop_count
                    and -1 <= join.to_idx < <int64_t> self.stop_count, f"join {i} names no stop")
            require_within(f"window_us of join {i}", join.window_us, -1, DURATION_MAX_US)

    cdef check_transfers(self):
        cdef LayersC* c = &self.c
        cdef const TransferRule* one
        cdef uint32_t i
        for i in range(c.transfer_count):
            one = &c.transfers[i]
            require(one.from_group <= c.group_count and one.to_group <= c.group_count,
                    f"transfer {i} names no group")
            require_within(f"effect of transfer {i}", one.effect, 0, EFFECT_THROUGH)
            require_within(f"amount_minor of transfer {i}", one.amount_minor, 0, FARE_MAX)
            require_within(f"product of transfer {i}", one.product, -1,
                           <int64_t> c.product_count - 1)
            require_within(f"count_max of transfer {i}", one.count_max, -1, TRANSFERS_IN_A_ROW_MAX)
            require_within(f"window_us of transfer {i}", one.window_us, -1, DURATION_MAX_US)
            require_within(f"measured of transfer {i}", one.measured, 0,
                           MEASURED_ARRIVAL_TO_ARRIVAL)
            require(one.begins <= BEGINS_RUN and one.counts_own <= 1, f"transfer {i} says more")
            require(one.begins != BEGINS_RUN or one.from_group == one.to_group,
                    f"transfer {i} is of two groups and can have no run of one")
            by_arrival = one.measured in (MEASURED_ARRIVAL_TO_DEPARTURE,
                                          MEASURED_ARRIVAL_TO_ARRIVAL)
            c.has_span = c.has_span or one.begins == BEGINS_RUN or (
                one.begins == BEGINS_SPAN and by_arrival)
            require(not one.counts_own or (one.from_group == one.to_group
                                           and one.count_max <= OWN_TRANSFERS_MAX),
                    f"transfer {i} cannot count by itself")

    cdef check_periods(self):
        cdef const LayersC* c = &self.c
        cdef const CounterRule* counter
        cdef const PeriodRule* rule
        cdef const PeriodStep* step
        cdef uint32_t i
        cdef uint64_t j
        cdef uint64_t steps = 0
        seen = set()
        for i in range(c.counter_count):
            counter = &c.counters[i]
            require(counter.counter_id != 0 and counter.counter_id not in seen,
                    f"counter {i} has the id {counter.counter_id}, which is 0 or another's")
            seen.add(counter.counter_id)
            require_within(f"window of counter {i}", counter.window, 0, WINDOW_ROLLING)
            low, high = 0, 0
            if counter.window == WINDOW_ROLLING_DAYS:
                low, high = 1, DAYS_OF_A_WINDOW_MAX
            elif counter.window == WINDOW_ROLLING:
                low, high = 1, DURATION_MAX_US
            require_within(f"length of counter {i}", counter.length, low, high)
            require_within(f"week_start of counter {i}", counter.week_start, 0, 6)
            require_within(f"counts_nominal of counter {i}", counter.counts_nominal, 0, 1)
        for i in range(c.period_rule_count):
            rule = &c.period_rules[i]
            require(rule.first_step == steps, f"steps of period rule {i} are not its own")
            steps += rule.step_count
            require(rule.step_count <= limits.STEPS_MAX and steps <= self.counts["steps"],
                    f"period rule {i} has {rule.step_count} steps")
            require(rule.counter < c.counter_count, f"period rule {i} names no counter")
            require_within(f"kind of period rule {i}", rule.kind, 0, PERIOD_CAP)
            require_within(f"measure of period rule {i}", rule.measure, 0, MEASURE_TRIPS)
            require(rule.is_split <= (1 if rule.kind == PERIOD_TIERS else 0),
                    f"period rule {i} cannot be split")
            for j in range(rule.first_step, steps):
                step = &c.steps[j]
                require_within(f"from_value of step {j}", step.from_value, 0, TOTAL_MAX_MINOR)
                require_within(f"factor_ppm of step {j}", step.factor_ppm, 0, TIER_FACTOR_MAX)
                require_within(f"limit_minor of step {j}", step.limit_minor, 0, TOTAL_MAX_MINOR)
                require(rule.kind != PERIOD_TIERS or j == rule.first_step
                        or step.from_value > c.steps[j - 1].from_value,
                        f"steps of period rule {i} do not ascend")
        require(steps == self.counts["steps"], "there are steps of no period rule")

    cdef check_passes(self):
        cdef const LayersC* c = &self.c
        cdef const PassProduct* one
        cdef uint32_t i
        seen = set()
        for i in range(c.pass_count):
            one = &c.passes[i]
            require(one.pass_id != 0 and one.pass_id not in seen,
                    f"pass {i} has the id {one.pass_id}, which is 0 or another's")
            seen.add(one.pass_id)
            require_within(f"price_minor of pass {i}", one.price_minor, 0, FARE_MAX)
            require_within(f"duration_us of pass {i}", one.duration_us, 0, DURATION_MAX_US)
            require_within(f"service_days of pass {i}", one.service_days, 0, DAYS_OF_A_WINDOW_MAX)
            require_within(f"rides of pass {i}", one.rides, -1, RIDES_MAX)
            require_within(f"start of pass {i}", one.start, 0, 1)
            require_within(f"months of pass {i}", one.months, 0, MONTHS_MAX)
            require_within(f"weeks of pass {i}", one.weeks, 0, 255)

    cdef check_scopes(self):
        cdef const LayersC* c = &self.c
        cdef const Scope* one
        cdef uint32_t i, j
        for i in range(<uint32_t> self.counts["scopes"]):
            one = &c.counter_scopes[i]
            require(one.frames != 0 and one.media != 0, f"scope {i} is of nothing")
            require(one.frames == <uint64_t> limits.ALL_FRAMES or c.frame_count == 64
                    or one.frames >> c.frame_count == 0, f"scope {i} names no frame")
            require(one.skips_free <= (1 if i < c.counter_count else 0),
                    f"scope {i} cannot leave free trips out")
            for j in range(5):
                require(one.spare[j] == 0, f"scope {i} says more")
        require(c.span_networks == 0 or c.network_count == 32
                or c.span_networks >> c.network_count == 0, "span_networks names no network")

    # The rules of a pair of groups, in their order, as a chain: a tap looks only at those.
    cdef index_transfers(self):
        cdef LayersC* c = &self.c
        cdef uint64_t side = c.group_count + 1
        cdef uint16_t[::1] first = array("H", [0]) * (side * side)
        cdef uint16_t[::1] following = array("H", [0]) * (c.transfer_count + 1)
        cdef uint64_t pair
        cdef int64_t i
        for i in range(<int64_t> c.transfer_count - 1, -1, -1):
            pair = c.transfers[i].from_group * side + c.transfers[i].to_group
            following[i] = first[pair]
            first[pair] = <uint16_t> (i + 1)
        c.first_transfer, c.next_transfer = &first[0], &following[0]
        self.kept = (self.kept, first, following)


# The largest factor a leg can meet in every rule together, as a fraction of integers.
cdef tuple largest_factors(const LayersC* c, dict counts):
    cdef uint64_t i
    cdef uint32_t j
    cdef int64_t most
    cdef const PeriodRule* rule
    product, places = 1, 0
    most = FACTOR_ONE
    for i in range(<uint64_t> counts["leg_factor"]):
        most = max(most, c.leg_factor_ppm[i])
    product, places = product * most, places + 1
    for i in range(c.period_rule_count):
        rule = &c.period_rules[i]
        if rule.kind != PERIOD_TIERS:
            continue
        most = FACTOR_ONE
        for j in range(rule.first_step, rule.first_step + rule.step_count):
            most = max(most, c.steps[j].factor_ppm)
        product, places = product * most, places + 1
    return product, places


def count_splits(LayersView view not None):
    """How many period rules are split: on amounts, on trips it does nothing."""
    return sum(view.c.period_rules[i].is_split for i in range(view.c.period_rule_count)
               if view.c.period_rules[i].measure == MEASURE_PAID)


def find_largest_factors(LayersView view not None):
    """(product, places): all factors of the layers at their largest are product / 10^6^places."""
    return largest_factors(&view.c, view.counts)


def load_layers(bytes blob not None, dict sections not None, uint32_t stops, uint32_t days,
                size_t day_start):
    """Check the layers' sections of a blob whose plain tables are sound; None = it has none.

    Args: sections: name -> (offset, count). day_start: offset of the day table.
    Raises: TariffBlobError: what is wrong.
    """
    cdef LayersView self = LayersView.__new__(LayersView)
    cdef const char* base = blob
    from fastpath._layers_packing import SECTIONS
    if sections["layer_scalars"][1] == 0:
        filled = [name for name, _ in SECTIONS if sections[name][1]]
        require(not filled, f"section {filled[0] if filled else ''} has entries without layers")
        return None
    require(sections["layer_scalars"][1] == sizeof(LayerScalars) // 8,
            f"{sections['layer_scalars'][1]} scalars of layers")
    self.kept = blob
    self.stop_count, self.day_count = stops, days
    self.has_pairs = sections["interchanges"][1] > 0
    self.day_start_us = <const int64_t*> (base + day_start)
    self.point_at(base, sections)
    self.check_scalars()
    self.check_counts()
    self.check_bands()
    self.check_legs()
    self.check_cells()
    self.check_frames()
    self.check_journeys()
    self.check_transfers()
    self.check_periods()
    self.check_passes()
    self.check_scopes()
    self.index_transfers()
    return self
