"""Layer 3: counters, caps, passes. docs/fares.md is the text."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from fastpath._case cimport (
    READING_FRESH, READING_NOTHING, READING_SAME, READING_UNKNOWN, Case, Charge, Lay, Leg,
    find_calendar, has_bit, in_scope, is_joined, note_act,
)
from fastpath._cellspace cimport new_cell
from fastpath._layers cimport (
    PERIOD_CAP, WINDOW_MONTH, WINDOW_ROLLING, WINDOW_ROLLING_DAYS, WINDOW_WEEK,
    CounterRule, LayersC, PassProduct, PeriodRule, PeriodStep,
)
from fastpath._layout cimport *
from fastpath._tariff cimport TariffC, day_index

cdef int64_t SECOND_US = 1000000
cdef int64_t DAY_US = 86400000000


# --- reading --------------------------------------------------------------------------------------

# Month and service day of the fare time (which = 0) or of the entry (1); False = outside.
cdef bint calendar_of(Case* case, Lay* lay, uint32_t which) noexcept nogil:
    cdef int64_t instant_us = case.account.entry_ts_us if which else case.ts_us
    if lay.calendar[which] == 0:
        lay.calendar[which] = 1
        if find_calendar(case, instant_us, &lay.months[which], &lay.days[which]):
            lay.calendar[which] = 2
    return lay.calendar[which] == 2


# The window that an instant belongs to, or -1: before the stored one.
cdef int64_t rolling_window(int64_t stored, int64_t now, int64_t length, int64_t size,
                            int64_t fresh) noexcept nogil:
    if stored == 0 or now >= stored * size + length:
        return fresh
    return stored if now >= stored * size else -1


cdef int64_t find_window(Case* case, Lay* lay, const CounterRule* rule,
                         int64_t stored) noexcept nogil:
    cdef uint32_t which = 0
    cdef int64_t window
    if rule.window == WINDOW_ROLLING:
        return rolling_window(stored, case.ts_us, rule.length, SECOND_US, case.ts_us // SECOND_US)
    if rule.window == WINDOW_MONTH and case.is_ride and case.tariff.rules.month_by_entry:
        which = 1
    if not calendar_of(case, lay, which):
        return -1
    window = lay.days[which]
    if rule.window == WINDOW_ROLLING_DAYS:
        return rolling_window(stored, window, rule.length, 1, window)
    if rule.window == WINDOW_WEEK:
        window -= (window + 3 - rule.week_start) % 7
    elif rule.window == WINDOW_MONTH:
        window = lay.months[which]
    return window if window >= stored else -1


cdef int read_counter(Case* case, Lay* lay, uint32_t number) noexcept nogil:
    cdef const Counter* kept = lay.counters[number]
    cdef int64_t stored = kept.window if kept != NULL else 0
    cdef int64_t window
    if lay.reading[number] != READING_UNKNOWN:
        return lay.reading[number]
    window = find_window(case, lay, &lay.layers.counters[number], stored)
    if window < 0:
        lay.reading[number] = READING_NOTHING
    else:
        lay.window[number] = <uint32_t> window
        lay.reading[number] = READING_SAME if window == stored != 0 else READING_FRESH
    return lay.reading[number]


cdef int read_rule(Case* case, Lay* lay, const PeriodRule* rule) noexcept nogil:
    return read_counter(case, lay, rule.counter)


cdef int64_t read_paid(const Lay* lay, uint32_t counter) noexcept nogil:
    return lay.counters[counter].paid_minor if lay.reading[counter] == READING_SAME else 0


cdef int64_t read_trips(const Lay* lay, uint32_t counter) noexcept nogil:
    return lay.counters[counter].trips if lay.reading[counter] == READING_SAME else 0


# --- caps and counting ----------------------------------------------------------------------------

# The lowest limit among steps that cover all zones, -1 = none does.
cdef int64_t find_limit(const LayersC* layers, const PeriodRule* rule,
                        uint32_t zones) noexcept nogil:
    cdef const PeriodStep* step = &layers.steps[rule.first_step]
    cdef int64_t limit_minor = -1
    cdef uint32_t i
    for i in range(rule.step_count):
        if zones & ~step[i].zones == 0 and (limit_minor < 0 or step[i].limit_minor < limit_minor):
            limit_minor = step[i].limit_minor
    return limit_minor


cdef int64_t cap_charge(Case* case, Lay* lay, int64_t charge_minor) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    cdef const PeriodRule* rule
    cdef uint32_t zones
    cdef int64_t limit_minor
    cdef int64_t left_minor
    cdef uint32_t i
    for i in range(layers.period_rule_count):
        rule = &layers.period_rules[i]
        if (rule.kind != PERIOD_CAP or not has_bit(rule.networks, lay.leg.network)
                or not has_bit(rule.categories, lay.leg.category)
                or not in_scope(layers.rule_scopes, i, &lay.leg)):
            continue
        if read_rule(case, lay, rule) == READING_NOTHING:
            continue
        zones = lay.leg.zones
        if lay.reading[rule.counter] == READING_SAME:
            zones |= lay.counters[rule.counter].zones
        limit_minor = find_limit(layers, rule, zones)
        left_minor = max(0, limit_minor - read_paid(lay, rule.counter))
        if limit_minor >= 0 and charge_minor > left_minor:
            charge_minor = left_minor
            case.out.rules |= RULE_CAP
            note_act(case, ACT_PERIOD, i)
    return charge_minor


# The first free place of the owner's cells, else one in a new cell; NULL = no room.
cdef Counter* new_counter(Case* case) noexcept nogil:
    cdef Cell* cell
    cdef uint32_t i
    if case.extras == NULL:
        return NULL
    for i in range(case.extras.count):
        cell = &case.extras.cells[i]
        if cell.type != CELL_COUNTERS or cell.key != case.extras.owner:
            continue
        if cell.counters[0].id == 0:
            return &cell.counters[0]
        if cell.counters[1].id == 0:
            return &cell.counters[1]
    cell = new_cell(case.extras, CELL_COUNTERS)
    return &cell.counters[0] if cell != NULL else NULL


cdef Counter* open_counter(Case* case, Lay* lay, uint32_t number) noexcept nogil:
    cdef Counter* kept = lay.counters[number]
    if kept == NULL:
        kept = new_counter(case)
        if kept == NULL:
            return NULL
        kept.id = lay.layers.counters[number].counter_id
    if lay.reading[number] != READING_SAME:
        kept.window = lay.window[number]
        kept.zones = 0
        kept.trips = 0
        kept.paid_minor = 0
    return kept


cdef inline bint skips_free(const LayersC* layers, uint32_t counter) noexcept nogil:
    return layers.counter_scopes != NULL and layers.counter_scopes[counter].skips_free != 0


# Whether a pass or a cap took all of a leg's charge.
cdef inline bint was_made_free(const Case* case, const Charge* charge) noexcept nogil:
    return charge.by_pass or (case.out.rules & RULE_CAP != 0 and charge.ride_minor == 0)


cdef void count_leg(Case* case, Lay* lay, const Charge* charge) noexcept nogil:
    cdef const CounterRule* rule
    cdef Counter* kept
    cdef int64_t counted_minor
    cdef uint32_t i
    for i in range(lay.layers.counter_count):
        rule = &lay.layers.counters[i]
        if (not has_bit(rule.networks, lay.leg.network)
                or not has_bit(rule.categories, lay.leg.category)
                or not in_scope(lay.layers.counter_scopes, i, &lay.leg)
                or read_counter(case, lay, i) == READING_NOTHING):
            continue
        kept = open_counter(case, lay, i)
        if kept == NULL:
            continue
        counted_minor = charge.ride_minor
        if rule.counts_nominal:
            counted_minor = 0 if charge.by_pass else charge.nominal_minor
        kept.paid_minor = max(0, kept.paid_minor + counted_minor)
        kept.zones |= lay.leg.zones
        if charge.is_new_trip and not (skips_free(lay.layers, i) and was_made_free(case, charge)):
            kept.trips += 1


# --- passes ---------------------------------------------------------------------------------------

cdef const PassProduct* find_product(const LayersC* layers, uint64_t pass_id) noexcept nogil:
    cdef uint32_t i
    for i in range(layers.pass_count):
        if layers.passes[i].pass_id == pass_id:
            return &layers.passes[i]
    return NULL


cdef bint covers(const LayersC* layers, const PassProduct* product, const Pass* one,
                 const Leg* leg) noexcept nogil:
    return (in_scope(layers.pass_scopes, <uint32_t> (product - layers.passes), leg)
            and has_bit(product.networks, leg.network)
            and has_bit(product.categories, leg.category)
            and leg.zones & ~product.zones == 0 and one.from_us <= leg.dep_us
            and (one.until_us == 0 or leg.dep_us < one.until_us))


# Whether the first pass is to be used before the second: it ends sooner, or its id is lower.
cdef bint goes_first(const Cell* a, const Cell* b) noexcept nogil:
    cdef int64_t end_a = a.pass_.until_us if a.pass_.until_us != 0 else INT64_MAX
    cdef int64_t end_b = b.pass_.until_us if b.pass_.until_us != 0 else INT64_MAX
    return end_a < end_b or (end_a == end_b and a.key < b.key)


cdef bint find_pass(const Case* case, Lay* lay) noexcept nogil:
    cdef const PassProduct* product
    cdef Cell* cell
    cdef bint goes_on
    cdef uint32_t i
    for i in range(lay.pass_count):
        cell = lay.passes[i]
        product = find_product(lay.layers, cell.key)
        if product == NULL or not covers(
                lay.layers, product, &cell.pass_, &lay.leg):
            continue
        goes_on = is_joined(case) and cell.pass_.last_used_us == lay.leg.dep_us
        if cell.pass_.rides_left == 0 and not goes_on:
            continue
        if lay.used_pass == NULL or goes_first(cell, lay.used_pass):
            lay.used_pass = cell
            lay.pass_product = <uint32_t> (product - lay.layers.passes)
            lay.takes_ride = not goes_on
    return lay.used_pass != NULL


# When calendar months or weeks (from Monday) end, the one of an instant included.
cdef int64_t end_of_calendar(const TariffC* tariff, const PassProduct* product,
                             int64_t instant_us) noexcept nogil:
    cdef int64_t day = day_index(tariff, instant_us)
    cdef int64_t days = <int64_t> product.weeks * 7 if product.weeks != 0 else (
        <int64_t> product.months * 31)
    cdef int64_t end = day
    if day >= 0 and product.weeks != 0:
        end = day - (tariff.rules.first_day + day + 3) % 7 + days
    elif day >= 0:
        while end < tariff.day_count and (
                tariff.day_month[end] < tariff.day_month[day] + product.months):
            end += 1
        if end == tariff.day_count:
            day = -1              # the calendar ends before the month does
    if day < 0 or end > tariff.day_count:
        return instant_us + days * DAY_US
    return tariff.day_start_us[end]


# When a pass ends whose time begins now; 0 = never.
cdef int64_t end_of(const TariffC* tariff, const PassProduct* product,
                    int64_t instant_us) noexcept nogil:
    cdef int64_t day
    if product.months != 0 or product.weeks != 0:
        return end_of_calendar(tariff, product, instant_us)
    if product.service_days == 0:
        return instant_us + product.duration_us if product.duration_us != 0 else 0
    day = day_index(tariff, instant_us)
    if day < 0 or day + product.service_days > tariff.day_count:
        return instant_us + product.service_days * DAY_US
    return tariff.day_start_us[day + product.service_days]


cdef void use_pass(const Case* case, const Lay* lay) noexcept nogil:
    cdef Pass* used
    if lay.used_pass == NULL:
        return
    used = &lay.used_pass.pass_
    used.last_used_us = lay.leg.dep_us
    if lay.takes_ride and used.rides_left > 0:
        used.rides_left -= 1
    if used.until_us == 0:
        used.until_us = end_of(case.tariff, &lay.layers.passes[lay.pass_product], lay.leg.dep_us)
