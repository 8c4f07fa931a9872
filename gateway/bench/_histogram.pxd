# Log-linear histogram in fixed memory: 128 steps an octave, a value is off by at most 1/256.
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int __builtin_clzll(unsigned long long value) noexcept nogil

cdef enum:
    STEP_BITS = 7
    STEPS = 128
    BUCKETS = 4608                 # 36 times 128: up to 2^42 ns, 73 minutes
    VALUE_BITS = 42

cdef struct Counts:
    uint64_t total
    int64_t greatest
    uint64_t buckets[BUCKETS]


cdef inline uint64_t bucket_of(uint64_t value) noexcept nogil:
    """Values below 256 have a bucket each, values of 2^42 and above share the last one."""
    cdef int shift
    if value >> VALUE_BITS:
        return BUCKETS - 1
    if value < 2 * STEPS:
        return value
    shift = 63 - STEP_BITS - __builtin_clzll(value)
    return <uint64_t>shift * STEPS + (value >> shift)


cdef inline void count_value(Counts* counts, int64_t value) noexcept nogil:
    """A negative value (a clock that stepped back) counts as 0."""
    counts.total += 1
    if value > counts.greatest:
        counts.greatest = value
    counts.buckets[bucket_of(0 if value < 0 else <uint64_t>value)] += 1


cdef class Histogram:
    cdef Counts counts
