"""Every factor on the price of a leg, multiplied exactly and rounded once; and split tiers.

docs/fares.md is the text. A plain tariff comes here only when its monthly tiers are split: its
other prices are made in _core.pyx.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from fastpath._case cimport (
    READING_NOTHING, Case, Lay, has_bit, in_scope, is_countable, is_joined, note_act,
)
from fastpath._layers cimport (
    MEASURE_PAID, MEASURE_TRIPS, PERIOD_TIERS, ROUND_HALF_UP, CounterRule, LayersC,
    PeriodRule, PeriodStep,
)
from fastpath._layout cimport *
from fastpath._period cimport read_paid, read_rule, read_trips
from fastpath._tariff cimport FACTOR_ONE, TariffC, Tier
from fastpath._totals cimport (
    FACTORS_AT_ONCE, month_total, month_trips, proportion_half_up, scale_factors,
)


cdef inline int64_t begin_of(const TierUse* tier, int32_t place) noexcept nogil:
    return (<const int64_t*> (tier.steps + <size_t> place * tier.step_bytes))[0]


cdef inline int64_t factor_of(const TierUse* tier, int32_t place) noexcept nogil:
    if place < 0:
        return FACTOR_ONE
    return (<const int64_t*> (tier.steps + <size_t> place * tier.step_bytes))[1]


# The last step that begins at or below a total, -1 = none.
cdef inline int32_t place_of(const TierUse* tier, int64_t total) noexcept nogil:
    cdef int32_t place = -1
    while place + 1 < <int32_t> tier.step_count and begin_of(tier, place + 1) <= total:
        place += 1
    return place


cdef void add_tier(Factors* factors, TierUse* tier) noexcept nogil:
    tier.place = place_of(tier, tier.total)
    tier.factor_ppm = factor_of(tier, tier.place)
    factors.tier_count += 1


cdef void add_month(Case* case, int64_t before_minor, Factors* factors) noexcept nogil:
    cdef const TariffC* tariff = case.tariff
    cdef TierUse* tier = &factors.tiers[factors.tier_count]
    cdef bint by_trips = tariff.rules.month_basis == MONTH_BASIS_TRIPS
    if tariff.tier_count == 0 or not is_countable(case):
        return
    if by_trips:
        tier.total = month_trips(case.period, case.month) - (1 if is_joined(case) else 0)
    else:
        tier.total = month_total(case.period, case.month)
        if is_joined(case):
            tier.total -= before_minor
    tier.total = max(0, tier.total)
    tier.steps = <const char*> tariff.tiers
    tier.step_bytes = sizeof(Tier)
    tier.step_count = tariff.tier_count
    tier.rule = RULE_MONTHLY_TIER
    tier.act = ACT_MONTHLY_TIER
    tier.number = -1
    tier.is_split = tariff.rules.tier_split != 0 and not by_trips
    add_tier(factors, tier)


# Whether a counter has the journey's earlier legs: by the network of the one before, where a chain
# says which that was.
cdef inline bint counted_earlier(const Lay* lay, uint32_t number) noexcept nogil:
    cdef const CounterRule* counter = &lay.layers.counters[number]
    cdef uint8_t network = lay.chain.chain.network if lay.chain != NULL else lay.leg.network
    return (has_bit(counter.networks, network) and has_bit(counter.categories, lay.leg.category)
            and in_scope(lay.layers.counter_scopes, number, &lay.leg))


cdef void add_period_rule(Case* case, Lay* lay, uint32_t index, int64_t before_minor,
                          int64_t nominal_before_minor, Factors* factors) noexcept nogil:
    cdef const LayersC* layers = lay.layers
    cdef const PeriodRule* rule = &layers.period_rules[index]
    cdef TierUse* tier = &factors.tiers[factors.tier_count]
    cdef bint has_earlier
    if read_rule(case, lay, rule) == READING_NOTHING:
        return
    has_earlier = is_joined(case) and counted_earlier(lay, rule.counter)
    if rule.measure == MEASURE_TRIPS:
        tier.total = read_trips(lay, rule.counter) - (1 if has_earlier else 0)
    else:
        tier.total = read_paid(lay, rule.counter)
        if has_earlier:
            tier.total -= (nominal_before_minor if layers.counters[rule.counter].counts_nominal
                           else before_minor)
    tier.total = max(0, tier.total)
    tier.steps = <const char*> &layers.steps[rule.first_step]
    tier.step_bytes = sizeof(PeriodStep)
    tier.step_count = rule.step_count
    tier.rule = RULE_PERIOD_TIER
    tier.act = ACT_PERIOD
    tier.number = <int32_t> index
    tier.is_split = rule.is_split != 0 and rule.measure == MEASURE_PAID
    add_tier(factors, tier)


cdef void find_factors(Case* case, Lay* lay, uint32_t discount, int64_t before_minor,
                       int64_t nominal_before_minor, Factors* factors) noexcept nogil:
    cdef const TariffC* tariff = case.tariff
    cdef uint32_t kind = case.tap.medium_kind & 15
    cdef const PeriodRule* rule
    cdef uint32_t i
    factors.tier_count = 0
    factors.time_ppm = FACTOR_ONE
    factors.leg_ppm = FACTOR_ONE
    factors.medium_ppm = tariff.rules.medium_factor_ppm[kind]
    if 0 < discount <= tariff.discount_count:
        factors.time_ppm = tariff.discount_ppm[discount - 1]
        factors.time_number = discount - 1
    if tariff.rules.month_basis == MONTH_BASIS_NOMINAL:
        add_month(case, nominal_before_minor, factors)
    else:
        add_month(case, before_minor, factors)
    if lay == NULL:
        return
    if lay.layers.leg_factor_ppm != NULL:
        factors.leg_ppm = lay.layers.leg_factor_ppm[
            (lay.leg.frame_in * lay.layers.category_count + lay.leg.category) * 16 + kind]
    for i in range(lay.layers.period_rule_count):
        rule = &lay.layers.period_rules[i]
        if (rule.kind == PERIOD_TIERS and has_bit(rule.networks, lay.leg.network)
                and has_bit(rule.categories, lay.leg.category)
                and in_scope(lay.layers.rule_scopes, i, &lay.leg)):
            add_period_rule(case, lay, i, before_minor, nominal_before_minor, factors)


# --- the price ------------------------------------------------------------------------------------

# Cut a price at the thresholds; *used = the first step used whose factor is not 1, -1 = none.
cdef int64_t split_price(const TierUse* tier, int64_t price_minor, int32_t* used) noexcept nogil:
    cdef int64_t left_minor = price_minor
    cdef int64_t total = tier.total
    cdef int64_t sum_minor = 0
    cdef int64_t factor_ppm
    cdef int64_t part_minor
    cdef int64_t room_minor
    cdef int32_t place = tier.place
    cdef bint is_last_step
    used[0] = -1
    while left_minor > 0:
        factor_ppm = factor_of(tier, place)
        if factor_ppm != FACTOR_ONE and used[0] < 0:
            used[0] = place
        part_minor = proportion_half_up(left_minor, factor_ppm, FACTOR_ONE)
        is_last_step = place + 1 >= <int32_t> tier.step_count
        room_minor = 0 if is_last_step else begin_of(tier, place + 1) - total
        if is_last_step or factor_ppm == 0 or part_minor <= room_minor:
            return sum_minor + part_minor
        sum_minor += room_minor
        total += room_minor
        left_minor -= min(left_minor, proportion_half_up(room_minor, FACTOR_ONE, factor_ppm))
        place += 1
    return sum_minor


cdef inline void tell_tier(Case* case, const TierUse* tier, int32_t place) noexcept nogil:
    case.out.rules |= tier.rule
    if case.tariff.layers != NULL:
        note_act(case, tier.act, <uint32_t> (place if tier.number < 0 else tier.number))


# Factors other than 1, but for those of split tiers: how many.
cdef int list_factors(const Factors* factors, int64_t* acting_ppm) noexcept nogil:
    cdef int count = 0
    cdef uint32_t i
    if factors.medium_ppm != FACTOR_ONE:
        acting_ppm[count] = factors.medium_ppm
        count += 1
    if factors.leg_ppm != FACTOR_ONE:
        acting_ppm[count] = factors.leg_ppm
        count += 1
    for i in range(factors.tier_count):
        if not factors.tiers[i].is_split and factors.tiers[i].factor_ppm != FACTOR_ONE:
            acting_ppm[count] = factors.tiers[i].factor_ppm
            count += 1
    return count


# The split tier itself, if it changes the price: the step told is *place.
cdef int64_t apply_split(const Case* case, const Factors* factors, int64_t price_minor, int mode,
                         int32_t* place) noexcept nogil:
    cdef int64_t sum_minor
    cdef uint32_t i
    place[0] = -1
    for i in range(factors.tier_count):
        if factors.tiers[i].is_split:
            sum_minor = split_price(&factors.tiers[i], price_minor, place)
            if place[0] >= 0:
                price_minor = scale_factors(sum_minor * FACTOR_ONE, NULL, 0,
                                            case.tariff.rules.round_to_minor, mode)
    return price_minor


cdef void tell_factors(Case* case, const Factors* factors, bint is_timed,
                       int32_t split_place) noexcept nogil:
    cdef const TierUse* tier
    cdef uint32_t i
    if is_timed:
        case.out.rules |= RULE_TIME_DISCOUNT
        if case.tariff.layers != NULL:
            note_act(case, ACT_TIME_DISCOUNT, factors.time_number)
    if factors.medium_ppm != FACTOR_ONE:
        case.out.rules |= RULE_MEDIUM_FACTOR
    if factors.leg_ppm != FACTOR_ONE:
        case.out.rules |= RULE_LEG_FACTOR
    for i in range(factors.tier_count):
        tier = &factors.tiers[i]
        if tier.is_split and split_place >= 0:
            tell_tier(case, tier, split_place)
        elif not tier.is_split and tier.factor_ppm != FACTOR_ONE:
            tell_tier(case, tier, tier.place)


cdef int64_t apply_factors(Case* case, const Factors* factors, int64_t nominal_minor,
                           int64_t discountable_minor, bint is_told) noexcept nogil:
    cdef int64_t acting_ppm[FACTORS_AT_ONCE]
    cdef bint is_timed = factors.time_ppm != FACTOR_ONE and discountable_minor != 0
    cdef int count = list_factors(factors, acting_ppm)
    cdef int64_t price_minor = nominal_minor
    cdef int64_t amount_ppm = nominal_minor * FACTOR_ONE
    cdef int mode = ROUND_HALF_UP
    cdef int32_t split_place
    if case.tariff.layers != NULL:
        mode = <int> case.tariff.layers.scalars.round_mode
    if is_timed:
        amount_ppm += discountable_minor * (factors.time_ppm - FACTOR_ONE)
    if is_timed or count > 0:
        price_minor = scale_factors(amount_ppm, acting_ppm, count,
                                    case.tariff.rules.round_to_minor, mode)
    price_minor = apply_split(case, factors, price_minor, mode, &split_place)
    if is_told:
        tell_factors(case, factors, is_timed, split_place)
    return price_minor
