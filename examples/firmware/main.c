/* A validator on a POSIX machine: connects, starts a session, sends taps, prints the answers.
 *
 *     ./validator HOST PORT DEVICE_ID KEY_FILE KEY_VERSION TAPS TOKEN_HEX ENTRY_STOP EXIT_STOP [hmac] [batch]
 *
 * KEY_FILE holds 64 hex digits. Taps alternate between check_in at ENTRY_STOP and check_out at EXIT_STOP.
 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "faregate.h"

static FgClient client;
static FgTap taps[FG_BATCH_MAX];
static uint8_t receive_buffer[64 + FG_ANSWER_BYTES_MAX * FG_BATCH_MAX];
static uint8_t send_buffer[64 + FG_TAP_BYTES_MAX * FG_BATCH_MAX];

static int fail(const char *what) {
    fprintf(stderr, "validator: %s\n", what);
    return -1;
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int read_hex(const char *text, uint8_t *out, size_t size) {
    size_t i;
    for (i = 0; i < size; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) return fail("not enough hex digits");
        out[i] = (uint8_t)value;
    }
    return 0;
}

static int read_key(const char *path, uint8_t key[FG_KEY_BYTES]) {
    char text[2 * FG_KEY_BYTES + 1] = {0};
    FILE *file = fopen(path, "r");
    size_t got;
    if (file == NULL) return fail("cannot open the key file");
    got = fread(text, 1, 2 * FG_KEY_BYTES, file);
    fclose(file);
    if (got != 2 * FG_KEY_BYTES) return fail("the key file holds 64 hex digits");
    return read_hex(text, key, FG_KEY_BYTES);
}

static int random_bytes(void *out, size_t size) {
    FILE *file = fopen("/dev/urandom", "rb");
    size_t got = file == NULL ? 0 : fread(out, 1, size, file);
    if (file != NULL) fclose(file);
    return got == size ? 0 : fail("no randomness");
}

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints, *found, *each;
    int fd = -1;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found) != 0) return fail("no such host");
    for (each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd >= 0 ? fd : fail("no connection");
}

static int send_all(int fd, size_t size) {
    size_t done = 0;
    if (size == 0) return fail("the frame did not fit");
    while (done < size) {
        ssize_t sent = write(fd, send_buffer + done, size - done);
        if (sent <= 0) return fail("the connection broke");
        done += (size_t)sent;
    }
    return 0;
}

/* Read until there is a whole frame of the wanted kind; frames of other kinds are passed over. */
static int wait_for(int fd, FgEventKind wanted, FgEvent *event) {
    for (;;) {
        uint8_t chunk[4096];
        ssize_t got;
        FgEventKind kind = fg_next(&client, event);
        if (kind == wanted) return 0;
        if (kind == FG_EVENT_BROKEN) return fail("a frame that is not the gateway's");
        if (kind == FG_EVENT_ERROR) {
            fprintf(stderr, "validator: error %u retry %u\n", (unsigned)event->error.code, (unsigned)event->error.retry);
            return -1;
        }
        if (kind != FG_EVENT_NONE) continue;
        got = read(fd, chunk, sizeof chunk < sizeof receive_buffer - client.used ? sizeof chunk : 1);
        if (got <= 0) return fail("the gateway closed the connection");
        if (fg_receive(&client, chunk, (size_t)got) != (size_t)got) return fail("the buffer is too small");
    }
}

static int start_session(int fd) {
    uint8_t nonce[FG_NONCE_BYTES];
    FgEvent event;
    if (random_bytes(nonce, sizeof nonce) != 0) return -1;
    if (send_all(fd, fg_hello(&client, nonce, send_buffer, sizeof send_buffer)) != 0) return -1;
    if (wait_for(fd, FG_EVENT_CHALLENGE, &event) != 0) return -1;
    if (send_all(fd, fg_auth(&client, send_buffer, sizeof send_buffer)) != 0) return -1;
    return wait_for(fd, FG_EVENT_WELCOME, &event);
}

static int print_answers(int fd, uint32_t expected) {
    FgEvent event;
    FgAnswer a;
    while (expected > 0) {
        if (wait_for(fd, FG_EVENT_ANSWERS, &event) != 0) return -1;
        for (; fg_answer(&event, &a); expected--)
            printf("seq=%llu verdict=%u reason=%u fare=%lld balance=%lld position=%llu\n", (unsigned long long)a.seq,
                   (unsigned)a.verdict, (unsigned)a.reason, (long long)a.fare_minor, (long long)a.balance_minor,
                   (unsigned long long)a.position);
        if (event.next_answer == NULL) return fail("an answer that cannot be read");
    }
    return 0;
}

static int send_taps(int fd, uint32_t count, int as_batch) {
    uint32_t i;
    if (as_batch) {
        if (send_all(fd, fg_tap_batch(&client, taps, count, send_buffer, sizeof send_buffer)) != 0) return -1;
        return print_answers(fd, count);
    }
    for (i = 0; i < count; i++) {
        if (send_all(fd, fg_tap(&client, &taps[i], send_buffer, sizeof send_buffer)) != 0) return -1;
        if (print_answers(fd, 1) != 0) return -1;
    }
    return 0;
}

static int make_taps(uint64_t boot, uint32_t count, const char *token, const char *entry_stop, const char *exit_stop) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        FgTap *tap = &taps[i];
        if (read_hex(token, tap->token, FG_TOKEN_BYTES) != 0) return -1;
        tap->boot = boot;
        tap->seq = i + 1;
        tap->kind = i % 2 == 0 ? FG_CHECK_IN : FG_CHECK_OUT;
        tap->stop = (uint32_t)strtoul(i % 2 == 0 ? entry_stop : exit_stop, NULL, 10);
        tap->device_ts_us = now_us();
        tap->amount_minor = -1;
    }
    return 0;
}

int main(int argc, char **argv) {
    FgConfig config;
    uint32_t count;
    int fd, i, as_batch = 0, failed;
    if (argc < 10) return fail("HOST PORT DEVICE_ID KEY_FILE KEY_VERSION TAPS TOKEN_HEX ENTRY_STOP EXIT_STOP"), 2;
    memset(&config, 0, sizeof config);
    config.device_id = strtoull(argv[3], NULL, 10);
    config.key_version = (uint32_t)strtoul(argv[5], NULL, 10);
    config.algorithms[0] = FG_BLAKE2B;
    config.firmware = "faregate reference client";
    count = (uint32_t)strtoul(argv[6], NULL, 10);
    for (i = 10; i < argc; i++) {
        if (strcmp(argv[i], "hmac") == 0) config.algorithms[0] = FG_HMAC_SHA256;
        if (strcmp(argv[i], "batch") == 0) as_batch = 1;
    }
    if (count < 1 || count > FG_BATCH_MAX) return fail("1 to 256 taps"), 2;
    if (read_key(argv[4], config.key) != 0 || random_bytes(&config.boot_epoch, sizeof config.boot_epoch) != 0) return 2;
    if (make_taps(config.boot_epoch, count, argv[7], argv[8], argv[9]) != 0) return 2;
    fg_init(&client, &config, receive_buffer, sizeof receive_buffer);
    fd = connect_to(argv[1], argv[2]);
    if (fd < 0) return 3;
    failed = start_session(fd) != 0 || send_taps(fd, count, as_batch) != 0;
    if (!failed) failed = send_all(fd, fg_bye(&client, send_buffer, sizeof send_buffer)) != 0;
    close(fd);
    return failed ? 1 : 0;
}
