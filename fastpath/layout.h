/* Shapes that cross a file, a wire or a module boundary of the engine.
 *
 * Every struct is little-endian, has no implicit padding, and its size is asserted below: journal records and
 * snapshots carry these bytes as they are (docs/journal.md), so a change here is a change of FAREGATE_STRUCT_VERSION.
 * Money is int64 minor units of the account's currency; instants are int64 microseconds UTC, 0 = never.
 */
#ifndef FAREGATE_LAYOUT_H
#define FAREGATE_LAYOUT_H
#include <stdint.h>

#define FAREGATE_STRUCT_VERSION 1
#define LINE_BYTES 64
#define ACCOUNT_LINES 4
#define TOKEN_BYTES 16
#define WINDOW_BITS 4096
#define ACTS_MAX 16
#define PARTS_MAX 4

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "faregate stores little-endian structs; a big-endian build needs a conversion layer"
#endif

/* What one cap owner (the account, or a medium when the tariff says so) has done in the running periods. */
typedef struct {
    uint32_t month;            /* year * 12 + month - 1 of the newest month seen; 0 = none yet */
    uint32_t month_trips;
    int64_t  month_paid_minor; /* what counts towards the monthly tiers */
    uint32_t prev_month;       /* the month before that had trips: late taps still find it */
    uint32_t prev_month_trips;
    int64_t  prev_month_paid_minor;
    uint32_t day;              /* service-day index: days since 1970-01-01 of the service date; 0 = none */
    uint32_t day_trips;
    int64_t  day_paid_minor;
} Period;

/* The hot record of one account: four lines of 64 bytes. */
typedef struct {
    /* line 0: who it is and what it holds */
    uint64_t account_id;         /* 0 = free slot */
    uint64_t version;            /* operations applied so far */
    int64_t  balance_minor;      /* purse 0: stored value; below 0 = debt or credit drawn */
    int64_t  subsidy_minor;      /* purse 1: transit subsidy, drawn before purse 0 */
    int64_t  credit_limit_minor; /* how far purse 0 may go below 0 for any payment; >= 0 */
    int64_t  held_minor;         /* sum of open holds on purse 0; >= 0 */
    uint64_t position;           /* journal position of the last record that touched the account */
    uint16_t status;             /* ACCOUNT_* bits */
    uint16_t currency;           /* ISO 4217 numeric */
    uint8_t  rider_category;     /* index into the tariff's categories; 0 = adult */
    uint8_t  tier;               /* identity tier */
    uint8_t  cell_count;         /* extension cells in the chain */
    uint8_t  spare0;
    /* line 1: the open journey, or the last one */
    int64_t  entry_ts_us;        /* fare time of the first check-in of the leg */
    uint64_t entry_device;
    uint64_t entry_boot;
    uint64_t entry_tariff;       /* tariff key of the entry: an open journey keeps its version */
    uint32_t entry_seq;
    uint32_t entry_stop;
    int64_t  exit_ts_us;         /* end of the previous leg; kept while a joined leg is open */
    uint32_t exit_stop;
    uint8_t  journey_state;      /* JOURNEY_* */
    uint8_t  entry_medium_kind;
    uint8_t  leg_count;          /* legs joined so far, the open one included */
    uint8_t  entry_flags;        /* ENTRY_* */
    int64_t  journey_paid_minor; /* fares of the earlier legs of this journey */
    /* line 2: running periods */
    Period   period;
    uint32_t origin_stop;        /* where the journey began (differs from entry_stop after a join) */
    uint32_t first_cell;         /* head of the extension-cell chain, 0 = none */
    int64_t  last_flat_ts_us;    /* last accepted flat tap, for pass-back */
    /* line 3: the last accepted tap: what a reversal needs */
    uint64_t last_device;        /* 0 = nothing to reverse */
    uint64_t last_boot;
    uint32_t last_seq;
    uint32_t last_stop;
    int64_t  last_ts_us;
    int64_t  last_fare_minor;    /* charged by that tap and reversible with it */
    int64_t  last_subsidy_minor; /* the part of it drawn from purse 1 */
    uint8_t  last_kind;          /* TapKind */
    uint8_t  last_medium_kind;
    uint8_t  last_flags;         /* LAST_* */
    uint8_t  last_token;         /* first byte of the medium's token, 0 = not known: pass-back is asked of one medium */
    uint32_t last_month;         /* month the fare was counted in, 0 = not counted */
    uint32_t prev_origin_stop;   /* origin of the journey this check-in replaced */
    int32_t  prev_paid_minor;    /* journey_paid_minor of the journey this check-in replaced */
} Account;

