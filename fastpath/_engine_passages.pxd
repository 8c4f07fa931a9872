# Passage reports: a rider who paid and did not pass gets the fare back.
from libc.stdint cimport uint32_t, uint64_t

from fastpath._engine_state cimport EngineState
from fastpath._group cimport Answer
from fastpath._layout cimport Tap

# `passed`: nothing is to be undone, and nothing recorded.
cdef int answer_passage(EngineState engine, Tap* passage, uint64_t original_boot, uint32_t original_seq,
                        bint passed, Answer* answer) except -1
