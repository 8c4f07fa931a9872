"""The decisions on taps: what a validator asks, and what comes of it.

fastpath/reference.py is the specification of the rules; tests compare the two on random histories.
Every function is `noexcept nogil` and makes no Python object (tests/fastpath/test_annotated.py).
Reasons are looked for in their order of precedence, so the first one found is the one that is told.
Reversals and commands: _reversal.pyx, _commands.pyx. What stands here is one file so that the
C compiler sees the whole path of a tap at once.
"""

from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._case cimport (
    Case, Charge, Lay, find_calendar, highest_of, is_countable, is_joined, knows_any_stop,
    note_act, ride_origin, splits_round_trips,
)
from fastpath._extras cimport Extras
from fastpath._factors cimport Factors, apply_factors, find_factors
from fastpath._funding cimport draw_funds, main_left, purses_left
from fastpath._journey cimport count_needed, find_join_rule, keep_entry, keep_riders, takes_rider
from fastpath._layout cimport *
from fastpath._legs cimport network_of
from fastpath._limits cimport check_spend, count_spend, find_limits, lacks_limits_cell
from fastpath._pricing cimport begin_layers, keep_layers, price_layered_flat, price_layered_ride
from fastpath._tariff cimport (
    FACTOR_ONE, NO_STOP, Interchange, OdFare, TariffBook, TariffC, book_at, book_by_key, day_index,
    stop_index,
)
from fastpath._totals cimport (
    FARE_MAX, add_money, add_to_period, month_total, month_trips, scale_half_up, spendable,
)

cdef enum:
    ANYTHING_MINOR = 1     # what a check-in asks the limits for: may anything be spent at all

cdef extern from * nogil:
    """
    /* When no tariff is in force to say it. */
    #define CLOCK_AHEAD_US 300000000LL
    #define CLOCK_BEHIND_US 86400000000LL
    #define OFFLINE_HORIZON_US 2592000000000LL
    """
    const int64_t CLOCK_AHEAD_US
    const int64_t CLOCK_BEHIND_US
    const int64_t OFFLINE_HORIZON_US
    void __builtin_prefetch(const void* at)


# --- answers --------------------------------------------------------------------------------------

cdef inline void finish(Case* case, int reason, int verdict) noexcept nogil:
    case.out.reason = <uint8_t> reason
    case.out.verdict = <uint8_t> verdict
    if case.account != NULL:
        case.out.balance_minor = spendable(case.account)


# A refusal keeps only the rules that led to it.
cdef void refuse(Case* case, int reason) noexcept nogil:
    case.out.rules &= RULE_RECEIVED_TIME | RULE_ENTRY_MINIMUM
    case.out.distance_m = 0
    case.out.other_stop = 0
    case.out.network = 0
    if case.out.act_count != 0:
        memset(case.out.acts, 0, sizeof(case.out.acts))
        case.out.act_count = 0
    finish(case, reason, VERDICT_DENY)


# The ride was made and no account can bear it: somebody else does, nothing here changes.
cdef void post_risk(Case* case, int64_t fare_minor) noexcept nogil:
    case.out.rules |= RULE_OFFLINE_ACCEPTED
    case.out.fare_minor = fare_minor
    case.out.nominal_minor = fare_minor
    finish(case, REASON_OK_RISK, VERDICT_OPEN_WITH_DEBT)


# --- time, tariff, place --------------------------------------------------------------------------

cdef inline int64_t find_horizon(const TariffC* tariff) noexcept nogil:
    return tariff.rules.offline_horizon_us if tariff != NULL else OFFLINE_HORIZON_US


# Whether the device's clock is not to be believed: it says so, or it is off by more than its limit.
# A tap made offline may lie as far back as the horizon; one from before it that the device let
# through was made by a clock that is wrong (1970, a battery that ran out).
cdef bint is_clock_off(const TariffBook* book, const Tap* tap) noexcept nogil:
    cdef const TariffC* tariff = book_at(book, tap.tariff_slot, tap.now_us)
    cdef int64_t ahead_us = tariff.rules.clock_ahead_us if tariff != NULL else CLOCK_AHEAD_US
    cdef int64_t behind_us = tariff.rules.clock_behind_us if tariff != NULL else CLOCK_BEHIND_US
    cdef bint is_offline = tap.kind != KIND_INSPECT and tap.flags & TAP_OFFLINE != 0
    if tap.flags & TAP_CLOCK_UNSURE or tap.device_ts_us > tap.now_us + ahead_us:
        return True
    if is_offline:
        return (tap.flags & TAP_DEVICE_OPENED != 0
                and tap.device_ts_us < tap.now_us - find_horizon(tariff))
    return tap.device_ts_us < tap.now_us - behind_us


cdef int64_t fare_time(const TariffBook* book, const Tap* tap) noexcept nogil:
    return tap.now_us if is_clock_off(book, tap) else tap.device_ts_us


cdef int find_fare_time(Case* case) noexcept nogil:
    cdef const Tap* tap = case.tap
    cdef const TariffC* tariff = book_at(case.book, tap.tariff_slot, tap.now_us)
    case.ts_us = fare_time(case.book, tap)
    case.out.ts_us = case.ts_us
    if is_clock_off(case.book, tap):
        case.out.rules |= RULE_RECEIVED_TIME
    if case.is_offline and case.ts_us < tap.now_us - find_horizon(tariff):
        return REASON_OP_TOO_OLD
    return REASON_OK


