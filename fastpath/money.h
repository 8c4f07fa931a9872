/* Money arithmetic of the core: 64-bit integers, checked, rounded once. */
#ifndef FAREGATE_MONEY_H
#define FAREGATE_MONEY_H
#include <stdint.h>

#define MONEY_MAX ((int64_t)1 << 60) /* what an account may hold or owe: four such sums fit */
#define FARE_MAX 100000000
#define PPM 1000000
#define FACTORS_AT_ONCE 20 /* medium, leg, month, 16 period rules, and one to spare */
#define LIMBS 24           /* 32 bits each: 48 + 20 * 22 bits, twice */

/* round_mode of layers.py */
enum { MONEY_HALF_UP = 0, MONEY_HALF_EVEN = 1, MONEY_DOWN = 2, MONEY_UP = 3 };

/* amount * medium * tier, half up to a multiple of unit. Factors are parts per million; the amount
 * is scaled by a million already. Bounds (_tariff.pyx): 2e14 * 4e6 * 2e6, so 128 bits hold it. */
static inline int64_t scale_half_up(int64_t amount_ppm, int64_t medium_ppm, int64_t tier_ppm,
                                    int64_t unit_minor) {
    __int128 value = (__int128)amount_ppm * medium_ppm * tier_ppm;
    __int128 unit = (__int128)1000000000000000000 * unit_minor;
    return (int64_t)((2 * value + unit) / (2 * unit)) * unit_minor;
}

/* halves = twice the exact quotient rounded down; is_more: something was left over. */
static inline int64_t round_halves(uint64_t halves, int is_more, int mode) {
    uint64_t low = halves >> 1;
    int is_half = (int)(halves & 1);
    if (mode == MONEY_HALF_UP) return (int64_t)(low + is_half);
    if (mode == MONEY_HALF_EVEN) return (int64_t)(low + (is_half && (is_more || (low & 1))));
    if (mode == MONEY_UP) return (int64_t)(low + (is_half || is_more));
    return (int64_t)low;
}

static inline uint32_t divide_limbs(uint32_t *limbs, uint32_t divisor) {
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint32_t)rest;
}

/* The same for products that 128 bits do not hold. Dividing bit by bit of the divisor and rounding
 * down each time gives the same as dividing by all of it. */
static int64_t scale_limbs(uint64_t amount_ppm, const int64_t *factors_ppm, int count,
                           int64_t unit_minor, int mode) {
    uint32_t limbs[LIMBS] = {(uint32_t)(2 * amount_ppm), (uint32_t)(2 * amount_ppm >> 32)};
    int is_more = 0;
    for (int k = 0; k < count; k++) {
        uint64_t carry = 0;
        for (int i = 0; i < LIMBS; i++) {
            carry += (uint64_t)limbs[i] * (uint32_t)factors_ppm[k];
            limbs[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    for (int k = 0; k <= count; k++) is_more |= divide_limbs(limbs, PPM) != 0;
    is_more |= divide_limbs(limbs, (uint32_t)unit_minor) != 0;
    return round_halves((uint64_t)limbs[1] << 32 | limbs[0], is_more, mode) * unit_minor;
}

/* amount_ppm / 10^6 * every factor, exactly, rounded once to a multiple of unit. Preconditions
 * (_tariff.pyx, check_factors): 0 <= amount_ppm <= 2e14, factors 0 to 4e6, at most
 * FACTORS_AT_ONCE, all of them together at most 16: what comes out fits into 31 bits. */
static inline int64_t scale_factors(int64_t amount_ppm, const int64_t *factors_ppm, int count,
                                    int64_t unit_minor, int mode) {
    unsigned __int128 value = 2 * (unsigned __int128)amount_ppm;
    unsigned __int128 divisor = (unsigned __int128)PPM * (uint64_t)unit_minor;
    for (int k = 0; k < count; k++) {
        uint64_t factor = (uint64_t)factors_ppm[k], of = PPM;
        if (factor % 10000 == 0) { factor /= 10000; of = 100; }
        if (__builtin_mul_overflow(value, (unsigned __int128)factor, &value) ||
            __builtin_mul_overflow(divisor, (unsigned __int128)of, &divisor))
            return scale_limbs((uint64_t)amount_ppm, factors_ppm, count, unit_minor, mode);
    }
    if (value >> 64 == 0 && divisor >> 64 == 0) {
        uint64_t low = (uint64_t)divisor;
        return round_halves((uint64_t)value / low, (uint64_t)value % low != 0, mode) * unit_minor;
    }
    return round_halves((uint64_t)(value / divisor), value % divisor != 0, mode) * unit_minor;
}

/* a * b / c, half up; a, b >= 0, c > 0, the result fits. */
static inline int64_t proportion_half_up(int64_t a, int64_t b, int64_t c) {
    return (int64_t)((2 * (__int128)a * b + c) / (2 * (__int128)c));
}

/* False = the sum does not fit into what an account may hold. */
static inline int add_money(int64_t a, int64_t b, int64_t *sum) {
    return !__builtin_add_overflow(a, b, sum) && *sum <= MONEY_MAX && *sum >= -MONEY_MAX;
}
#endif
