"""Load generator of the validator link: one thread, epoll, frames built and tagged ahead.

Closed loop keeps a number of frames in flight on each connection. Open loop sends on a schedule
that knows nothing of the answers, and counts latency from the time a frame was due: a server that
falls behind shows as latency, never as a lower rate. Must not import the gateway's link or engine.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport log1p
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove, memset

from fastpath._mac cimport mac_init
from gateway.bench._frames cimport (
    DIRECTION_DEVICE, DIRECTION_SERVER, PREFIX_BYTES, TAG_BYTES, Answer, Reply, ReplyKind,
    frame_room, random_below, random_next, read_answer, read_reply, tag_is_good, write_frame,
)
from gateway.bench._histogram cimport count_value

cimport cython

import os
import time

cdef extern from *:
    """
    #include <stdint.h>
    #include <sys/epoll.h>
    #include <sys/prctl.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    #include <errno.h>
    #ifndef SYS_epoll_pwait2
    #define SYS_epoll_pwait2 441
    #endif
    static inline int64_t monotonic_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    /* Waits to the nanosecond where the kernel can (5.11), else polls: a millisecond rounded up
       would be our own lag. */
    static inline int wait_ready(int fd, struct epoll_event *events, int max, int64_t wait_ns) {
        static int missing = 0;
        if (!missing) {
            struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
            int ready = (int)syscall(SYS_epoll_pwait2, fd, events, max, &wait, (void *)0, 0);
            if (ready >= 0 || errno != ENOSYS) return ready;
            missing = 1;
        }
        return epoll_wait(fd, events, max, wait_ns < 1000000 ? 0 : (int)(wait_ns / 1000000));
    }
    """
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
        MSG_NOSIGNAL
        MSG_DONTWAIT
        PR_SET_TIMERSLACK
    ctypedef union epoll_data_t:
        uint32_t u32
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int64_t monotonic_ns() noexcept nogil
    int wait_ready(int fd, epoll_event* events, int max, int64_t wait_ns) noexcept nogil
    int epoll_create1(int flags) noexcept nogil
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event) noexcept nogil
    Py_ssize_t send(int fd, const void* data, size_t size, int flags) noexcept nogil
    Py_ssize_t recv(int fd, void* data, size_t size, int flags) noexcept nogil
    int prctl(int option, unsigned long value) noexcept nogil

cdef enum:
    EVENTS_MAX = 512
    INBOX_BYTES = 16384
    FRAME_BYTES_MAX = 1 << 20
    GRANTS_MAX = 256               # open loop: frames sent before the answers are looked at again

cdef int64_t TICK_NS = 100_000_000     # how often Python gets a look: signals


# --- memory: every function here returns 0, or -1 when there is none left

cdef int grow(void** data, size_t* room, size_t wanted, size_t item) noexcept nogil:
    cdef size_t next_room = max(<size_t>64, room[0])
    cdef void* moved
    if wanted <= room[0]:
        return 0
    while next_room < wanted:
        next_room *= 2
    moved = realloc(data[0], next_room * item)
    if moved == NULL:
        return -1
    data[0] = moved
    room[0] = next_room
    return 0


cdef int grow_began(Link* link) noexcept nogil:
    """Double the ring of begin times; every open ordinal keeps its time."""
    cdef uint64_t room = (link.began_mask + 1) * 2 if link.began != NULL else 16
    cdef int64_t* began = <int64_t*>calloc(room, sizeof(int64_t))
    cdef uint64_t ordinal
    if began == NULL:
        return -1
    for ordinal in range(link.settled, link.asked):
        began[ordinal & (room - 1)] = link.began[ordinal & link.began_mask]
    free(link.began)
    link.began = began
    link.began_mask = room - 1
    return 0


cdef int reserve_acked(Link* link, uint32_t taps) noexcept nogil:
    cdef size_t before = link.acked_bytes
    if grow(<void**>&link.acked, &link.acked_bytes, (taps >> 3) + 1, 1) != 0:
        return -1
    if link.acked_bytes > before:
        memset(link.acked + before, 0, link.acked_bytes - before)
    return 0


cdef inline size_t length_at(const uint8_t* head) noexcept nogil:
    return <size_t>head[0] << 24 | <size_t>head[1] << 16 | <size_t>head[2] << 8 | head[3]


# --- sending

cdef int build_one(Run* run, Link* link) noexcept nogil:
    """Write one more frame behind the last one."""
    if link.sent == link.size:
        link.sent = link.due = link.size = 0
    if grow(<void**>&link.frames, &link.room, link.size + frame_room(run.batch), 1) != 0:
        return -1
    link.size += write_frame(&run.riders, &link.device, run.batch, run.built_us,
                             link.frames + link.size)
    run.built_us += max(run.batch, <uint32_t>1)
    return reserve_acked(link, link.device.next_seq - link.first_seq)


cdef int grant(Run* run, Link* link, int64_t began_ns) noexcept nogil:
    """Let one more frame go; it counts as begun at `began_ns`."""
    cdef const uint8_t* head
    if link.due == link.size:
        if build_one(run, link) != 0:
            return -1
        run.tally.built_late += max(run.batch, <uint32_t>1)
    if link.asked - link.settled > link.began_mask or link.began == NULL:
        if grow_began(link) != 0:
            return -1
    head = link.frames + link.due
    link.due += PREFIX_BYTES + length_at(head)
    link.began[link.asked & link.began_mask] = began_ns
    link.asked += 1
    link.open_frames += 1
    run.tally.asked_frames += 1
    return 0


cdef int build_ahead(Run* run, uint64_t frames, uint64_t bytes_max) noexcept nogil:
    """So many frames on each connection, in turn, so that device times rise alike."""
    cdef uint64_t _built
    cdef uint32_t index
    for _built in range(frames):
        for index in range(run.link_count):
            if run.links[index].size + frame_room(run.batch) > bytes_max:
                return 0
            if build_one(run, &run.links[index]) != 0:
                return -1
    return 0


cdef void watch(Run* run, uint32_t index, bint wants_out) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN | (EPOLLOUT if wants_out else 0)
    event.data.u32 = index
    epoll_ctl(run.epoll_fd, EPOLL_CTL_MOD, run.links[index].fd, &event)
    run.links[index].wants_out = wants_out


cdef void bury(Run* run, Link* link) noexcept nogil:
    if link.dead:
        return
    epoll_ctl(run.epoll_fd, EPOLL_CTL_DEL, link.fd, NULL)
    link.dead = True
    run.links_dead += 1
    run.tally.lost_connections += 1


cdef void flush(Run* run, uint32_t index) noexcept nogil:
    """Write what is due, as far as the socket takes it."""
    cdef Link* link = &run.links[index]
    cdef Py_ssize_t wrote
    while link.sent < link.due and not link.dead:
        wrote = send(link.fd, link.frames + link.sent, link.due - link.sent,
                     MSG_NOSIGNAL | MSG_DONTWAIT)
        if wrote >= 0:
            link.sent += <size_t>wrote
        elif errno == EAGAIN:
            if not link.wants_out:
                watch(run, index, True)
            return
        elif errno != EINTR:
            bury(run, link)
    if link.wants_out and not link.dead:
        watch(run, index, False)


# --- answers

cdef void settle(Run* run, Link* link, uint64_t ordinal, int64_t now_ns, bint refused) noexcept nogil:
    """The frame with this ordinal has its answer. The latency is that of what was not refused."""
    cdef int64_t began_ns = 0
    if ordinal - link.settled < link.asked - link.settled:   # unsigned: an older one is far above
        began_ns = link.began[ordinal & link.began_mask]
    if began_ns == 0:
        run.tally.unasked += 1
        return
    link.began[ordinal & link.began_mask] = 0
    link.open_frames -= 1
    run.tally.answered_frames += 1
    if began_ns >= run.plan.warm_end_ns and not refused:
        count_value(run.latency, now_ns - began_ns)
    while link.settled < link.asked and link.began[link.settled & link.began_mask] == 0:
        link.settled += 1


cdef void count_taps(Run* run, uint32_t taps, int64_t now_ns) noexcept nogil:
    run.tally.answered_taps += taps
    if run.plan.warm_end_ns <= now_ns < run.plan.send_end_ns:
        run.tally.window_taps += taps


cdef bint note_answer(Run* run, Link* link, const Answer* answer) noexcept nogil:
    """Count one answer; False = it answers no tap of this connection."""
    cdef uint64_t place = answer.seq - link.first_seq
    cdef uint64_t asked = link.asked * max(run.batch, <uint32_t>1)
    if answer.boot_epoch != link.device.boot_epoch or place >= asked:
        run.tally.unasked += 1
        return False
    run.tally.by_reason[answer.reason] += 1
    if answer.position == 0:
        return True
    if link.acked[place >> 3] & (1 << (place & 7)):
        run.tally.doubled += 1
    link.acked[place >> 3] |= <uint8_t>(1 << (place & 7))
    return True


cdef void take_answers(Run* run, Link* link, Reply* reply, int64_t now_ns) noexcept nogil:
    cdef Answer answer
    cdef uint32_t _taken
    cdef uint64_t ordinal = link.asked
    for _taken in range(reply.answers):
        if not read_answer(reply, &answer):
            run.tally.bad_frames += 1
            return
        if note_answer(run, link, &answer):
            ordinal = (answer.seq - link.first_seq) // max(run.batch, <uint32_t>1)
    count_taps(run, reply.answers, now_ns)
    settle(run, link, ordinal, now_ns, False)


cdef bint is_authentic(Run* run, Link* link, uint8_t* payload, size_t size) noexcept nogil:
    """Compare the tag, or trust it when this frame is not in the sample."""
    cdef bint good
    if run.plan.verify_every == 0 or (run.tally.answered_frames % run.plan.verify_every) != 0:
        return True
    if run.plan.echo:
        good = tag_is_good(&link.device.send_key, DIRECTION_DEVICE, payload, size)
    else:
        good = tag_is_good(&link.device.receive_key, DIRECTION_SERVER, payload, size)
    run.tally.verified_tags += 1
    run.tally.bad_tags += not good
    return good


cdef void take_frame(Run* run, Link* link, uint8_t* payload, size_t size,
                     int64_t now_ns) noexcept nogil:
    cdef Reply reply
    if not is_authentic(run, link, payload, size):
        return
    if run.plan.echo:
        count_taps(run, max(run.batch, <uint32_t>1), now_ns)
        settle(run, link, link.settled, now_ns, False)
        return
    read_reply(&reply, payload, size)
    if reply.kind == ReplyKind.REPLY_MALFORMED:
        run.tally.bad_frames += 1
        return
    run.tally.bad_counters += reply.counter <= link.device.receive_counter
    link.device.receive_counter = reply.counter
    if reply.kind == ReplyKind.REPLY_ANSWERS:
        take_answers(run, link, &reply, now_ns)
    elif reply.kind == ReplyKind.REPLY_ERROR:
        run.tally.by_code[min(reply.code, <uint64_t>CODES - 1)] += 1
        if reply.request_counter:
            settle(run, link, reply.request_counter - link.first_counter, now_ns, True)
    else:
        run.tally.other_frames += 1


cdef int take_inbox(Run* run, Link* link, int64_t now_ns) noexcept nogil:
    """Deal with every whole frame; -1 = the stream cannot be followed any further."""
    cdef size_t at = 0
    cdef size_t length
    cdef uint8_t* head
    while link.inbox_size - at >= PREFIX_BYTES:
        head = link.inbox + at
        length = length_at(head)
        if length <= TAG_BYTES or length > FRAME_BYTES_MAX:
            run.tally.bad_frames += 1
            return -1
        if link.inbox_size - at < PREFIX_BYTES + length:
            if grow(<void**>&link.inbox, &link.inbox_room, PREFIX_BYTES + length, 1) != 0:
                return -1
            break
        take_frame(run, link, head + PREFIX_BYTES, length - TAG_BYTES, now_ns)
        at += PREFIX_BYTES + length
    if at:
        link.inbox_size -= at
        memmove(link.inbox, link.inbox + at, link.inbox_size)
    return 0


cdef void receive(Run* run, Link* link) noexcept nogil:
    cdef Py_ssize_t got
    if grow(<void**>&link.inbox, &link.inbox_room, INBOX_BYTES, 1) != 0:
        bury(run, link)
        return
    got = recv(link.fd, link.inbox + link.inbox_size, link.inbox_room - link.inbox_size,
               MSG_DONTWAIT)
    if got < 0 and (errno == EAGAIN or errno == EINTR):
        return
    if got <= 0:
        bury(run, link)
        return
    link.inbox_size += <size_t>got
    if take_inbox(run, link, monotonic_ns()) != 0:
        bury(run, link)


# --- the two ways to send

cdef int refill(Run* run, uint32_t index) noexcept nogil:
    """Closed loop: as many frames in flight as the plan says."""
    cdef Link* link = &run.links[index]
    cdef int64_t now_ns = monotonic_ns()
    if now_ns >= run.plan.send_end_ns or link.dead:
        return 0
    while link.open_frames < run.plan.depth:
        if grant(run, link, now_ns) != 0:
            return -1
    flush(run, index)
    return 0


cdef int fill_all(Run* run) noexcept nogil:
    cdef uint32_t index
    if run.plan.interval_ns > 0:
        return 0
    for index in range(run.link_count):
        if refill(run, index) != 0:
            return -1
    return 0


cdef uint32_t choose_link(Run* run) noexcept nogil:
    """Whose frame is due: in turn, or any (Poisson). Precondition: not all are dead."""
    cdef uint32_t index
    while True:
        if run.plan.poisson:
            index = random_below(&run.riders.random, run.link_count)
        else:
            index = run.next_link
            run.next_link = (run.next_link + 1) % run.link_count
        if not run.links[index].dead:
            return index


cdef double next_gap(Run* run) noexcept nogil:
    cdef double share
    if not run.plan.poisson:
        return run.plan.interval_ns
    share = <double>(random_next(&run.riders.random) >> 11) / <double>(<uint64_t>1 << 53)   # [0, 1)
    return -log1p(-share) * run.plan.interval_ns


cdef int send_due(Run* run, int64_t now_ns) noexcept nogil:
    """Open loop: everything whose time has come, whatever the answers do."""
    cdef int64_t due_ns
    cdef uint32_t index
    cdef int _granted
    for _granted in range(GRANTS_MAX):
        due_ns = run.plan.start_ns + <int64_t>run.plan.due_ns
        if due_ns > now_ns or due_ns >= run.plan.send_end_ns or run.links_dead == run.link_count:
            return 0
        index = choose_link(run)
        if grant(run, &run.links[index], due_ns) != 0:
            return -1
        flush(run, index)
        if due_ns >= run.plan.warm_end_ns:
            count_value(run.lag, monotonic_ns() - due_ns)
        run.plan.due_ns += next_gap(run)
    return 0


cdef int64_t wait_ns(Run* run, int64_t now_ns) noexcept nogil:
    """How long nothing is to be done unless an answer comes."""
    cdef int64_t wait = min(TICK_NS, run.plan.drain_end_ns - now_ns)
    cdef int64_t due_ns = run.plan.start_ns + <int64_t>run.plan.due_ns
    if run.plan.interval_ns > 0 and due_ns < run.plan.send_end_ns:
        wait = min(wait, due_ns - now_ns)
    return max(wait, <int64_t>0)


cdef bint is_over(Run* run, int64_t now_ns) noexcept nogil:
    if run.links_dead == run.link_count or now_ns >= run.plan.drain_end_ns:
        return True
    return now_ns >= run.plan.send_end_ns and run.tally.answered_frames == run.tally.asked_frames


cdef int serve_event(Run* run, const epoll_event* event) noexcept nogil:
    cdef uint32_t index = event.data.u32
    if event.events & (EPOLLIN | EPOLLERR | EPOLLHUP):
        receive(run, &run.links[index])
    if event.events & EPOLLOUT:
        flush(run, index)
    return refill(run, index) if run.plan.interval_ns == 0 else 0


cdef int drive(Run* run) noexcept nogil:
    """Run until the plan ends (1) or a tick is due (0). -1 = no memory."""
    cdef epoll_event events[EVENTS_MAX]
    cdef int64_t now_ns = monotonic_ns()
    cdef int64_t tick_ns = now_ns + TICK_NS
    cdef int ready
    cdef int place
    while now_ns < tick_ns:
        if run.plan.interval_ns > 0 and send_due(run, now_ns) != 0:
            return -1
        if is_over(run, now_ns):
            return 1
        ready = wait_ready(run.epoll_fd, events, EVENTS_MAX, wait_ns(run, monotonic_ns()))
        for place in range(max(ready, 0)):
            if serve_event(run, &events[place]) != 0:
                return -1
        now_ns = monotonic_ns()
    return 0


cdef void count_unanswered(Run* run) noexcept nogil:
    """What was never answered is at least this late; leaving it out would flatter the server."""
    cdef int64_t now_ns = monotonic_ns()
    cdef int64_t began_ns
    cdef uint32_t index
    cdef uint64_t ordinal
    for index in range(run.link_count):
        for ordinal in range(run.links[index].settled, run.links[index].asked):
            began_ns = run.links[index].began[ordinal & run.links[index].began_mask]
            if began_ns >= run.plan.warm_end_ns:
                count_value(run.latency, now_ns - began_ns)


@cython.final
cdef class Load:
    def __cinit__(self):
        self.run.epoll_fd = -1

    def __init__(self, bytes tokens not None, object stops not None, *, uint32_t batch=0,
                 int kind=0, uint32_t flags=0, uint32_t line=0, uint64_t seed=1):
        cdef const uint8_t[::1] token_view = tokens
        cdef const uint32_t[::1] stop_view = stops
        if not 0 < len(tokens) <= 16 << 32 or len(tokens) % 16:
            raise ValueError("tokens are 16 bytes each, and at least one")
        if stop_view.shape[0] == 0:
            raise ValueError("at least one stop is needed")
        cdef Riders* riders = &self.run.riders
        self.tokens, self.stops = tokens, stops   # kept alive: the riders point into them
        riders.tokens, riders.count = &token_view[0], len(tokens) // 16
        riders.stops, riders.stop_count = &stop_view[0], stop_view.shape[0]
        riders.kind, riders.flags, riders.line, riders.random = kind, flags, line, seed
        riders.inside = <uint64_t*>calloc((riders.count >> 6) + 1, 8)
        self.run.batch = batch
        self.run.epoll_fd = epoll_create1(0)
        self.latency, self.send_lag = Histogram(), Histogram()
        self.run.latency, self.run.lag = &self.latency.counts, &self.send_lag.counts
        if riders.inside == NULL or self.run.epoll_fd < 0:
            raise OSError(errno, "no memory or descriptor for the load generator")

    def __dealloc__(self):
        cdef uint32_t index
        if self.run.epoll_fd >= 0:
            os.close(self.run.epoll_fd)
        for index in range(self.run.link_count):
            free(self.run.links[index].frames)
            free(self.run.links[index].began)
            free(self.run.links[index].inbox)
            free(self.run.links[index].acked)
        free(self.run.links)
        free(self.run.riders.inside)

    def add_link(self, int fd, *, bytes send_key not None, bytes receive_key not None,
                 int algorithm, uint64_t device_id, uint64_t boot_epoch, uint32_t next_seq=1,
                 uint64_t send_counter=0, uint64_t receive_counter=0) -> int:
        cdef Link* link
        cdef epoll_event event
        cdef size_t room = self.run.links_room
        if len(send_key) != 32 or len(receive_key) != 32:
            raise ValueError("session keys are 32 bytes")
        if grow(<void**>&self.run.links, &room, self.run.link_count + 1, sizeof(Link)) != 0:
            raise MemoryError
        self.run.links_room = room
        link = &self.run.links[self.run.link_count]
        memset(link, 0, sizeof(Link))
        if mac_init(&link.device.send_key, algorithm, send_key) != 0:
            raise ValueError(f"unknown MAC algorithm {algorithm}")
        mac_init(&link.device.receive_key, algorithm, receive_key)
        link.fd, link.device_id, link.device.boot_epoch = fd, device_id, boot_epoch
        link.first_seq = link.device.next_seq = next_seq
        link.device.send_counter = send_counter
        link.device.receive_counter = receive_counter
        link.first_counter = send_counter + 1
        event.events = EPOLLIN
        event.data.u32 = self.run.link_count
        if epoll_ctl(self.run.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0:
            raise OSError(errno, os.strerror(errno))
        self.run.link_count += 1
        return self.run.link_count - 1

    def prepare(self, uint64_t frames, *, uint64_t bytes_max=2 << 30) -> int:
        cdef uint32_t index
        cdef uint64_t taps = 0
        cdef int state
        if not 0 < self.run.link_count <= self.run.riders.count:
            raise ValueError("each connection needs a rider of its own")
        for index in range(self.run.link_count):
            self.run.links[index].device.first_rider = index
            self.run.links[index].device.rider_step = self.run.link_count
        self.run.built_us = time.time_ns() // 1000
        with nogil:
            state = build_ahead(&self.run, frames, bytes_max // self.run.link_count)
        if state != 0:
            raise MemoryError
        for index in range(self.run.link_count):
            taps += self.run.links[index].device.next_seq - self.run.links[index].first_seq
        return taps

    def go(self, *, double duration_s, double warmup_s=0, double drain_s=5, double rate=0,
           bint poisson=False, uint32_t depth=1, uint32_t verify_every=1, bint echo=False,
           object on_tick=None) -> None:
        cdef Plan* plan = &self.run.plan
        cdef int state = 0
        if self.run.link_count == 0 or self.run.links[0].device.rider_step == 0:
            raise ValueError("add links and call prepare() first")
        self.lay_plan(duration_s, warmup_s, drain_s)
        plan.interval_ns = 1e9 * max(self.run.batch, <uint32_t>1) / rate if rate > 0 else 0
        plan.poisson, plan.depth = poisson, max(depth, <uint32_t>1)
        plan.verify_every, plan.echo = verify_every, echo
        prctl(PR_SET_TIMERSLACK, 1)
        with nogil:
            state = fill_all(&self.run)
        while state == 0:
            with nogil:
                state = drive(&self.run)
            PyErr_CheckSignals()
            if on_tick is not None:
                on_tick(self)
        if state < 0:
            raise MemoryError
        count_unanswered(&self.run)

    cdef void lay_plan(self, double duration_s, double warmup_s, double drain_s) noexcept:
        cdef Plan* plan = &self.run.plan
        memset(plan, 0, sizeof(Plan))
        plan.start_ns = monotonic_ns()
        plan.warm_end_ns = plan.start_ns + <int64_t>(warmup_s * 1e9)
        plan.send_end_ns = plan.warm_end_ns + <int64_t>(duration_s * 1e9)
        plan.drain_end_ns = plan.send_end_ns + <int64_t>(drain_s * 1e9)

    def tally(self) -> dict:
        """What was counted since the generator was made."""
        cdef Tally counts = self.run.tally
        cdef dict plain = counts
        for name in ("by_reason", "by_code"):
            plain[name] = {number: count for number, count in enumerate(plain[name]) if count}
        plain["unanswered_frames"] = counts.asked_frames - counts.answered_frames
        return plain

    def link(self, uint32_t index) -> tuple:
        cdef Link* link
        if index >= self.run.link_count:
            raise IndexError(index)
        link = &self.run.links[index]
        taps = link.asked * max(self.run.batch, <uint32_t>1)
        acked = bytes(link.acked[:(taps + 7) // 8]) if link.acked != NULL else b""
        return link.device_id, link.device.boot_epoch, link.first_seq, taps, acked

    @property
    def link_count(self) -> int:
        return self.run.link_count
