#include "faregate.h"

#include <string.h>

#include "blake2b.h"
#include "sha256.h"

#define LENGTH_BYTES 4
#define HELLO_LIMIT 512
#define FRAME_LIMIT 65536

enum { HELLO = 1, CHALLENGE = 2, AUTH = 3, WELCOME = 4, TAP = 10, ANSWER = 11, TAP_BATCH = 12, BATCH_ANSWER = 13,
       PASSAGE = 14, PASSAGE_ANSWER = 15, HEARTBEAT = 16, HEARTBEAT_ANSWER = 17, BYE = 126, ERROR = 127 };
enum { STATE_NEW, STATE_HELLO_SENT, STATE_CHALLENGED, STATE_AUTH_SENT, STATE_IN_SESSION, STATE_BROKEN };

/* --- msgpack out. `at` NULL = it did not fit; everything after that is skipped. ------------------------------------- */

typedef struct {
    uint8_t *at;
    uint8_t *end;
} Writer;

static void put(Writer *w, const uint8_t *data, size_t size) {
    if (w->at == NULL || (size_t)(w->end - w->at) < size) {
        w->at = NULL;
        return;
    }
    if (size > 0) memcpy(w->at, data, size);
    w->at += size;
}

static void put_sized(Writer *w, uint8_t first, uint64_t value, int bytes) {
    uint8_t out[9];
    int i;
    out[0] = first;
    for (i = 0; i < bytes; i++) out[1 + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    put(w, out, (size_t)bytes + 1);
}

static void put_uint(Writer *w, uint64_t value) {
    if (value < 0x80) put_sized(w, (uint8_t)value, 0, 0);
    else if (value <= 0xFF) put_sized(w, 0xCC, value, 1);
    else if (value <= 0xFFFF) put_sized(w, 0xCD, value, 2);
    else if (value <= 0xFFFFFFFFu) put_sized(w, 0xCE, value, 4);
    else put_sized(w, 0xCF, value, 8);
}

static void put_array(Writer *w, uint32_t count) {
    if (count < 16) put_sized(w, (uint8_t)(0x90 | count), 0, 0);
    else put_sized(w, 0xDC, count, 2);
}

static void put_bin(Writer *w, const uint8_t *data, size_t size) {
    put_sized(w, 0xC4, size, 1);
    put(w, data, size);
}

static void put_text(Writer *w, const char *text) {
    size_t size = text == NULL ? 0 : strlen(text);
    if (size > 64) size = 64;
    if (size < 32) put_sized(w, (uint8_t)(0xA0 | size), 0, 0);
    else put_sized(w, 0xD9, size, 1);
    put(w, (const uint8_t *)text, size);
}

static void put_tap(Writer *w, const FgTap *tap) {
    put_array(w, tap->distance_m ? 12 : 11);
    put_uint(w, tap->boot);
    put_uint(w, tap->seq);
    put_uint(w, tap->kind);
    put_bin(w, tap->token, FG_TOKEN_BYTES);
    put_uint(w, tap->stop);
    put_uint(w, (uint64_t)tap->device_ts_us);
    put_uint(w, tap->flags);
    put_uint(w, tap->attempt);
    put_uint(w, tap->line);
    put_uint(w, tap->denylist_version);
    if (tap->amount_minor < 0) put_sized(w, 0xC0, 0, 0);
    else put_uint(w, (uint64_t)tap->amount_minor);
    if (tap->distance_m) put_uint(w, tap->distance_m);
}

/* --- msgpack in. `at` NULL = not what was expected; everything after that reads as 0. ------------------------------ */

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} Reader;

static uint64_t take(Reader *r, size_t bytes) {
    uint64_t value = 0;
    if (r->at == NULL || (size_t)(r->end - r->at) < bytes) {
        r->at = NULL;
        return 0;
    }
    while (bytes-- > 0) value = value << 8 | *r->at++;
    return value;
}

static uint64_t fail(Reader *r) {
    r->at = NULL;
    return 0;
}

/* Any msgpack integer; a negative one comes back as its two's complement. */
static uint64_t get_int(Reader *r) {
    uint64_t first = take(r, 1), value;
    if (r->at == NULL || first < 0x80) return first;
    if (first >= 0xE0) return first | ~(uint64_t)0xFF;
    if (first < 0xCC || first > 0xD3) return fail(r);
    value = take(r, (size_t)1 << (first & 3));
    if (first >= 0xD0 && first < 0xD3) {
        uint64_t sign = (uint64_t)1 << (8 * ((size_t)1 << (first & 3)) - 1);
        value = (value ^ sign) - sign;
    }
    return value;
}

