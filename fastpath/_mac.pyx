"""Message authentication of the validator link: HMAC-SHA256 and keyed BLAKE2b, 16-byte tags, keys prepared once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cimport cython

cdef extern from "sha256.h" nogil:
    ctypedef struct Sha256:
        pass
    ctypedef struct HmacSha256Key:
        pass
    void sha256_init(Sha256* state)
    void sha256_update(Sha256* state, const uint8_t* data, size_t size)
    void sha256_final(Sha256* state, uint8_t* out32)
    void hmac_sha256_key(HmacSha256Key* key, const uint8_t* secret, size_t size)
    void hmac_sha256_begin(Sha256* state, const HmacSha256Key* key)
    void hmac_sha256_end(Sha256* state, const HmacSha256Key* key, uint8_t* out32)

cdef extern from "blake2b.h" nogil:
    ctypedef struct Blake2b:
        uint64_t h[8]
        uint64_t counted
        size_t used
        uint8_t block[128]
    void blake2b_init(Blake2b* state, size_t digest_bytes, const uint8_t* key, size_t key_bytes)
    void blake2b_update(Blake2b* state, const uint8_t* data, size_t size)
    void blake2b_final(Blake2b* state, uint8_t* out, size_t digest_bytes)
    void blake2b_compress(uint64_t* h, const uint8_t* block, uint64_t counted, uint64_t last)

cdef extern from *:
    """
    _Static_assert(sizeof(HmacSha256Key) <= 16 * sizeof(uint64_t), "MacKey.state holds two SHA-256 states");
    """


cdef int mac_init(MacKey* key, int algorithm, const uint8_t* secret32) noexcept nogil:
    cdef HmacSha256Key hmac
    cdef Blake2b blake
    if algorithm == MAC_HMAC_SHA256:
        hmac_sha256_key(&hmac, secret32, MAC_KEY_BYTES)
        memcpy(key.state, &hmac, sizeof(hmac))
    elif algorithm == MAC_BLAKE2B:
        # Words 0-7: the state after the key block. Words 8-11: the key, which an empty message needs again, since its
        # key block is also its last one.
        blake2b_init(&blake, MAC_TAG_BYTES, secret32, MAC_KEY_BYTES)
        blake2b_compress(blake.h, blake.block, sizeof(blake.block), 0)
        memcpy(key.state, blake.h, sizeof(blake.h))
        memcpy(key.state + 8, secret32, MAC_KEY_BYTES)
    else:
        return -1
    key.algorithm = algorithm
    return 0


cdef void hmac_tag(const MacKey* key, const uint8_t* data, size_t size, uint8_t* tag16) noexcept nogil:
    cdef HmacSha256Key prepared
    cdef Sha256 state
    cdef uint8_t full[32]
    memcpy(&prepared, key.state, sizeof(prepared))
    hmac_sha256_begin(&state, &prepared)
    sha256_update(&state, data, size)
    hmac_sha256_end(&state, &prepared, full)
    memcpy(tag16, full, MAC_TAG_BYTES)


cdef void blake_tag(const MacKey* key, const uint8_t* data, size_t size, uint8_t* tag16) noexcept nogil:
    cdef Blake2b state
    if size == 0:
        blake2b_init(&state, MAC_TAG_BYTES, <const uint8_t*> (key.state + 8), MAC_KEY_BYTES)
    else:
        memcpy(state.h, key.state, sizeof(state.h))
        state.counted = sizeof(state.block)
        state.used = 0
        blake2b_update(&state, data, size)
    blake2b_final(&state, tag16, MAC_TAG_BYTES)


cdef void mac_tag(const MacKey* key, const uint8_t* data, size_t size, uint8_t* tag16) noexcept nogil:
    if key.algorithm == MAC_BLAKE2B:
        blake_tag(key, data, size, tag16)
    else:
        hmac_tag(key, data, size, tag16)


cdef bint mac_equal(const uint8_t* a16, const uint8_t* b16) noexcept nogil:
    # No branch on the content: a forger must not learn how many bytes were right.
    cdef uint8_t difference = 0
    cdef int i
    for i in range(MAC_TAG_BYTES):
        difference |= a16[i] ^ b16[i]
    return difference == 0


@cython.final
cdef class Mac:
    """One prepared key.

    Args: algorithm 1 (HMAC-SHA256) or 2 (BLAKE2b); key of 32 bytes. Raises: ValueError.
    """

    cdef MacKey key

    def __init__(self, int algorithm, bytes key not None):
        if PyBytes_GET_SIZE(key) != MAC_KEY_BYTES:
            raise ValueError("a session key is 32 bytes")
        if mac_init(&self.key, algorithm, <const uint8_t*> PyBytes_AS_STRING(key)) != 0:
            raise ValueError(f"unknown MAC algorithm {algorithm}")

    def tag(self, bytes data not None) -> bytes:
        """The 16-byte tag of the data."""
        cdef uint8_t out[MAC_TAG_BYTES]
        mac_tag(&self.key, <const uint8_t*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
        return PyBytes_FromStringAndSize(<const char*> out, MAC_TAG_BYTES)

    def verify(self, bytes data not None, bytes tag not None) -> bool:
        """Whether the tag is right. Cost: the same wherever it differs."""
        if PyBytes_GET_SIZE(tag) != MAC_TAG_BYTES:
            return False
        cdef bytes right = self.tag(data)
        return mac_equal(<const uint8_t*> PyBytes_AS_STRING(right), <const uint8_t*> PyBytes_AS_STRING(tag))

    def repeat(self, bytes data not None, int times) -> bytes:
        """The tag, computed so many times: for benchmarks, where one call would measure the call."""
        cdef uint8_t out[MAC_TAG_BYTES]
        cdef const uint8_t* at = <const uint8_t*> PyBytes_AS_STRING(data)
        cdef int _i
        for _i in range(times):
            mac_tag(&self.key, at, PyBytes_GET_SIZE(data), out)
        return PyBytes_FromStringAndSize(<const char*> out, MAC_TAG_BYTES)


def sha256_digest(bytes data not None) -> bytes:
    """SHA-256 of sha256.h, unkeyed: the tests compare it with hashlib."""
    cdef Sha256 state
    cdef uint8_t out[32]
    sha256_init(&state)
    sha256_update(&state, <const uint8_t*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    sha256_final(&state, out)
    return PyBytes_FromStringAndSize(<const char*> out, 32)


def hmac_sha256_digest(bytes key not None, list parts not None) -> bytes:
    """HMAC-SHA256 of sha256.h over parts fed one by one, any key length: the tests compare it with hmac."""
    cdef HmacSha256Key prepared
    cdef Sha256 state
    cdef uint8_t out[32]
    cdef bytes part
    hmac_sha256_key(&prepared, <const uint8_t*> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    hmac_sha256_begin(&state, &prepared)
    for part in parts:
        sha256_update(&state, <const uint8_t*> PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    hmac_sha256_end(&state, &prepared, out)
    return PyBytes_FromStringAndSize(<const char*> out, 32)


def blake2b_digest(list parts not None, bytes key not None=b"", int digest_bytes=64) -> bytes:
    """BLAKE2b of blake2b.h over parts fed one by one: the tests compare it with hashlib. Raises: ValueError."""
    cdef Blake2b state
    cdef uint8_t out[64]
    cdef bytes part
    if not 1 <= digest_bytes <= 64 or PyBytes_GET_SIZE(key) > 64:
        raise ValueError("digest 1 to 64 bytes, key 0 to 64")
    blake2b_init(&state, digest_bytes, <const uint8_t*> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    for part in parts:
        blake2b_update(&state, <const uint8_t*> PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    blake2b_final(&state, out, digest_bytes)
    return PyBytes_FromStringAndSize(<const char*> out, digest_bytes)
