"""Histogram of durations in fixed memory, as HdrHistogram: recorded in C, read from Python.

Must not import anything of the gateway.
"""

from libc.string cimport memset

cimport cython


cdef int64_t bucket_middle(uint64_t bucket) noexcept nogil:
    cdef uint64_t shift
    if bucket < 2 * STEPS:
        return <int64_t>bucket
    shift = bucket // STEPS - 1
    return <int64_t>(((bucket - shift * STEPS) << shift) + ((<uint64_t>1 << shift) >> 1))


cdef int64_t value_at(const Counts* counts, uint64_t rank) noexcept nogil:
    """Middle of the bucket that holds the rank-th smallest value, counted from 1."""
    cdef uint64_t seen = 0
    cdef int bucket
    for bucket in range(BUCKETS):
        seen += counts.buckets[bucket]
        if seen >= rank:
            return min(bucket_middle(bucket), counts.greatest)
    return counts.greatest


@cython.final
cdef class Histogram:
    def record(self, int64_t value) -> None:
        count_value(&self.counts, value)

    def clear(self) -> None:
        memset(&self.counts, 0, sizeof(Counts))

    def add(self, Histogram other not None) -> None:
        cdef int bucket
        self.counts.total += other.counts.total
        self.counts.greatest = max(self.counts.greatest, other.counts.greatest)
        for bucket in range(BUCKETS):
            self.counts.buckets[bucket] += other.counts.buckets[bucket]

    def percentile(self, int per_mille) -> int:
        cdef uint64_t rank
        if not 0 <= per_mille <= 1000:
            raise ValueError(f"per mille must be 0 to 1000, not {per_mille}")
        if self.counts.total == 0:
            return 0
        if per_mille == 1000:
            return self.counts.greatest
        rank = (self.counts.total * <uint64_t>per_mille + 999) // 1000
        return value_at(&self.counts, max(rank, <uint64_t>1))

    def above(self, int64_t value) -> int:
        cdef uint64_t found = 0
        cdef int bucket
        if value < 0:
            return self.counts.total
        for bucket in range(<int>bucket_of(<uint64_t>value) + 1, BUCKETS):
            found += self.counts.buckets[bucket]
        return found

    @property
    def count(self) -> int:
        return self.counts.total

    @property
    def greatest(self) -> int:
        return self.counts.greatest
