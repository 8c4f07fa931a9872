from libc.stdint cimport uint32_t

from fastpath._limits cimport LimitsC

cdef class LimitBook:
    """Limits as an immutable blob with a C view on it."""
    cdef LimitsC c
    cdef readonly bytes blob
    cdef readonly bytes digest
    cdef dict meta

    cdef point_at(self, uint32_t profile_count)
    cdef check_days(self)
    cdef check_profiles(self, uint32_t profile_count)
