"""Layer 1: what one leg costs before anything discounts it. docs/fares.md is the text."""

from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastpath._case cimport (
    Case, Lay, Leg, is_joined, knows_any_stop, note_act, ride_origin,
)
from fastpath._extras cimport Extras
from fastpath._layers cimport (
    Band, BandRow, LayersC, LegCell, SameStopRule,
)
from fastpath._layout cimport *
from fastpath._tariff cimport NO_STOP, OdFare, TariffC, day_index, stop_index
from fastpath._totals cimport FARE_MAX

cdef extern from *:
    void __builtin_prefetch(const void* at) noexcept nogil

# --- who, where, when -----------------------------------------------------------------------------

cdef uint8_t network_of(const Case* case, const LayersC* layers) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = layers.line_count
    cdef uint32_t middle
    if case.tap.network_plus_1 != 0:
        middle = case.tap.network_plus_1 - 1
        return <uint8_t> middle if middle < layers.network_count else 0
    while low < high:
        middle = (low + high) // 2
        if layers.line_ids[middle] < case.tap.line:
            low = middle + 1
        else:
            high = middle
    if low < layers.line_count and layers.line_ids[low] == case.tap.line:
        return layers.line_network[low]
    return 0


# A concession valid at the departure, else the account's category.
cdef uint8_t find_category(Case* case, const LayersC* layers, Leg* leg) noexcept nogil:
    cdef const Extras* extras = case.extras
    cdef const Cell* cell
    cdef uint64_t found = UINT32_MAX
    cdef uint32_t i
    if case.period == NULL:
        return 0
    if extras != NULL:
        for i in range(extras.count):
            cell = &extras.cells[i]
            if (cell.type == CELL_CONCESSION and cell.key < found
                    and cell.concession.from_us <= leg.dep_us < cell.concession.until_us):
                found = cell.key
    if found != UINT32_MAX:
        leg.rules |= RULE_CONCESSION
    else:
        found = case.account.rider_category
    return <uint8_t> found if found < layers.category_count else 0


cdef uint8_t frame_at(const TariffC* tariff, const LayersC* layers, int64_t ts_us) noexcept nogil:
    cdef int64_t day
    cdef uint32_t at
    if not layers.has_frames:
        return 0
    day = day_index(tariff, ts_us)
    if day < 0:
        return 0
    at = layers.frame_row[day + 1]
    while at > layers.frame_row[day]:
        at -= 1
        if layers.frame_start_us[at] <= ts_us:
            return layers.frame[at]
    return 0


cdef int64_t departure(const Case* case, const Lay* lay) noexcept nogil:
    if not case.is_ride:
        return case.ts_us
    if is_joined(case) and lay.chain != NULL:
        return lay.chain.chain.journey_dep_us
    return case.account.entry_ts_us


cdef void begin_leg(Case* case, Lay* lay) noexcept nogil:
    cdef Leg* leg = &lay.leg
    leg.dep_us = departure(case, lay)
    leg.arr_us = case.ts_us
    leg.nominal_minor = -1
    leg.zones = UINT32_MAX
    leg.network = network_of(case, lay.layers)
    leg.category = find_category(case, lay.layers, leg)
    leg.frame_in = frame_at(case.tariff, lay.layers, leg.dep_us)
    leg.medium = case.tap.medium_kind & 15


# --- prices ---------------------------------------------------------------------------------------

cdef bint has_bands(const LayersC* layers, uint32_t column) noexcept nogil:
    return layers.band_rows != NULL and layers.band_rows[column].has_bands != 0


