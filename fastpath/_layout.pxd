# C shapes of the engine: bodies and comments are in layout.h; only what Cython code names is here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "layout.h" nogil:
    enum:
        FAREGATE_STRUCT_VERSION
        LINE_BYTES
        ACCOUNT_LINES
        TOKEN_BYTES
        WINDOW_BITS
        ACTS_MAX
        PARTS_MAX
        DECISION_CLEAR_BYTES   # without its parts
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
        uint8_t last_token
        uint32_t last_month
        uint32_t prev_origin_stop
        int32_t prev_paid_minor

    ctypedef struct Counter:
        uint32_t id
        uint32_t window
        uint32_t zones
        uint32_t trips
        int64_t paid_minor

    ctypedef struct Chain:
        int64_t first_dep_us
        int64_t last_dep_us
        int64_t last_arr_us
        int64_t journey_dep_us
        int32_t last_charged_minor
        int32_t span_paid_minor
        uint32_t distance_m
        uint16_t last_group
        uint8_t transfers
        uint8_t network

    ctypedef struct SpanTimes:
        int64_t first_arr_us
        int64_t run_dep_us
        int64_t run_arr_us

    ctypedef struct Span:
        SpanTimes now
        SpanTimes before

    ctypedef struct Pass:
        int64_t from_us
        int64_t until_us
        int64_t last_used_us
        int32_t rides_left

    ctypedef struct Concession:
        int64_t from_us
        int64_t until_us

    ctypedef struct Purse:
        int64_t balance_minor
        int64_t expires_us
        uint64_t sponsor
        uint32_t purposes
        uint8_t priority

    ctypedef struct Hold:
        int64_t placed_minor
        int64_t captured_minor
        int64_t left_minor
        int64_t expires_us
        uint64_t merchant
        uint8_t purpose

    ctypedef struct Spent:
        uint32_t day
        uint32_t month
        uint32_t year
        int64_t day_minor
        int64_t month_minor
        int64_t year_minor
        int64_t lifetime_minor

    ctypedef struct Plan:
        int64_t principal_minor
        int64_t outstanding_minor
        int64_t opened_us
        uint32_t instalments

    ctypedef struct Refunded:
        uint64_t client
        uint64_t id_high
        int64_t charged_minor
        int64_t refunded_minor
        int64_t charge_us

    ctypedef struct Cell:
        uint32_t next
        uint8_t type
        uint8_t riders
        uint64_t key
        Period period          # one of these, by type
        Counter counters[2]
        Chain chain
        Pass pass_ "pass"
        Concession concession
        Purse purse
        Hold hold
        Spent spent
        Plan plan
        Refunded refunded
        Span span
        uint8_t bytes[48]

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
        uint32_t distance_m
        uint32_t network_plus_1

    ctypedef struct Facts:
        uint64_t key
        uint64_t merchant
        uint64_t charge_client
        uint64_t charge_high
        uint64_t charge_low
        int64_t amount_minor
        int64_t expires_us
        uint8_t purpose
        uint8_t number
        uint8_t tier
        uint8_t flags
        uint32_t purposes

    ctypedef struct Part:
        uint64_t purse_id
        int64_t amount_minor

    ctypedef struct Parts:
        Part parts[PARTS_MAX]

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
        uint32_t acts[ACTS_MAX]
        uint8_t act_count
        uint8_t network
        uint8_t part_count
        int64_t amount_minor
        Parts parts

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
        uint8_t has_facts
        uint8_t spare[6]
        int64_t from_us
        uint32_t pass_id
        int32_t rides
        Facts facts
        int64_t horizon_us

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
        uint64_t denylist_version
        uint32_t spare2
        uint32_t crc32c
        uint8_t previous_hash[32]
        uint64_t limits_key
        uint8_t spare3[8]

# The numbers of types.py for C, prefixed by what they belong to
# (tests/fastpath/test_core_constants.py compares them all).

cdef enum:  # TapKind
    KIND_CHECK_IN = 1
    KIND_CHECK_OUT = 2
    KIND_FLAT = 3
    KIND_INSPECT = 4

cdef enum:  # MediumKind
    MEDIUM_KIND_CARD = 1
    MEDIUM_KIND_PHONE = 2
    MEDIUM_KIND_QR = 3
    MEDIUM_KIND_EMV = 4
    MEDIUM_KIND_WRISTBAND = 5
    MEDIUM_KIND_BLE = 6

cdef enum:  # MediumState
    MEDIUM_ACTIVE = 1
    MEDIUM_LOST = 2
    MEDIUM_EXPIRED = 3
    MEDIUM_REPLACED = 4
    MEDIUM_DENYLISTED = 5

