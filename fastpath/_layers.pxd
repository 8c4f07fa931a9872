# What a compiled tariff says beyond one price a pair of stops, as C arrays. fastpath/layers.py says
# what the fields mean; the structs here are entries of the blob's sections.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:  # of layers.py; tests/fastpath/test_core_constants.py compares them
    ROUND_HALF_UP = 0
    ROUND_HALF_EVEN = 1
    ROUND_DOWN = 2
    ROUND_UP = 3

    OVERSTAY_FEE = 0
    OVERSTAY_HIGHEST = 1
    OVERSTAY_TWO_HIGHEST = 2

    SAME_STOP_FREE = 0
    SAME_STOP_FARE = 1
    SAME_STOP_HIGHEST = 2

    EFFECT_FIRST_AND_TRANSFER = 0
    EFFECT_ALL = 1
    EFFECT_TRANSFER_ONLY = 2
    EFFECT_MINUS = 3
    EFFECT_DIFFERENCE = 4
    EFFECT_THROUGH = 5

    MEASURED_DEPARTURE_TO_ARRIVAL = 0
    MEASURED_DEPARTURE_TO_DEPARTURE = 1
    MEASURED_ARRIVAL_TO_DEPARTURE = 2
    MEASURED_ARRIVAL_TO_ARRIVAL = 3

    WINDOW_DAY = 0
    WINDOW_WEEK = 1
    WINDOW_MONTH = 2
    WINDOW_ROLLING_DAYS = 3
    WINDOW_ROLLING = 4

    MEASURE_PAID = 0
    MEASURE_TRIPS = 1

    BEGINS_LEG = 0
    BEGINS_SPAN = 1
    BEGINS_RUN = 2

    PERIOD_TIERS = 0
    PERIOD_CAP = 1

    NETWORKS_MAX = 32
    CATEGORIES_MAX = 16
    MEDIA_MAX = 16
    COUNTERS_MAX = 8
    PERIOD_RULES_MAX = 16
    PASS_CELLS_MAX = 8


# Everything of one column, origin class and exit class: half a cache line.
cdef struct LegCell:
    int32_t fare                  # minor units, index into products, or -1
    int32_t discountable_minor
    uint32_t distance_m
    uint32_t zones
    uint32_t source
    uint16_t group
    uint8_t part
    uint8_t stay
    uint64_t spare

cdef struct BandRow:              # one a column; all zero = no bands
    uint32_t first
    uint32_t count
    uint32_t has_bands
    uint32_t per_m
    int32_t add_minor
    int32_t beyond_minor

cdef struct Band:
    uint32_t to_m
    int32_t fare_minor

cdef struct SameStopRule:
    int64_t until_us
    int32_t fare_minor
    int32_t times
    uint32_t source
    uint32_t kind

cdef struct JoinRule:
    int64_t window_us
    int32_t from_idx
    int32_t to_idx
    uint32_t source
    uint16_t from_network
    uint16_t to_network

cdef struct TransferRule:
    int64_t window_us
    int32_t amount_minor
    int32_t product
    int32_t count_max
    uint32_t source
    uint16_t from_group
    uint16_t to_group
    uint8_t effect
    uint8_t measured
    uint8_t begins
    uint8_t counts_own

cdef struct CounterRule:
    int64_t length
    uint32_t counter_id
    uint32_t networks
    uint16_t categories
    uint8_t window
    uint8_t week_start
    uint8_t counts_nominal
    uint8_t spare[3]

cdef struct PeriodStep:
    int64_t from_value
    int64_t factor_ppm
    int64_t limit_minor
    uint32_t zones
    uint32_t spare

cdef struct PeriodRule:
    uint32_t first_step
    uint32_t step_count
    uint32_t networks
    uint32_t source
    uint16_t categories
    uint8_t kind
    uint8_t counter
    uint8_t measure
    uint8_t is_split
    uint8_t spare[2]

cdef struct PassProduct:
    int64_t price_minor
    int64_t duration_us
    int32_t service_days
    int32_t rides
    uint32_t pass_id
    uint32_t networks
    uint32_t zones
    uint32_t source
    uint16_t categories
    uint8_t start
    uint8_t months
    uint8_t weeks
    uint8_t spare[3]

# What a counter, a period rule or a pass is for beside networks and categories. One entry each, in
# this order; no entries = nothing is for less than all.
cdef struct Scope:
    uint64_t frames               # bits: time frame of the leg's first check-in
    uint16_t media                # bits: kind of the medium
    uint8_t skips_free            # of a counter: legs that a cap or a pass made free are no trips
    uint8_t spare[5]

# The scalars, in the order of the blob's LAYER_SCALARS section: all int64.
cdef struct LayerScalars:
    int64_t has_legs              # 0 = the od_* tables; the rest of this block is then 0
    int64_t network_count
    int64_t frame_count
    int64_t category_count
    int64_t class_count
    int64_t any_stop
    int64_t highest_any_minor
    int64_t flat_by_leg
    int64_t has_zones
    int64_t group_count
    int64_t overstay
    int64_t round_mode
    int64_t group_riders_max

cdef struct LayersC:
    const LayerScalars* scalars
    uint32_t network_count        # at least 1 from here on, also without legs
    uint32_t frame_count
    uint32_t category_count
    uint32_t class_count
    uint32_t column_count
    uint32_t line_count
    uint32_t product_count
    uint32_t same_stop_count
    uint32_t join_count
    uint32_t transfer_count
    uint32_t counter_count
    uint32_t period_rule_count
    uint32_t pass_count
    uint32_t group_count
    bint has_legs
    bint has_chain                # docs/fares.md, layer 2: every account keeps one
    bint has_pass_chain           # so do accounts that hold passes
    bint has_frames
    bint has_span                 # windows ask for more than a chain keeps: CELL_SPAN
    const uint32_t* frame_row     # day_count + 1
    const int64_t* frame_start_us
    const uint8_t* frame
    const uint32_t* stop_class
    const int32_t* column
    const LegCell* cells
    const uint32_t* line_ids
    const uint8_t* line_network
    const int32_t* products
    const BandRow* band_rows      # NULL = no column has bands
    const Band* bands
    const int32_t* leg_factor_ppm  # NULL = none
    const int64_t* stays_us       # NULL = TariffRules.max_stay_us
    const SameStopRule* same_stops
    const JoinRule* joins
    const TransferRule* transfers
    # The first transfer of [from_group * (group_count + 1) + to_group], and of each the next one of
    # the same pair: number + 1, 0 = none. Made while loading.
    const uint16_t* first_transfer
    const uint16_t* next_transfer
    const CounterRule* counters
    const PeriodRule* period_rules
    const PeriodStep* steps
    const PassProduct* passes
    const Scope* counter_scopes   # NULL = none says more; likewise the next two
    const Scope* rule_scopes
    const Scope* pass_scopes
    uint32_t span_networks        # bits: legs of these leave the span as it is

cdef class LayersView:
    """The layers' sections of one blob, checked."""
    cdef LayersC c
    cdef object kept              # the blob, and what was made while loading
    cdef dict counts
    cdef uint32_t stop_count
    cdef uint32_t day_count
    cdef bint has_pairs           # out-of-station
    cdef const int64_t* day_start_us

    cdef point_at(self, const char* base, dict sections)
    cdef check_scalars(self)
    cdef check_counts(self)
    cdef check_legs(self)
    cdef check_cells(self)
    cdef check_bands(self)
    cdef check_frames(self)
    cdef check_journeys(self)
    cdef check_transfers(self)
    cdef check_periods(self)
    cdef check_passes(self)
    cdef check_scopes(self)
    cdef index_transfers(self)