/* A running total of an owner in one window (docs/fares.md, layer 3). */
typedef struct {
    uint32_t id;                 /* CRC-32 of the counter's name; 0 = free */
    uint32_t window;             /* service day, first day of the week, month index; ROLLING_DAYS: first day;
                                    ROLLING: second of the first counted tap; 0 = none yet */
    uint32_t zones;              /* zones used in the window, as bits */
    uint32_t trips;
    int64_t  paid_minor;
} Counter;

/* Legs that transfers join. */
typedef struct {
    int64_t  first_dep_us;       /* departure of the span's first leg */
    int64_t  last_dep_us;
    int64_t  last_arr_us;
    int64_t  journey_dep_us;     /* first check-in of the effective leg; kept over joins */
    int32_t  last_charged_minor; /* what the last leg cost */
    int32_t  span_paid_minor;    /* what the span has cost so far */
    uint32_t distance_m;         /* of the whole span */
    uint16_t last_group;         /* leg group of the last leg, 0 = no span; above bit 10: transfers in a row from it to itself */
    uint8_t  transfers;          /* transfers in a row so far */
    uint8_t  network;            /* of the last leg */
} Chain;

typedef struct {
    int64_t  from_us;            /* not valid before */
    int64_t  until_us;           /* exclusive; 0 = not used yet: begins with the first use */
    int64_t  last_used_us;
    int64_t  spare[2];
    int32_t  rides_left;         /* -1 = any number */
    uint32_t spare2;
} Pass;

typedef struct {
    int64_t  from_us;
    int64_t  until_us;           /* exclusive */
    int64_t  spare[4];
} Concession;

/* First legs that windows of transfers are measured from: arrivals of the span's, and of the legs in a row of one group;
   0 = not known, or the leg before itself. */
typedef struct {
    int64_t  first_arr_us;
    int64_t  run_dep_us;
    int64_t  run_arr_us;
} SpanTimes;

typedef struct {
    SpanTimes now;
    SpanTimes before;            /* as it was before the last tap, with CELL_CHAIN_BEFORE */
} Span;

/* A further purse of the account: key = purse id, 2 and above. */
typedef struct {
    int64_t  balance_minor;      /* never below 0 */
    int64_t  expires_us;         /* nothing is drawn from then on; 0 = never */
    uint64_t sponsor;            /* whom a sweep gives the rest back to: a merchant's number, 0 = house */
    uint32_t purposes;           /* what it may pay for, bits by Purpose */
    uint8_t  priority;           /* lower ones are drawn first */
    uint8_t  spare[3];
    int64_t  spare2[2];
} Purse;

/* Money reserved on the main purse and the credit line: key = hold id. */
typedef struct {
    int64_t  placed_minor;
    int64_t  captured_minor;
    int64_t  left_minor;         /* what it still reserves */
    int64_t  expires_us;
    uint64_t merchant;
    uint8_t  purpose;
    uint8_t  spare[7];
} Hold;

/* What was spent in the running windows, local dates of the account's limit profile. One cell an account, key 0. */
typedef struct {
    uint32_t day;                /* days since 1970-01-01 of the local date; 0 = none yet */
    uint32_t month;              /* year * 12 + month - 1 */
    uint32_t year;
    uint32_t spare;
    int64_t  day_minor;
    int64_t  month_minor;
    int64_t  year_minor;
    int64_t  lifetime_minor;
} Spent;

/* Drawn credit that is paid back in instalments: key = plan id. */
typedef struct {
    int64_t  principal_minor;
    int64_t  outstanding_minor;  /* uses the credit line as drawn credit does */
    int64_t  opened_us;
    uint32_t instalments;
    uint32_t spare;
    int64_t  spare2[2];
} Plan;