cdef enum:  # AccountStatus
    ACCOUNT_FROZEN_DEBIT = 1
    ACCOUNT_FROZEN_CREDIT = 2
    ACCOUNT_CLOSED = 4
    ACCOUNT_CREDIT_LATE = 8

cdef enum:  # JourneyState
    JOURNEY_NONE = 0
    JOURNEY_OPEN = 1
    JOURNEY_DONE = 2

cdef enum:  # Verdict
    VERDICT_DENY = 0
    VERDICT_OPEN = 1
    VERDICT_OPEN_WITH_DEBT = 2
    VERDICT_RETRY = 3

cdef enum:  # Reason
    REASON_BUSY = 16
    REASON_JOURNAL_FULL = 17
    REASON_OP_TOO_OLD = 18
    REASON_OP_CONFLICT = 19
    REASON_BAD_REQUEST = 20
    REASON_BAD_TIME = 21
    REASON_OUT_OF_SERVICE = 22
    REASON_TARIFF_NOT_LOADED = 23
    REASON_UNKNOWN_STOP = 24
    REASON_UNKNOWN_MEDIUM = 25
    REASON_UNKNOWN_ACCOUNT = 26
    REASON_DENYLISTED = 27
    REASON_MEDIUM_LOST = 28
    REASON_MEDIUM_EXPIRED = 29
    REASON_ACCOUNT_CLOSED = 30
    REASON_ACCOUNT_FROZEN = 31
    REASON_CURRENCY_MISMATCH = 32
    REASON_VERSION_CONFLICT = 33
    REASON_PASSBACK = 34
    REASON_ALREADY_IN = 35
    REASON_NOT_CHECKED_IN = 36
    REASON_NOT_PRICED = 37
    REASON_AMOUNT_INVALID = 38
    REASON_UNKNOWN_PURSE = 54
    REASON_UNKNOWN_HOLD = 50
    REASON_UNKNOWN_PLAN = 57
    REASON_UNKNOWN_CHARGE = 55
    REASON_HOLD_EXPIRED = 51
    REASON_NOT_EXPIRED = 52
    REASON_OVER_CAPTURE = 58
    REASON_OVER_REFUND = 53
    REASON_AMOUNT_OVERFLOW = 39
    REASON_CREDIT_LATE = 56
    REASON_INSUFFICIENT_BALANCE = 40
    REASON_LIMIT_EXCEEDED = 48
    REASON_BALANCE_LIMIT = 49
    REASON_ALREADY_EXISTS = 41
    REASON_TOO_MANY_ACCOUNTS = 42
    REASON_TOO_MANY_MEDIA = 43
    REASON_TOO_MANY_CELLS = 44
    REASON_NOTHING_TO_REVERSE = 45
    REASON_OFFLINE_REFUSED = 46
    REASON_HOLD_OPEN = 59
    REASON_BALANCE_NOT_ZERO = 47
    REASON_OK_RISK = 3
    REASON_OK_DEBT = 2
    REASON_OK_OVERDRAFT = 1
    REASON_OK = 0

cdef enum:  # Op
    OP_CHECK_IN = 1
    OP_CHECK_OUT = 2
    OP_FLAT = 3
    OP_REVERSAL = 5
    OP_SETTLEMENT = 6
    OP_CONTEXT = 7
    OP_ACCOUNT_OPEN = 16
    OP_ACCOUNT_CLOSE = 17
    OP_CREDIT = 18
    OP_DEBIT = 19
    OP_FREEZE = 20
    OP_UNFREEZE = 21
    OP_SET_CREDIT_LIMIT = 22
    OP_SET_CATEGORY = 23
    OP_MEDIUM_LINK = 24
    OP_MEDIUM_STATE = 25
    OP_ADJUST = 26
    OP_PASS_ADD = 27
    OP_PASS_REMOVE = 28
    OP_CONCESSION = 29
    OP_RERATE = 30
    OP_PURSE_OPEN = 31
    OP_PURSE_CLOSE = 32
    OP_PURSE_SWEEP = 33
    OP_HOLD_PLACE = 34
    OP_HOLD_CAPTURE = 35
    OP_HOLD_RELEASE = 36
    OP_HOLD_EXTEND = 37
    OP_HOLD_EXPIRE = 38
    OP_REFUND = 39
    OP_SET_TIER = 40
    OP_CREDIT_STATE = 41
    OP_PLAN_OPEN = 42
    OP_PLAN_REPAY = 43
    OP_WRITE_OFF = 44
    OP_MEDIUM_MOVE = 45

cdef enum:  # Item
    ITEM_ACCOUNT_LINE = 1
    ITEM_CELL = 2
    ITEM_MEDIUM = 3
    ITEM_NOTE = 4
    ITEM_ORIGINAL = 5
    ITEM_ACTS = 6
    ITEM_FACTS = 7
    ITEM_PARTS = 8

