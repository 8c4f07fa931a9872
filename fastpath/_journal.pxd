# Groups of the journal as bytes: sealing, checking, walking (docs/journal.md). No I/O: gateway.journal does that.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._layout cimport GroupHead, RecordHead

cdef extern from "crc32c.h" nogil:
    # crc32c_update(0, data, size) is the checksum of data; feed the result back in to go on.
    uint32_t crc32c_update(uint32_t crc, const uint8_t* data, size_t size) noexcept
    uint32_t crc32c_by_table(uint32_t crc, const uint8_t* data, size_t size) noexcept
    bint crc32c_has_cpu() noexcept

cdef enum:
    JOURNAL_GROUP_FORMAT = 1
    JOURNAL_HEAD_BYTES = 128
    JOURNAL_RECORD_BYTES = 168
    JOURNAL_ITEM_BYTES = 72

# What check_group_at found; above 0 it is the length of the group in bytes, head and body.
cdef enum GroupFault:
    GROUP_EMPTY = 0        # the head is all zero: nothing was written here
    GROUP_SHORT = -1       # the buffer ends before the group does; the head's body_bytes says how much is wanted
    GROUP_BAD_HEAD = -2    # magic, format or sizes
    GROUP_BAD_POSITION = -3
    GROUP_BAD_CRC = -4
    GROUP_BAD_CHAIN = -5   # sound in itself, but not after this previous hash

cdef struct GroupFacts:
    uint64_t position
    uint64_t first_seq
    uint32_t record_count
    uint32_t body_bytes
    int64_t ts_us
    int64_t fare_total_minor
    int64_t amount_total_minor
    uint32_t engine_version

# Fill in the whole head, checksum included, of a group whose body_bytes follow it in memory.
cdef void seal_head(GroupHead* head, const GroupFacts* facts, const uint8_t* previous_hash32) noexcept nogil

# Check the group at `data`, of which `available` bytes are there. previous_hash32: NULL = any.
cdef int64_t check_group_at(const uint8_t* data, size_t available, bint any_position, uint64_t position,
                            const uint8_t* previous_hash32) noexcept nogil

# Offset of the first fault in the records of a sound group (lengths, counts, order, totals), -1 = none.
cdef int64_t body_fault(const uint8_t* group, size_t size) noexcept nogil

# The record after `record` (NULL: the first) of a sound group; NULL = no more.
cdef const RecordHead* next_record(const GroupHead* group, const RecordHead* record) noexcept nogil
