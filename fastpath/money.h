/* Money arithmetic of the core: 64-bit integers, checked, rounded once. */
#ifndef FAREGATE_MONEY_H
#define FAREGATE_MONEY_H
#include <stdint.h>

#define MONEY_MAX ((int64_t)1 << 60) /* what an account may hold or owe: four such sums fit */
#define FARE_MAX 100000000

/* amount * medium * tier, half up to a multiple of unit. Factors are parts per million; the amount
 * is scaled by a million already. Bounds (_tariff.pyx): 2e14 * 4e6 * 2e6, so 128 bits hold it. */
static inline int64_t scale_half_up(int64_t amount_ppm, int64_t medium_ppm, int64_t tier_ppm,
                                    int64_t unit_minor) {
    __int128 value = (__int128)amount_ppm * medium_ppm * tier_ppm;
    __int128 unit = (__int128)1000000000000000000 * unit_minor;
    return (int64_t)((2 * value + unit) / (2 * unit)) * unit_minor;
}

/* False = the sum does not fit into what an account may hold. */
static inline int add_money(int64_t a, int64_t b, int64_t *sum) {
    return !__builtin_add_overflow(a, b, sum) && *sum <= MONEY_MAX && *sum >= -MONEY_MAX;
}
#endif
