# What a record says of its command: who asked for what, so that a repeat with other contents is known
# as such (docs/journal.md).
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._facts cimport KIND_SHIFT, SLOT_SHIFT, facts_of_record
from fastpath._layout cimport (
    OP_CONCESSION, OP_DEBIT, OP_PASS_ADD, OP_PASS_REMOVE, OP_PURSE_OPEN, OP_REFUND, OP_RERATE,
    TOKEN_BYTES, Command, Facts, RecordHead,
)

# Commands about something that is valid from an instant on.
cdef inline bint has_span(uint8_t op) noexcept nogil:
    return op == OP_PASS_ADD or op == OP_PASS_REMOVE or op == OP_CONCESSION or op == OP_RERATE


# Who asked for what. Called after fill_decision: for commands some fields of the head keep what was asked for, so that
# a repeat with other contents is known as such (docs/journal.md).
cdef inline void fill_command(RecordHead* head, const Command* command) noexcept nogil:
    head.op = command.op
    head.ts_us = command.now_us
    head.account_id = command.account_id
    head.id_a = command.client
    head.id_b = command.id_high
    head.id_c = command.id_low
    memcpy(head.token, command.token, TOKEN_BYTES)
    head.device_ts_us = command.expires_us
    head.nominal_minor = command.amount_minor
    head.stop = <uint32_t> command.expected_version
    head.flags = (command.status_bits | (<uint32_t> command.purse << KIND_SHIFT)
                  | (<uint32_t> command.medium_state << SLOT_SHIFT))
    head.distance_m = (command.currency | (<uint32_t> command.rider_category << KIND_SHIFT)
                       | (<uint32_t> command.medium_kind << SLOT_SHIFT))
    if has_span(command.op):
        head.other_stop = command.pass_id
        head.fare_ts_us = command.from_us
        head.period_paid_minor = command.rides


# Commands of the wallet say more than fits a head.
cdef inline bint has_facts(const Command* command) noexcept nogil:
    return command.has_facts or command.op == OP_DEBIT or command.op >= OP_PURSE_OPEN


# What was given back before a late refund (expires_us) is not what is asked: it grows meanwhile.
cdef inline bint same_facts_of(const RecordHead* head, const Command* command) noexcept nogil:
    cdef Facts recorded
    facts_of_record(head, &recorded)
    if head.op == OP_REFUND:
        recorded.expires_us = command.facts.expires_us
    return memcmp(&recorded, &command.facts, sizeof(Facts)) == 0


cdef inline bint same_span(const RecordHead* head, const RecordHead* asked) noexcept nogil:
    return (head.other_stop == asked.other_stop and head.fare_ts_us == asked.fare_ts_us
            and head.period_paid_minor == asked.period_paid_minor)


cdef inline bint same_command(const RecordHead* head, const Command* command) noexcept nogil:
    cdef RecordHead asked
    memset(&asked, 0, sizeof(RecordHead))
    fill_command(&asked, command)
    return (head.op == asked.op and memcmp(head.token, asked.token, TOKEN_BYTES) == 0
            and (asked.account_id == 0 or head.account_id == asked.account_id)
            and (head.op == OP_REFUND or head.device_ts_us == asked.device_ts_us)
            and head.nominal_minor == asked.nominal_minor
            and head.stop == asked.stop and head.flags == asked.flags and head.distance_m == asked.distance_m
            and (same_span(head, &asked) if has_span(head.op) else same_facts_of(head, command)))
