# What a record says of its tap and of what was decided: the head, filled and compared.
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._core cimport find_network
from fastpath._facts cimport (
    DISTANCE_KEPT, KIND_SHIFT, NETWORK_SHIFT, SLOT_SHIFT, TAP_FLAGS_MASK, given_distance,
)
from fastpath._group cimport Answer
from fastpath._layout cimport (
    KIND_CHECK_IN, KIND_FLAT, REASON_BUSY, RULE_DEVICE_AMOUNT, TOKEN_BYTES, VERDICT_DENY,
    VERDICT_RETRY, Account, Decision, RecordHead, Tap,
)
from fastpath._tariff cimport TariffBook

cdef enum:
    REFUSALS = REASON_BUSY     # reasons from here on refuse


cdef inline void fill_identity(RecordHead* head, const Tap* tap, uint8_t op) noexcept nogil:
    head.op = op
    head.ts_us = tap.now_us
    head.device_ts_us = tap.device_ts_us
    head.id_a = tap.device
    head.id_b = tap.boot
    head.id_c = tap.seq
    memcpy(head.token, tap.token, TOKEN_BYTES)
    head.stop = tap.stop
    head.flags = ((tap.flags & TAP_FLAGS_MASK) | (<uint32_t> tap.kind << KIND_SHIFT)
                  | (<uint32_t> tap.tariff_slot << SLOT_SHIFT))
    head.denylist_version = tap.denylist_version


cdef inline void fill_decision(RecordHead* head, const Decision* decision) noexcept nogil:
    head.reason = decision.reason
    head.verdict = decision.verdict
    head.fare_minor = decision.fare_minor
    head.balance_minor = decision.balance_minor
    head.nominal_minor = decision.nominal_minor
    head.subsidy_minor = decision.subsidy_minor
    head.tariff_key = decision.tariff_key
    head.other_stop = decision.other_stop
    head.rules = decision.rules
    head.distance_m = decision.distance_m
    head.fare_ts_us = decision.ts_us
    head.period_paid_minor = decision.period_paid_minor


# Facts of a tap that only its decision knows; those of a refused one, which its decision does not tell.
cdef inline void fill_leg(RecordHead* head, const TariffBook* book, const Account* account, const Tap* tap,
                          const Decision* decision) noexcept nogil:
    cdef uint8_t network = decision.network
    if decision.reason >= REFUSALS:
        network = find_network(book, account, tap)
        head.distance_m = tap.distance_m
        if tap.kind == KIND_FLAT and tap.amount_minor != -1:
            head.nominal_minor = tap.amount_minor
            head.rules |= RULE_DEVICE_AMOUNT
    elif tap.kind != KIND_CHECK_IN and decision.distance_m == 0 and tap.distance_m != 0:
        head.distance_m = tap.distance_m
        head.flags |= DISTANCE_KEPT
    head.flags |= <uint32_t> network << NETWORK_SHIFT


cdef inline void refuse(Decision* decision, uint8_t reason) noexcept nogil:
    memset(decision, 0, sizeof(Decision))
    decision.reason = reason
    decision.verdict = VERDICT_RETRY if reason == REASON_BUSY else VERDICT_DENY


# An answer about a tap that leaves no record.
cdef inline void answer_only(Answer* answer, const Tap* tap, uint8_t op, const Decision* decision) noexcept nogil:
    memset(answer, 0, sizeof(Answer))
    fill_identity(&answer.head, tap, op)
    fill_decision(&answer.head, decision)


cdef inline bint same_facts(const RecordHead* head, const Tap* tap) noexcept nogil:
    return (memcmp(head.token, tap.token, TOKEN_BYTES) == 0 and head.device_ts_us == tap.device_ts_us
            and head.stop == tap.stop and ((head.flags >> KIND_SHIFT) & 0xff) == tap.kind
            and (head.flags & DISTANCE_KEPT or not given_distance(head) or head.distance_m == tap.distance_m))
