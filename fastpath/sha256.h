/* SHA-256 (FIPS 180-4) and HMAC-SHA256 (FIPS 198-1). C99, no allocation, shared by the gateway and examples/firmware. */
#ifndef FAREGATE_SHA256_H
#define FAREGATE_SHA256_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHA256_BLOCK_BYTES 64
#define SHA256_BYTES 32

typedef struct {
    uint32_t h[8];
    uint64_t size;  /* bytes hashed so far, those in `block` included */
    uint8_t block[SHA256_BLOCK_BYTES];
} Sha256;

/* The states after the key block: made once a key, copied for each message. */
typedef struct {
    uint32_t inner[8];
    uint32_t outer[8];
} HmacSha256Key;

static inline uint32_t sha256_ror(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static inline uint32_t sha256_load(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void sha256_store(uint8_t *p, uint32_t x) {
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

/* One block into the state: FIPS 180-4, section 6.2.2. The message schedule lives in a ring of 16 words. */
static inline void sha256_compress(uint32_t h[8], const uint8_t *p) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[16];
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], t = h[7];
    for (int i = 0; i < 64; i++) {
        uint32_t x;
        if (i < 16) {
            x = sha256_load(p + 4 * i);
        } else {
            uint32_t w15 = w[(i + 1) & 15], w2 = w[(i + 14) & 15];
            x = w[i & 15] + w[(i + 9) & 15];
            x += sha256_ror(w15, 7) ^ sha256_ror(w15, 18) ^ w15 >> 3;
            x += sha256_ror(w2, 17) ^ sha256_ror(w2, 19) ^ w2 >> 10;
        }
        w[i & 15] = x;
        x += t + k[i] + (sha256_ror(e, 6) ^ sha256_ror(e, 11) ^ sha256_ror(e, 25)) + ((e & f) ^ (~e & g));
        t = g, g = f, f = e, e = d + x;
        x += (sha256_ror(a, 2) ^ sha256_ror(a, 13) ^ sha256_ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        d = c, c = b, b = a, a = x;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += t;
}

static inline void sha256_init(Sha256 *s) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->h, start, sizeof start);
    s->size = 0;
}

static inline void sha256_update(Sha256 *s, const uint8_t *data, size_t size) {
    size_t used = (size_t)(s->size % SHA256_BLOCK_BYTES);
    s->size += size;
    if (used > 0) {
        size_t part = SHA256_BLOCK_BYTES - used < size ? SHA256_BLOCK_BYTES - used : size;
        memcpy(s->block + used, data, part);
        data += part, size -= part;
        if (used + part < SHA256_BLOCK_BYTES) return;
        sha256_compress(s->h, s->block);
    }
    for (; size >= SHA256_BLOCK_BYTES; data += SHA256_BLOCK_BYTES, size -= SHA256_BLOCK_BYTES)
        sha256_compress(s->h, data);
    if (size > 0) memcpy(s->block, data, size);
}

static inline void sha256_final(Sha256 *s, uint8_t out[SHA256_BYTES]) {
    size_t used = (size_t)(s->size % SHA256_BLOCK_BYTES);
    uint64_t bits = s->size * 8;
    s->block[used++] = 0x80;
    if (used > SHA256_BLOCK_BYTES - 8) {
        memset(s->block + used, 0, SHA256_BLOCK_BYTES - used);
        sha256_compress(s->h, s->block);
        used = 0;
    }
    memset(s->block + used, 0, SHA256_BLOCK_BYTES - 8 - used);
    sha256_store(s->block + 56, (uint32_t)(bits >> 32));
    sha256_store(s->block + 60, (uint32_t)bits);
    sha256_compress(s->h, s->block);
    for (int i = 0; i < 8; i++) sha256_store(out + 4 * i, s->h[i]);
}

static inline void hmac_sha256_key(HmacSha256Key *key, const uint8_t *secret, size_t size) {
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    Sha256 s;
    sha256_init(&s);
    memcpy(key->inner, s.h, sizeof key->inner);
    memcpy(key->outer, s.h, sizeof key->outer);
    if (size > SHA256_BLOCK_BYTES) {
        sha256_update(&s, secret, size);
        sha256_final(&s, block);
    } else {
        memcpy(block, secret, size);
    }
    for (int i = 0; i < SHA256_BLOCK_BYTES; i++) block[i] ^= 0x36;
    sha256_compress(key->inner, block);
    for (int i = 0; i < SHA256_BLOCK_BYTES; i++) block[i] ^= 0x36 ^ 0x5c;
    sha256_compress(key->outer, block);
}

/* A message is sha256_update'd between begin and end. */
static inline void hmac_sha256_begin(Sha256 *s, const HmacSha256Key *key) {
    memcpy(s->h, key->inner, sizeof s->h);
    s->size = SHA256_BLOCK_BYTES;
}

static inline void hmac_sha256_end(Sha256 *s, const HmacSha256Key *key, uint8_t out[SHA256_BYTES]) {
    sha256_final(s, out);
    memcpy(s->h, key->outer, sizeof s->h);
    s->size = SHA256_BLOCK_BYTES;
    sha256_update(s, out, SHA256_BYTES);
    sha256_final(s, out);
}
#endif