cdef enum:  # FactFlag
    FACT_FINAL = 1
    FACT_LATE = 2
    FACT_WAY_HOME = 4
    FACT_PAYOUT = 8
    FACT_TRANSFER = 16
    FACT_FARE = 32
    FACT_FEE = 64

cdef enum:  # Purpose
    PURPOSE_TRANSIT = 0
    PURPOSE_MEAL = 1
    PURPOSE_MEDICAL = 2
    PURPOSE_LIBRARY = 3
    PURPOSE_TUITION = 4
    PURPOSE_SHOPPING = 5
    PURPOSE_HOUSING = 6
    PURPOSE_VENUE = 7
    PURPOSE_NONE = 255

cdef enum:  # TapFlag
    TAP_OFFLINE = 1
    TAP_DEVICE_OPENED = 2
    TAP_SERVICE_DESK = 4
    TAP_CLOCK_UNSURE = 8

cdef enum:  # Rule
    RULE_DISTANCE_BAND = 1
    RULE_BEYOND_BANDS = 2
    RULE_SEPARATE_LINE = 4
    RULE_SAME_STATION = 8
    RULE_TIME_DISCOUNT = 16
    RULE_MONTHLY_TIER = 32
    RULE_OVERSTAY = 64
    RULE_MISSING_CHECK_IN = 128
    RULE_MISSING_CHECK_OUT = 256
    RULE_OUT_OF_STATION = 512
    RULE_ENTRY_MINIMUM = 1024
    RULE_EXIT_OVERDRAFT = 2048
    RULE_FLAT_FARE = 4096
    RULE_MEDIUM_FACTOR = 8192
    RULE_DEVICE_AMOUNT = 16384
    RULE_OFFLINE_ACCEPTED = 32768
    RULE_RECEIVED_TIME = 65536
    RULE_CREDIT_LINE = 131072
    RULE_SUBSIDY = 262144
    RULE_MONEY_ONLY = 524288
    RULE_LEG_RULE = 1048576
    RULE_TRANSFER = 2097152
    RULE_CAP = 4194304
    RULE_PERIOD_TIER = 8388608
    RULE_PASS = 16777216
    RULE_LEG_FACTOR = 33554432
    RULE_GROUP_RIDER = 67108864
    RULE_JOINED_LEG = 134217728
    RULE_GIVEN_DISTANCE = 268435456
    RULE_CONCESSION = 536870912
    RULE_COUNTED = 1073741824

cdef enum:  # CapOwner
    CAP_OWNER_ACCOUNT = 0
    CAP_OWNER_MEDIUM = 1

cdef enum:  # MissingCheckIn
    MISSING_CHECK_IN_REFUSE = 0
    MISSING_CHECK_IN_HIGHEST_AT_DESK = 1
    MISSING_CHECK_IN_HIGHEST = 2

cdef enum:  # MonthBasis
    MONTH_BASIS_PAID = 0
    MONTH_BASIS_NOMINAL = 1
    MONTH_BASIS_TRIPS = 2

cdef enum:  # Act
    ACT_LEG = 1
    ACT_TRANSFER = 2
    ACT_JOIN = 3
    ACT_SAME_STOP = 4
    ACT_PERIOD = 5
    ACT_PASS = 6
    ACT_TIME_DISCOUNT = 7
    ACT_MONTHLY_TIER = 8

cdef enum:  # FarePart
    PART_NOT_PRICED = 0
    PART_BAND = 1
    PART_BEYOND = 2
    PART_SEPARATE = 3
    PART_COMBINED = 4

# What only C code knows.
# Account.entry_flags: low half = time discount of this journey (index + 1, 0 = none), high half =
# that of the journey before.
cdef enum:
    ENTRY_DISCOUNT_MASK = 0x0F
    ENTRY_PREV_DISCOUNT_SHIFT = 4

cdef enum:  # Account.last_flags
    LAST_PREV_DONE = 1     # check-in: a finished journey stood in line 1 before
    LAST_NO_JOURNEY = 2    # check-out: charged without touching line 1 (missing check-in)
    LAST_CHAIN = 4         # the tap changed the owner's chain; CELL_CHAIN_BEFORE has it as it was
    LAST_LEGS_SHIFT = 4    # check-in: leg_count before, 4 bits

cdef enum:
    LEGS_MAX = 15          # further legs begin a new journey

cdef enum:  # Cell.type
    CELL_MEDIUM_PERIOD = 1
    CELL_COUNTERS = 2
    CELL_CHAIN = 3
    CELL_CHAIN_BEFORE = 4
    CELL_PASS = 5
    CELL_CONCESSION = 6
    CELL_PURSE = 7
    CELL_HOLD = 8
    CELL_LIMITS = 9
    CELL_PLAN = 10
    CELL_REFUND = 11
    CELL_SPAN = 12
