"""Sessions of the validator link: framing, counters and tags (docs/protocol.md). No I/O: bytes in, bytes out."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastpath._buffer cimport buffer_reserve, buffer_trim
from fastpath._mac cimport MAC_KEY_BYTES, mac_equal, mac_init, mac_tag

cimport cython

cdef enum:
    DIRECTION_DEVICE = 0x43    # 'C': from the device
    DIRECTION_SERVER = 0x53    # 'S': from the server
    SCRATCH_BYTES = 65536 + 64

cdef uint8_t* scratch = <uint8_t*> malloc(SCRATCH_BYTES)
if scratch == NULL:
    raise MemoryError


@cython.final
cdef class Session:
    """Keys, counters and buffers of one authenticated connection.

    Args: rx_key and tx_key are 32-byte session keys (device to server, server to device); algorithm and boot as
        named in hello; frame_max_bytes bounds a frame (payload and tag). Thread: the loop's.
    Raises: ValueError: unknown algorithm or wrong key size.
    """

    def __init__(self, bytes rx_key not None, bytes tx_key not None, *, int algorithm, uint64_t device_id,
                 int tariff_slot=0, int stop=0, int frame_max_bytes=65536, uint64_t boot=0):
        if PyBytes_GET_SIZE(rx_key) != MAC_KEY_BYTES or PyBytes_GET_SIZE(tx_key) != MAC_KEY_BYTES:
            raise ValueError("session keys are 32 bytes")
        if not 0 <= tariff_slot < 16:
            raise ValueError("tariff slots are 0 to 15")
        if not 64 <= frame_max_bytes <= 65536:
            raise ValueError("frame_max_bytes is 64 to 65536")
        if mac_init(&self.rx, algorithm, <const uint8_t*> PyBytes_AS_STRING(rx_key)) != 0:
            raise ValueError(f"unknown MAC algorithm {algorithm}")
        mac_init(&self.tx, algorithm, <const uint8_t*> PyBytes_AS_STRING(tx_key))
        self.device_id = device_id
        self.tariff_slot = tariff_slot
        self.stop = stop
        self.boot = boot
        self.frame_max = frame_max_bytes
        self.in_service = True
        self.events = []

    def __dealloc__(self):
        free(self.inbox.data)
        free(self.outbox.data)

    cdef bint tag_is_good(self, const uint8_t* payload, size_t size) noexcept:
        cdef uint8_t tag[TAG_BYTES]
        scratch[0] = DIRECTION_DEVICE
        memcpy(scratch + 1, payload, size)
        mac_tag(&self.rx, scratch, size + 1, tag)
        return mac_equal(tag, payload + size)

    cdef uint8_t* begin_frame(self, size_t room) except NULL:
        cdef uint8_t* at = buffer_reserve(&self.outbox, FRAME_PREFIX_BYTES + room + TAG_BYTES)
        if at == NULL:
            raise MemoryError
        return at + FRAME_PREFIX_BYTES

    cdef void end_frame(self, size_t size) noexcept:
        cdef uint8_t* frame = self.outbox.data + self.outbox.size
        cdef uint8_t* payload = frame + FRAME_PREFIX_BYTES
        cdef size_t length = size + TAG_BYTES
        # The tag covers the direction byte and the payload: it stands for a moment where the length's last byte goes.
        frame[3] = DIRECTION_SERVER
        mac_tag(&self.tx, frame + 3, size + 1, payload + size)
        frame[0] = <uint8_t> (length >> 24)
        frame[1] = <uint8_t> (length >> 16)
        frame[2] = <uint8_t> (length >> 8)
        frame[3] = <uint8_t> length
        self.outbox.size += FRAME_PREFIX_BYTES + length

    def next_counter(self) -> int:
        """The counter of the next frame to the device."""
        self.tx_counter += 1
        return self.tx_counter

    def accept_counter(self, uint64_t counter) -> bool:
        """Note the counter of a frame that was checked outside (auth); False = not higher than the last."""
        if counter <= self.rx_counter:
            return False
        self.rx_counter = counter
        return True

    def check(self, bytes payload not None, bytes tag not None) -> bool:
        """Whether this is the device's tag of this payload. Cost: constant in the content."""
        cdef size_t size = PyBytes_GET_SIZE(payload)
        if PyBytes_GET_SIZE(tag) != TAG_BYTES or size > self.frame_max:
            return False
        cdef bytes whole = payload + tag
        return self.tag_is_good(<const uint8_t*> PyBytes_AS_STRING(whole), size)

    def push(self, bytes payload not None) -> None:
        """Append one frame with this payload to what waits to be sent."""
        cdef size_t size = PyBytes_GET_SIZE(payload)
        cdef uint8_t* at = self.begin_frame(size)
        memcpy(at, PyBytes_AS_STRING(payload), size)
        self.end_frame(size)

    def take(self) -> bytes:
        """What waits to be sent; it waits no longer."""
        cdef bytes sent = PyBytes_FromStringAndSize(<const char*> self.outbox.data, self.outbox.size)
        self.outbox.size = 0
        self.queued = False
        buffer_trim(&self.outbox, KEEP_BUFFER_BYTES)
        return sent

    def take_events(self) -> list:
        """Frames and errors for Python, in order: ("frame", type, counter, payload) or ("error", code, counter)."""
        cdef list events = self.events
        self.events = []
        return events

    @property
    def half_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self.inbox.size > 0

    @property
    def output_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self.outbox.size
