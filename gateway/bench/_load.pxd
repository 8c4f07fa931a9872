# Load over many connections from one thread: epoll, prebuilt frames, no Python object on the way.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.bench._frames cimport Device, Riders
from gateway.bench._histogram cimport Counts, Histogram

cdef enum:
    REASONS = 256
    CODES = 64

# One connection and everything it may still have to send.
cdef struct Link:
    Device device
    uint64_t device_id
    int fd
    bint dead
    bint wants_out             # the socket is full; epoll tells when it is not
    uint32_t first_seq
    uint64_t first_counter     # of the first frame: ordinal 0
    # frames built ahead: [0, sent) written, [sent, due) may be written, [due, size) wait
    uint8_t* frames
    size_t room
    size_t size
    size_t sent
    size_t due
    # frames asked and not answered: when each began, by ordinal; 0 = answered
    int64_t* began
    uint64_t began_mask
    uint64_t asked
    uint64_t settled           # every ordinal below is answered
    uint32_t open_frames
    # what came in and is not a whole frame yet
    uint8_t* inbox
    size_t inbox_room
    size_t inbox_size
    # one bit a tap, from first_seq on: its final answer arrived
    uint8_t* acked
    size_t acked_bytes

cdef struct Plan:
    int64_t start_ns
    int64_t warm_end_ns
    int64_t send_end_ns
    int64_t drain_end_ns
    double interval_ns         # open loop: mean time between two frames; 0 = closed loop
    double due_ns              # open loop: when the next frame is due, counted from start_ns
    bint poisson
    uint32_t depth             # closed loop: frames in flight on each connection
    uint32_t verify_every
    bint echo                  # the other side sends our own frames back

cdef struct Tally:
    uint64_t asked_frames
    uint64_t answered_frames
    uint64_t answered_taps
    uint64_t window_taps       # answered between the end of the warm-up and the end of sending
    uint64_t verified_tags
    uint64_t bad_tags
    uint64_t bad_counters
    uint64_t bad_frames
    uint64_t unasked           # answers to nothing that was open
    uint64_t doubled           # taps whose final answer came twice
    uint64_t other_frames
    uint64_t lost_connections
    uint64_t built_late        # taps built during the run: the prebuilt ones were used up
    uint64_t by_reason[REASONS]
    uint64_t by_code[CODES]

cdef struct Run:
    Riders riders
    Link* links
    uint32_t link_count
    uint32_t links_room
    uint32_t links_dead
    uint32_t next_link         # open loop, constant: whose turn it is
    uint32_t batch             # taps a frame; 0 = tap frames
    int epoll_fd
    int64_t built_us           # device clock of the next tap built
    Plan plan
    Tally tally
    Counts* latency
    Counts* lag

cdef class Load:
    cdef Run run
    cdef readonly Histogram latency
    cdef readonly Histogram send_lag
    cdef object tokens
    cdef object stops

    cdef void lay_plan(self, double duration_s, double warmup_s, double drain_s) noexcept
