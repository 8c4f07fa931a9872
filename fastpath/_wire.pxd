# Reading and writing the frames of the hot path (tap, tap_batch, passage, answer) without Python objects.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._layout cimport RecordHead, Tap

cdef enum:
    FRAME_LENGTH_BYTES = 4
    ANSWER_BYTES_MAX = 128     # one encoded answer array, without frame head and tag

cdef enum WireStatus:
    WIRE_OK = 0
    WIRE_MALFORMED = 1         # not msgpack, wrong type, wrong count, trailing bytes
    WIRE_OUT_OF_RANGE = 2      # well-formed, but a value outside its documented range

cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end

# [type, counter, ...]: leaves the cursor behind the counter; *fields = number of elements still to come.
cdef WireStatus read_head(Cursor* cursor, uint32_t* type, uint64_t* counter, uint32_t* fields) noexcept nogil
cdef WireStatus read_array(Cursor* cursor, uint32_t* count) noexcept nogil
# One tap array. Fills what the device sends; device, medium_kind, tariff_slot, now_us are the caller's.
cdef WireStatus read_tap(Cursor* cursor, Tap* tap) noexcept nogil
# Passage: [boot, seq, original_boot, original_seq, passed, device_ts_us].
cdef WireStatus read_passage(Cursor* cursor, Tap* passage, uint64_t* original_boot, uint32_t* original_seq,
                             bint* passed) noexcept nogil

# Heartbeat: [device_time_us, queue_depth, mode].
cdef WireStatus read_heartbeat(Cursor* cursor, int64_t* device_time_us, uint32_t* queue_depth) noexcept nogil

# Hello: [protocol_version, device_id, key_version, boot_epoch, client_nonce, algorithms, firmware]. WIRE_MALFORMED also
# for a firmware name that is not plain ASCII: whoever asks has to look closer.
cdef struct Hello:
    uint64_t device_id
    uint64_t boot_epoch
    uint32_t protocol_version
    uint32_t key_version
    uint32_t offered           # bit n = algorithm n, of those below 32
    uint8_t nonce[16]

cdef WireStatus read_hello(Cursor* cursor, Hello* hello) noexcept nogil

# Frame head of a reply: [type, counter, <the caller appends `extra` elements>]; returns bytes written (<= 16).
cdef size_t write_head(uint8_t* out, uint32_t type, uint64_t counter, uint32_t extra) noexcept nogil
cdef size_t write_array(uint8_t* out, uint32_t count) noexcept nogil       # <= 5 bytes
# One answer array, a function of the journal record alone: the same record gives the same bytes.
cdef size_t write_uint(uint8_t* out, uint64_t value) noexcept nogil        # the shortest form, <= 9 bytes
cdef size_t write_answer(uint8_t* out, const RecordHead* head, uint64_t position) noexcept nogil
