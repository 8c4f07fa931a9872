"""Which taps of the load generator stand in the journal: one bit a tap, from the raw groups.

Reads docs/journal.md's layout with offsets of its own: must not import the engine.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cimport cython

cdef enum:
    GROUP_HEAD_BYTES = 128
    RECORD_HEAD_BYTES = 168
    OP_FLAT = 3                # 1-3 are taps: check_in, check_out, flat
    AT_OP = 4
    AT_DEVICE = 40
    AT_BOOT = 48
    AT_SEQ = 56


cdef uint64_t read_u64(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef uint32_t read_u32(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


@cython.final
cdef class TapAudit:
    cdef dict places
    cdef list found
    cdef readonly uint64_t taps
    cdef readonly uint64_t doubled
    cdef readonly uint64_t strangers
    cdef readonly uint64_t groups
    cdef readonly uint64_t group_bytes

    def __cinit__(self):
        self.places = {}
        self.found = []

    def add_device(self, uint64_t device_id, uint64_t boot_epoch, uint32_t first_seq,
                   uint64_t taps) -> int:
        self.places[device_id, boot_epoch] = (len(self.found), first_seq, taps)
        self.found.append(bytearray((taps + 7) // 8))
        return len(self.found) - 1

    def read_group(self, const uint8_t[::1] group not None) -> None:
        cdef size_t size = group.shape[0]
        cdef size_t at = GROUP_HEAD_BYTES
        cdef size_t length
        self.groups += 1
        self.group_bytes += size
        while at + RECORD_HEAD_BYTES <= size:
            length = read_u32(&group[at])
            if length < RECORD_HEAD_BYTES or length > size - at:
                raise ValueError(f"a record of {length} bytes at {at} of a group of {size}")
            if 1 <= group[at + AT_OP] <= OP_FLAT:
                self.note_tap(&group[at])
            at += length

    cdef int note_tap(self, const uint8_t* record) except -1:
        cdef uint64_t seq = read_u64(record + AT_SEQ)
        cdef object key = (read_u64(record + AT_DEVICE), read_u64(record + AT_BOOT))
        cdef object place = self.places.get(key)
        cdef uint8_t[::1] bits
        cdef uint64_t bit
        if place is None or not place[1] <= seq < place[1] + place[2]:
            self.strangers += 1
            return 0
        bits = self.found[place[0]]
        bit = seq - place[1]
        if bits[bit >> 3] & (1 << (bit & 7)):
            self.doubled += 1
        else:
            self.taps += 1
        bits[bit >> 3] |= <uint8_t>(1 << (bit & 7))
        return 0

    def bits(self, int index) -> bytes:
        return bytes(self.found[index])
