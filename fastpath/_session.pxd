# One authenticated session of the validator link: keys, counters, what is half read and what waits to be sent.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath._buffer cimport Buffer
from fastpath._mac cimport MacKey

cdef enum:
    FRAME_PREFIX_BYTES = 4
    TAG_BYTES = 16
    KEEP_BUFFER_BYTES = 4096


cdef class Session:
    cdef MacKey rx
    cdef MacKey tx
    cdef Buffer inbox
    cdef Buffer outbox
    cdef uint64_t rx_counter
    cdef uint64_t tx_counter
    cdef uint32_t frame_max
    cdef readonly uint64_t device_id
    cdef readonly uint32_t tariff_slot
    cdef readonly uint64_t boot        # the device's boot epoch, as its hello said
    cdef public uint32_t queue_depth   # taps that wait in the device, as its last heartbeat said
    cdef public uint32_t stop          # where the device stands; taps with stop 0 happen here
    cdef public bint in_service
    cdef public bint closed
    cdef bint queued                   # already in the list of sessions with output
    cdef readonly list events          # what Python has to deal with: frames and errors
    cdef public object owner           # the connection; opaque here

    cdef bint tag_is_good(self, const uint8_t* payload, size_t size) noexcept
    cdef uint8_t* begin_frame(self, size_t room) except NULL
    cdef void end_frame(self, size_t size) noexcept
