"""Layer 2: joins, transfers, the chain of legs and its cells, group riders. docs/fares.md is the
text.
"""

from libc.stdint cimport INT32_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath._case cimport Case, Lay, Leg, has_bit, is_joined, note_act
from fastpath._cellspace cimport new_cell
from fastpath._extras cimport Extras
from fastpath._factors cimport Factors, apply_factors
from fastpath._layers cimport (
    BEGINS_RUN, BEGINS_SPAN, EFFECT_ALL, EFFECT_DIFFERENCE, EFFECT_FIRST_AND_TRANSFER,
    EFFECT_MINUS, EFFECT_TRANSFER_ONLY, MEASURED_ARRIVAL_TO_ARRIVAL, MEASURED_DEPARTURE_TO_ARRIVAL,
    MEASURED_DEPARTURE_TO_DEPARTURE, PASS_CELLS_MAX, JoinRule, LayersC, TransferRule,
)
from fastpath._layout cimport *
from fastpath._legs cimport has_bands, network_of, price_by_bands, product_price


cdef enum:
    OWN_SHIFT = 10
    GROUP_MASK = (1 << OWN_SHIFT) - 1
    OWN_TRANSFERS_MAX = 63


# --- cells ----------------------------------------------------------------------------------------

cdef void find_counters(Lay* lay, Cell* cell) noexcept nogil:
    cdef uint32_t place
    cdef uint32_t i
    for place in range(2):
        if cell.counters[place].id == 0:
            lay.free_places += 1
            continue
        for i in range(lay.layers.counter_count):
            if (lay.layers.counters[i].counter_id == cell.counters[place].id
                    and lay.counters[i] == NULL):
                lay.counters[i] = &cell.counters[place]
                lay.new_counters -= 1
                break


cdef void find_cells(Case* case, Lay* lay) noexcept nogil:
    cdef Extras* extras = case.extras
    cdef Cell* cell
    cdef uint32_t i
    lay.new_counters = lay.layers.counter_count
    lay.keeps_chain = lay.layers.has_chain
    if extras == NULL or case.period == NULL:
        return
    for i in range(extras.count):
        cell = &extras.cells[i]
        if cell.type == CELL_PASS:
            if lay.pass_count < PASS_CELLS_MAX:
                lay.passes[lay.pass_count] = cell
                lay.pass_count += 1
        elif cell.key != extras.owner:
            continue
        elif cell.type == CELL_COUNTERS:
            find_counters(lay, cell)
        elif cell.type == CELL_CHAIN and lay.chain == NULL and (
                lay.layers.has_chain or lay.layers.has_pass_chain):
            lay.chain = cell
        elif cell.type == CELL_CHAIN_BEFORE and lay.before == NULL:
            lay.before = cell
        elif cell.type == CELL_SPAN and lay.span == NULL:
            lay.span = cell
    if lay.layers.has_pass_chain:
        lay.keeps_chain = lay.pass_count > 0 or lay.chain != NULL


cdef uint32_t count_needed(const Case* case, const Lay* lay) noexcept nogil:
    cdef uint32_t cells = 0
    if lay.new_counters > lay.free_places:
        cells = (lay.new_counters - lay.free_places + 1) // 2
    if lay.keeps_chain:
        cells += (1 if lay.chain == NULL else 0) + (1 if lay.before == NULL else 0)
        cells += 1 if lay.layers.has_span and lay.span == NULL else 0
    return cells


# See to it that both chain cells are there; False = no room. What windows ask for beside them comes
# third, if it finds room.
cdef bint make_chains(Case* case, Lay* lay) noexcept nogil:
    cdef uint32_t missing = (1 if lay.chain == NULL else 0) + (1 if lay.before == NULL else 0)
    if case.extras == NULL or missing > case.extras.room:
        return missing == 0
    if lay.chain == NULL:
        lay.chain = new_cell(case.extras, CELL_CHAIN)
    if lay.before == NULL:
        lay.before = new_cell(case.extras, CELL_CHAIN_BEFORE)
    if lay.layers.has_span and lay.span == NULL:
        lay.span = new_cell(case.extras, CELL_SPAN)
    return lay.chain != NULL and lay.before != NULL


