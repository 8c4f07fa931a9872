# Taps: decided, recorded, answered again, settled and reversed.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath._engine_cells cimport Places
from fastpath._engine_state cimport EngineState
from fastpath._group cimport Answer
from fastpath._layout cimport Decision, RecordHead, Tap
from fastpath._session cimport Session

# Which tap a reversal undoes: the image of an ORIGINAL item.
cdef struct Original:
    uint64_t boot
    uint32_t seq
    uint32_t spare


# Decide one tap of a session, or answer again what was decided; its record goes into the open group.
cdef int answer_tap(EngineState engine, Session session, Tap* tap, Answer* answer) except -1
# An answer about a tap that leaves no record.
cdef int answer_unrecorded(EngineState engine, Tap* tap, uint8_t op, Decision* decision, Answer* answer) except -1
# The record of what was decided; `original` when it undoes a tap.
cdef int record_tap(EngineState engine, Tap* tap, uint8_t op, Decision* decision, uint32_t slot,
                    Places* places, const Original* original, Answer* answer) except -1
# Record the reversal of an accepted record under the identity of `tap`; `named`: the device named it.
cdef int reverse_ride(EngineState engine, const RecordHead* original, Tap* tap, uint8_t op,
                      const Original* named, Answer* answer) except -1
# Whether an operator gave back of this tap's fare: its device takes it back no more.
cdef bint is_refunded(EngineState engine, const RecordHead* head) noexcept
