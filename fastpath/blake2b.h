/* BLAKE2b (RFC 7693), keyed or not, up to 64 bytes of digest. C99, no allocation, shared with examples/firmware. */
#ifndef FAREGATE_BLAKE2B_H
#define FAREGATE_BLAKE2B_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLAKE2B_BLOCK_BYTES 128

typedef struct {
    uint64_t h[8];
    uint64_t counted;  /* bytes compressed so far (the RFC's t; messages beyond 2^64 are out of reach) */
    size_t used;       /* bytes waiting in `block`: the last block must not be compressed before the end is known */
    uint8_t block[BLAKE2B_BLOCK_BYTES];
} Blake2b;

static const uint64_t BLAKE2B_IV[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u};

static inline uint64_t blake2b_ror(uint64_t x, int n) {
    return x >> n | x << (64 - n);
}

static inline uint64_t blake2b_load(const uint8_t *p) {
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

#define BLAKE2B_G(a, b, c, d, x, y)                                        \
    do {                                                                   \
        a += b + (x), d = blake2b_ror(d ^ a, 32);                          \
        c += d, b = blake2b_ror(b ^ c, 24);                                \
        a += b + (y), d = blake2b_ror(d ^ a, 16);                          \
        c += d, b = blake2b_ror(b ^ c, 63);                                \
    } while (0)

#define BLAKE2B_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    do {                                                                   \
        BLAKE2B_G(v[0], v[4], v[8], v[12], m[s0], m[s1]);                  \
        BLAKE2B_G(v[1], v[5], v[9], v[13], m[s2], m[s3]);                  \
        BLAKE2B_G(v[2], v[6], v[10], v[14], m[s4], m[s5]);                 \
        BLAKE2B_G(v[3], v[7], v[11], v[15], m[s6], m[s7]);                 \
        BLAKE2B_G(v[0], v[5], v[10], v[15], m[s8], m[s9]);                 \
        BLAKE2B_G(v[1], v[6], v[11], v[12], m[s10], m[s11]);               \
        BLAKE2B_G(v[2], v[7], v[8], v[13], m[s12], m[s13]);                \
        BLAKE2B_G(v[3], v[4], v[9], v[14], m[s14], m[s15]);                \
    } while (0)

/* One block into the state: RFC 7693, section 3.2; the twelve rounds are written out so that the order of the message
 * words is known when compiling. `last` is 0 or all ones. */
static inline void blake2b_compress(uint64_t h[8], const uint8_t *block, uint64_t counted, uint64_t last) {
    uint64_t m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = blake2b_load(block + 8 * i);
    for (int i = 0; i < 8; i++) v[i] = h[i], v[i + 8] = BLAKE2B_IV[i];
    v[12] ^= counted;
    v[14] ^= last;
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    BLAKE2B_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    BLAKE2B_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    BLAKE2B_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    BLAKE2B_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    BLAKE2B_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    BLAKE2B_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    BLAKE2B_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    BLAKE2B_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

/* digest_bytes 1..64, key_bytes 0..64. */
static inline void blake2b_init(Blake2b *s, size_t digest_bytes, const uint8_t *key, size_t key_bytes) {
    memcpy(s->h, BLAKE2B_IV, sizeof s->h);
    s->h[0] ^= 0x01010000u ^ (uint64_t)key_bytes << 8 ^ (uint64_t)digest_bytes;
    s->counted = 0;
    s->used = 0;
    if (key_bytes == 0) return;
    memset(s->block, 0, sizeof s->block);
    memcpy(s->block, key, key_bytes);
    s->used = BLAKE2B_BLOCK_BYTES;
}

static inline void blake2b_update(Blake2b *s, const uint8_t *data, size_t size) {
    while (size > 0) {
        size_t part;
        if (s->used == BLAKE2B_BLOCK_BYTES) {
            s->counted += BLAKE2B_BLOCK_BYTES;
            blake2b_compress(s->h, s->block, s->counted, 0);
            s->used = 0;
        }
        part = BLAKE2B_BLOCK_BYTES - s->used < size ? BLAKE2B_BLOCK_BYTES - s->used : size;
        memcpy(s->block + s->used, data, part);
        s->used += part, data += part, size -= part;
    }
}

static inline void blake2b_final(Blake2b *s, uint8_t *out, size_t digest_bytes) {
    memset(s->block + s->used, 0, BLAKE2B_BLOCK_BYTES - s->used);
    s->counted += s->used;
    blake2b_compress(s->h, s->block, s->counted, ~(uint64_t)0);
    for (size_t i = 0; i < digest_bytes; i++) out[i] = (uint8_t)(s->h[i / 8] >> 8 * (i % 8));
}
#endif