cdef int64_t price_by_bands(const LayersC* layers, uint32_t column, uint32_t distance_m,
                            uint32_t* rules) noexcept nogil:
    cdef const BandRow* row = &layers.band_rows[column]
    cdef const Band* bands = &layers.bands[row.first]
    cdef uint32_t low = 0
    cdef uint32_t high = row.count
    cdef uint32_t middle
    cdef int64_t fare_minor = 0
    cdef int64_t beyond_m = distance_m
    while low < high:
        middle = (low + high) // 2
        if bands[middle].to_m < distance_m:
            low = middle + 1
        else:
            high = middle
    if low < row.count:
        rules[0] |= RULE_DISTANCE_BAND
        return bands[low].fare_minor
    rules[0] |= RULE_BEYOND_BANDS
    if row.per_m == 0:
        return row.beyond_minor
    if row.count > 0:
        fare_minor = bands[row.count - 1].fare_minor
        beyond_m -= bands[row.count - 1].to_m
    if fare_minor >= 0:
        fare_minor += (beyond_m + row.per_m - 1) // row.per_m * row.add_minor
    return fare_minor if fare_minor <= FARE_MAX else -1


cdef int64_t product_price(const Case* case, const LayersC* layers, int64_t product,
                           uint8_t category) noexcept nogil:
    if product < 0:
        return -1
    return layers.products[(product * layers.category_count + category) * 16
                           + (case.tap.medium_kind & 15)]


cdef uint32_t rules_of_part(uint32_t part) noexcept nogil:
    if part == PART_BAND:
        return RULE_DISTANCE_BAND
    if part == PART_BEYOND:
        return RULE_BEYOND_BANDS
    if part == PART_SEPARATE:
        return RULE_SEPARATE_LINE
    return RULE_SEPARATE_LINE | RULE_DISTANCE_BAND if part == PART_COMBINED else 0


cdef void price_cell(const Case* case, const LayersC* layers, const LegCell* cell,
                     Leg* leg) noexcept nogil:
    leg.nominal_minor = cell.fare
    leg.discountable_minor = cell.discountable_minor
    if has_bands(layers, leg.column):
        leg.needs_distance = leg.distance_m == 0
        if leg.needs_distance:
            leg.distance_m = case.tap.distance_m
            if leg.distance_m != 0:
                leg.rules |= RULE_GIVEN_DISTANCE
        leg.nominal_minor = price_by_bands(layers, leg.column, leg.distance_m, &leg.rules)
        leg.discountable_minor = max(0, leg.nominal_minor)
        return
    leg.rules |= rules_of_part(cell.part)
    if layers.product_count > 0:
        leg.nominal_minor = product_price(case, layers, cell.fare, leg.category)
        leg.discountable_minor = max(0, leg.nominal_minor)


# Everything that the cell of two stop classes says; the price is -1 if it has none.
cdef void find_cell(const Case* case, const LayersC* layers, uint32_t origin, uint32_t destination,
                    Leg* leg) noexcept nogil:
    cdef uint8_t frame_out = frame_at(case.tariff, layers, leg.arr_us)
    cdef uint64_t line = ((<uint64_t> leg.network * layers.frame_count + leg.frame_in)
                          * layers.frame_count + frame_out)
    cdef int64_t column = layers.column[line * layers.category_count + leg.category]
    cdef const LegCell* cell
    leg.rules |= RULE_LEG_RULE
    if column < 0:
        return
    cell = &layers.cells[(<uint64_t> column * layers.class_count + origin) * layers.class_count
                         + destination]
    leg.column = <uint32_t> column
    leg.distance_m = cell.distance_m
    leg.group = cell.group
    leg.stay = cell.stay
    leg.zones = cell.zones
    leg.source = cell.source
    price_cell(case, layers, cell, leg)


cdef inline uint32_t class_of(const LayersC* layers, uint32_t stop) noexcept nogil:
    return layers.stop_class[stop] if stop != NO_STOP else 0


# --- the leg of a tap -----------------------------------------------------------------------------

cdef void find_pair(const Case* case, uint32_t origin, uint32_t destination,
                    Leg* leg) noexcept nogil:
    cdef const OdFare* pair = &case.tariff.fares[
        <uint64_t> origin * case.tariff.stop_count + destination]
    if pair.fare_minor < 0:
        return
    leg.nominal_minor = pair.fare_minor
    leg.discountable_minor = pair.discountable_minor
    leg.distance_m = pair.distance_m
    leg.rules |= rules_of_part(pair.part)


