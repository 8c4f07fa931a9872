"""Counters, passes and chain after a reversal; like the core this makes no Python object."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath._case cimport Leg, in_scope
from fastpath._extras cimport Extras
from fastpath._layers cimport (
    CATEGORIES_MAX, OVERSTAY_FEE, PASS_CELLS_MAX, SAME_STOP_FARE, WINDOW_MONTH,
    WINDOW_ROLLING, WINDOW_ROLLING_DAYS, WINDOW_WEEK, CounterRule, LayersC, Scope,
)
from fastpath._layout cimport *
from fastpath._legs cimport frame_at
from fastpath._tariff cimport TariffBook, TariffC, book_at, day_index

cdef enum:
    ACT_SHIFT = 24
    ACT_NUMBER = 0xFFFFFF
    SECOND_US = 1000000
    NEVER_COUNTED = RULE_MISSING_CHECK_IN | RULE_GROUP_RIDER
    JOINED = RULE_OUT_OF_STATION | RULE_JOINED_LEG


# Number of the first act of a kind, -1 = there is none.
cdef int64_t find_act(const Decision* charged, uint32_t act) noexcept nogil:
    cdef uint32_t i
    for i in range(charged.act_count):
        if charged.acts[i] >> ACT_SHIFT == act:
            return charged.acts[i] & ACT_NUMBER
    return -1


cdef bint was_counted(const TariffC* tariff, const Decision* charged) noexcept nogil:
    cdef const LayersC* layers = tariff.layers
    cdef int64_t same_stop
    if charged.rules & NEVER_COUNTED:
        return False
    if layers == NULL:
        return True
    if charged.rules & RULE_OVERSTAY and layers.scalars.overstay != OVERSTAY_FEE:
        return False
    same_stop = find_act(charged, ACT_SAME_STOP)
    return (same_stop < 0 or same_stop >= layers.same_stop_count
            or layers.same_stops[same_stop].kind == SAME_STOP_FARE)


cdef Cell* owner_cell(Extras* extras, uint8_t type) noexcept nogil:
    cdef uint32_t i
    for i in range(extras.count):
        if extras.cells[i].type == type and extras.cells[i].key == extras.owner:
            return &extras.cells[i]
    return NULL


# The check-in of the leg; of one whose money alone goes back the fare time.
cdef int64_t entry_of(const Account* account, const Tap* original, const Decision* charged,
                      bint is_whole) noexcept nogil:
    if (is_whole and original.kind == KIND_CHECK_OUT
            and not account.last_flags & LAST_NO_JOURNEY):
        return account.entry_ts_us
    return charged.ts_us


# The first check-in of the effective leg, where it is known.
cdef int64_t departure_of(const TariffC* tariff, Extras* extras, const Decision* charged,
                          int64_t entry_us) noexcept nogil:
    cdef const Cell* chain = NULL
    if tariff.layers.has_chain or tariff.layers.has_pass_chain:
        chain = owner_cell(extras, CELL_CHAIN)
    if charged.rules & JOINED and chain != NULL and entry_us != charged.ts_us:
        return chain.chain.journey_dep_us
    return entry_us


# ---- passes --------------------------------------------------------------------------------------

# Of the passes of the product that the leg was covered by: the one used then, else the first.
cdef Cell* find_pass(const TariffC* tariff, Extras* extras, const Decision* charged,
                     int64_t used_us) noexcept nogil:
    cdef int64_t product = find_act(charged, ACT_PASS)
    cdef Cell* first = NULL
    cdef uint32_t seen = 0
    cdef uint32_t i
    if product < 0 or product >= tariff.layers.pass_count or charged.rules & JOINED:
        return NULL
    for i in range(extras.count):
        if extras.cells[i].type != CELL_PASS:
            continue
        seen += 1
        if seen > PASS_CELLS_MAX:
            break
        if extras.cells[i].key != tariff.layers.passes[product].pass_id:
            continue
        if extras.cells[i].pass_.last_used_us == used_us:
            return &extras.cells[i]
        if first == NULL:
            first = &extras.cells[i]
    return first


cdef void undo_pass(const TariffC* tariff, Extras* extras, const Decision* charged,
                    int64_t used_us) noexcept nogil:
    cdef Cell* cell = find_pass(tariff, extras, charged, used_us)
    if cell == NULL:
        return
    if cell.pass_.rides_left >= 0:
        cell.pass_.rides_left += 1
    if cell.pass_.last_used_us == used_us:
        cell.pass_.last_used_us = 0


# ---- counters ------------------------------------------------------------------------------------

cdef uint32_t category_at(const TariffC* tariff, const Account* account, const Extras* extras,
                          int64_t instant_us) noexcept nogil:
    cdef uint32_t limit = tariff.layers.category_count if tariff.layers.has_legs else CATEGORIES_MAX
    cdef uint64_t lowest = account.rider_category
    cdef bint found = False
    cdef uint32_t i
    cdef const Cell* cell
    for i in range(extras.count):
        cell = &extras.cells[i]
        if (cell.type == CELL_CONCESSION and (not found or cell.key < lowest)
                and cell.concession.from_us <= instant_us < cell.concession.until_us):
            lowest = cell.key
            found = True
    return <uint32_t> lowest if lowest < limit else 0


# Whether an instant lies in the window that a counter stands in.
cdef bint is_in_window(const TariffBook* book, const TariffC* tariff, uint32_t slot,
                       const CounterRule* rule, uint32_t window, int64_t instant_us) noexcept nogil:
    cdef int64_t began_us = <int64_t> window * SECOND_US
    cdef int64_t index
    cdef int64_t day
    if rule.window == WINDOW_ROLLING:
        return window != 0 and began_us <= instant_us < began_us + rule.length
    index = day_index(tariff, instant_us)
    if index < 0:
        tariff = book_at(book, slot, instant_us)
        index = day_index(tariff, instant_us) if tariff != NULL else -1
    if index < 0:
        return False
    day = tariff.rules.first_day + index
    if rule.window == WINDOW_MONTH:
        return tariff.day_month[index] == window
    if rule.window == WINDOW_WEEK:
        day -= (day + 3 - rule.week_start) % 7
    elif rule.window == WINDOW_ROLLING_DAYS:
        return window != 0 and <int64_t> window <= day < <int64_t> window + rule.length
    return <int64_t> window == day


cdef Counter* find_counter(Extras* extras, uint32_t counter_id) noexcept nogil:
    cdef uint32_t i, place
    for i in range(extras.count):
        if extras.cells[i].type != CELL_COUNTERS or extras.cells[i].key != extras.owner:
            continue
        for place in range(2):
            if extras.cells[i].counters[place].id == counter_id:
                return &extras.cells[i].counters[place]
    return NULL


cdef void take_off(Counter* counter, const CounterRule* rule, int64_t amount_minor,
                   uint32_t trips) noexcept nogil:
    counter.paid_minor = max(0, counter.paid_minor - amount_minor)
    counter.trips -= min(counter.trips, trips)
    if counter.trips == 0 and (rule.window == WINDOW_ROLLING or rule.window == WINDOW_ROLLING_DAYS):
        counter.window = 0
        counter.zones = 0
        counter.paid_minor = 0


# Whether a pass or a cap took all of a leg's charge.
cdef inline bint was_made_free(const Decision* charged, int64_t ride_minor) noexcept nogil:
    return (charged.rules & RULE_PASS != 0
            or (charged.rules & RULE_CAP != 0 and ride_minor == 0))


cdef void undo_counters(const TariffBook* book, const TariffC* tariff, const Account* account,
                        Extras* extras, const Tap* original, const Decision* charged,
                        int64_t entry_us) noexcept nogil:
    cdef int64_t departure_us = departure_of(tariff, extras, charged, entry_us)
    cdef uint32_t category = category_at(tariff, account, extras, departure_us)
    cdef const Scope* scopes = tariff.layers.counter_scopes
    cdef uint32_t trips
    cdef Leg leg
    cdef int64_t instant_us, amount_minor
    cdef const CounterRule* rule
    cdef Counter* counter
    cdef uint32_t i
    memset(&leg, 0, sizeof(Leg))
    if scopes != NULL:
        leg.frame_in = frame_at(tariff, tariff.layers, departure_us)
        leg.medium = original.medium_kind & 15
    for i in range(tariff.layers.counter_count):
        rule = &tariff.layers.counters[i]
        counter = find_counter(extras, rule.counter_id)
        if (counter == NULL or not rule.networks >> charged.network & 1
                or not rule.categories >> category & 1 or not in_scope(scopes, i, &leg)):
            continue
        instant_us = charged.ts_us
        if rule.window == WINDOW_MONTH and tariff.rules.month_by_entry:
            instant_us = entry_us
        if not is_in_window(book, tariff, original.tariff_slot, rule, counter.window, instant_us):
            continue
        amount_minor = charged.fare_minor
        if charged.rules & RULE_OVERSTAY:
            amount_minor -= tariff.rules.overstay_minor
        trips = 0 if charged.rules & JOINED else 1
        if scopes != NULL and scopes[i].skips_free and was_made_free(charged, amount_minor):
            trips = 0
        if rule.counts_nominal:
            amount_minor = 0 if charged.rules & RULE_PASS else charged.nominal_minor
        take_off(counter, rule, amount_minor, trips)


# ---- all of it -----------------------------------------------------------------------------------

cdef void undo_chain(const Account* account, Extras* extras) noexcept nogil:
    cdef Cell* chain = owner_cell(extras, CELL_CHAIN)
    cdef const Cell* before = owner_cell(extras, CELL_CHAIN_BEFORE)
    cdef Cell* span = owner_cell(extras, CELL_SPAN)
    if account.last_flags & LAST_CHAIN and chain != NULL and before != NULL:
        chain.chain = before.chain
        if span != NULL:
            span.span.now = span.span.before


cdef void undo_cells(const TariffBook* book, const TariffC* tariff, const Account* account,
                     Extras* extras, const Tap* original, const Decision* charged,
                     bint is_whole) noexcept nogil:
    cdef int64_t entry_us = entry_of(account, original, charged, is_whole)
    if (original.kind != KIND_CHECK_IN and not charged.rules & RULE_DEVICE_AMOUNT
            and was_counted(tariff, charged)):
        undo_counters(book, tariff, account, extras, original, charged, entry_us)
    undo_pass(tariff, extras, charged, entry_us)
    if is_whole:
        undo_chain(account, extras)