/* How much of a charge was given back: key = low half of the charge's operation id. */
typedef struct {
    uint64_t client;             /* of the charge */
    uint64_t id_high;
    int64_t  charged_minor;
    int64_t  refunded_minor;     /* never above charged_minor */
    int64_t  charge_us;          /* when it was charged */
    int64_t  spare;
} Refunded;

/* An extension cell of an account: 64 bytes from a slab, chained by index. */
typedef struct {
    uint32_t next;               /* index of the next cell, 0 = end */
    uint8_t  type;               /* CELL_* */
    uint8_t  riders;             /* CELL_CHAIN: riders of the last flat tap so far */
    uint8_t  spare[2];
    uint64_t key;                /* whose: first 8 bytes of the medium's token, 0 = the account's;
                                    CELL_PASS: pass id; CELL_CONCESSION: rider category; others: see their structs */
    union {
        Period     period;       /* CELL_MEDIUM_PERIOD */
        Counter    counters[2];  /* CELL_COUNTERS */
        Chain      chain;        /* CELL_CHAIN, and CELL_CHAIN_BEFORE: as it was before the last tap */
        Pass       pass;         /* CELL_PASS */
        Concession concession;   /* CELL_CONCESSION */
        Purse      purse;        /* CELL_PURSE */
        Hold       hold;         /* CELL_HOLD */
        Spent      spent;        /* CELL_LIMITS */
        Plan       plan;         /* CELL_PLAN */
        Refunded   refunded;     /* CELL_REFUND */
        Span       span;         /* CELL_SPAN */
        uint8_t    bytes[48];
    };
} Cell;

/* token -> account. */
typedef struct {
    uint8_t  token[TOKEN_BYTES];
    uint32_t account_slot;
    uint8_t  kind;               /* MediumKind */
    uint8_t  state;              /* MediumState; 0 = free entry */
    uint16_t version;            /* changes of state so far */
    int64_t  expires_us;         /* 0 = never */
} Medium;

/* What the device already sent within one boot: a sliding window over its sequence numbers. */
typedef struct {
    uint64_t device_id;
    uint64_t boot_epoch;
    uint32_t top_seq;            /* highest sequence number seen; 0 = none, numbers begin at 1 */
    uint32_t acked_seq;          /* every number up to here has been seen */
    int64_t  last_used_us;
    uint64_t seen[WINDOW_BITS / 64];     /* bit seq % 4096 */
    uint64_t resolved[WINDOW_BITS / 64]; /* a disagreement about this tap has been settled */
} BootWindow;

/* One tap as the engine sees it. */
typedef struct {
    uint64_t device;
    uint64_t boot;
    uint32_t seq;
    uint32_t stop;               /* public stop id of the tariff's network */
    int64_t  device_ts_us;
    int64_t  now_us;             /* server instant of the decision */
    uint8_t  token[TOKEN_BYTES];
    int64_t  amount_minor;       /* flat taps that carry their own price; -1 = the tariff's */
    uint32_t flags;              /* TAP_* */
    uint32_t line;               /* line or route, as the device knows it */
    uint32_t denylist_version;
    uint8_t  kind;               /* TapKind */
    uint8_t  medium_kind;        /* filled from the medium */
    uint8_t  tariff_slot;        /* filled from the device */
    uint8_t  attempt;
    uint32_t distance_m;         /* handed in with the tap, 0 = none */
    uint32_t network_plus_1;     /* 0 = that of the line; else as recorded: records keep the network, not the line */
} Tap;

/* What a wallet command asks for beyond what every command has: an item of its record. */
typedef struct {
    uint64_t key;                /* purse, hold or plan; MEDIUM_MOVE: version of the account it leaves, 0 = any */
    uint64_t merchant;           /* number of a merchant, 0 = house */
    uint64_t charge_client;      /* REFUND: operation that charged */
    uint64_t charge_high;
    uint64_t charge_low;
    int64_t  amount_minor;       /* as asked for */
    int64_t  expires_us;
    uint8_t  purpose;            /* Purpose */
    uint8_t  number;             /* purse: priority; plan: instalments */
    uint8_t  tier;
    uint8_t  flags;              /* FACT_* */
    uint32_t purposes;           /* purse: what it may pay for, bits */
} Facts;

