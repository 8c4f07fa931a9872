# Layer 3: counters, caps, passes (docs/fares.md).
from libc.stdint cimport int64_t, uint32_t

from fastpath._case cimport Case, Charge, Lay
from fastpath._layers cimport PeriodRule

# Find the counter that a rule compares with: READING_*.
cdef int read_rule(Case* case, Lay* lay, const PeriodRule* rule) noexcept nogil
# Of a counter that was read: what stands in the tap's window.
cdef int64_t read_paid(const Lay* lay, uint32_t counter) noexcept nogil
cdef int64_t read_trips(const Lay* lay, uint32_t counter) noexcept nogil
# At most what is left to each limit.
cdef int64_t cap_charge(Case* case, Lay* lay, int64_t charge_minor) noexcept nogil
# Bring the counters up to date after an accepted leg.
cdef void count_leg(Case* case, Lay* lay, const Charge* charge) noexcept nogil
# lay.used_pass: the pass that covers lay.leg. False = none does.
cdef bint find_pass(const Case* case, Lay* lay) noexcept nogil
# Note on the pass that it covered an accepted leg.
cdef void use_pass(const Case* case, const Lay* lay) noexcept nogil