# --- joins ----------------------------------------------------------------------------------------

cdef int32_t find_join_rule(const Case* case, const Lay* lay, uint32_t exit_stop) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    cdef int64_t gap_us = case.ts_us - case.account.exit_ts_us
    cdef uint8_t before = lay.chain.chain.network if lay.chain != NULL else 0
    cdef uint8_t network
    cdef const JoinRule* one
    cdef uint32_t i
    if gap_us < 0 or layers.join_count == 0:
        return -1
    network = network_of(case, layers)
    for i in range(layers.join_count):
        one = &layers.joins[i]
        if (one.from_network == before and one.to_network == network
                and (one.from_idx < 0 or <uint32_t> one.from_idx == exit_stop)
                and (one.to_idx < 0 or <uint32_t> one.to_idx == case.stop)
                and (one.window_us < 0 or gap_us <= one.window_us)):
            return <int32_t> i
    return -1


# --- transfers ------------------------------------------------------------------------------------

# Chain.last_group: the group, and how many transfers in a row led from it to itself.
cdef inline uint32_t group_of(const Chain* chain) noexcept nogil:
    return chain.last_group & GROUP_MASK


cdef inline uint32_t own_count(const Chain* chain) noexcept nogil:
    return chain.last_group >> OWN_SHIFT


# The span's times as they were when the leg that this tap ends began, NULL = none are kept.
cdef const SpanTimes* times_before(const Case* case, const Lay* lay) noexcept nogil:
    if lay.span == NULL:
        return NULL
    return &lay.span.span.before if is_joined(case) else &lay.span.span.now


# Where a window begins: with the leg before, or the first one of its span or its run of one group.
cdef int64_t begin_of(const TransferRule* rule, const Chain* chain,
                      const SpanTimes* times) noexcept nogil:
    cdef bint by_departure = (rule.measured == MEASURED_DEPARTURE_TO_ARRIVAL
                              or rule.measured == MEASURED_DEPARTURE_TO_DEPARTURE)
    cdef int64_t kept_us = 0
    if rule.begins == BEGINS_SPAN and by_departure:
        return chain.first_dep_us
    if rule.begins == BEGINS_SPAN and times != NULL:
        kept_us = times.first_arr_us
    elif rule.begins == BEGINS_RUN and times != NULL and own_count(chain) > 0:
        kept_us = times.run_dep_us if by_departure else times.run_arr_us
    if kept_us != 0:
        return kept_us
    return chain.last_dep_us if by_departure else chain.last_arr_us


cdef bint is_in_window(const TransferRule* rule, const Chain* chain, const SpanTimes* times,
                       const Leg* leg) noexcept nogil:
    cdef int64_t begin_us = begin_of(rule, chain, times)
    cdef int64_t end_us = leg.dep_us
    if (rule.measured == MEASURED_DEPARTURE_TO_ARRIVAL
            or rule.measured == MEASURED_ARRIVAL_TO_ARRIVAL):
        end_us = leg.arr_us
    return rule.window_us < 0 or end_us - begin_us <= rule.window_us


# Price of the whole span with this leg, -1 = none.
cdef int64_t through_price(Case* case, const Lay* lay, const Chain* chain,
                           const Factors* factors) noexcept nogil:
    cdef uint64_t distance_m = <uint64_t> chain.distance_m + lay.leg.distance_m
    cdef uint32_t rules = 0
    cdef int64_t nominal_minor
    if not lay.layers.has_legs or not has_bands(lay.layers, lay.leg.column):
        return -1
    nominal_minor = price_by_bands(lay.layers, lay.leg.column,
                                   <uint32_t> min(distance_m, <uint64_t> UINT32_MAX), &rules)
    if nominal_minor < 0:
        return -1
    return apply_factors(case, factors, nominal_minor, nominal_minor, False)


