# A growable byte buffer as a plain struct: what is read but not yet whole, what is written but not yet sent.
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef struct Buffer:
    uint8_t* data
    size_t size
    size_t capacity


# Room for `extra` more bytes; the place where they go, NULL = no memory.
cdef inline uint8_t* buffer_reserve(Buffer* buffer, size_t extra) noexcept nogil:
    cdef size_t wanted = buffer.size + extra
    cdef size_t capacity = buffer.capacity if buffer.capacity > 0 else 512
    cdef uint8_t* grown
    if wanted <= buffer.capacity:
        return buffer.data + buffer.size
    while capacity < wanted:
        capacity *= 2
    grown = <uint8_t*> realloc(buffer.data, capacity)
    if grown == NULL:
        return NULL
    buffer.data = grown
    buffer.capacity = capacity
    return grown + buffer.size


cdef inline int buffer_append(Buffer* buffer, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t* room = buffer_reserve(buffer, size)
    if room == NULL:
        return -1
    memcpy(room, data, size)
    buffer.size += size
    return 0


# Forget the first `used` bytes.
cdef inline void buffer_consume(Buffer* buffer, size_t used) noexcept nogil:
    if used < buffer.size:
        memmove(buffer.data, buffer.data + used, buffer.size - used)
    buffer.size -= used


# Give large buffers back, so that one burst does not keep its memory for the life of a session.
cdef inline void buffer_trim(Buffer* buffer, size_t keep) noexcept nogil:
    if buffer.size == 0 and buffer.capacity > keep:
        free(buffer.data)
        buffer.data = NULL
        buffer.capacity = 0
