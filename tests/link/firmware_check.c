/* The reference client under test: `replay` speaks the published session, `parse` reads payloads from stdin.
 *
 * It includes the client's source, so that `parse` reaches the readers behind the tag.
 */
#include <stdio.h>
#include <stdlib.h>

#include "faregate.c"

static FgClient client;
static uint8_t receive_buffer[8192], out[8192];

static void print_hex(size_t size) {
    size_t i;
    for (i = 0; i < size; i++) printf("%02x", out[i]);
    printf("\n");
}

static size_t read_line(uint8_t *data, size_t room) {
    static char line[20000];
    size_t size = 0;
    unsigned value;
    if (fgets(line, sizeof line, stdin) == NULL) return (size_t)-1;
    while (size < room && sscanf(line + 2 * size, "%2x", &value) == 1) data[size++] = (uint8_t)value;
    return size;
}

/* One frame of the gateway, a byte at a time. */
static void feed(void) {
    uint8_t data[8192];
    size_t size = read_line(data, sizeof data), i;
    FgEvent event;
    FgAnswer a;
    for (i = 0; i < size; i++) {
        fg_receive(&client, data + i, 1);
        if (fg_next(&client, &event) == FG_EVENT_NONE) continue;
        printf("event %d type %u\n", (int)event.kind, (unsigned)event.frame_type);
        while (event.kind == FG_EVENT_ANSWERS && fg_answer(&event, &a))
            printf("answer %llu %u %u %lld %lld\n", (unsigned long long)a.seq, (unsigned)a.verdict, (unsigned)a.reason,
                   (long long)a.fare_minor, (long long)a.balance_minor);
        if (event.kind == FG_EVENT_ERROR)
            printf("error %u %u %u\n", (unsigned)event.error.code, (unsigned)event.error.retry,
                   (unsigned)event.error.retry_after_ms);
    }
}

static int replay(void) {
    FgConfig config = {0x0102030405060708u, 0x1122334455667788u, 3, {0}, {FG_BLAKE2B, FG_HMAC_SHA256}, "gate 1.0"};
    const int64_t now = 1795392000000000;
    FgTap entry = {0x1122334455667788u, 1, FG_CHECK_IN, 0, {0}, 101, now + 1000000, 0, 0, 7, -1, 0};
    FgTap batch[2] = {{0x1122334455667788u, 2, FG_CHECK_OUT, 2, {0}, 150, now + 1900000000, 3, 1, 7, -1, 48200},
                      {5, 4000000000u, FG_FLAT, 255, {0}, 0, now, 8, 300, 0, 200, 0}};
    uint8_t nonce[16];
    int i;
    for (i = 0; i < 16; i++) {
        nonce[i] = (uint8_t)(0xA0 + i);
        entry.token[i] = batch[0].token[i] = batch[1].token[i] = (uint8_t)(0x10 + i);
    }
    read_line(config.key, sizeof config.key);
    fg_init(&client, &config, receive_buffer, sizeof receive_buffer);
    if (fg_tap(&client, &entry, out, sizeof out) != 0) return 1;
    print_hex(fg_hello(&client, nonce, out, sizeof out));
    feed();
    print_hex(fg_auth(&client, out, sizeof out));
    feed();
    if (fg_tap(&client, &entry, out, 60) != 0) return 1;
    print_hex(fg_tap(&client, &entry, out, sizeof out));
    feed();
    print_hex(fg_tap_batch(&client, batch, 2, out, sizeof out));
    feed();
    print_hex(fg_passage(&client, 3, &batch[0], 0, now + 1905000000, out, sizeof out));
    feed();
    print_hex(fg_heartbeat(&client, now + 1910000000, 0, 1, out, sizeof out));
    for (i = 0; i < 7; i++) feed();
    return 0;
}

static int parse(void) {
    uint8_t data[8192];
    size_t size;
    unsigned seen = 0;
    while ((size = read_line(data, sizeof data)) != (size_t)-1) {
        uint8_t *exact = malloc(size + FG_TAG_BYTES);
        int state;
        if (exact == NULL) return 1;
        if (size > 0) memcpy(exact, data, size);
        memset(exact + size, 0, FG_TAG_BYTES);
        for (state = STATE_NEW; state <= STATE_IN_SESSION; state++) {
            uint8_t *payload = malloc(size + FG_TAG_BYTES);
            FgEvent event;
            FgAnswer answer;
            Reader r;
            if (payload == NULL) return 1;
            memcpy(payload, exact, size + FG_TAG_BYTES);
            memset(&client, 0, sizeof client);
            memset(&event, 0, sizeof event);
            client.state = state;
            client.config.algorithms[0] = FG_BLAKE2B;
            mac_init(&client.receive_mac, FG_BLAKE2B, client.config.key);
            mac_tag(&client.receive_mac, 'S', payload, size, payload + size);
            if (state < STATE_AUTH_SENT) memset(payload + size, 0, FG_TAG_BYTES);
            handle(&client, payload, size, &event);
            while (fg_answer(&event, &answer)) seen++;
            r.at = payload;
            r.end = payload + size;
            skip(&r, 1000000);
            free(payload);
        }
        free(exact);
    }
    printf("answers %u\n", seen);
    return 0;
}

int main(int argc, char **argv) {
    return argc > 1 && strcmp(argv[1], "parse") == 0 ? parse() : replay();
}