# What this leg costs by a rule; False = the rule does not fit.
cdef bint find_cost(Case* case, const Lay* lay, const TransferRule* rule, const Chain* chain,
                    const Factors* factors, int64_t price_minor,
                    int64_t* cost_minor) noexcept nogil:
    cdef int64_t amount_minor = rule.amount_minor
    cdef int64_t through_minor
    cdef uint32_t count = own_count(chain) if rule.counts_own else chain.transfers
    if (rule.count_max >= 0 and <int64_t> count >= rule.count_max) or not is_in_window(
            rule, chain, times_before(case, lay), &lay.leg):
        return False
    if rule.product >= 0:
        amount_minor = product_price(case, lay.layers, rule.product, lay.leg.category)
        if amount_minor < 0:
            return False
    if rule.effect == EFFECT_FIRST_AND_TRANSFER:
        cost_minor[0] = amount_minor
    elif rule.effect == EFFECT_ALL:
        cost_minor[0] = amount_minor + price_minor
    elif rule.effect == EFFECT_TRANSFER_ONLY:
        cost_minor[0] = amount_minor - chain.last_charged_minor
    elif rule.effect == EFFECT_MINUS:
        cost_minor[0] = max(0, price_minor - amount_minor)
    elif rule.effect == EFFECT_DIFFERENCE:
        cost_minor[0] = max(0, price_minor - chain.span_paid_minor) + amount_minor
    else:
        through_minor = through_price(case, lay, chain, factors)
        if through_minor < 0:
            return False
        cost_minor[0] = max(0, through_minor - chain.span_paid_minor) + amount_minor
    return True


# The chain as it was when the leg that this tap ends began, NULL = none.
cdef const Chain* chain_before(const Case* case, const Lay* lay) noexcept nogil:
    if is_joined(case):
        return &lay.before.chain if lay.before != NULL else NULL
    return &lay.chain.chain if lay.chain != NULL else NULL


# Whether legs of the tap's network leave the span as it is: they use and make no transfer.
cdef inline bint keeps_span(const Case* case, const LayersC* layers) noexcept nogil:
    return layers.span_networks != 0 and has_bit(layers.span_networks, network_of(case, layers))


cdef int64_t transferred(Case* case, Lay* lay, const Factors* factors, int64_t price_minor,
                         bint* may_give_back) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    cdef const Chain* chain = chain_before(case, lay)
    cdef const TransferRule* rule
    cdef int64_t cost_minor = price_minor
    cdef uint32_t number
    may_give_back[0] = False
    if (chain == NULL or case.is_late or layers.transfer_count == 0 or group_of(chain) == 0
            or lay.leg.group == 0 or group_of(chain) > layers.group_count
            or lay.leg.dep_us < chain.last_arr_us or keeps_span(case, layers)):
        return price_minor
    number = layers.first_transfer[
        <uint64_t> group_of(chain) * (layers.group_count + 1) + lay.leg.group]
    while number != 0:
        rule = &layers.transfers[number - 1]
        if find_cost(case, lay, rule, chain, factors, price_minor, &cost_minor):
            case.out.rules |= RULE_TRANSFER
            note_act(case, ACT_TRANSFER, number - 1)
            lay.by_transfer = True
            may_give_back[0] = rule.effect == EFFECT_TRANSFER_ONLY
            return cost_minor
        number = layers.next_transfer[number - 1]
    return price_minor


# --- the chain ------------------------------------------------------------------------------------

cdef inline int32_t clamped(int64_t amount_minor) noexcept nogil:
    return <int32_t> max(-<int64_t> INT32_MAX, min(<int64_t> INT32_MAX, amount_minor))


# The first legs of span and run with one more leg; the chain is still that of the leg before.
cdef void add_times(SpanTimes* times, const Chain* chain, const Leg* leg,
                    bint by_transfer) noexcept nogil:
    if not by_transfer:
        times.first_arr_us = leg.arr_us
    if not by_transfer or group_of(chain) != leg.group:
        times.run_dep_us = 0
        times.run_arr_us = 0
    elif own_count(chain) == 0:
        times.run_dep_us = chain.last_dep_us
        times.run_arr_us = chain.last_arr_us