# An open journey keeps the version of its entry; when that is gone, the one in force at the entry.
cdef const TariffC* entry_tariff(const Case* case) noexcept nogil:
    cdef const TariffC* tariff = book_at(case.book, case.tap.tariff_slot, case.account.entry_ts_us)
    cdef const TariffC* kept
    if tariff != NULL and tariff.key == case.account.entry_tariff:
        return tariff
    kept = book_by_key(case.book, case.account.entry_tariff)
    return kept if kept != NULL else tariff


cdef void find_month(Case* case) noexcept nogil:
    cdef int64_t instant_us = case.ts_us
    if case.tariff.tier_count == 0:
        return
    if case.is_ride and case.tariff.rules.month_by_entry:
        instant_us = case.account.entry_ts_us
    find_calendar(case, instant_us, &case.month, &case.day)


cdef inline bint is_journey_open(const Case* case) noexcept nogil:
    return case.account != NULL and case.account.journey_state == JOURNEY_OPEN


cdef bint find_is_late(const Case* case) noexcept nogil:
    cdef const Account* account = case.account
    if account == NULL or not case.is_offline:
        return False
    if case.tap.kind == KIND_FLAT:
        return case.ts_us < account.last_ts_us
    if account.journey_state == JOURNEY_OPEN:
        return case.ts_us < account.entry_ts_us
    return account.journey_state == JOURNEY_DONE and case.ts_us < account.exit_ts_us


cdef inline void choose_tariff(Case* case) noexcept nogil:
    case.is_late = find_is_late(case)
    case.is_ride = case.tap.kind == KIND_CHECK_OUT and is_journey_open(case) and not case.is_late
    if case.is_ride:
        case.tariff = entry_tariff(case)
    else:
        case.tariff = book_at(case.book, case.tap.tariff_slot, case.ts_us)
    if case.is_ride and case.account.leg_count > 1 and case.tariff != NULL:
        case.is_joined = (case.tap.stop != case.account.origin_stop
                          or not splits_round_trips(case.tariff))


# What is wrong with the tap itself, whoever made it.
cdef int find_message_fault(Case* case) noexcept nogil:
    cdef int fault = find_fare_time(case)
    cdef bint has_place = case.tap.kind == KIND_CHECK_IN or case.tap.kind == KIND_CHECK_OUT
    if fault != REASON_OK:
        return fault
    choose_tariff(case)
    if case.tariff == NULL:
        return REASON_TARIFF_NOT_LOADED
    case.out.tariff_key = case.tariff.key
    case.stop = stop_index(case.tariff, case.tap.stop) if has_place else NO_STOP
    if case.tariff.layers != NULL and case.tap.kind != KIND_INSPECT:
        case.out.network = network_of(case, case.tariff.layers)
    if has_place and case.stop == NO_STOP and not knows_any_stop(case.tariff):
        return REASON_UNKNOWN_STOP
    return REASON_OK


# --- who ------------------------------------------------------------------------------------------

cdef int find_standing(const Case* case) noexcept nogil:
    cdef uint8_t state = case.medium.state
    if state == MEDIUM_DENYLISTED:
        return REASON_DENYLISTED
    if state == MEDIUM_LOST or state == MEDIUM_REPLACED:
        return REASON_MEDIUM_LOST
    if state == MEDIUM_EXPIRED or 0 != case.medium.expires_us <= case.ts_us:
        return REASON_MEDIUM_EXPIRED
    if case.account.status & ACCOUNT_CLOSED:
        return REASON_ACCOUNT_CLOSED
    if case.account.status & ACCOUNT_FROZEN_DEBIT:
        return REASON_ACCOUNT_FROZEN
    return REASON_OK


# Whether the tap cannot be put on an account of ours; the reason, or OK.
cdef int find_stranger(const Case* case, int standing) noexcept nogil:
    if case.account.currency == case.tariff.rules.currency:
        return REASON_OK
    return standing if standing != REASON_OK else REASON_CURRENCY_MISMATCH


# --- money ----------------------------------------------------------------------------------------

cdef inline bint can_bear(const Account* account, int64_t fare_minor) noexcept nogil:
    cdef int64_t left
    return add_money(account.balance_minor, -fare_minor, &left)


# Whether more than the account's own line says what pays: further purses, plans, a late credit line.
cdef inline bint is_funded(const Case* case) noexcept nogil:
    return ((case.extras != NULL and case.extras.wallet != 0)
            or case.account.status & ACCOUNT_CREDIT_LATE != 0)


# What the account can pay.
cdef int64_t limit_of(const Case* case, bint is_way_home) noexcept nogil:
    if not is_funded(case):
        return spendable(case.account) + case.account.credit_limit_minor
    return (purses_left(case.account, case.extras, PURPOSE_TRANSIT, case.ts_us)
            + main_left(case.account, case.extras, is_way_home))


# Why it cannot pay so much.
cdef int find_shortage(const Case* case, int64_t amount_minor) noexcept nogil:
    if (case.account.status & ACCOUNT_CREDIT_LATE and not case.is_ride
            and limit_of(case, True) >= amount_minor):
        return REASON_CREDIT_LATE
    return REASON_INSUFFICIENT_BALANCE


