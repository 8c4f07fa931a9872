# Frames the engine writes to a session by itself.
from libc.stdint cimport uint32_t, uint64_t

from fastpath._engine_state cimport EngineState
from fastpath._group cimport Answer
from fastpath._session cimport Session
from fastpath._wire cimport Cursor

cdef enum:
    FRAME_ANSWER = 11
    FRAME_BATCH_ANSWER = 13
    FRAME_PASSAGE_ANSWER = 15
    FRAME_HEARTBEAT_ANSWER = 17
    FRAME_ERROR = 127

    ERROR_BUSY = 13


# Answer a heartbeat from what was told; False = Python has to look at it, and nothing has happened.
cdef bint answer_heartbeat(EngineState engine, Session session, Cursor cursor) except -1
# The error `busy` about a request, from what was told; an event for Python when nothing was.
cdef int say_busy(EngineState engine, Session session, uint64_t counter) except -1
# The answers of one request, durable now.
cdef int write_reply(Session session, uint32_t type, uint64_t counter, const Answer* answers,
                     uint32_t count) except -1
