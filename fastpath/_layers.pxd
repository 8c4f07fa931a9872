# What a compiled tariff says beyond one price a pair of stops, as C arrays (fastpath/layers.py).
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef struct LayersC:
    uint32_t category_count
