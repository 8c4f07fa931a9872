/* CRC-32C (Castagnoli, RFC 3720 B.4): the SSE4.2 or ARMv8 instruction when there is one, else tables.
 *
 * crc32c_update(0, data, size) is the checksum; feed its result back in to go on with more bytes.
 */
#ifndef FAREGATE_CRC32C_H
#define FAREGATE_CRC32C_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

#define CRC32C_POLYNOMIAL 0x82f63b78u /* bit-reversed */
#define CRC32C_SLICES 8

static uint32_t crc32c_table[CRC32C_SLICES][256];
static int crc32c_ready;

/* Slicing by 8. Two threads may fill the table at once: they write the same words. */
static inline void crc32c_fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
        crc32c_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < CRC32C_SLICES; k++)
            crc32c_table[k][i] = crc32c_table[k - 1][i] >> 8 ^ crc32c_table[0][crc32c_table[k - 1][i] & 0xff];
    __atomic_store_n(&crc32c_ready, 1, __ATOMIC_RELEASE);
}

static inline uint32_t crc32c_by_table(uint32_t crc, const uint8_t *data, size_t size) {
    if (!__atomic_load_n(&crc32c_ready, __ATOMIC_ACQUIRE))
        crc32c_fill_table();
    crc = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = crc32c_table[7][low & 0xff] ^ crc32c_table[6][low >> 8 & 0xff] ^ crc32c_table[5][low >> 16 & 0xff] ^
              crc32c_table[4][low >> 24] ^ crc32c_table[3][high & 0xff] ^ crc32c_table[2][high >> 8 & 0xff] ^
              crc32c_table[1][high >> 16 & 0xff] ^ crc32c_table[0][high >> 24];
    }
    for (; size > 0; size--, data++)
        crc = crc >> 8 ^ crc32c_table[0][(crc ^ *data) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static inline uint32_t crc32c_by_cpu(uint32_t crc, const uint8_t *data,
                                                                       size_t size) {
    uint64_t state = (uint32_t)~crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        state = __builtin_ia32_crc32di(state, word);
    }
    for (; size > 0; size--, data++)
        state = __builtin_ia32_crc32qi((uint32_t)state, *data);
    return ~(uint32_t)state;
}

static inline int crc32c_has_cpu(void) {
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__ARM_FEATURE_CRC32)
static inline uint32_t crc32c_by_cpu(uint32_t crc, const uint8_t *data, size_t size) {
    crc = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; size--, data++)
        crc = __crc32cb(crc, *data);
    return ~crc;
}

static inline int crc32c_has_cpu(void) {
    return 1;
}
#else
static inline uint32_t crc32c_by_cpu(uint32_t crc, const uint8_t *data, size_t size) {
    return crc32c_by_table(crc, data, size);
}

static inline int crc32c_has_cpu(void) {
    return 0;
}
#endif

static inline uint32_t crc32c_update(uint32_t crc, const uint8_t *data, size_t size) {
    return crc32c_has_cpu() ? crc32c_by_cpu(crc, data, size) : crc32c_by_table(crc, data, size);
}
#endif