# Whether the account can pay `fare` and have `least` left. A check-out may once go below the limit.
cdef int find_funds(Case* case, int64_t fare_minor, int64_t least_minor) noexcept nogil:
    cdef int64_t limit_minor = limit_of(case, case.is_ride)
    if not can_bear(case.account, fare_minor):
        return REASON_AMOUNT_OVERFLOW
    if limit_minor >= fare_minor + least_minor:
        return REASON_OK
    if case.tap.kind == KIND_CHECK_IN:
        case.out.rules |= RULE_ENTRY_MINIMUM
        return find_shortage(case, fare_minor + least_minor)
    if fare_minor <= 0:
        return REASON_OK
    if case.tap.kind == KIND_CHECK_OUT and case.tariff.rules.exit_overdraft and limit_minor >= 0:
        case.out.rules |= RULE_EXIT_OVERDRAFT
        return REASON_OK
    return find_shortage(case, fare_minor + least_minor)


# Turn the first reason against the tap into a verdict. True = the tap takes effect.
cdef bint admit(Case* case, int refusal, bint is_debt, int64_t fare_minor) noexcept nogil:
    if refusal != REASON_OK and not case.is_opened:
        refuse(case, refusal)
        return False
    if case.is_offline and not case.is_opened:
        refuse(case, REASON_OFFLINE_REFUSED)
        return False
    if not can_bear(case.account, fare_minor):
        if case.is_opened:
            post_risk(case, fare_minor)
        else:
            refuse(case, REASON_AMOUNT_OVERFLOW)
        return False
    if refusal != REASON_OK:
        case.out.rules |= RULE_OFFLINE_ACCEPTED
    if refusal != REASON_OK or is_debt:
        case.out.reason = REASON_OK_DEBT
        case.out.verdict = VERDICT_OPEN_WITH_DEBT
        return True
    case.out.reason = REASON_OK_OVERDRAFT if case.out.rules & RULE_EXIT_OVERDRAFT else REASON_OK
    case.out.verdict = VERDICT_OPEN
    return True


# Take a fare, purses first; one below 0 is given back to the stored value.
cdef void draw(Case* case, int64_t fare_minor) noexcept nogil:
    cdef Account* account = case.account
    cdef int64_t main_minor
    if is_funded(case):
        main_minor = draw_funds(account, case.extras, PURPOSE_TRANSIT, fare_minor, case.ts_us,
                                case.out)
    else:
        case.out.subsidy_minor = max(0, min(fare_minor, account.subsidy_minor))
        main_minor = fare_minor - case.out.subsidy_minor
        account.subsidy_minor -= case.out.subsidy_minor
        account.balance_minor -= main_minor
    case.out.fare_minor = fare_minor
    if case.out.subsidy_minor > 0:
        case.out.rules |= RULE_SUBSIDY
    if case.out.reason == REASON_OK and main_minor > 0 and account.balance_minor < 0:
        case.out.rules |= RULE_CREDIT_LINE
    if case.book.limits != NULL and count_spend(case.book.limits, account, case.extras, fare_minor,
                                                case.tap.now_us):
        case.out.rules |= RULE_COUNTED


# --- monthly totals -------------------------------------------------------------------------------

cdef void open_month(Period* period, uint32_t month) noexcept nogil:
    if month > period.month:
        period.prev_month = period.month
        period.prev_month_trips = period.month_trips
        period.prev_month_paid_minor = period.month_paid_minor
        period.month = month
        period.month_trips = 0
        period.month_paid_minor = 0
    elif period.prev_month < month < period.month:
        period.prev_month = month
        period.prev_month_trips = 0
        period.prev_month_paid_minor = 0


# Count a trip; returns the month it was counted in, 0 = not counted.
cdef uint32_t count_trip(Case* case, const Charge* charge) noexcept nogil:
    cdef Period* period = case.period
    cdef int64_t counted_minor = charge.ride_minor
    if not charge.is_counted or not is_countable(case):
        return 0
    if case.tariff.rules.month_basis == MONTH_BASIS_NOMINAL:
        counted_minor = 0 if charge.by_pass else charge.nominal_minor
    open_month(period, case.month)
    if case.day > period.day:
        period.day = case.day
        period.day_trips = 0
        period.day_paid_minor = 0
    add_to_period(period, case.month, case.day, counted_minor, 1 if charge.is_new_trip else 0)
    return case.month


# --- prices ---------------------------------------------------------------------------------------

# Index + 1 of the first time discount that a journey from this stop at this instant has, 0 = none.
cdef uint8_t find_discount(const TariffC* tariff, uint32_t stop, int64_t ts_us) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t at
    cdef int64_t day = day_index(tariff, ts_us) if tariff.discount_count > 0 else -1
    if day < 0 or stop == NO_STOP:
        return 0
    for i in range(tariff.discount_count):
        at = <uint64_t> i * tariff.day_count + <uint64_t> day
        if (tariff.discount_stops[<uint64_t> i * tariff.stop_count + stop]
                and tariff.discount_start_us[at] <= ts_us < tariff.discount_end_us[at]):
            return <uint8_t> (i + 1)
    return 0


cdef bint find_pair(const TariffC* tariff, uint32_t origin, uint32_t destination,
                    OdFare* out) noexcept nogil:
    if origin == NO_STOP or destination == NO_STOP:
        return False
    out[0] = tariff.fares[<uint64_t> origin * tariff.stop_count + destination]
    if origin == destination and tariff.rules.same_stop_fare_minor >= 0:
        memset(out, 0, sizeof(OdFare))
        out.fare_minor = <int> tariff.rules.same_stop_fare_minor
    return out.fare_minor >= 0