# Add a leg to a chain: to its span by a transfer, else as the first of a new one.
cdef void add_leg(Chain* chain, const Leg* leg, int64_t cost_minor,
                  bint by_transfer) noexcept nogil:
    cdef int64_t paid_minor = 0
    cdef uint64_t distance_m = 0
    cdef uint32_t transfers = 0
    cdef uint32_t own = 0
    if by_transfer:
        if group_of(chain) == leg.group:
            own = min(<uint32_t> OWN_TRANSFERS_MAX, own_count(chain) + 1)
        paid_minor = chain.span_paid_minor
        distance_m = chain.distance_m
        transfers = min(255, <uint32_t> chain.transfers + 1)
    else:
        chain.first_dep_us = leg.dep_us
    chain.last_dep_us = leg.dep_us
    chain.last_arr_us = leg.arr_us
    chain.last_charged_minor = clamped(cost_minor)
    chain.span_paid_minor = clamped(paid_minor + cost_minor)
    chain.distance_m = <uint32_t> min(distance_m + leg.distance_m, <uint64_t> UINT32_MAX)
    chain.last_group = <uint16_t> (leg.group | own << OWN_SHIFT)
    chain.transfers = <uint8_t> transfers
    chain.network = leg.network


cdef void end_span(Lay* lay, uint8_t network) noexcept nogil:
    cdef Chain* chain = &lay.chain.chain
    cdef int64_t journey_dep_us = chain.journey_dep_us
    memset(chain, 0, sizeof(Chain))
    chain.journey_dep_us = journey_dep_us
    chain.network = network
    if lay.span != NULL:
        memset(&lay.span.span.now, 0, sizeof(SpanTimes))


# Chain and times as they were before this tap, for a reversal.
cdef void keep_before(Lay* lay) noexcept nogil:
    lay.before.chain = lay.chain.chain
    if lay.span != NULL:
        lay.span.span.before = lay.span.span.now


cdef void keep_entry(Case* case, Lay* lay, bint is_closing) noexcept nogil:
    if not lay.keeps_chain or not make_chains(case, lay):
        return
    keep_before(lay)
    if is_closing and not keeps_span(case, lay.layers):
        end_span(lay, lay.chain.chain.network)
    lay.chain.chain.journey_dep_us = case.ts_us
    case.account.last_flags |= LAST_CHAIN


cdef void keep_chain(Case* case, Lay* lay, int64_t journey_minor,
                     int64_t ride_minor) noexcept nogil:
    cdef Chain* chain
    cdef int64_t journey_dep_us
    cdef uint8_t network
    cdef bint is_new = lay.chain == NULL
    if not lay.keeps_chain or not (lay.has_leg or lay.ends_span):
        return
    if not lay.has_leg and lay.chain == NULL:
        return
    if not make_chains(case, lay):
        return
    chain = &lay.chain.chain
    if is_new and case.is_ride:
        chain.journey_dep_us = lay.leg.dep_us
    if is_joined(case):
        journey_dep_us = chain.journey_dep_us
        chain[0] = lay.before.chain
        chain.journey_dep_us = journey_dep_us
        if lay.span != NULL:
            lay.span.span.now = lay.span.span.before
    else:
        keep_before(lay)
    network = network_of(case, lay.layers) if case.is_ride or lay.has_leg else chain.network
    if keeps_span(case, lay.layers):
        chain.network = network
    elif lay.has_leg:
        if lay.span != NULL:
            add_times(&lay.span.span.now, chain, &lay.leg, lay.by_transfer)
        add_leg(chain, &lay.leg, journey_minor + ride_minor, lay.by_transfer)
    else:
        end_span(lay, network)
    case.account.last_flags |= LAST_CHAIN


# --- group riders ---------------------------------------------------------------------------------

cdef bint takes_rider(const Lay* lay) noexcept nogil:
    return (lay.layers.scalars.group_riders_max > 1 and lay.chain != NULL
            and lay.chain.riders < lay.layers.scalars.group_riders_max)


cdef void keep_riders(Case* case, Lay* lay) noexcept nogil:
    if lay.layers.scalars.group_riders_max <= 1 or not make_chains(case, lay):
        return
    lay.chain.riders = <uint8_t> (lay.chain.riders + 1 if lay.is_rider else 1)