cdef void fetch_pair(const TariffC* tariff, uint32_t origin_stop, uint32_t stop) noexcept nogil:
    cdef uint32_t origin = stop_index(tariff, origin_stop)
    cdef uint32_t destination = stop_index(tariff, stop)
    if origin != NO_STOP and destination != NO_STOP and tariff.fares != NULL:
        __builtin_prefetch(&tariff.fares[<uint64_t> origin * tariff.stop_count + destination])


cdef bint find_ride_leg(Case* case, Lay* lay, const SameStopRule* same) noexcept nogil:
    cdef const TariffC* tariff = case.tariff
    cdef Leg* leg = &lay.leg
    cdef uint32_t kept = leg.rules
    cdef uint32_t origin = stop_index(tariff, ride_origin(case))
    cdef int64_t fixed_minor = -1
    if origin == NO_STOP and not knows_any_stop(tariff):
        return False
    if not lay.layers.has_legs:
        find_pair(case, origin, case.stop, leg)
    else:
        find_cell(case, lay.layers, class_of(lay.layers, origin), class_of(lay.layers, case.stop),
                  leg)
    if ride_origin(case) == case.tap.stop:
        fixed_minor = same.fare_minor if same != NULL else tariff.rules.same_stop_fare_minor
    if fixed_minor >= 0:
        leg.nominal_minor = fixed_minor
        leg.discountable_minor = 0
        leg.distance_m = 0
        leg.source = 0
        leg.rules = kept | RULE_SAME_STATION
    elif same != NULL:
        leg.rules |= RULE_SAME_STATION
    return leg.nominal_minor >= 0


cdef bint find_flat_leg(Case* case, Lay* lay) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    cdef uint32_t at
    if layers.has_legs and layers.scalars.flat_by_leg != 0:
        at = class_of(layers, stop_index(case.tariff, case.tap.stop))
        find_cell(case, layers, at, at, &lay.leg)
    else:
        lay.leg.nominal_minor = case.tariff.rules.flat_minor
        lay.leg.rules |= RULE_FLAT_FARE
    return lay.leg.nominal_minor >= 0


cdef int64_t find_nominal_before(Case* case, Lay* lay) noexcept nogil:
    cdef const TariffC* tariff = case.tariff
    cdef const LayersC* layers = lay.layers
    cdef uint32_t origin = stop_index(tariff, case.account.origin_stop)
    cdef uint32_t destination = stop_index(tariff, case.account.exit_stop)
    cdef Leg leg = lay.leg
    if (origin == NO_STOP or destination == NO_STOP) and not knows_any_stop(tariff):
        return 0
    leg.nominal_minor = -1
    if not layers.has_legs:
        find_pair(case, origin, destination, &leg)
        if (case.account.origin_stop == case.account.exit_stop
                and tariff.rules.same_stop_fare_minor >= 0):
            return tariff.rules.same_stop_fare_minor
        return max(0, leg.nominal_minor)
    leg.arr_us = case.account.entry_ts_us
    find_cell(case, layers, class_of(layers, origin), class_of(layers, destination), &leg)
    if leg.needs_distance:
        return max(0, case.account.journey_paid_minor)
    return max(0, leg.nominal_minor)


cdef const SameStopRule* find_same_stop(const Case* case, const Lay* lay) noexcept nogil:
    cdef int64_t stay_us = case.ts_us - lay.leg.dep_us
    cdef const SameStopRule* one
    cdef uint32_t i
    if ride_origin(case) != case.tap.stop:
        return NULL
    for i in range(lay.layers.same_stop_count):
        one = &lay.layers.same_stops[i]
        if one.until_us == -1 or stay_us <= one.until_us:
            return one
    return NULL


cdef int64_t stay_limit(const Case* case, const Lay* lay) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    if layers.stays_us == NULL:
        return case.tariff.rules.max_stay_us
    return layers.stays_us[lay.leg.stay * layers.frame_count + lay.leg.frame_in]


cdef void tell_leg(Case* case, const Leg* leg) noexcept nogil:
    case.out.rules |= leg.rules
    case.out.distance_m = leg.distance_m
    if leg.source != 0:
        note_act(case, ACT_LEG, leg.source)