cdef uint32_t rules_of_pair(const TariffC* tariff, bint is_same_stop,
                            const OdFare* pair) noexcept nogil:
    if is_same_stop and tariff.rules.same_stop_fare_minor >= 0:
        return RULE_SAME_STATION
    if pair.part == PART_BAND:
        return RULE_DISTANCE_BAND
    if pair.part == PART_BEYOND:
        return RULE_BEYOND_BANDS
    if pair.part == PART_SEPARATE:
        return RULE_SEPARATE_LINE
    return RULE_SEPARATE_LINE | RULE_DISTANCE_BAND if pair.part == PART_COMBINED else 0


# Factor of the monthly tier that a total lies in.
cdef int64_t find_tier(const Case* case, int64_t total_minor) noexcept nogil:
    cdef int64_t factor_ppm = FACTOR_ONE
    cdef uint32_t i
    if not is_countable(case):
        return FACTOR_ONE
    for i in range(case.tariff.tier_count):
        if total_minor < case.tariff.tiers[i].from_minor:
            break
        factor_ppm = case.tariff.tiers[i].factor_ppm
    return factor_ppm


# Apply time, medium and tier factors in one rounding; a fare that nothing touches is not rounded.
cdef int64_t discounted(Case* case, int64_t fare_minor, int64_t part_minor, int64_t time_ppm,
                        int64_t tier_ppm) noexcept nogil:
    cdef int64_t medium_ppm = case.tariff.rules.medium_factor_ppm[case.tap.medium_kind & 15]
    if part_minor == 0:
        time_ppm = FACTOR_ONE
    if time_ppm == FACTOR_ONE and medium_ppm == FACTOR_ONE and tier_ppm == FACTOR_ONE:
        return fare_minor
    if time_ppm != FACTOR_ONE:
        case.out.rules |= RULE_TIME_DISCOUNT
    if medium_ppm != FACTOR_ONE:
        case.out.rules |= RULE_MEDIUM_FACTOR
    if tier_ppm != FACTOR_ONE:
        case.out.rules |= RULE_MONTHLY_TIER
    return scale_half_up((fare_minor - part_minor) * FACTOR_ONE + part_minor * time_ppm,
                         medium_ppm, tier_ppm, case.tariff.rules.round_to_minor)


# Nominal price of the legs already made: what an out-of-station interchange continues.
cdef int64_t nominal_so_far(const Case* case, uint32_t origin) noexcept nogil:
    cdef OdFare pair
    if not is_joined(case):
        return 0
    if find_pair(case.tariff, origin, stop_index(case.tariff, case.account.exit_stop), &pair):
        return pair.fare_minor
    return 0


# Total (or trips) of the month before the journey began: its own earlier legs do not push it into a
# tier.
cdef int64_t total_before(const Case* case, int64_t earlier_nominal_minor) noexcept nogil:
    cdef int64_t basis = case.tariff.rules.month_basis
    cdef int64_t total_minor
    if basis == MONTH_BASIS_TRIPS:
        total_minor = month_trips(case.period, case.month)
        return max(0, total_minor - (1 if is_joined(case) else 0))
    total_minor = month_total(case.period, case.month)
    if is_joined(case):
        total_minor -= (earlier_nominal_minor if basis == MONTH_BASIS_NOMINAL
                        else case.account.journey_paid_minor)
    return max(0, total_minor)


# A price of a plain tariff whose monthly tiers are split at their thresholds.
cdef int64_t split_month(Case* case, const OdFare* pair, uint32_t discount,
                         int64_t earlier_nominal_minor) noexcept nogil:
    cdef Factors factors
    find_factors(case, NULL, discount, case.account.journey_paid_minor, earlier_nominal_minor,
                 &factors)
    return apply_factors(case, &factors, pair.fare_minor, pair.discountable_minor, True)


cdef int64_t find_overstay(Case* case) noexcept nogil:
    cdef int64_t allowed_us = case.tariff.rules.max_stay_us
    if allowed_us < 0 or case.ts_us - case.account.entry_ts_us <= allowed_us:
        return 0
    case.out.rules |= RULE_OVERSTAY
    return case.tariff.rules.overstay_minor


# Number of the ride's time discount: of the journey's first check-in, or of a leg on its own.
cdef uint8_t ride_discount(const Case* case) noexcept nogil:
    cdef const Account* account = case.account
    if account.leg_count > 1 and not is_joined(case):
        return find_discount(case.tariff, stop_index(case.tariff, account.entry_stop),
                             account.entry_ts_us)
    return account.entry_flags & ENTRY_DISCOUNT_MASK


# Price the journey that this check-out ends.
cdef int price_ride(Case* case, Charge* charge) noexcept nogil:
    cdef const Account* account = case.account
    cdef const TariffC* tariff = case.tariff
    cdef uint32_t origin = stop_index(tariff, ride_origin(case))
    cdef uint32_t discount = ride_discount(case)
    cdef int64_t paid_minor = account.journey_paid_minor if is_joined(case) else 0
    cdef int64_t time_ppm = FACTOR_ONE
    cdef int64_t earlier_minor
    cdef int64_t price_minor
    cdef OdFare pair
    case.out.other_stop = ride_origin(case)
    if not find_pair(tariff, origin, case.stop, &pair):
        return REASON_NOT_PRICED
    if 0 < discount <= tariff.discount_count:
        time_ppm = tariff.discount_ppm[discount - 1]
    earlier_minor = nominal_so_far(case, origin)
    case.out.distance_m = pair.distance_m
    case.out.rules |= rules_of_pair(tariff, origin == case.stop, &pair)
    if tariff.rules.tier_split:
        price_minor = split_month(case, &pair, discount, earlier_minor)
    else:
        price_minor = discounted(case, pair.fare_minor, pair.discountable_minor, time_ppm,
                                 find_tier(case, total_before(case, earlier_minor)))
    charge.nominal_minor = max(0, pair.fare_minor - earlier_minor)
    charge.ride_minor = max(0, price_minor - paid_minor)
    charge.is_counted = True
    charge.is_new_trip = not is_joined(case)
    if is_joined(case):
        case.out.rules |= RULE_OUT_OF_STATION
    charge.surcharge_minor = find_overstay(case)
    return REASON_OK