static int64_t get_signed(Reader *r) {
    uint64_t value = get_int(r);
    return value <= INT64_MAX ? (int64_t)value : -(int64_t)(~value) - 1;
}

static uint32_t get_array(Reader *r) {
    uint64_t first = take(r, 1);
    if (first >= 0x90 && first <= 0x9F) return (uint32_t)(first & 15);
    if (first == 0xDC) return (uint32_t)take(r, 2);
    if (first == 0xDD) return (uint32_t)take(r, 4);
    return (uint32_t)fail(r);
}

static const uint8_t *get_bytes(Reader *r, size_t size) {
    const uint8_t *here = r->at;
    if (r->at == NULL || (size_t)(r->end - r->at) < size) {
        r->at = NULL;
        return NULL;
    }
    r->at += size;
    return here;
}

/* Skip so many values of any kind; nested ones are counted, not recursed into. */
static void skip(Reader *r, uint64_t values) {
    while (values > 0 && r->at != NULL) {
        uint64_t b = take(r, 1);
        values--;
        if (b <= 0x7F || b >= 0xE0 || b == 0xC0 || b == 0xC2 || b == 0xC3) continue;
        if (b <= 0x8F) values += 2 * (b & 15);
        else if (b <= 0x9F) values += b & 15;
        else if (b <= 0xBF) get_bytes(r, (size_t)(b & 31));
        else if (b >= 0xC4 && b <= 0xC6) get_bytes(r, (size_t)take(r, (size_t)1 << (b - 0xC4)));
        else if (b >= 0xD9 && b <= 0xDB) get_bytes(r, (size_t)take(r, (size_t)1 << (b - 0xD9)));
        else if (b >= 0xCC && b <= 0xD3) take(r, (size_t)1 << (b & 3));
        else if (b == 0xCA) take(r, 4);
        else if (b == 0xCB) take(r, 8);
        else if (b == 0xDC) values += take(r, 2);
        else if (b == 0xDD) values += take(r, 4);
        else fail(r);
    }
}

/* --- keys and tags ------------------------------------------------------------------------------------------------- */

static void mac_init(FgMac *mac, int algorithm, const uint8_t *secret) {
    HmacSha256Key key;
    mac->algorithm = algorithm;
    memcpy(mac->secret, secret, FG_KEY_BYTES);
    hmac_sha256_key(&key, secret, FG_KEY_BYTES);
    memcpy(mac->words, &key, sizeof key);
}

static void mac_tag(const FgMac *mac, uint8_t direction, const uint8_t *payload, size_t size,
                    uint8_t tag[FG_TAG_BYTES]) {
    if (mac->algorithm == FG_BLAKE2B) {
        Blake2b state;
        blake2b_init(&state, FG_TAG_BYTES, mac->secret, FG_KEY_BYTES);
        blake2b_update(&state, &direction, 1);
        blake2b_update(&state, payload, size);
        blake2b_final(&state, tag, FG_TAG_BYTES);
    } else {
        HmacSha256Key key;
        Sha256 state;
        uint8_t full[SHA256_BYTES];
        memcpy(&key, mac->words, sizeof key);
        hmac_sha256_begin(&state, &key);
        sha256_update(&state, &direction, 1);
        sha256_update(&state, payload, size);
        hmac_sha256_end(&state, &key, full);
        memcpy(tag, full, FG_TAG_BYTES);
    }
}

