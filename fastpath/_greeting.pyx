"""Session start of a well-formed device, in the server (docs/protocol.md): hello in, challenge out; auth in,
session out.

What is not plainly right is left to gateway.link.handshake, which says what is wrong with it and is also the oracle of
this module. No I/O, no clock, no random numbers here.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._session cimport FRAME_PREFIX_BYTES, TAG_BYTES, Session
from fastpath._wire cimport WIRE_OK, Cursor, Hello, read_head, read_hello, write_head, write_uint

cimport cython

cdef extern from "sha256.h" nogil:
    ctypedef struct Sha256:
        pass
    ctypedef struct HmacSha256Key:
        pass
    void sha256_update(Sha256* state, const uint8_t* data, size_t size)
    void hmac_sha256_key(HmacSha256Key* key, const uint8_t* secret, size_t size)
    void hmac_sha256_begin(Sha256* state, const HmacSha256Key* key)
    void hmac_sha256_end(Sha256* state, const HmacSha256Key* key, uint8_t* out32)

cdef enum:
    FRAME_HELLO = 1
    FRAME_CHALLENGE = 2
    FRAME_AUTH = 3
    HELLO_FIELDS = 7
    PROTOCOL_VERSION = 1
    NONCE_BYTES = 16
    KEY_BYTES = 32
    BIN8 = 0xC4
    LABEL_BYTES = 16
    DIRECTION_DEVICE = 0x43
    DIRECTION_SERVER = 0x53
    CHALLENGE_BYTES = 80       # more than the longest one
    CONTEXT_BYTES = 2 * NONCE_BYTES + 8 + 8 + 1

cdef const char* LABEL = b"faregate link v1"
cdef uint8_t NO_TAG[TAG_BYTES]
memset(NO_TAG, 0, TAG_BYTES)


cdef inline void put_big_endian(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(8):
        out[i] = <uint8_t> (value >> (56 - 8 * i))


# derive_session_keys of gateway.link.handshake.
cdef void derive_keys(const uint8_t* device_key, const uint8_t* context, uint8_t* from_device,
                      uint8_t* from_server) noexcept nogil:
    cdef HmacSha256Key prepared
    cdef Sha256 state
    cdef uint8_t labelled[LABEL_BYTES + 1]
    memcpy(labelled, LABEL, LABEL_BYTES)
    hmac_sha256_key(&prepared, device_key, KEY_BYTES)
    labelled[LABEL_BYTES] = DIRECTION_DEVICE
    hmac_sha256_begin(&state, &prepared)
    sha256_update(&state, labelled, LABEL_BYTES + 1)
    sha256_update(&state, context, CONTEXT_BYTES)
    hmac_sha256_end(&state, &prepared, from_device)
    labelled[LABEL_BYTES] = DIRECTION_SERVER
    hmac_sha256_begin(&state, &prepared)
    sha256_update(&state, labelled, LABEL_BYTES + 1)
    sha256_update(&state, context, CONTEXT_BYTES)
    hmac_sha256_end(&state, &prepared, from_server)


@cython.final
cdef class Greeting:
    """One device that said hello and waits for its session.

    Args: as in its hello; offered has bit n set for algorithm n. Raises: ValueError: the nonce is not 16 bytes.
    """

    cdef Hello hello
    cdef int algorithm             # 0 = not challenged yet
    cdef uint8_t from_device[KEY_BYTES]
    cdef uint8_t from_server[KEY_BYTES]

    def __init__(self, uint64_t device_id, uint32_t key_version, uint64_t boot_epoch, bytes nonce not None,
                 uint32_t offered):
        if PyBytes_GET_SIZE(nonce) != NONCE_BYTES:
            raise ValueError("a nonce is 16 bytes")
        self.hello.protocol_version = PROTOCOL_VERSION
        self.hello.device_id = device_id
        self.hello.key_version = key_version
        self.hello.boot_epoch = boot_epoch
        self.hello.offered = offered
        memcpy(self.hello.nonce, PyBytes_AS_STRING(nonce), NONCE_BYTES)

    @staticmethod
    def read(bytes body not None):
        """The greeting in a frame's body; None = look closer: it is not a hello, or not plainly a right one."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body) - TAG_BYTES
        cdef const uint8_t* payload = <const uint8_t*> PyBytes_AS_STRING(body)
        cdef Greeting made = Greeting.__new__(Greeting)
        cdef Cursor cursor
        cdef uint32_t type
        cdef uint32_t fields
        cdef uint64_t counter
        if size <= 0 or memcmp(payload + size, NO_TAG, TAG_BYTES) != 0:
            return None
        cursor.at = payload
        cursor.end = payload + size
        if read_head(&cursor, &type, &counter, &fields) != WIRE_OK or type != FRAME_HELLO or counter != 0:
            return None
        if fields != HELLO_FIELDS or read_hello(&cursor, &made.hello) != WIRE_OK:
            return None
        return made if made.hello.protocol_version == PROTOCOL_VERSION else None

    @property
    def device_id(self) -> int:
        """Whose it is, if the auth frame proves it."""
        return self.hello.device_id

    @property
    def key_version(self) -> int:
        """Which of the device's keys."""
        return self.hello.key_version

    @property
    def boot_epoch(self) -> int:
        """Which run of the device's numbers."""
        return self.hello.boot_epoch

    @property
    def offered(self) -> int:
        """Bit n: algorithm n."""
        return self.hello.offered

    def challenge(self, bytes device_key not None, bytes nonce not None, int algorithm, uint64_t now_us) -> bytes:
        """The challenge frame; the session's keys are made with it.

        Raises: ValueError: wrong size of a key or nonce.
        """
        cdef uint8_t context[CONTEXT_BYTES]
        cdef uint8_t out[CHALLENGE_BYTES]
        cdef size_t size
        if PyBytes_GET_SIZE(device_key) != KEY_BYTES or PyBytes_GET_SIZE(nonce) != NONCE_BYTES:
            raise ValueError("a device key is 32 bytes, a nonce 16")
        memcpy(context, self.hello.nonce, NONCE_BYTES)
        memcpy(context + NONCE_BYTES, PyBytes_AS_STRING(nonce), NONCE_BYTES)
        put_big_endian(context + 2 * NONCE_BYTES, self.hello.device_id)
        put_big_endian(context + 2 * NONCE_BYTES + 8, self.hello.boot_epoch)
        context[CONTEXT_BYTES - 1] = <uint8_t> algorithm
        derive_keys(<const uint8_t*> PyBytes_AS_STRING(device_key), context, self.from_device, self.from_server)
        self.algorithm = algorithm
        size = FRAME_PREFIX_BYTES
        size += write_head(out + size, FRAME_CHALLENGE, 0, 4)
        size += write_uint(out + size, PROTOCOL_VERSION)
        out[size] = BIN8
        out[size + 1] = NONCE_BYTES
        memcpy(out + size + 2, PyBytes_AS_STRING(nonce), NONCE_BYTES)
        size += 2 + NONCE_BYTES
        size += write_uint(out + size, <uint64_t> algorithm)
        size += write_uint(out + size, now_us)
        memset(out + size, 0, TAG_BYTES)
        size += TAG_BYTES
        memset(out, 0, FRAME_PREFIX_BYTES)
        out[FRAME_PREFIX_BYTES - 1] = <uint8_t> (size - FRAME_PREFIX_BYTES)
        return PyBytes_FromStringAndSize(<const char*> out, size)

    def enter(self, bytes body not None, *, int tariff_slot=0, int stop=0, int frame_max_bytes=65536):
        """The session, when this is the body of a right auth frame; None = it is not, and nobody says why.

        Raises: ValueError: there was no challenge, or a value Session does not take.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body) - TAG_BYTES
        cdef const uint8_t* payload = <const uint8_t*> PyBytes_AS_STRING(body)
        cdef Cursor cursor
        cdef uint32_t type
        cdef uint32_t fields
        cdef uint64_t counter
        cdef Session session = Session(
            PyBytes_FromStringAndSize(<const char*> self.from_device, KEY_BYTES),
            PyBytes_FromStringAndSize(<const char*> self.from_server, KEY_BYTES),
            algorithm=self.algorithm, device_id=self.hello.device_id, tariff_slot=tariff_slot, stop=stop,
            frame_max_bytes=frame_max_bytes, boot=self.hello.boot_epoch,
        )
        if size <= 0 or size > frame_max_bytes or not session.tag_is_good(payload, size):
            return None
        cursor.at = payload
        cursor.end = payload + size
        if read_head(&cursor, &type, &counter, &fields) != WIRE_OK or type != FRAME_AUTH or fields != 0:
            return None
        if counter == 0 or cursor.at != cursor.end:
            return None
        session.rx_counter = counter
        return session
