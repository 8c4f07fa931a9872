# The client's side of the link's hot frames (docs/protocol.md): taps written, answers read.
# Written apart from fastpath/_wire on purpose: a mistake there is not repeated here.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._mac cimport MacKey

cdef enum:
    PREFIX_BYTES = 4
    TAG_BYTES = 16
    DIRECTION_DEVICE = 0x43    # 'C', goes into the tag before the payload
    DIRECTION_SERVER = 0x53    # 'S'

# Who taps where. One array of tokens for all connections; each connection has riders of its own,
# so that the taps of one rider stay in order.
cdef struct Riders:
    const uint8_t* tokens
    uint32_t count
    const uint32_t* stops
    uint32_t stop_count
    uint64_t* inside           # one bit a rider: the next tap is a check-out
    uint64_t random            # state of the generator
    uint32_t flags
    uint32_t line
    uint8_t kind               # 0 = check_in and check_out in turn, else always this TapKind

# One authenticated session, as the device sees it.
cdef struct Device:
    MacKey send_key
    MacKey receive_key
    uint64_t send_counter      # of the last frame built
    uint64_t receive_counter   # of the last frame accepted
    uint64_t boot_epoch
    uint32_t next_seq
    uint32_t first_rider       # its riders: first_rider, first_rider + rider_step ...
    uint32_t rider_step

cdef enum ReplyKind:
    REPLY_ANSWERS              # to a tap or a batch
    REPLY_ERROR
    REPLY_OTHER                # well-formed, but nothing a tap waits for
    REPLY_MALFORMED

cdef struct Reply:
    ReplyKind kind
    uint64_t counter
    uint32_t answers           # REPLY_ANSWERS: how many follow
    uint64_t code              # REPLY_ERROR
    uint64_t request_counter   # REPLY_ERROR: of the frame it is about, 0 = of none
    const uint8_t* at          # where the answers begin
    const uint8_t* end

cdef struct Answer:
    uint64_t boot_epoch
    uint64_t seq
    uint64_t verdict
    uint64_t reason
    uint64_t position          # journal position of the record, 0 = none was written

cdef uint64_t random_next(uint64_t* state) noexcept nogil
cdef uint32_t random_below(uint64_t* state, uint32_t bound) noexcept nogil

# Most bytes a frame of `batch` taps takes. batch 0 = a tap frame, else a tap_batch of that many.
cdef size_t frame_room(uint32_t batch) noexcept nogil
# One whole frame, tag included; returns its size.
cdef size_t write_frame(Riders* riders, Device* device, uint32_t batch, int64_t ts_us,
                        uint8_t* out) noexcept nogil

# The tag stands behind the payload; the byte before the payload is written and put back.
cdef bint tag_is_good(const MacKey* key, uint8_t direction, uint8_t* payload,
                      size_t size) noexcept nogil
cdef void read_reply(Reply* reply, const uint8_t* payload, size_t size) noexcept nogil
cdef bint read_answer(Reply* reply, Answer* answer) noexcept nogil
