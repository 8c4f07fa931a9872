# Boot windows as such, without the store: bits over the last 4,096 sequence numbers and a ring of
# answers.
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastpath._layout cimport WINDOW_BITS, BootWindow

cdef enum:
    FIRST_ANSWERS = 8
    RESIDUE_BITS = 12
    RESIDUE_MASK = WINDOW_BITS - 1

# A boot window with what only the store needs. `shown` comes first: a BootWindow* handed out is a
# Window*.
cdef struct Window:
    BootWindow shown
    uint64_t* answers      # place seq & answer_mask: position << 12 | (seq & 4095); 0 = none
    uint32_t answer_mask   # capacity - 1; a power of two that doubles with the taps, up to 4,096
    uint32_t index
    uint32_t next          # next of the same device, or next free one
    uint32_t saved_in      # generation of the undo log that has a copy; all ones when not in use


cdef inline bint bit_is_set(const uint64_t* bits, uint32_t seq) noexcept nogil:
    return (bits[(seq & RESIDUE_MASK) >> 6] >> (seq & 63)) & 1


cdef inline void set_bit(uint64_t* bits, uint32_t seq) noexcept nogil:
    bits[(seq & RESIDUE_MASK) >> 6] |= <uint64_t> 1 << (seq & 63)


cdef inline void clear_bit(uint64_t* bits, uint32_t seq) noexcept nogil:
    bits[(seq & RESIDUE_MASK) >> 6] &= ~(<uint64_t> 1 << (seq & 63))


# One more doubling of the answers; returns the bytes added, 0 = no memory. Two live answers never
# share a place, and an old place splits in two: everything in it is carried over, what has left the
# window as well (undo may want it back).
cdef inline uint32_t grow_answers(Window* window) noexcept nogil:
    cdef uint32_t old = window.answer_mask + 1 if window.answers != NULL else 0
    cdef uint32_t new = 2 * old if old else FIRST_ANSWERS
    cdef uint64_t* answers = <uint64_t*> calloc(new, sizeof(uint64_t))
    cdef uint32_t i
    if answers == NULL:
        return 0
    for i in range(old):
        if window.answers[i] != 0:
            answers[window.answers[i] & RESIDUE_MASK & (new - 1)] = window.answers[i]
    free(window.answers)
    window.answers = answers
    window.answer_mask = new - 1
    return (new - old) * <uint32_t> sizeof(uint64_t)


# Whether the place of seq's answer is missing, or taken by another one that is still wanted.
cdef inline bint answers_are_tight(const Window* window, uint32_t seq) noexcept nogil:
    cdef uint64_t there
    if window.answers == NULL:
        return True
    if window.answer_mask == RESIDUE_MASK:
        return False
    there = window.answers[seq & window.answer_mask]
    if there == 0 or ((there ^ seq) & RESIDUE_MASK) == 0:
        return False
    return bit_is_set(window.shown.seen, there & RESIDUE_MASK)


# Moves the window up so that seq is its top: what leaves it is forgotten.
cdef inline void slide_window(BootWindow* window, uint32_t seq) noexcept nogil:
    cdef uint32_t passed
    if seq - window.top_seq >= WINDOW_BITS:
        memset(window.seen, 0, sizeof(window.seen))
        memset(window.resolved, 0, sizeof(window.resolved))
    else:
        for passed in range(window.top_seq + 1, seq):
            clear_bit(window.seen, passed)
            clear_bit(window.resolved, passed)
        clear_bit(window.resolved, seq)
    window.top_seq = seq


# Whether the 64 numbers behind seq fill one word of the window and all have been seen.
cdef inline bint word_is_full(const BootWindow* window, uint32_t seq) noexcept nogil:
    if (seq & 63) != 63 or window.top_seq - seq < 64:
        return False
    return window.seen[((seq + 1) & RESIDUE_MASK) >> 6] == ~(<uint64_t> 0)


# Whole words first: after a long gap closes, thousands of numbers are passed at once.
cdef inline void advance_acked(BootWindow* window) noexcept nogil:
    cdef uint32_t seq = window.acked_seq
    if window.top_seq - seq > WINDOW_BITS:
        return     # what came after it has left the window unseen
    while seq < window.top_seq:
        if word_is_full(window, seq):
            seq += 64
        elif bit_is_set(window.seen, seq + 1):
            seq += 1
        else:
            break
    window.acked_seq = seq


cdef inline void put_answer(Window* window, uint32_t seq, uint64_t position) noexcept nogil:
    window.answers[seq & window.answer_mask] = position << RESIDUE_BITS | (seq & RESIDUE_MASK)


cdef inline void put_answer_back(Window* window, uint32_t residue, uint64_t there) noexcept nogil:
    window.answers[residue & window.answer_mask] = 0
    if there != 0:
        window.answers[there & RESIDUE_MASK & window.answer_mask] = there
