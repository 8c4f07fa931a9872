# Frames of a session: cut out, checked, and what is hot among them carried out.
from libc.stdint cimport int64_t, uint8_t

from fastpath._engine_state cimport EngineState
from fastpath._session cimport Session

cdef enum:
    TURN_TAPS_FREE = 256  # so many taps a turn may take however long it took: what is little is never too much

    # What feed() tells its caller, as bits.
    FED_WAITING = 1      # something waits for the next commit
    FED_EVENTS = 2       # session.take_events() has something
    FED_FATAL = 4        # the connection has to end after what is in its output
    FED_FULL = 8         # the group is full: commit, then feed(session, b"") to go on
    FED_READY = 16       # this session has output that waits for no commit: session.take()
    FED_HALF = 32        # a frame has begun and not ended
    FED_BUSY = 64        # taps were refused: read no more from this session in this turn


# Take the whole frames among these bytes; how many bytes they were. `fed` gets FED_FULL or FED_FATAL.
cdef size_t read_frames(EngineState engine, Session session, const uint8_t* at, size_t size,
                        int64_t mono_us, int* fed) except? 0
