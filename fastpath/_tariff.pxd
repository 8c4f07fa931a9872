# Compiled tariffs as C arrays, and the book of all loaded versions. Immutable once loaded; swapped
# by pointer.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath._layers cimport LayersC, LayersView
from fastpath._limit_book cimport LimitBook
from fastpath._limits cimport LimitsC

cdef enum:
    TARIFF_SLOTS = 16      # a device is bound to one slot (metro, bus ...)
    TARIFF_VERSIONS = 8    # versions of one slot loaded at a time, ascending valid_from_us

    NO_STOP = 0xFFFFFFFF   # stop_index: not in this tariff
    FACTOR_ONE = 1000000   # factors are parts per million
    DISCOUNTS_MAX = 15     # Account.entry_flags remembers one of them in four bits

# Everything of one origin and destination in one place: one cache line a tap.
cdef struct OdFare:
    int32_t fare_minor            # -1 = not priced
    int32_t discountable_minor    # the part that time discounts touch
    uint32_t distance_m
    uint32_t part                 # PART_*

# A slot of the stop table: open addressing, id 0 = free.
cdef struct StopSlot:
    uint32_t stop_id
    uint32_t index

cdef struct Interchange:
    uint32_t from_idx
    uint32_t to_idx
    int64_t window_us

cdef struct Tier:
    int64_t from_minor
    int64_t factor_ppm

# The scalars, in the order of the blob's SCALARS section: all int64.
cdef struct Scalars:
    int64_t valid_from_us
    int64_t valid_until_us        # exclusive; 0 = open end
    int64_t currency
    int64_t first_day
    int64_t entry_minimum_minor
    int64_t exit_overdraft
    int64_t same_stop_fare_minor
    int64_t max_stay_us
    int64_t overstay_minor
    int64_t missing_check_in
    int64_t missing_check_out_after_us
    int64_t passback_us
    int64_t flat_minor
    int64_t cap_owner
    int64_t month_basis
    int64_t month_by_entry
    int64_t clock_ahead_us
    int64_t clock_behind_us
    int64_t offline_horizon_us
    int64_t round_to_minor
    int64_t tier_split
    int64_t medium_factor_ppm[16]

cdef struct TariffC:
    uint64_t key                  # first 8 bytes of the SHA-256 of the blob, little-endian; never 0
    int64_t valid_from_us
    int64_t valid_until_us        # INT64_MAX = open end
    const Scalars* rules
    uint32_t stop_count
    uint32_t day_count
    uint32_t discount_count
    uint32_t tier_count
    uint32_t slot_shift           # 32 - log2 of the stop table's size
    uint32_t slot_mask
    const StopSlot* slots
    const uint32_t* stop_ids
    const OdFare* fares           # stop_count * stop_count, row = entry stop
    const int64_t* highest_minor
    const int64_t* day_start_us   # day_count + 1
    const uint32_t* day_month
    const int64_t* discount_ppm
    const uint8_t* discount_stops     # discount * stop_count + stop
    const int64_t* discount_start_us  # discount * day_count + day
    const int64_t* discount_end_us
    const uint32_t* interchange_rows  # stop_count + 1: where the interchanges of an exit stop begin
    const Interchange* interchanges
    const Tier* tiers
    const LayersC* layers             # NULL = nothing beyond these tables

cdef struct TariffBook:
    const TariffC* slots[TARIFF_SLOTS][TARIFF_VERSIONS]
    uint32_t counts[TARIFF_SLOTS]
    const LimitsC* limits         # of identity tiers; NULL = nobody has any

# The version of a slot in force at an instant, NULL = none.
cdef const TariffC* book_at(const TariffBook* book, uint32_t slot, int64_t ts_us) noexcept nogil
# The version with this key in any slot, NULL = not loaded.
cdef const TariffC* book_by_key(const TariffBook* book, uint64_t key) noexcept nogil

# Dense index of a public stop id, NO_STOP = not in this tariff.
cdef inline uint32_t stop_index(const TariffC* tariff, uint32_t stop_id) noexcept nogil:
    cdef uint32_t at = (stop_id * <uint32_t> 2654435769) >> tariff.slot_shift
    if stop_id == 0:
        return NO_STOP
    while tariff.slots[at].stop_id != stop_id:
        if tariff.slots[at].stop_id == 0:
            return NO_STOP
        at = (at + 1) & tariff.slot_mask
    return tariff.slots[at].index

# Service day of an instant, -1 = outside the table. Loading checked that the guess is never off by
# more than one.
cdef inline int64_t day_index(const TariffC* tariff, int64_t ts_us) noexcept nogil:
    cdef int64_t day
    if ts_us < tariff.day_start_us[0] or ts_us >= tariff.day_start_us[tariff.day_count]:
        return -1
    day = (ts_us - tariff.day_start_us[0]) // <int64_t> 86400000000
    if day >= tariff.day_count:
        day = tariff.day_count - 1
    if ts_us < tariff.day_start_us[day]:
        return day - 1
    if ts_us >= tariff.day_start_us[day + 1]:
        return day + 1
    return day

cdef class CompiledTariff:
    """One tariff as an immutable blob with a C view on it."""
    cdef TariffC c
    cdef readonly bytes blob
    cdef readonly bytes digest
    cdef dict meta
    cdef uint32_t interchange_count
    cdef LayersView layers

    cdef point_at(self, dict sections)
    cdef check_scalars(self)
    cdef check_stops(self)
    cdef check_fares(self)
    cdef check_days(self)
    cdef check_discounts(self)
    cdef check_interchanges(self)
    cdef check_tiers(self)
    cdef check_layers(self, dict sections)
    cdef check_factors(self)

cdef class Book:
    """All loaded versions, kept alive here; `c` is what the C functions read."""
    cdef TariffBook c
    cdef dict kept
    cdef readonly LimitBook limits

    cdef set_versions(self, uint32_t slot, list versions)