/* Money drawn from a purse cell, or given back to it: > 0 either way. */
typedef struct {
    uint64_t purse_id;           /* 0 = end */
    int64_t  amount_minor;
} Part;

typedef struct {
    Part parts[PARTS_MAX];       /* in the order of drawing */
} Parts;

/* What was decided, and why. */
typedef struct {
    uint8_t  reason;             /* Reason */
    uint8_t  verdict;            /* Verdict */
    uint16_t spare;
    uint32_t rules;              /* RULE_* bits: which rules acted */
    int64_t  fare_minor;         /* value moved from rider to operator; below 0 = given back */
    int64_t  nominal_minor;      /* price before time, medium and period discounts, without surcharges */
    int64_t  subsidy_minor;      /* the part of fare_minor drawn from purse 1 */
    int64_t  balance_minor;      /* spendable after the tap: balance + subsidy - held (without credit) */
    int64_t  period_paid_minor;  /* cap progress after the tap */
    int64_t  ts_us;              /* fare time used */
    uint64_t tariff_key;         /* version that priced it, 0 = none */
    uint32_t distance_m;         /* 0 = not priced by distance */
    uint32_t other_stop;         /* entry stop of a check-out, origin of a joined journey */
    uint32_t acts[ACTS_MAX];     /* which rules of the tariff acted: Act << 24 | number; 0 = end */
    uint8_t  act_count;
    uint8_t  network;            /* of the leg */
    uint8_t  part_count;
    uint8_t  spare2[5];
    int64_t  amount_minor;       /* commands: into (> 0) or out of the account from outside */
    Parts    parts;              /* what came from purse cells, or went back to them; nothing when part_count is 0 */
} Decision;

#define DECISION_CLEAR_BYTES __builtin_offsetof(Decision, parts)

/* One command of the control plane. */
typedef struct {
    uint64_t client;
    uint64_t id_high;            /* operation id, time-ordered (UUIDv7), big half first */
    uint64_t id_low;
    uint64_t account_id;
    uint64_t expected_version;   /* 0 = any */
    int64_t  now_us;
    int64_t  amount_minor;       /* credit, debit: > 0; adjust: any but 0; credit limit, pass: >= 0; re-rating: what is charged more */
    int64_t  expires_us;         /* medium, pass, concession */
    uint8_t  token[TOKEN_BYTES]; /* re-rating: digest of its images */
    uint16_t currency;
    uint16_t status_bits;        /* freeze, unfreeze */
    uint8_t  op;                 /* Op, 16 and above */
    uint8_t  purse;              /* 0 stored value, 1 subsidy, 2 the purse of facts.key */
    uint8_t  rider_category;
    uint8_t  medium_kind;
    uint8_t  medium_state;
    uint8_t  has_facts;          /* somebody filled facts */
    uint8_t  spare[6];
    int64_t  from_us;            /* pass, concession: valid from; expires_us: until */
    uint32_t pass_id;
    int32_t  rides;              /* pass: -1 = any number */
    Facts    facts;
    int64_t  horizon_us;         /* operations older than that are no longer known */
} Command;

/* Fixed head of a journal record; items of 72 bytes follow. */
typedef struct {
    uint32_t length_bytes;       /* head and items */
    uint8_t  op;                 /* Op */
    uint8_t  reason;
    uint8_t  verdict;
    uint8_t  item_count;
    uint64_t seq;                /* 1, 2, 3 ... over the whole journal */
    int64_t  ts_us;              /* server instant */
    int64_t  device_ts_us;       /* taps: device clock; commands: expiry asked for (medium, pass, concession); re-rating: instant of a claim */
    uint64_t account_id;         /* 0 = none */
    uint64_t id_a;               /* taps: device; commands: client */
    uint64_t id_b;               /* taps: boot epoch; commands: first half of the operation id */
    uint64_t id_c;               /* taps: sequence; commands: second half */
    uint8_t  token[TOKEN_BYTES];
    int64_t  fare_minor;         /* rider -> operator */
    int64_t  amount_minor;       /* into (> 0) or out of (< 0) the account from outside */
    int64_t  balance_minor;      /* spendable after */
    int64_t  nominal_minor;
    int64_t  subsidy_minor;      /* the part of fare_minor drawn from purse 1 */
    uint64_t tariff_key;
    uint32_t stop;               /* commands: the account version asked for, low 32 bits */
    uint32_t other_stop;         /* commands: pass id; re-rating: stop of a claim */
    uint32_t flags;              /* taps: TAP_* | network << 8 | kind << 16 | tariff slot << 24; commands: status bits | purse << 16 |
                                    medium state << 24 */
    uint32_t rules;              /* RULE_* */
    uint32_t distance_m;         /* taps; commands: currency | rider category << 16 | medium kind << 24 */
    uint32_t denylist_version;   /* taps: the version the device had; MEDIUM_STATE: the version this change makes */
    int64_t  fare_ts_us;         /* the instant the fare was computed for; pass, concession: valid from; re-rating: where pricing again began */
    int64_t  period_paid_minor;  /* cap progress after the tap; pass: rides; re-rating: kind of a claim */
} RecordHead;