cdef void price_missing_check_in(Case* case, Charge* charge) noexcept nogil:
    memset(charge, 0, sizeof(Charge))
    case.out.rules |= RULE_MISSING_CHECK_IN
    charge.surcharge_minor = highest_of(case.tariff, case.stop)
    charge.nominal_minor = charge.surcharge_minor


# The highest fare from where the open journey began, less what its earlier legs cost.
cdef int64_t price_missing_check_out(Case* case) noexcept nogil:
    cdef const TariffC* tariff = entry_tariff(case)
    cdef uint32_t origin
    if tariff == NULL:
        tariff = case.tariff
    origin = stop_index(tariff, case.account.origin_stop)
    if origin == NO_STOP and not knows_any_stop(tariff):
        return 0
    return max(0, highest_of(tariff, origin) - case.account.journey_paid_minor)


cdef int price_flat(Case* case, Lay* lay, Charge* charge) noexcept nogil:
    cdef const Tap* tap = case.tap
    cdef OdFare fare
    charge.is_counted = case.tariff.layers == NULL or not lay.is_rider
    charge.is_new_trip = True
    if tap.amount_minor != -1:
        if not 0 <= tap.amount_minor <= FARE_MAX:
            return REASON_AMOUNT_INVALID
        case.out.rules |= RULE_DEVICE_AMOUNT
        charge.ride_minor = tap.amount_minor
        charge.nominal_minor = tap.amount_minor
        return REASON_OK
    if case.tariff.layers != NULL:
        return price_layered_flat(case, lay, flat_discount(case), charge)
    if case.tariff.rules.flat_minor < 0:
        return REASON_NOT_PRICED
    case.out.rules |= RULE_FLAT_FARE
    memset(&fare, 0, sizeof(OdFare))
    fare.fare_minor = <int> case.tariff.rules.flat_minor
    charge.nominal_minor = fare.fare_minor
    charge.ride_minor = fare.fare_minor
    if case.period == NULL:
        return REASON_OK
    if case.tariff.rules.tier_split:
        charge.ride_minor = split_month(case, &fare, 0, 0)
    else:
        charge.ride_minor = discounted(case, fare.fare_minor, 0, FACTOR_ONE,
                                       find_tier(case, total_before(case, 0)))
    return REASON_OK


# Flat taps that cost a leg get the time discount of their stop and instant.
cdef uint8_t flat_discount(const Case* case) noexcept nogil:
    if not case.tariff.layers.has_legs or case.tariff.layers.scalars.flat_by_leg == 0:
        return 0
    return find_discount(case.tariff, stop_index(case.tariff, case.tap.stop), case.ts_us)


# --- what is kept ---------------------------------------------------------------------------------

# Fill line 3. A late tap leaves it alone: only what came last can be undone as a whole.
cdef void remember(Case* case, int64_t fare_minor, uint32_t month, uint8_t flags) noexcept nogil:
    cdef Account* account = case.account
    cdef const Tap* tap = case.tap
    account.last_device = tap.device
    account.last_boot = tap.boot
    account.last_seq = tap.seq
    account.last_stop = tap.stop
    account.last_ts_us = case.ts_us
    account.last_fare_minor = fare_minor
    account.last_subsidy_minor = case.out.subsidy_minor if fare_minor != 0 else 0
    account.last_kind = tap.kind
    account.last_medium_kind = tap.medium_kind
    account.last_token = tap.token[0]
    account.last_flags = flags
    account.last_month = month


# Whether the account's last tap may have been of the same medium; of accounts from before this was
# kept it may.
cdef inline bint is_same_medium(const Account* account, const Tap* tap) noexcept nogil:
    return account.last_token == tap.token[0] or account.last_token == 0 or tap.token[0] == 0


cdef bint repeats_last(const Case* case) noexcept nogil:
    cdef const Account* account = case.account
    return (account.last_device != 0 and account.last_kind == case.tap.kind
            and account.last_stop == case.tap.stop and is_same_medium(account, case.tap)
            and 0 <= case.ts_us - account.last_ts_us < case.tariff.rules.passback_us)


# What tariff and limits may keep needs room before a ride begins; one that was made is not asked.
cdef int find_room(const Case* case, const Lay* lay, int64_t amount_minor) noexcept nogil:
    cdef uint32_t needed = 0
    if case.extras == NULL or case.is_opened:
        return REASON_OK
    if case.tariff.layers != NULL:
        needed = count_needed(case, lay)
    if amount_minor > 0 and lacks_limits_cell(case.book.limits, case.account, case.extras,
                                              case.tap.now_us):
        needed += 1
    return REASON_TOO_MANY_CELLS if needed > case.extras.room else REASON_OK


