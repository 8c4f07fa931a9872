"""Undoing an accepted tap: as a whole while it is the account's last one, else its money only.

The rules stand in fastpath/reference.py; like the core this makes no Python object.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._extras cimport Extras
from fastpath._funding cimport put_parts, split_parts
from fastpath._layout cimport *
from fastpath._limits cimport uncount_spend
from fastpath._tariff cimport TariffBook, TariffC, book_by_key, day_index
from fastpath._totals cimport add_money, add_to_period, month_total, spendable
from fastpath._undo_cells cimport undo_cells, was_counted

# What a reversal gives back.
cdef struct Undo:
    int64_t fare_minor
    int64_t subsidy_minor
    int64_t counted_minor
    uint32_t month            # 0 = was not counted
    uint32_t day
    int32_t trips


cdef bint is_last(const Account* account, const Tap* original) noexcept nogil:
    return (account.last_device != 0 and account.last_device == original.device
            and account.last_boot == original.boot
            and account.last_seq == original.seq and account.last_kind == original.kind)


cdef int64_t counted_instant(const TariffC* tariff, const Account* account, const Tap* original,
                             const Decision* charged, bint is_whole) noexcept nogil:
    if is_whole and original.kind == KIND_CHECK_OUT and tariff.rules.month_by_entry:
        return account.entry_ts_us
    return charged.ts_us


# All that the account's last tap did.
cdef void undo_whole(const Account* account, const Tap* original, const Decision* charged,
                     Undo* undo) noexcept nogil:
    undo.fare_minor = account.last_fare_minor
    undo.subsidy_minor = account.last_subsidy_minor
    undo.month = account.last_month
    undo.counted_minor = account.last_fare_minor
    undo.trips = 1
    if original.kind == KIND_CHECK_OUT:
        undo.counted_minor = account.journey_paid_minor - account.prev_paid_minor
        undo.trips = 0 if charged.rules & (RULE_OUT_OF_STATION | RULE_JOINED_LEG) else 1


# The money of a tap that others have followed; the month is that of its fare time.
cdef void undo_money(const TariffC* tariff, const Tap* original, const Decision* charged,
                     Undo* undo) noexcept nogil:
    cdef int64_t day
    if original.kind == KIND_CHECK_IN:
        return                # what it may have charged was for the journey before
    undo.fare_minor = charged.fare_minor
    undo.subsidy_minor = charged.subsidy_minor
    if tariff == NULL or tariff.tier_count == 0 or not was_counted(tariff, charged):
        return
    day = day_index(tariff, charged.ts_us)
    undo.month = tariff.day_month[day] if day >= 0 else 0
    undo.counted_minor = charged.fare_minor
    if charged.rules & RULE_OVERSTAY:
        undo.counted_minor = charged.fare_minor - tariff.rules.overstay_minor
    undo.trips = 0 if charged.rules & (RULE_OUT_OF_STATION | RULE_JOINED_LEG) else 1


cdef void undo_period(const TariffC* tariff, const Account* account, Period* period,
                      const Tap* original, const Decision* charged, bint is_whole,
                      Undo* undo) noexcept nogil:
    cdef int64_t day = -1
    if undo.month == 0:
        return
    if tariff != NULL:
        if tariff.rules.month_basis == MONTH_BASIS_NOMINAL:
            undo.counted_minor = 0 if charged.rules & RULE_PASS else charged.nominal_minor
        day = day_index(tariff, counted_instant(tariff, account, original, charged, is_whole))
    if day >= 0:
        undo.day = <uint32_t> (tariff.rules.first_day + day)
    add_to_period(period, undo.month, undo.day, -undo.counted_minor, -undo.trips)


# Line 1 as it was before the account's last tap, and line 3 emptied.
cdef void undo_journey(Account* account) noexcept nogil:
    cdef uint8_t flags = account.last_flags
    if account.last_kind == KIND_CHECK_IN:
        account.journey_state = JOURNEY_DONE if flags & LAST_PREV_DONE else JOURNEY_NONE
        account.leg_count = flags >> LAST_LEGS_SHIFT
        account.origin_stop = account.prev_origin_stop
        account.journey_paid_minor = account.prev_paid_minor
        account.entry_flags = account.entry_flags >> ENTRY_PREV_DISCOUNT_SHIFT
    elif account.last_kind == KIND_CHECK_OUT and not flags & LAST_NO_JOURNEY:
        account.journey_state = JOURNEY_OPEN
        account.exit_stop = account.prev_origin_stop
        account.journey_paid_minor = account.prev_paid_minor
    elif account.last_kind == KIND_FLAT:
        account.last_flat_ts_us = 0
    forget_last(account)


cdef void forget_last(Account* account) noexcept nogil:
    account.last_device = 0
    account.last_boot = 0
    account.last_seq = 0
    account.last_stop = 0
    account.last_ts_us = 0
    account.last_fare_minor = 0
    account.last_subsidy_minor = 0
    account.last_kind = 0
    account.last_medium_kind = 0
    account.last_token = 0
    account.last_flags = 0
    account.last_month = 0
    account.prev_origin_stop = 0
    account.prev_paid_minor = 0


# What came from purse cells goes back to them, if they have not ended.
cdef int64_t find_given(Extras* extras, const Tap* original, const Decision* charged,
                        Decision* out) noexcept nogil:
    cdef int64_t main_minor
    cdef uint8_t i
    if charged.part_count == 0 or original.kind == KIND_CHECK_IN:
        return 0
    main_minor = split_parts(extras, &charged.parts, charged.part_count, original.now_us, out)
    for i in range(charged.part_count):
        main_minor -= charged.parts.parts[i].amount_minor
    return main_minor


cdef int give_back(Account* account, Extras* extras, const Undo* undo, const Tap* original,
                   const Decision* charged, Decision* out) noexcept nogil:
    cdef int64_t main_minor = undo.fare_minor - undo.subsidy_minor
    cdef int64_t balance_minor
    cdef int64_t subsidy_minor
    main_minor += find_given(extras, original, charged, out)
    if (not add_money(account.balance_minor, main_minor, &balance_minor)
            or not add_money(account.subsidy_minor, undo.subsidy_minor, &subsidy_minor)
            or not put_parts(extras, out)):
        out.part_count = 0
        memset(&out.parts, 0, sizeof(Parts))
        return REASON_AMOUNT_OVERFLOW
    account.balance_minor = balance_minor
    account.subsidy_minor = subsidy_minor
    return REASON_OK


cdef void fill_reversal(const Decision* charged, const Undo* undo, bint is_whole,
                        Decision* out) noexcept nogil:
    out.fare_minor = -undo.fare_minor
    out.subsidy_minor = -undo.subsidy_minor
    out.nominal_minor = -charged.nominal_minor if undo.fare_minor != 0 else 0
    out.distance_m = charged.distance_m
    out.other_stop = charged.other_stop
    out.verdict = VERDICT_OPEN
    if not is_whole:
        out.rules |= RULE_MONEY_ONLY
    if undo.subsidy_minor != 0:
        out.rules |= RULE_SUBSIDY


# Take the fare of a ride back that no account of ours bore: nobody gets it, as nobody paid it.
cdef void reverse_risk(const Decision* charged, Decision* out) noexcept nogil:
    cdef Undo undo
    memset(&undo, 0, sizeof(Undo))
    undo.fare_minor = charged.fare_minor
    out.reason = REASON_OK_RISK if charged.fare_minor != 0 else REASON_NOTHING_TO_REVERSE
    if charged.fare_minor != 0:
        fill_reversal(charged, &undo, False, out)


cdef int reverse(const TariffBook* book, Account* account, Period* medium_period,
                 Extras* extras, const Tap* original, const Decision* charged, int64_t spent_us,
                 Decision* out) noexcept nogil:
    cdef const TariffC* tariff = book_by_key(book, charged.tariff_key)
    cdef bint is_whole = is_last(account, original)
    cdef Period* period = &account.period
    cdef Undo undo
    cdef int fault
    memset(&undo, 0, sizeof(Undo))
    if medium_period != NULL and (tariff == NULL or tariff.rules.cap_owner == CAP_OWNER_MEDIUM):
        period = medium_period
    if is_whole:
        undo_whole(account, original, charged, &undo)
    else:
        undo_money(tariff, original, charged, &undo)
        if undo.fare_minor == 0 and not charged.rules & RULE_PASS:
            return REASON_NOTHING_TO_REVERSE
    fault = give_back(account, extras, &undo, original, charged, out)
    if fault != REASON_OK:
        return fault
    fill_reversal(charged, &undo, is_whole, out)
    undo_period(tariff, account, period, original, charged, is_whole, &undo)
    if charged.rules & RULE_COUNTED:
        uncount_spend(book.limits, extras, undo.fare_minor, spent_us)
    if extras != NULL and tariff != NULL and tariff.layers != NULL:
        undo_cells(book, tariff, account, extras, original, charged, is_whole)
    if is_whole:
        undo_journey(account)
    out.period_paid_minor = month_total(period, undo.month)
    return REASON_OK


cdef bint wants_undo_extras(const TariffBook* book, const Tap* original, const Decision* charged,
                            uint64_t* owner) noexcept nogil:
    cdef const TariffC* tariff = book_by_key(book, charged.tariff_key)
    owner[0] = 0
    if tariff == NULL or tariff.layers == NULL:
        return charged.rules & RULE_COUNTED != 0
    if tariff.rules.cap_owner == CAP_OWNER_MEDIUM:
        memcpy(owner, original.token, sizeof(uint64_t))
    return True


cdef void decide_reversal(const TariffBook* book, Account* account, Period* medium_period,
                          Extras* extras, const Tap* original, const Decision* charged,
                          int64_t spent_us, Decision* out) noexcept nogil:
    memset(out, 0, sizeof(Decision))
    out.ts_us = charged.ts_us
    out.tariff_key = charged.tariff_key
    if charged.reason >= REASON_BUSY or original.kind == KIND_INSPECT:
        out.reason = REASON_NOTHING_TO_REVERSE
    elif charged.reason == REASON_OK_RISK:
        reverse_risk(charged, out)
    elif account == NULL:
        out.reason = REASON_UNKNOWN_ACCOUNT
    else:
        out.reason = <uint8_t> reverse(book, account, medium_period, extras, original,
                                       charged, spent_us, out)
    if account != NULL:
        out.balance_minor = spendable(account)
