# Compiled tariffs as C arrays, and the book of all loaded versions. Immutable once loaded; swapped by pointer.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    TARIFF_SLOTS = 16      # a device is bound to one slot (metro, bus ...)
    TARIFF_VERSIONS = 8    # versions of one slot loaded at a time, ascending valid_from_us

cdef struct TariffC:
    uint64_t key           # first 8 bytes of the SHA-256 of the blob, little-endian; never 0
    int64_t valid_from_us
    int64_t valid_until_us
    # ... the rest is _tariff.pyx's and _core.pyx's business

cdef struct TariffBook:
    const TariffC* slots[TARIFF_SLOTS][TARIFF_VERSIONS]
    uint32_t counts[TARIFF_SLOTS]

# The version of a slot in force at an instant, NULL = none.
cdef const TariffC* book_at(const TariffBook* book, uint32_t slot, int64_t ts_us) noexcept nogil
# The version with this key in any slot, NULL = not loaded.
cdef const TariffC* book_by_key(const TariffBook* book, uint64_t key) noexcept nogil

cdef class CompiledTariff:
    """One tariff as an immutable blob with a C view on it."""
    cdef TariffC c
    cdef readonly bytes blob
    cdef readonly bytes digest