# Whether the limits of the account's tier let it spend so much at the server's instant.
cdef int find_limit(const Case* case, int64_t amount_minor) noexcept nogil:
    if case.book.limits == NULL or case.extras == NULL:
        return REASON_OK
    return check_spend(case.book.limits, case.account, case.extras, amount_minor, case.tap.now_us)


# What stands against beginning a ride beside journey and standing.
cdef int find_means(Case* case, const Lay* lay, int64_t fare_minor, int64_t least_minor,
                    int64_t limited_minor) noexcept nogil:
    cdef int fault = find_funds(case, fare_minor, least_minor)
    if fault == REASON_OK:
        fault = find_limit(case, limited_minor)
    return find_room(case, lay, limited_minor) if fault == REASON_OK else fault


# --- check-in -------------------------------------------------------------------------------------

cdef int find_entry_conflict(const Case* case) noexcept nogil:
    cdef const Account* account = case.account
    cdef int64_t age_us = case.ts_us - account.entry_ts_us
    cdef int64_t after_us = case.tariff.rules.missing_check_out_after_us
    if account.journey_state != JOURNEY_OPEN:
        return REASON_OK
    if account.entry_stop == case.tap.stop and age_us < case.tariff.rules.passback_us:
        return REASON_PASSBACK
    if after_us >= 0 and (age_us >= after_us or case.tap.flags & TAP_SERVICE_DESK):
        return REASON_OK
    return REASON_ALREADY_IN


# Whether leaving at one stop and entering at the other so much later continues a journey.
cdef bint has_interchange(const TariffC* tariff, uint32_t exit, uint32_t entry,
                          int64_t gap_us) noexcept nogil:
    cdef const Interchange* one
    cdef uint32_t i
    if exit == NO_STOP:
        return False
    for i in range(tariff.interchange_rows[exit], tariff.interchange_rows[exit + 1]):
        one = &tariff.interchanges[i]
        if one.to_idx == entry and gap_us <= one.window_us:
            return True
    return False


# Whether this check-in continues the finished journey: the rule that says so, or 0.
cdef uint32_t find_join(Case* case, const Lay* lay) noexcept nogil:
    cdef const Account* account = case.account
    cdef const TariffC* tariff = case.tariff
    cdef uint32_t exit
    cdef int32_t join
    if account.journey_state != JOURNEY_DONE or account.leg_count >= LEGS_MAX:
        return 0
    if (account.leg_count > 1 and account.exit_stop == account.origin_stop
            and splits_round_trips(tariff)):
        return 0
    exit = stop_index(tariff, account.exit_stop)
    if (exit == NO_STOP or stop_index(tariff, account.origin_stop) == NO_STOP) and (
            not knows_any_stop(tariff)):
        return 0
    if has_interchange(tariff, exit, case.stop, case.ts_us - account.exit_ts_us):
        return RULE_OUT_OF_STATION
    if tariff.layers == NULL:
        return 0
    join = find_join_rule(case, lay, exit)
    if join < 0:
        return 0
    note_act(case, ACT_JOIN, <uint32_t> join)
    return RULE_JOINED_LEG


# The discount that the journey so far was given, as this version of the tariff sees it.
cdef uint8_t carried_discount(const Case* case) noexcept nogil:
    if case.account.entry_tariff == case.tariff.key:
        return case.account.entry_flags & ENTRY_DISCOUNT_MASK
    return find_discount(case.tariff, stop_index(case.tariff, case.account.origin_stop), case.ts_us)


cdef void open_journey(Case* case, uint32_t join_rule) noexcept nogil:
    cdef Account* account = case.account
    cdef uint8_t carried = carried_discount(case)
    cdef uint8_t discount = carried
    cdef uint8_t flags = LAST_PREV_DONE if account.journey_state == JOURNEY_DONE else 0
    if join_rule == 0:
        discount = find_discount(case.tariff, case.stop, case.ts_us)
    account.prev_origin_stop = account.origin_stop
    account.prev_paid_minor = <int> account.journey_paid_minor
    remember(case, 0, 0, <uint8_t> (flags | (account.leg_count << LAST_LEGS_SHIFT)))
    account.entry_flags = <uint8_t> (discount | (carried << ENTRY_PREV_DISCOUNT_SHIFT))
    if join_rule != 0:
        case.out.rules |= join_rule
        case.out.other_stop = account.origin_stop
        account.leg_count += 1
    else:
        account.leg_count = 1
        account.origin_stop = case.tap.stop
        account.journey_paid_minor = 0
    account.entry_ts_us = case.ts_us
    account.entry_device = case.tap.device
    account.entry_boot = case.tap.boot
    account.entry_seq = case.tap.seq
    account.entry_stop = case.tap.stop
    account.entry_tariff = case.tariff.key
    account.entry_medium_kind = case.tap.medium_kind
    account.journey_state = JOURNEY_OPEN


