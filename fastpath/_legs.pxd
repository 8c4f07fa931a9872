# Layer 1: what one leg costs before anything discounts it (docs/fares.md).
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastpath._case cimport Case, Lay, Leg
from fastpath._layers cimport LayersC, SameStopRule
from fastpath._tariff cimport TariffC

# The network of the tap's line, or the one that a record says.
cdef uint8_t network_of(const Case* case, const LayersC* layers) noexcept nogil
# lay.leg for the leg that this tap ends; False = not priced. `same`: the entry that makes it an
# ordinary fare, or NULL.
cdef bint find_ride_leg(Case* case, Lay* lay, const SameStopRule* same) noexcept nogil
cdef bint find_flat_leg(Case* case, Lay* lay) noexcept nogil
# Have the price between two stops come from memory, if the tariff has it in one table.
cdef void fetch_pair(const TariffC* tariff, uint32_t origin_stop, uint32_t stop) noexcept nogil
# Nominal price of the part of a joined journey before its last leg.
cdef int64_t find_nominal_before(Case* case, Lay* lay) noexcept nogil
# Price by the bands of a column: -1 = not priced.
cdef int64_t price_by_bands(const LayersC* layers, uint32_t column, uint32_t distance_m,
                            uint32_t* rules) noexcept nogil
cdef bint has_bands(const LayersC* layers, uint32_t column) noexcept nogil
cdef int64_t product_price(const Case* case, const LayersC* layers, int64_t product,
                           uint8_t category) noexcept nogil
# The entry that decides about leaving where one entered, NULL = none.
cdef const SameStopRule* find_same_stop(const Case* case, const Lay* lay) noexcept nogil
# How long one may stay, -1 = as long as one likes.
cdef int64_t stay_limit(const Case* case, const Lay* lay) noexcept nogil
# Note on the decision what the tables said.
cdef void tell_leg(Case* case, const Leg* leg) noexcept nogil
# The time frame an instant lies in; 0 outside the calendar.
cdef uint8_t frame_at(const TariffC* tariff, const LayersC* layers, int64_t ts_us) noexcept nogil

# Fill lay.leg with everything but price and cell.
cdef void begin_leg(Case* case, Lay* lay) noexcept nogil