/* After-image of one 64-byte line. */
typedef struct {
    uint8_t  type;               /* Item */
    uint8_t  line;               /* account line 0-3; else 0 */
    uint16_t spare;
    uint32_t index;              /* account slot, cell index; else 0 */
    uint8_t  image[LINE_BYTES];
} RecordItem;

/* Head of one group: what one turn of the loop made durable together. */
typedef struct {
    uint32_t magic;              /* GROUP_MAGIC "FGG1" */
    uint16_t format;             /* 1 */
    uint16_t head_bytes;         /* 128 */
    uint64_t position;           /* byte address of this head in the whole journal */
    uint32_t body_bytes;         /* records, without padding */
    uint32_t record_count;
    uint64_t first_seq;
    int64_t  ts_us;
    int64_t  fare_total_minor;   /* sum of fare_minor */
    int64_t  amount_total_minor; /* sum of amount_minor */
    uint32_t engine_version;
    uint32_t struct_version;
    uint64_t denylist_version;   /* changes of medium states so far */
    uint32_t spare2;
    uint32_t crc32c;             /* of the head with this field 0 and previous_hash in place, then the body */
    uint8_t  previous_hash[32];  /* SHA-256 of the group before: its head and body */
    uint64_t limits_key;         /* limits of identity tiers that its decisions used (fastpath/_limits.pxd), 0 = none */
    uint8_t  spare3[8];
} GroupHead;

#define GROUP_MAGIC 0x31474746u /* "FGG1" */

_Static_assert(sizeof(Period) == 48, "Period");
_Static_assert(sizeof(Account) == ACCOUNT_LINES * LINE_BYTES, "Account");
_Static_assert(__builtin_offsetof(Account, entry_ts_us) == 64, "Account line 1");
_Static_assert(__builtin_offsetof(Account, period) == 128, "Account line 2");
_Static_assert(__builtin_offsetof(Account, last_device) == 192, "Account line 3");
_Static_assert(sizeof(Counter) == 24, "Counter");
_Static_assert(sizeof(Chain) == 48, "Chain");
_Static_assert(sizeof(Span) == 48, "Span");
_Static_assert(sizeof(Pass) == 48, "Pass");
_Static_assert(sizeof(Concession) == 48, "Concession");
_Static_assert(sizeof(Purse) == 48, "Purse");
_Static_assert(sizeof(Hold) == 48, "Hold");
_Static_assert(sizeof(Spent) == 48, "Spent");
_Static_assert(sizeof(Plan) == 48, "Plan");
_Static_assert(sizeof(Refunded) == 48, "Refunded");
_Static_assert(sizeof(Facts) == LINE_BYTES, "Facts");
_Static_assert(sizeof(Parts) == LINE_BYTES, "Parts");
_Static_assert(sizeof(Cell) == LINE_BYTES, "Cell");
_Static_assert(sizeof(Medium) == 32, "Medium");
_Static_assert(sizeof(BootWindow) == 32 + 2 * WINDOW_BITS / 8, "BootWindow");
_Static_assert(sizeof(Command) == 184, "Command");
_Static_assert(sizeof(RecordHead) == 168, "RecordHead");
_Static_assert(sizeof(RecordItem) == 72, "RecordItem");
_Static_assert(sizeof(GroupHead) == 128, "GroupHead");
#endif
