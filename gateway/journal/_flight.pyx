"""One write past the page cache that goes on while its caller does something else.

Linux's AIO: io_submit begins the write and comes back, an eventfd says when it is durable. Older and
allowed in more places than io_uring. Knows a file descriptor and bytes; nothing of the journal.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset, strerror
from posix.unistd cimport close, read

cdef extern from *:
    """
    #include <linux/aio_abi.h>
    #include <linux/fs.h>
    #include <poll.h>
    #include <sys/eventfd.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    static long flight_setup(unsigned room, aio_context_t *context) {
        return syscall(SYS_io_setup, room, context);
    }
    static long flight_destroy(aio_context_t context) {
        return syscall(SYS_io_destroy, context);
    }
    static long flight_submit(aio_context_t context, struct iocb *one) {
        return syscall(SYS_io_submit, context, 1L, &one);
    }
    static long flight_result(aio_context_t context, struct io_event *event) {
        struct timespec at_once = {0, 0};
        return syscall(SYS_io_getevents, context, 0L, 1L, event, &at_once);
    }
    static long flight_await(aio_context_t context, struct io_event *event) {
        return syscall(SYS_io_getevents, context, 1L, 1L, event, (struct timespec *) 0);
    }
    static int flight_eventfd(void) {
        return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    """
    ctypedef unsigned long aio_context_t
    cdef struct iocb:
        uint64_t aio_data
        int aio_rw_flags
        unsigned short aio_lio_opcode
        unsigned int aio_fildes
        uint64_t aio_buf
        uint64_t aio_nbytes
        int64_t aio_offset
        unsigned int aio_flags
        unsigned int aio_resfd
    cdef struct io_event:
        int64_t res
    enum: IOCB_CMD_PWRITE
    enum: IOCB_FLAG_RESFD
    enum: RWF_DSYNC
    long flight_setup(unsigned room, aio_context_t* context) nogil
    long flight_destroy(aio_context_t context) nogil
    long flight_submit(aio_context_t context, iocb* one) nogil
    long flight_result(aio_context_t context, io_event* event) nogil
    long flight_await(aio_context_t context, io_event* event) nogil
    int flight_eventfd() nogil


cdef object failed(long number, str what):
    return OSError(number, f"{what}: {strerror(<int> number).decode()}")


cdef class Flight:
    """At most one write under way. Close it. Thread: one at a time.

    Raises: OSError: this kernel, or its limit of such writes (fs.aio-max-nr), does not have it.
    """

    cdef aio_context_t context
    cdef iocb request
    cdef Py_buffer data
    cdef readonly bint is_under_way
    cdef readonly int fd                      # readable when the write has ended

    def __cinit__(self):
        self.fd = -1
        self.context = 0
        if flight_setup(1, &self.context) != 0:
            raise failed(errno, "io_setup")
        self.fd = flight_eventfd()
        if self.fd < 0:
            raise failed(errno, "eventfd")

    def begin(self, int fd, data not None, int64_t offset) -> None:
        """Have data written there and synced. It must stay as it is until the end: it is locked, not copied.

        fd: opened with O_DIRECT; address, size and offset in whole blocks. Raises: OSError: nothing has begun.
        """
        cdef long begun
        if self.is_under_way or self.fd < 0:
            raise ValueError("a write is under way, or all is closed")
        PyObject_GetBuffer(data, &self.data, PyBUF_SIMPLE)
        memset(&self.request, 0, sizeof(iocb))
        self.request.aio_lio_opcode = IOCB_CMD_PWRITE
        self.request.aio_fildes = <unsigned int> fd
        self.request.aio_buf = <uint64_t> <size_t> self.data.buf
        self.request.aio_nbytes = <uint64_t> self.data.len
        self.request.aio_offset = offset
        self.request.aio_rw_flags = RWF_DSYNC
        self.request.aio_flags = IOCB_FLAG_RESFD
        self.request.aio_resfd = <unsigned int> self.fd
        with nogil:
            begun = flight_submit(self.context, &self.request)
        if begun != 1:
            PyBuffer_Release(&self.data)
            raise failed(errno, "io_submit")
        self.is_under_way = True

    def end(self, *, bint wait=False):
        """Bytes written and durable, fewer than given when the room ends; None = it is still under way.

        wait: for as long as it takes. Raises: OSError: as the write or its sync would; which one it does not say.
        """
        cdef io_event event
        cdef uint64_t count
        cdef long got
        if not self.is_under_way:
            raise ValueError("no write is under way")
        memset(&event, 0, sizeof(event))
        while True:
            if wait:
                with nogil:
                    got = flight_await(self.context, &event)
            else:
                got = flight_result(self.context, &event)
            if got == 1:
                break
            if got < 0 and errno != EINTR:
                raise failed(errno, "io_getevents")
            if not wait:
                return None
        read(self.fd, &count, sizeof(count))
        self.is_under_way = False
        PyBuffer_Release(&self.data)
        if event.res < 0:
            raise failed(-event.res, "a write in flight")
        return event.res

    def close(self) -> None:
        """Wait for what is under way, and let go of everything."""
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1
        if self.context:
            with nogil:
                flight_destroy(self.context)  # waits
            self.context = 0
        if self.is_under_way:
            self.is_under_way = False
            PyBuffer_Release(&self.data)

    def __dealloc__(self):
        self.close()
