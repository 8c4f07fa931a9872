# What a journal record says about its tap and its decision, for those who need them again:
# reversals and the audit.
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastpath._layout cimport (
    ACTS_MAX, ITEM_ACTS, REASON_BUSY, RULE_GIVEN_DISTANCE, TOKEN_BYTES, Decision, RecordHead,
    RecordItem, Tap,
)

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
    while decision.act_count < ACTS_MAX and decision.acts[decision.act_count] != 0:
        decision.act_count += 1