cdef void check_in(Case* case, int standing) noexcept nogil:
    cdef Account* account = case.account
    cdef Lay lay
    cdef int refusal = standing
    cdef int64_t fare_minor = 0
    cdef bint is_closing = account.journey_state == JOURNEY_OPEN and not case.is_late
    cdef uint32_t join_rule
    if case.tariff.layers != NULL:
        begin_layers(case, &lay)
    if refusal == REASON_OK and not case.is_late:
        refusal = find_entry_conflict(case)
    if is_closing:
        fare_minor = price_missing_check_out(case)
    if refusal == REASON_OK and not case.is_late:
        refusal = find_means(case, &lay, fare_minor, case.tariff.rules.entry_minimum_minor,
                             ANYTHING_MINOR)
    if not admit(case, refusal, False, fare_minor) or case.is_late:
        return
    if is_closing:
        case.out.rules |= RULE_MISSING_CHECK_OUT
        case.out.other_stop = account.origin_stop
        case.out.nominal_minor = fare_minor
        draw(case, fare_minor)
    join_rule = find_join(case, &lay)
    open_journey(case, join_rule)
    if case.tariff.layers != NULL and join_rule == 0:
        keep_entry(case, &lay, is_closing)


# --- check-out ------------------------------------------------------------------------------------

cdef int find_exit_conflict(const Case* case) noexcept nogil:
    cdef int64_t setting = case.tariff.rules.missing_check_in
    if repeats_last(case):
        return REASON_PASSBACK
    if setting == MISSING_CHECK_IN_HIGHEST:
        return REASON_OK
    if setting == MISSING_CHECK_IN_HIGHEST_AT_DESK and case.tap.flags & TAP_SERVICE_DESK:
        return REASON_OK
    return REASON_NOT_CHECKED_IN


cdef void close_journey(Case* case, const Charge* charge) noexcept nogil:
    cdef Account* account = case.account
    account.prev_origin_stop = account.exit_stop   # what a reversal puts back
    account.prev_paid_minor = <int> account.journey_paid_minor
    account.exit_ts_us = case.ts_us
    account.exit_stop = case.tap.stop
    account.journey_paid_minor += charge.ride_minor
    account.journey_state = JOURNEY_DONE


cdef void check_out(Case* case, int standing) noexcept nogil:
    cdef Charge charge
    cdef Lay lay
    cdef int refusal = standing
    cdef bint is_debt = case.is_ride and standing != REASON_OK   # authorised at entry: owed
    cdef int64_t fare_minor
    cdef int64_t earlier_minor = case.account.journey_paid_minor if is_joined(case) else 0
    cdef uint32_t month
    memset(&charge, 0, sizeof(Charge))
    if case.tariff.layers != NULL:
        begin_layers(case, &lay)
    if case.is_ride and case.tariff.layers != NULL:
        refusal = price_layered_ride(case, &lay, is_by_pair(case), ride_discount(case), &charge)
    elif case.is_ride:
        refusal = price_ride(case, &charge)
    elif refusal == REASON_OK:
        refusal = find_exit_conflict(case)
    if not case.is_ride or refusal == REASON_NOT_PRICED:
        price_missing_check_in(case, &charge)
        lay.ends_span = True
    fare_minor = charge.ride_minor + charge.surcharge_minor
    if refusal == REASON_OK and not is_debt:
        refusal = find_funds(case, fare_minor, 0)
    if not admit(case, refusal, is_debt, fare_minor):
        return
    case.out.nominal_minor = charge.nominal_minor
    draw(case, fare_minor)
    if case.is_ride:
        month = count_trip(case, &charge)
        remember(case, fare_minor, month, 0)
    elif not case.is_late:
        remember(case, fare_minor, 0, LAST_NO_JOURNEY)
    if case.tariff.layers != NULL:
        keep_layers(case, &lay, &charge, earlier_minor)
    if case.is_ride:
        close_journey(case, &charge)


# Whether the last check-in of this journey fits an out-of-station pair.
cdef bint is_by_pair(const Case* case) noexcept nogil:
    cdef const Account* account = case.account
    # Any window: undoing a check-out does not bring back when the leg before it ended.
    return is_joined(case) and has_interchange(
        case.tariff, stop_index(case.tariff, account.exit_stop),
        stop_index(case.tariff, account.entry_stop), INT64_MIN)


# --- flat, inspect --------------------------------------------------------------------------------

cdef void flat(Case* case, int standing) noexcept nogil:
    cdef Charge charge
    cdef Lay lay
    cdef int refusal = standing
    cdef int fault
    cdef bint repeats = repeats_last(case)
    cdef bint is_layered = case.tariff.layers != NULL
    memset(&charge, 0, sizeof(Charge))
    if is_layered:
        begin_layers(case, &lay)
        lay.is_rider = repeats and takes_rider(&lay)
        if lay.is_rider:
            case.out.rules |= RULE_GROUP_RIDER
    fault = price_flat(case, &lay, &charge)
    if refusal == REASON_OK and repeats and not (is_layered and lay.is_rider):
        refusal = REASON_PASSBACK
    if fault != REASON_OK:
        refuse(case, refusal if refusal != REASON_OK and not case.is_opened else fault)
        return
    if refusal == REASON_OK:
        refusal = find_means(case, &lay, charge.ride_minor, 0, charge.ride_minor)
    if not admit(case, refusal, False, charge.ride_minor):
        return
    case.out.nominal_minor = charge.nominal_minor
    draw(case, charge.ride_minor)
    keep_flat(case, &lay, &charge, repeats)


cdef void keep_flat(Case* case, Lay* lay, const Charge* charge, bint repeats) noexcept nogil:
    cdef uint32_t month = count_trip(case, charge)
    if not case.is_late:
        remember(case, charge.ride_minor, month, 0)
        case.account.last_flat_ts_us = case.ts_us
    if case.tariff.layers == NULL:
        return
    keep_layers(case, lay, charge, 0)
    if not case.is_late and (lay.is_rider or not repeats):
        keep_riders(case, lay)