static void big_endian(uint8_t *out, uint64_t value) {
    int i;
    for (i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void derive(const FgClient *client, uint8_t direction, const uint8_t *server_nonce, uint8_t algorithm,
                   FgMac *mac) {
    HmacSha256Key key;
    Sha256 state;
    uint8_t numbers[17];
    uint8_t secret[SHA256_BYTES];
    big_endian(numbers, client->config.device_id);
    big_endian(numbers + 8, client->config.boot_epoch);
    numbers[16] = algorithm;
    hmac_sha256_key(&key, client->config.key, FG_KEY_BYTES);
    hmac_sha256_begin(&state, &key);
    sha256_update(&state, (const uint8_t *)"faregate link v1", 16);
    sha256_update(&state, &direction, 1);
    sha256_update(&state, client->nonce, FG_NONCE_BYTES);
    sha256_update(&state, server_nonce, FG_NONCE_BYTES);
    sha256_update(&state, numbers, sizeof numbers);
    hmac_sha256_end(&state, &key, secret);
    mac_init(mac, algorithm, secret);
}

/* --- frames out ---------------------------------------------------------------------------------------------------- */

static Writer begin(FgClient *client, uint32_t type, uint32_t fields, uint8_t *out, size_t room) {
    Writer w;
    int in_session = client->state == STATE_IN_SESSION;
    if (room < LENGTH_BYTES + FG_TAG_BYTES || (type > WELCOME && !in_session)) {
        w.at = w.end = NULL;
        return w;
    }
    w.at = out + LENGTH_BYTES;
    w.end = out + room - FG_TAG_BYTES;
    put_array(&w, fields + 2);
    put_uint(&w, type);
    put_uint(&w, type == HELLO ? 0 : client->sent + 1);
    return w;
}

static size_t finish(FgClient *client, Writer *w, uint8_t *out, int with_tag) {
    uint8_t *payload = out + LENGTH_BYTES;
    size_t size, length;
    if (w->at == NULL) return 0;
    size = (size_t)(w->at - payload);
    length = size + FG_TAG_BYTES;
    out[0] = (uint8_t)(length >> 24);
    out[1] = (uint8_t)(length >> 16);
    out[2] = (uint8_t)(length >> 8);
    out[3] = (uint8_t)length;
    memset(w->at, 0, FG_TAG_BYTES);
    if (with_tag) {
        client->sent++;
        mac_tag(&client->send_mac, 'C', payload, size, w->at);
    }
    return LENGTH_BYTES + length;
}

void fg_init(FgClient *client, const FgConfig *config, uint8_t *buffer, size_t buffer_bytes) {
    memset(client, 0, sizeof *client);
    client->config = *config;
    client->buffer = buffer;
    client->buffer_bytes = buffer_bytes;
}

size_t fg_hello(FgClient *client, const uint8_t nonce[FG_NONCE_BYTES], uint8_t *out, size_t room) {
    const FgConfig *config = &client->config;
    uint32_t offered = (config->algorithms[0] != 0) + (config->algorithms[1] != 0);
    uint32_t i;
    Writer w = begin(client, HELLO, 7, out, room);
    if (client->state != STATE_NEW) return 0;
    memcpy(client->nonce, nonce, FG_NONCE_BYTES);
    put_uint(&w, 1);
    put_uint(&w, config->device_id);
    put_uint(&w, config->key_version);
    put_uint(&w, config->boot_epoch);
    put_bin(&w, nonce, FG_NONCE_BYTES);
    put_array(&w, offered);
    for (i = 0; i < 2; i++)
        if (config->algorithms[i] != 0) put_uint(&w, config->algorithms[i]);
    put_text(&w, config->firmware);
    if (w.at != NULL) client->state = STATE_HELLO_SENT;
    return finish(client, &w, out, 0);
}

size_t fg_auth(FgClient *client, uint8_t *out, size_t room) {
    Writer w = begin(client, AUTH, 0, out, room);
    if (client->state != STATE_CHALLENGED) return 0;
    if (w.at != NULL) client->state = STATE_AUTH_SENT;
    return finish(client, &w, out, 1);
}

size_t fg_tap(FgClient *client, const FgTap *tap, uint8_t *out, size_t room) {
    Writer w = begin(client, TAP, 1, out, room);
    put_tap(&w, tap);
    return finish(client, &w, out, 1);
}

size_t fg_tap_batch(FgClient *client, const FgTap *taps, uint32_t count, uint8_t *out, size_t room) {
    uint32_t i;
    Writer w = begin(client, TAP_BATCH, 1, out, room);
    if (count < 1 || count > client->welcome.batch_max) return 0;
    put_array(&w, count);
    for (i = 0; i < count; i++) put_tap(&w, &taps[i]);
    return finish(client, &w, out, 1);
}

size_t fg_passage(FgClient *client, uint32_t seq, const FgTap *original, int passed, int64_t ts_us, uint8_t *out,
                  size_t room) {
    Writer w = begin(client, PASSAGE, 6, out, room);
    put_uint(&w, client->config.boot_epoch);
    put_uint(&w, seq);
    put_uint(&w, original->boot);
    put_uint(&w, original->seq);
    put_sized(&w, passed ? 0xC3 : 0xC2, 0, 0);
    put_uint(&w, (uint64_t)ts_us);
    return finish(client, &w, out, 1);
}

size_t fg_heartbeat(FgClient *client, int64_t time_us, uint32_t queue_depth, uint32_t mode, uint8_t *out, size_t room) {
    Writer w = begin(client, HEARTBEAT, 3, out, room);
    put_uint(&w, (uint64_t)time_us);
    put_uint(&w, queue_depth);
    put_uint(&w, mode);
    return finish(client, &w, out, 1);
}

size_t fg_bye(FgClient *client, uint8_t *out, size_t room) {
    Writer w = begin(client, BYE, 1, out, room);
    put_uint(&w, 0);
    return finish(client, &w, out, 1);
}

/* --- frames in ----------------------------------------------------------------------------------------------------- */

size_t fg_receive(FgClient *client, const uint8_t *data, size_t size) {
    size_t room;
    if (client->taken > 0) {
        memmove(client->buffer, client->buffer + client->taken, client->used - client->taken);
        client->used -= client->taken;
        client->taken = 0;
    }
    room = client->buffer_bytes - client->used;
    if (size > room) size = room;
    if (size > 0) memcpy(client->buffer + client->used, data, size);
    client->used += size;
    return size;
}

static int on_challenge(FgClient *client, Reader *r, uint32_t fields) {
    uint64_t version = get_int(r), algorithm;
    uint64_t first = take(r, 1), size = take(r, 1);
    const uint8_t *nonce = get_bytes(r, FG_NONCE_BYTES);
    algorithm = get_int(r);
    skip(r, 1);
    if (r->at == NULL || fields != 4 || version != 1 || first != 0xC4 || size != FG_NONCE_BYTES) return 0;
    if (algorithm == 0 || (algorithm != client->config.algorithms[0] && algorithm != client->config.algorithms[1]))
        return 0;
    derive(client, 'C', nonce, (uint8_t)algorithm, &client->send_mac);
    derive(client, 'S', nonce, (uint8_t)algorithm, &client->receive_mac);
    client->state = STATE_CHALLENGED;
    return 1;
}

static int on_welcome(FgClient *client, Reader *r, uint32_t fields) {
    FgWelcome *welcome = &client->welcome;
    welcome->server_time_us = get_signed(r);
    welcome->session_id = get_int(r);
    welcome->heartbeat_s = (uint32_t)get_int(r);
    welcome->acked_seq = (uint32_t)get_int(r);
    welcome->next_seq_expected = (uint32_t)get_int(r);
    skip(r, 1);
    welcome->denylist_version = (uint32_t)get_int(r);
    welcome->mode = (uint32_t)get_int(r);
    welcome->batch_max = (uint32_t)get_int(r);
    welcome->frame_max = (uint32_t)get_int(r);
    welcome->config_version = (uint32_t)get_int(r);
    if (r->at == NULL || fields != 11) return 0;
    client->state = STATE_IN_SESSION;
    return 1;
}

static int on_error(FgEvent *event, Reader *r) {
    event->kind = FG_EVENT_ERROR;
    event->error.code = (uint32_t)get_int(r);
    skip(r, 1);
    event->error.request_counter = get_int(r);
    event->error.retry = (uint32_t)get_int(r);
    event->error.retry_after_ms = (uint32_t)get_int(r);
    skip(r, 1);
    return r->at != NULL;
}

static int on_answers(FgEvent *event, Reader *r) {
    event->kind = FG_EVENT_ANSWERS;
    event->answer_count = 1;
    if (event->frame_type == BATCH_ANSWER) {
        skip(r, 1);
        event->answer_count = get_array(r);
    }
    event->next_answer = r->at;
    return r->at != NULL;
}

static int in_session(FgEvent *event, Reader *r) {
    switch (event->frame_type) {
    case ANSWER:
    case BATCH_ANSWER:
    case PASSAGE_ANSWER:
        return on_answers(event, r);
    case HEARTBEAT_ANSWER:
        event->kind = FG_EVENT_HEARTBEAT;
        event->server_time_us = get_signed(r);
        event->echo_us = get_signed(r);
        return r->at != NULL;
    case ERROR:
        return on_error(event, r);
    default:
        event->kind = event->frame_type == BYE ? FG_EVENT_BYE : FG_EVENT_OTHER;
        return 1;
    }
}

int fg_answer(FgEvent *event, FgAnswer *answer) {
    Reader r;
    if (event->answer_count == 0) return 0;
    r.at = event->next_answer;
    r.end = event->payload + event->payload_bytes;
    if (get_array(&r) != 12) r.at = NULL;
    answer->boot = get_int(&r);
    answer->seq = get_int(&r);
    answer->verdict = (uint8_t)get_int(&r);
    answer->reason = (uint8_t)get_int(&r);
    answer->fare_minor = get_signed(&r);
    answer->balance_minor = get_signed(&r);
    answer->period_paid_minor = get_signed(&r);
    answer->rules = (uint32_t)get_int(&r);
    answer->other_stop = (uint32_t)get_int(&r);
    answer->fare_ts_us = get_signed(&r);
    answer->position = get_int(&r);
    answer->kind = (uint8_t)get_int(&r);
    event->next_answer = r.at;
    event->answer_count = r.at == NULL ? 0 : event->answer_count - 1;
    return r.at != NULL;
}

static int tag_is_good(FgClient *client, const uint8_t *payload, size_t size) {
    static const uint8_t zeros[FG_TAG_BYTES];
    uint8_t right[FG_TAG_BYTES];
    uint8_t difference = 0;
    int i;
    if (client->state < STATE_AUTH_SENT) memcpy(right, zeros, sizeof right);
    else mac_tag(&client->receive_mac, 'S', payload, size, right);
    for (i = 0; i < FG_TAG_BYTES; i++) difference |= (uint8_t)(right[i] ^ payload[size + (size_t)i]);
    return difference == 0;
}

/* Before the welcome an error may come without a tag: it is a hint to go away, never an answer to a tap. */
static int is_plain_error(const FgClient *client, const uint8_t *payload, size_t size, uint32_t type) {
    uint8_t any = 0;
    int i;
    for (i = 0; i < FG_TAG_BYTES; i++) any |= payload[size + (size_t)i];
    return type == ERROR && any == 0 && client->state < STATE_IN_SESSION;
}

static int handle(FgClient *client, const uint8_t *payload, size_t size, FgEvent *event) {
    Reader r;
    uint32_t count;
    r.at = payload;
    r.end = payload + size;
    count = get_array(&r);
    event->frame_type = (uint32_t)get_int(&r);
    event->counter = get_int(&r);
    event->payload = payload;
    event->payload_bytes = size;
    if (r.at == NULL || count < 2) return 0;
    if (is_plain_error(client, payload, size, event->frame_type)) return on_error(event, &r);
    if (!tag_is_good(client, payload, size)) return 0;
    if (client->state == STATE_HELLO_SENT) {
        event->kind = FG_EVENT_CHALLENGE;
        return event->frame_type == CHALLENGE && on_challenge(client, &r, count - 2);
    }
    if (client->state < STATE_AUTH_SENT || event->counter <= client->received) return 0;
    client->received = event->counter;
    if (client->state == STATE_AUTH_SENT) {
        event->kind = FG_EVENT_WELCOME;
        return event->frame_type == WELCOME && on_welcome(client, &r, count - 2);
    }
    return in_session(event, &r);
}

FgEventKind fg_next(FgClient *client, FgEvent *event) {
    size_t limit = client->state == STATE_IN_SESSION ? FRAME_LIMIT : HELLO_LIMIT;
    const uint8_t *frame = client->buffer + client->taken;
    size_t there = client->used - client->taken, length;
    memset(event, 0, sizeof *event);
    if (client->state == STATE_BROKEN) return event->kind = FG_EVENT_BROKEN;
    if (there < LENGTH_BYTES) return event->kind = FG_EVENT_NONE;
    length = (size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3];
    /* A welcome names the tariffs and may be longer than what a device may say before it. */
    if (client->state == STATE_AUTH_SENT) limit = FRAME_LIMIT;
    if (length > limit || length <= FG_TAG_BYTES || LENGTH_BYTES + length > client->buffer_bytes) {
        client->state = STATE_BROKEN;
        return event->kind = FG_EVENT_BROKEN;
    }
    if (there < LENGTH_BYTES + length) return event->kind = FG_EVENT_NONE;
    client->taken += LENGTH_BYTES + length;
    if (!handle(client, frame + LENGTH_BYTES, length - FG_TAG_BYTES, event)) {
        client->state = STATE_BROKEN;
        event->kind = FG_EVENT_BROKEN;
    }
    return event->kind;
}
