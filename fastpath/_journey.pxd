# Layer 2: what legs of one journey do to each other (docs/fares.md).
from libc.stdint cimport int32_t, int64_t, uint32_t

from fastpath._case cimport Case, Lay
from fastpath._factors cimport Factors

# The first join that continues the finished journey, -1 = none. Out-of-station pairs: _core.pyx.
cdef int32_t find_join_rule(const Case* case, const Lay* lay, uint32_t exit_stop) noexcept nogil
# What the leg costs after a transfer; lay.by_transfer says whether there was one, *may_give_back
# whether it may be below 0.
cdef int64_t transferred(Case* case, Lay* lay, const Factors* factors, int64_t price_minor,
                         bint* may_give_back) noexcept nogil
# After an accepted check-in that begins a journey.
cdef void keep_entry(Case* case, Lay* lay, bint is_closing) noexcept nogil
# After an accepted leg that was not late, or one that ends the span. journey_minor: what its
# earlier legs cost.
cdef void keep_chain(Case* case, Lay* lay, int64_t journey_minor,
                     int64_t ride_minor) noexcept nogil
# Whether a flat tap that repeats the last one is one more rider of a group.
cdef bint takes_rider(const Lay* lay) noexcept nogil
# After an accepted flat tap that was no pass-back.
cdef void keep_riders(Case* case, Lay* lay) noexcept nogil
# What the tariff keeps for this owner among the account's cells.
cdef void find_cells(Case* case, Lay* lay) noexcept nogil
# How many more cells all that the tariff may keep for the owner would take.
cdef uint32_t count_needed(const Case* case, const Lay* lay) noexcept nogil
