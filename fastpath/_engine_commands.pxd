# Commands of the control plane.
from libc.stdint cimport int64_t

from fastpath._engine_state cimport EngineState

# Carry out a fastpath.commands.Command once: (head, position, whether it was a repeat), as Engine.command says. There
# is room for two records.
cdef tuple carry_out(EngineState engine, operation, asked, int64_t now_us)
