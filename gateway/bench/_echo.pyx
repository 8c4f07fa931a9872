"""A bare echo server over epoll, in C: the floor under every figure, the ceiling of the generator.

Must not import anything of the gateway.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t

import os

cdef extern from *:
    """
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <unistd.h>
    static inline int accept_quick(int fd) {
        int one = 1;
        int plug = accept4(fd, (void *)0, (void *)0, SOCK_CLOEXEC);
        if (plug >= 0) setsockopt(plug, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return plug;
    }
    """
    enum:
        EPOLLIN
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        MSG_NOSIGNAL
        MSG_DONTWAIT
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags) noexcept nogil
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event) noexcept nogil
    int epoll_wait(int epfd, epoll_event* events, int max, int timeout_ms) noexcept nogil
    int accept_quick(int fd) noexcept nogil
    int close(int fd) noexcept nogil
    Py_ssize_t send(int fd, const void* data, size_t size, int flags) noexcept nogil
    Py_ssize_t recv(int fd, void* data, size_t size, int flags) noexcept nogil

cdef enum:
    EVENTS_MAX = 512
    BUFFER_BYTES = 65536
    LOOK_EVERY_MS = 100


cdef int watch(int epoll_fd, int fd) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN
    event.data.fd = fd
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)


cdef bint echo_back(int fd) noexcept nogil:
    """Send back what came in; False = the connection has ended. A full socket is waited for."""
    cdef char buffer[BUFFER_BYTES]
    cdef Py_ssize_t got = recv(fd, buffer, BUFFER_BYTES, MSG_DONTWAIT)
    cdef Py_ssize_t sent = 0
    cdef Py_ssize_t wrote
    if got < 0:
        return errno == EAGAIN or errno == EINTR
    while sent < got:
        wrote = send(fd, buffer + sent, got - sent, MSG_NOSIGNAL)
        if wrote < 0 and errno != EINTR:
            return False
        sent += max(wrote, <Py_ssize_t>0)
    return got > 0


cdef void serve_ready(int epoll_fd, int listener_fd, int fd) noexcept nogil:
    cdef int plug
    if fd == listener_fd:
        plug = accept_quick(fd)
        if plug >= 0 and watch(epoll_fd, plug) != 0:
            close(plug)
    elif not echo_back(fd):
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL)
        close(fd)


def serve_echo(int listener_fd):
    cdef epoll_event events[EVENTS_MAX]
    cdef int epoll_fd = epoll_create1(0)
    cdef int ready
    cdef int place
    if epoll_fd < 0 or watch(epoll_fd, listener_fd) != 0:
        raise OSError(errno, "the listening socket cannot be watched")
    try:
        while True:
            with nogil:
                ready = epoll_wait(epoll_fd, events, EVENTS_MAX, LOOK_EVERY_MS)
                for place in range(max(ready, 0)):
                    serve_ready(epoll_fd, listener_fd, events[place].data.fd)
            PyErr_CheckSignals()
    finally:
        os.close(epoll_fd)
