# What a leg costs by a tariff with layers, from the leg to the caps (docs/fares.md, "The order").
from libc.stdint cimport int64_t, uint8_t

from fastpath._case cimport Case, Charge, Lay

# Everything empty; finds the cells.
cdef void begin_layers(Case* case, Lay* lay) noexcept nogil
# The journey that this check-out ends: a reason. by_pair: its last check-in fits an out-of-station
# pair.
cdef int price_layered_ride(Case* case, Lay* lay, bint by_pair, uint8_t discount,
                            Charge* charge) noexcept nogil
# A flat tap without an amount of its own. discount: number of the time discount at its stop.
cdef int price_layered_flat(Case* case, Lay* lay, uint8_t discount, Charge* charge) noexcept nogil
# After the charge was drawn: chain, counters, pass. journey_minor: what earlier legs cost.
cdef void keep_layers(Case* case, Lay* lay, const Charge* charge,
                      int64_t journey_minor) noexcept nogil
