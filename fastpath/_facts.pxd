# What a journal record says about its tap and its decision, for those who need them again:
# reversals and the audit.
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastpath._layout cimport (
    ACTS_MAX, ITEM_ACTS, ITEM_FACTS, ITEM_PARTS, OP_ACCOUNT_OPEN, OP_DEBIT, OP_HOLD_CAPTURE,
    PARTS_MAX,
    PURPOSE_NONE, REASON_BUSY, RULE_COUNTED, RULE_GIVEN_DISTANCE, TOKEN_BYTES, Decision, Facts,
    Parts, RecordHead, RecordItem, Tap,
)
from fastpath._wallet cimport PURSE_SUBSIDY, Paid, own_money

cdef enum:
    TAP_FLAGS_MASK = 0x7f      # what the device may set
    DISTANCE_KEPT = 0x80       # the record's distance came with the tap and priced nothing
    NETWORK_SHIFT = 8          # network, kind and tariff slot travel in the record's flags
    KIND_SHIFT = 16
    SLOT_SHIFT = 24


# The distance that came with a tap. Kept also where nothing was priced by it: taps that come late may
# change that.
cdef inline uint32_t given_distance(const RecordHead* head) noexcept nogil:
    if (head.reason >= REASON_BUSY or head.rules & RULE_GIVEN_DISTANCE
            or head.flags & DISTANCE_KEPT):
        return head.distance_m
    return 0


cdef inline void tap_of_record(const RecordHead* head, int64_t now_us, Tap* tap) noexcept nogil:
    memset(tap, 0, sizeof(Tap))
    tap.device = head.id_a
    tap.boot = head.id_b
    tap.seq = <uint32_t> head.id_c
    tap.stop = head.stop
    tap.device_ts_us = head.device_ts_us
    tap.now_us = now_us
    memcpy(tap.token, head.token, TOKEN_BYTES)
    tap.flags = head.flags & TAP_FLAGS_MASK
    tap.denylist_version = head.denylist_version
    tap.kind = <uint8_t> (head.flags >> KIND_SHIFT)
    tap.tariff_slot = <uint8_t> (head.flags >> SLOT_SHIFT)
    tap.network_plus_1 = ((head.flags >> NETWORK_SHIFT) & 0xff) + 1
    tap.distance_m = given_distance(head)
    tap.amount_minor = -1


cdef inline uint8_t count_parts(const Parts* parts) noexcept nogil:
    cdef uint8_t count = 0
    while count < PARTS_MAX and parts.parts[count].purse_id != 0:
        count += 1
    return count


# What a wallet command asked for beyond its head; one that said nothing asked for no purpose.
cdef inline void facts_of_record(const RecordHead* head, Facts* facts) noexcept nogil:
    cdef const RecordItem* item = <const RecordItem*> (<const uint8_t*> head + sizeof(RecordHead))
    cdef uint32_t i
    memset(facts, 0, sizeof(Facts))
    facts.purpose = PURPOSE_NONE
    facts.amount_minor = head.nominal_minor
    facts.expires_us = head.device_ts_us
    for i in range(head.item_count):
        if item[i].type == ITEM_FACTS:
            memcpy(facts, item[i].image, sizeof(Facts))


# What a fare took. One that was given back by a reversal, or is below 0, took nothing.
cdef inline void paid_of_fare(const RecordHead* head, Paid* paid) noexcept nogil:
    cdef Decision charged
    if head.fare_minor <= 0:
        return
    decision_of_record(head, &charged)
    paid.is_known = True
    paid.charged_minor = head.fare_minor
    paid.charge_us = head.ts_us
    paid.is_counted = head.rules & RULE_COUNTED != 0
    paid.spent_us = head.ts_us
    paid.subsidy_minor = charged.subsidy_minor
    paid.part_count = charged.part_count
    paid.parts = charged.parts


# What a charge took; not known when the record is none.
cdef inline void paid_of_record(const RecordHead* head, Paid* paid) noexcept nogil:
    cdef Decision charged
    cdef Facts facts
    cdef int64_t made_us = <int64_t> (head.id_b >> 16) * 1000
    memset(paid, 0, sizeof(Paid))
    if head.reason < REASON_BUSY and head.op < OP_ACCOUNT_OPEN:
        paid_of_fare(head, paid)
    if head.reason >= REASON_BUSY or (head.op != OP_DEBIT and head.op != OP_HOLD_CAPTURE):
        return
    decision_of_record(head, &charged)
    paid.is_known = True
    paid.charged_minor = -head.amount_minor
    paid.charge_us = max(head.ts_us, made_us)
    paid.is_counted = head.rules & RULE_COUNTED != 0
    paid.spent_us = head.ts_us
    if head.op == OP_DEBIT:
        facts_of_record(head, &facts)
        paid.own_money = own_money(&facts)
    paid.subsidy_minor = charged.subsidy_minor
    if head.op == OP_DEBIT and (head.flags >> KIND_SHIFT & 0xff) == PURSE_SUBSIDY:
        paid.subsidy_minor = paid.charged_minor
    paid.part_count = charged.part_count
    paid.parts = charged.parts


# Precondition: the record's items follow its head.
cdef inline void decision_of_record(const RecordHead* head, Decision* decision) noexcept nogil:
    cdef const RecordItem* item = <const RecordItem*> (<const uint8_t*> head + sizeof(RecordHead))
    cdef uint32_t i
    memset(decision, 0, sizeof(Decision))
    decision.reason = head.reason
    decision.verdict = head.verdict
    decision.rules = head.rules
    decision.fare_minor = head.fare_minor
    decision.nominal_minor = head.nominal_minor
    decision.subsidy_minor = head.subsidy_minor
    decision.ts_us = head.fare_ts_us
    decision.tariff_key = head.tariff_key
    decision.distance_m = head.distance_m
    decision.other_stop = head.other_stop
    decision.network = <uint8_t> (head.flags >> NETWORK_SHIFT)
    for i in range(head.item_count):
        if item[i].type == ITEM_ACTS:
            memcpy(decision.acts, item[i].image, sizeof(decision.acts))
        elif item[i].type == ITEM_PARTS:
            memcpy(&decision.parts, item[i].image, sizeof(decision.parts))
            decision.part_count = count_parts(&decision.parts)
    while decision.act_count < ACTS_MAX and decision.acts[decision.act_count] != 0:
        decision.act_count += 1
