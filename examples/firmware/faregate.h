/* Reference client of the faregate validator link (docs/protocol.md): bytes in, bytes out.
 *
 * C99, no allocation, no I/O, no clock, no randomness: the caller brings a receive buffer, the time and 16 random bytes.
 *
 *     fg_init, fg_hello -> send -> fg_receive + fg_next: FG_EVENT_CHALLENGE -> fg_auth -> send
 *     -> FG_EVENT_WELCOME -> fg_tap, fg_tap_batch, fg_passage, fg_heartbeat -> send -> FG_EVENT_ANSWERS ...
 *
 * Every fg_* that writes a frame returns its size, or 0 when `room` is too small or it is not the time for it.
 */
#ifndef FAREGATE_CLIENT_H
#define FAREGATE_CLIENT_H
#include <stddef.h>
#include <stdint.h>

#define FG_KEY_BYTES 32
#define FG_NONCE_BYTES 16
#define FG_TAG_BYTES 16
#define FG_TOKEN_BYTES 16
#define FG_BATCH_MAX 256
#define FG_TAP_BYTES_MAX 80      /* one TAP array */
#define FG_FRAME_BYTES_MIN 128   /* room that any frame but tap_batch fits into, without firmware text */
#define FG_ANSWER_BYTES_MAX 96   /* one ANSWER array: a receive buffer for batches of n needs 64 + 96 n bytes */

enum { FG_HMAC_SHA256 = 1, FG_BLAKE2B = 2 };
enum { FG_CHECK_IN = 1, FG_CHECK_OUT = 2, FG_FLAT = 3, FG_INSPECT = 4 };
enum { FG_OFFLINE = 1, FG_DEVICE_OPENED = 2, FG_SERVICE_DESK = 4, FG_CLOCK_UNSURE = 8 };
enum { FG_DENY = 0, FG_OPEN = 1, FG_OPEN_WITH_DEBT = 2, FG_RETRY = 3 };

typedef enum {
    FG_EVENT_NONE,       /* receive more */
    FG_EVENT_CHALLENGE,  /* now fg_auth */
    FG_EVENT_WELCOME,    /* in session; see FgClient.welcome */
    FG_EVENT_ANSWERS,    /* FgEvent.answers: to a tap, a batch or a passage */
    FG_EVENT_HEARTBEAT,  /* FgEvent.server_time_us, echo_us */
    FG_EVENT_ERROR,      /* FgEvent.error */
    FG_EVENT_BYE,
    FG_EVENT_OTHER,      /* a good frame of a type this client leaves to the caller: FgEvent.payload */
    FG_EVENT_BROKEN      /* bad tag, bad counter, not a frame: close the connection */
} FgEventKind;

typedef struct {
    uint64_t device_id;
    uint64_t boot_epoch;         /* never used before by this device; not 0 */
    uint32_t key_version;
    uint8_t key[FG_KEY_BYTES];
    uint8_t algorithms[2];       /* offered, in order; 0 = none */
    const char *firmware;        /* at most 64 bytes of UTF-8 */
} FgConfig;

typedef struct {
    uint64_t boot;
    uint32_t seq;
    uint8_t kind;
    uint8_t attempt;
    uint8_t token[FG_TOKEN_BYTES];
    uint32_t stop;
    int64_t device_ts_us;
    uint32_t flags;
    uint32_t line;
    uint32_t denylist_version;
    int64_t amount_minor;        /* -1 = the tariff's price */
    uint32_t distance_m;         /* for tariffs that price by what the device measured; 0 = not given */
} FgTap;

typedef struct {
    uint64_t boot;
    uint64_t seq;
    uint8_t verdict;
    uint8_t reason;
    uint8_t kind;
    int64_t fare_minor;
    int64_t balance_minor;
    int64_t period_paid_minor;
    uint32_t rules;
    uint32_t other_stop;
    int64_t fare_ts_us;
    uint64_t position;
} FgAnswer;

typedef struct {
    int64_t server_time_us;
    uint64_t session_id;
    uint32_t heartbeat_s;
    uint32_t acked_seq;
    uint32_t next_seq_expected;
    uint32_t denylist_version;
    uint32_t mode;
    uint32_t batch_max;
    uint32_t frame_max;
    uint32_t config_version;
} FgWelcome;

typedef struct {
    uint32_t code;
    uint32_t retry;              /* 0 never, 1 safe, 2 unknown: send the same tap again */
    uint32_t retry_after_ms;
    uint64_t request_counter;
} FgError;

typedef struct {
    FgEventKind kind;
    uint32_t frame_type;
    uint64_t counter;
    uint32_t answer_count;       /* answers are read one by one with fg_answer */
    int64_t server_time_us;
    int64_t echo_us;
    FgError error;
    const uint8_t *payload;      /* into the receive buffer; good until the next fg_receive or fg_next */
    size_t payload_bytes;
    const uint8_t *next_answer;
} FgEvent;

typedef struct {
    int algorithm;
    uint32_t words[16];          /* HMAC: the two states behind the key block */
    uint8_t secret[FG_KEY_BYTES];
} FgMac;

typedef struct {
    FgConfig config;
    FgWelcome welcome;
    FgMac send_mac;
    FgMac receive_mac;
    uint64_t sent;               /* counter of the last frame sent, and received */
    uint64_t received;
    uint8_t nonce[FG_NONCE_BYTES];
    int state;
    uint8_t *buffer;
    size_t buffer_bytes;
    size_t used;
    size_t taken;                /* bytes of the frame that the last event points into */
} FgClient;

void fg_init(FgClient *client, const FgConfig *config, uint8_t *buffer, size_t buffer_bytes);

size_t fg_hello(FgClient *client, const uint8_t nonce[FG_NONCE_BYTES], uint8_t *out, size_t room);
size_t fg_auth(FgClient *client, uint8_t *out, size_t room);
size_t fg_tap(FgClient *client, const FgTap *tap, uint8_t *out, size_t room);
size_t fg_tap_batch(FgClient *client, const FgTap *taps, uint32_t count, uint8_t *out, size_t room);
/* seq: the next one of the taps' sequence; 0 when passed. */
size_t fg_passage(FgClient *client, uint32_t seq, const FgTap *original, int passed, int64_t ts_us, uint8_t *out,
                  size_t room);
size_t fg_heartbeat(FgClient *client, int64_t time_us, uint32_t queue_depth, uint32_t mode, uint8_t *out, size_t room);
size_t fg_bye(FgClient *client, uint8_t *out, size_t room);

/* Take received bytes; returns how many were taken: less than `size` only when the buffer is full (call fg_next). */
size_t fg_receive(FgClient *client, const uint8_t *data, size_t size);
/* The next whole frame in the buffer. */
FgEventKind fg_next(FgClient *client, FgEvent *event);
/* The next answer of an FG_EVENT_ANSWERS; 1 = one was read. */
int fg_answer(FgEvent *event, FgAnswer *answer);
#endif
