# C shapes of the engine: the bodies, sizes and comments are in layout.h; only what Cython code names stands here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "layout.h" nogil:
    enum:
        FAREGATE_STRUCT_VERSION
        LINE_BYTES
        ACCOUNT_LINES
        TOKEN_BYTES
        WINDOW_BITS
    const uint32_t GROUP_MAGIC

    ctypedef struct Period:
        uint32_t month
        uint32_t month_trips
        int64_t month_paid_minor
        uint32_t prev_month
        uint32_t prev_month_trips
        int64_t prev_month_paid_minor
        uint32_t day
        uint32_t day_trips
        int64_t day_paid_minor

    ctypedef struct Account:
        uint64_t account_id
        uint64_t version
        int64_t balance_minor
        int64_t subsidy_minor
        int64_t credit_limit_minor
        int64_t held_minor
        uint64_t position
        uint16_t status
        uint16_t currency
        uint8_t rider_category
        uint8_t tier
        uint8_t cell_count
        uint8_t spare0
        int64_t entry_ts_us
        uint64_t entry_device
        uint64_t entry_boot
        uint64_t entry_tariff
        uint32_t entry_seq
        uint32_t entry_stop
        int64_t exit_ts_us
        uint32_t exit_stop
        uint8_t journey_state
        uint8_t entry_medium_kind
        uint8_t leg_count
        uint8_t entry_flags
        int64_t journey_paid_minor
        Period period
        uint32_t origin_stop
        uint32_t first_cell
        int64_t last_flat_ts_us
        uint64_t last_device
        uint64_t last_boot
        uint32_t last_seq
        uint32_t last_stop
        int64_t last_ts_us
        int64_t last_fare_minor
        int64_t last_subsidy_minor
        uint8_t last_kind
        uint8_t last_medium_kind
        uint8_t last_flags
        uint8_t spare3
        uint32_t last_month
        uint32_t prev_origin_stop
        int32_t prev_paid_minor

    ctypedef struct Cell:
        uint32_t next
        uint8_t type
        uint8_t spare[3]
        uint64_t key
        Period period

    ctypedef struct Medium:
        uint8_t token[TOKEN_BYTES]
        uint32_t account_slot
        uint8_t kind
        uint8_t state
        uint16_t version
        int64_t expires_us

    ctypedef struct BootWindow:
        uint64_t device_id
        uint64_t boot_epoch
        uint32_t top_seq
        uint32_t acked_seq
        int64_t last_used_us
        uint64_t seen[64]
        uint64_t resolved[64]

    ctypedef struct Tap:
        uint64_t device
        uint64_t boot
        uint32_t seq
        uint32_t stop
        int64_t device_ts_us
        int64_t now_us
        uint8_t token[TOKEN_BYTES]
        int64_t amount_minor
        uint32_t flags
        uint32_t line
        uint32_t denylist_version
        uint8_t kind
        uint8_t medium_kind
        uint8_t tariff_slot
        uint8_t attempt

    ctypedef struct Decision:
        uint8_t reason
        uint8_t verdict
        uint16_t spare
        uint32_t rules
        int64_t fare_minor
        int64_t nominal_minor
        int64_t subsidy_minor
        int64_t balance_minor
        int64_t period_paid_minor
        int64_t ts_us
        uint64_t tariff_key
        uint32_t distance_m
        uint32_t other_stop

    ctypedef struct Command:
        uint64_t client
        uint64_t id_high
        uint64_t id_low
        uint64_t account_id
        uint64_t expected_version
        int64_t now_us
        int64_t amount_minor
        int64_t expires_us
        uint8_t token[TOKEN_BYTES]
        uint16_t currency
        uint16_t status_bits
        uint8_t op
        uint8_t purse
        uint8_t rider_category
        uint8_t medium_kind
        uint8_t medium_state
        uint8_t spare[7]

    ctypedef struct RecordHead:
        uint32_t length_bytes
        uint8_t op
        uint8_t reason
        uint8_t verdict
        uint8_t item_count
        uint64_t seq
        int64_t ts_us
        int64_t device_ts_us
        uint64_t account_id
        uint64_t id_a
        uint64_t id_b
        uint64_t id_c
        uint8_t token[TOKEN_BYTES]
        int64_t fare_minor
        int64_t amount_minor
        int64_t balance_minor
        int64_t nominal_minor
        int64_t subsidy_minor
        uint64_t tariff_key
        uint32_t stop
        uint32_t other_stop
        uint32_t flags
        uint32_t rules
        uint32_t distance_m
        uint32_t denylist_version
        int64_t fare_ts_us
        int64_t period_paid_minor

    ctypedef struct RecordItem:
        uint8_t type
        uint8_t line
        uint16_t spare
        uint32_t index
        uint8_t image[LINE_BYTES]

    ctypedef struct GroupHead:
        uint32_t magic
        uint16_t format
        uint16_t head_bytes
        uint64_t position
        uint32_t body_bytes
        uint32_t record_count
        uint64_t first_seq
        int64_t ts_us
        int64_t fare_total_minor
        int64_t amount_total_minor
        uint32_t engine_version
        uint32_t struct_version
        uint64_t spare
        uint32_t spare2
        uint32_t crc32c
        uint8_t previous_hash[32]
        uint8_t spare3[16]