cdef void inspect(Case* case, int standing) noexcept nogil:
    if standing != REASON_OK:
        refuse(case, standing)
    elif case.account.journey_state != JOURNEY_OPEN:
        refuse(case, REASON_NOT_CHECKED_IN)
    else:
        case.out.other_stop = case.account.entry_stop
        finish(case, REASON_OK, VERDICT_OPEN)


# --- taps -----------------------------------------------------------------------------------------

# A tap of nobody we know: refused, or, when the ride was made, priced at what it would have cost.
cdef void decide_stranger(Case* case, int reason) noexcept nogil:
    cdef Charge charge
    cdef Lay lay
    cdef int fault = REASON_OK
    memset(&charge, 0, sizeof(Charge))
    if not case.is_opened:
        refuse(case, reason)
        return
    if case.tap.kind == KIND_CHECK_OUT:
        price_missing_check_in(case, &charge)
    elif case.tap.kind == KIND_FLAT:
        case.period = NULL
        if case.tariff.layers != NULL:
            begin_layers(case, &lay)
        fault = price_flat(case, &lay, &charge)
    if fault != REASON_OK:
        refuse(case, fault)
    else:
        post_risk(case, charge.ride_minor + charge.surcharge_minor)


cdef void decide_known(Case* case, Period* medium_period) noexcept nogil:
    cdef int standing = find_standing(case)
    cdef int stranger = find_stranger(case, standing)
    case.period = &case.account.period
    if medium_period != NULL and case.tariff.rules.cap_owner == CAP_OWNER_MEDIUM:
        case.period = medium_period
    find_month(case)
    if stranger != REASON_OK:
        decide_stranger(case, stranger)
        return
    if case.tap.kind == KIND_CHECK_IN:
        check_in(case, standing)
    elif case.tap.kind == KIND_CHECK_OUT:
        check_out(case, standing)
    elif case.tap.kind == KIND_FLAT:
        flat(case, standing)
    else:
        inspect(case, standing)
    if case.out.reason < REASON_BUSY and case.out.reason != REASON_OK_RISK:
        case.out.balance_minor = spendable(case.account)
        case.out.period_paid_minor = month_total(case.period, case.month)


cdef void prefetch_account(const Account* account) noexcept nogil:
    cdef const char* at = <const char*> account
    __builtin_prefetch(at + LINE_BYTES)
    __builtin_prefetch(at + 2 * LINE_BYTES)
    __builtin_prefetch(at + 3 * LINE_BYTES)


cdef void decide_tap(const TariffBook* book, const Medium* medium, Account* account,
                     Period* medium_period, Extras* extras, const Tap* tap,
                     Decision* out) noexcept nogil:
    cdef Case case
    cdef int fault
    memset(&case, 0, sizeof(Case))
    memset(out, 0, DECISION_CLEAR_BYTES)
    case.book = book
    case.medium = medium
    case.account = account if medium != NULL else NULL
    case.tap = tap
    case.out = out
    case.extras = extras
    case.is_offline = tap.kind != KIND_INSPECT and tap.flags & TAP_OFFLINE != 0
    case.is_opened = case.is_offline and tap.flags & TAP_DEVICE_OPENED != 0
    if account != NULL:
        prefetch_account(account)
    if not KIND_CHECK_IN <= tap.kind <= KIND_INSPECT:
        refuse(&case, REASON_BAD_REQUEST)
        return
    fault = find_message_fault(&case)
    if fault != REASON_OK:
        refuse(&case, fault)
    elif medium == NULL or medium.state == 0:
        decide_stranger(&case, REASON_UNKNOWN_MEDIUM)
    elif account == NULL:
        decide_stranger(&case, REASON_UNKNOWN_ACCOUNT)
    else:
        decide_known(&case, medium_period)


cdef bint wants_medium_period(const TariffBook* book, const Tap* tap) noexcept nogil:
    cdef const TariffC* tariff = book_at(book, tap.tariff_slot, fare_time(book, tap))
    return tariff != NULL and tariff.tier_count > 0 and tariff.rules.cap_owner == CAP_OWNER_MEDIUM


# The tariff is chosen as in find_message_fault.
cdef void find_tariff(Case* case, const TariffBook* book, const Account* account,
                      const Tap* tap) noexcept nogil:
    memset(case, 0, sizeof(Case))
    case.book = book
    case.account = <Account*> account
    case.tap = tap
    case.is_offline = tap.kind != KIND_INSPECT and tap.flags & TAP_OFFLINE != 0
    case.ts_us = fare_time(book, tap)
    choose_tariff(case)


cdef bint wants_extras(const TariffBook* book, const Account* account, const Tap* tap,
                       uint64_t* owner) noexcept nogil:
    cdef Case case
    owner[0] = 0
    if account == NULL:
        return False
    find_tariff(&case, book, account, tap)
    if case.tariff == NULL:
        return False
    if case.tariff.layers == NULL:
        return book.limits != NULL and find_limits(book.limits, account, tap.now_us) != NULL
    if case.tariff.rules.cap_owner == CAP_OWNER_MEDIUM:
        memcpy(owner, tap.token, sizeof(uint64_t))
    return True


cdef uint8_t find_network(const TariffBook* book, const Account* account,
                          const Tap* tap) noexcept nogil:
    cdef Case case
    find_tariff(&case, book, account, tap)
    if case.tariff == NULL or case.tariff.layers == NULL:
        return 0
    return network_of(&case, case.tariff.layers)
