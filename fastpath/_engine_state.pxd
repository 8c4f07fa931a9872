# What the parts of the engine share: its memory, the group being filled and the one in writing, the
# page it counts on. Each part is a module of functions over it; only Engine is ever made.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._accounts cimport Store, StoreHandle
from fastpath._cell_commands cimport Rerate
from fastpath._extras cimport Extras
from fastpath._group cimport Group
from fastpath._layout cimport RecordHead
from fastpath._limit_book cimport LimitBook
from fastpath._tariff cimport Book
from fastpath._wallet cimport Paid

cdef enum:
    BATCH_MAX = 256            # taps in one frame
    REASONS_PER_KIND = 64      # in the page
    LATENCY_BUCKETS = 96


cdef struct Limits:
    size_t group_bytes
    uint32_t group_records
    uint32_t cells_per_account
    uint32_t boots_per_device
    uint32_t waiting_max
    int64_t horizon_us


cdef class EngineState:
    cdef readonly StoreHandle memory
    cdef readonly Book book
    cdef Store* store
    cdef Limits limits
    cdef Extras extras                        # of the decision under way
    cdef Rerate rerate
    cdef Paid paid
    cdef size_t record_bytes_max
    cdef Group groups[2]
    cdef int open_log                         # the group being filled; the other one may be in writing
    cdef bint writing
    cdef readonly uint64_t denylist_version
    cdef uint64_t sealed_denylist_version     # as of the sealed group
    cdef uint64_t durable_denylist_version    # as of the last committed group: what abort goes back to
    cdef object read_record                   # position -> bytes of a durable record
    cdef bytes looked_up                      # keeps the last of them alive
    cdef int64_t[::1] page
    cdef int page_taps
    cdef int page_commands
    cdef int page_latency
    cdef int page_latency_sum
    cdef int page_repeats
    cdef int page_errors
    cdef int64_t now_us
    cdef int64_t mono_us
    cdef int64_t turn_max_us
    cdef int64_t turn_began_us                # monotonic, of the first tap of this turn; 0 = none yet
    cdef bint refused                         # something, in this feed
    cdef int64_t spent_us                     # what earlier turns took for taps that wait for the same commit
    cdef uint32_t turn_taps                   # taken since spent_us was 0
    cdef int64_t write_ns                     # what the write of a large group lately took for each tap
    cdef LimitBook next_limits                # taken over when the open group is sealed
    cdef bint has_next_limits
    cdef bytes news                           # the last fields of a heartbeat's answer, encoded
    cdef bytes busy_before                    # what stands before the request counter of an error `busy`
    cdef bytes busy_behind                    # and what behind it


# A record wherever it stands: in an open group or in the journal; NULL = past its retention.
cdef const RecordHead* find_record(EngineState engine, uint64_t position) except? NULL


cdef inline Group* open_group(EngineState engine) noexcept:
    return &engine.groups[engine.open_log]


cdef inline bint has_room(EngineState engine, uint32_t records) noexcept:
    cdef Group* group = open_group(engine)
    return (group.used + records * engine.record_bytes_max <= group.capacity
            and group.record_count + records <= engine.limits.group_records)


# Whether the open group has records or replies.
cdef inline bint is_waiting(EngineState engine) noexcept:
    cdef Group* group = open_group(engine)
    return group.record_count > 0 or group.pending_count > 0


cdef inline void count_tap(EngineState engine, uint8_t kind, uint8_t reason) noexcept:
    if engine.page is not None:
        engine.page[engine.page_taps + (kind & 7) * REASONS_PER_KIND + (reason & 63)] += 1


cdef inline void count_command(EngineState engine, uint8_t reason) noexcept:
    if engine.page is not None:
        engine.page[engine.page_commands + (reason & 63)] += 1


cdef inline void note_latency(EngineState engine, int64_t us, uint32_t count) noexcept:
    """Four buckets a doubling (gateway.observability.page.bucket_of)."""
    cdef int exponent = 0
    cdef int64_t rest = us
    cdef int64_t bucket = max(us, 0)
    if engine.page is None:
        return
    while rest > 1:
        rest >>= 1
        exponent += 1
    if us >= 4:
        bucket = min(4 * (exponent - 1) + ((us >> (exponent - 2)) & 3), LATENCY_BUCKETS - 1)
    engine.page[engine.page_latency + bucket] += count
    engine.page[engine.page_latency_sum] += us * count
