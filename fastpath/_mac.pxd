# Message authentication of the link: two algorithms with their keys prepared once a session. Constant-time compare.
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    MAC_TAG_BYTES = 16
    MAC_KEY_BYTES = 32
    MAC_HMAC_SHA256 = 1    # HMAC-SHA256, first 16 bytes
    MAC_BLAKE2B = 2        # keyed BLAKE2b with a 16-byte digest

cdef struct MacKey:
    int algorithm
    uint64_t state[16]     # prepared: two SHA-256 states, or one BLAKE2b state after the key block

cdef int mac_init(MacKey* key, int algorithm, const uint8_t* secret32) noexcept nogil    # -1 = unknown algorithm
cdef void mac_tag(const MacKey* key, const uint8_t* data, size_t size, uint8_t* tag16) noexcept nogil
cdef bint mac_equal(const uint8_t* a16, const uint8_t* b16) noexcept nogil
