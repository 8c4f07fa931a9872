# The three containers of the store, inlined into the modules that use them:
#   Slab      numbered entries of one size in mapped chunks: an entry never moves, growth maps one
#             more chunk
#   Table     4,096 small open-addressing hash tables that double one at a time: no growth stalls
#   UndoLog   a stack of before-images in blocks that are kept from group to group
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>

    #define FAREGATE_HUGE ((size_t)2 << 20)

    /* Zeroed memory, aligned to 2 MiB and marked for huge pages when its size allows, or NULL. */
    static inline void *faregate_map(size_t bytes) {
        size_t align = bytes % FAREGATE_HUGE ? 0 : FAREGATE_HUGE;
        char *raw = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);
        if (raw == MAP_FAILED) return NULL;
        if (!align) return raw;
        size_t head = (align - ((size_t)raw & (align - 1))) & (align - 1);
        if (head) munmap(raw, head);
        if (align - head) munmap(raw + head + bytes, align - head);
    #ifdef MADV_HUGEPAGE
        madvise(raw + head, bytes, MADV_HUGEPAGE);
    #endif
        return raw + head;
    }

    static inline void faregate_unmap(void *start, size_t bytes) { munmap(start, bytes); }

    /* Zeroed, on a cache line: an entry of 16 or 32 bytes never lies across two. */
    static inline void *faregate_lines(size_t bytes) {
        void *start = NULL;
        if (posix_memalign(&start, 64, bytes)) return NULL;
        return memset(start, 0, bytes);
    }

    /* Without the asm GCC takes a function that only prefetches for pure and drops its calls. */
    static inline void faregate_prefetch(const void *at) {
        __builtin_prefetch(at);
        __asm__ __volatile__("" : : "r"(at));
    }
    """
    void* faregate_map(size_t size_bytes) noexcept nogil
    void faregate_unmap(void* start, size_t size_bytes) noexcept nogil
    void* faregate_lines(size_t size_bytes) noexcept nogil
    void faregate_prefetch(const void* at) noexcept nogil


# ---- slab ----------------------------------------------------------------------------------------

cdef struct Slab:
    uint8_t** chunks       # directory for max entries, made once
    uint32_t shift         # a chunk holds 1 << shift entries
    uint32_t entry_bytes
    uint32_t max
    uint32_t used          # highest number given out; numbers begin at 1
    uint64_t size_bytes


cdef inline int slab_init(Slab* slab, uint32_t entry_bytes, uint32_t shift,
                          uint32_t max) noexcept nogil:
    memset(slab, 0, sizeof(Slab))
    slab.entry_bytes = entry_bytes
    slab.shift = shift
    slab.max = max
    slab.chunks = <uint8_t**> calloc((max >> shift) + 1, sizeof(void*))
    return 0 if slab.chunks != NULL else -1


cdef inline size_t slab_chunk_bytes(const Slab* slab) noexcept nogil:
    return <size_t> slab.entry_bytes << slab.shift


cdef inline void slab_free(Slab* slab) noexcept nogil:
    cdef uint32_t i
    if slab.chunks == NULL:
        return
    for i in range((slab.max >> slab.shift) + 1):
        if slab.chunks[i] == NULL:
            break
        faregate_unmap(slab.chunks[i], slab_chunk_bytes(slab))
    free(slab.chunks)
    slab.chunks = NULL


# Precondition: index <= used.
cdef inline void* slab_at(const Slab* slab, uint32_t index) noexcept nogil:
    cdef uint32_t inside = index & ((<uint32_t> 1 << slab.shift) - 1)
    return slab.chunks[index >> slab.shift] + <size_t> inside * slab.entry_bytes


# Memory for all numbers up to index; -1 = over the limit or no memory. `used` is the caller's to
# raise.
cdef inline int slab_extend(Slab* slab, uint32_t index) noexcept nogil:
    cdef uint32_t chunk
    if index > slab.max:
        return -1
    for chunk in range(slab.used >> slab.shift, (index >> slab.shift) + 1):
        if slab.chunks[chunk] == NULL:
            slab.chunks[chunk] = <uint8_t*> faregate_map(slab_chunk_bytes(slab))
            if slab.chunks[chunk] == NULL:
                return -1
            slab.size_bytes += slab_chunk_bytes(slab)
    return 0


# ---- table ---------------------------------------------------------------------------------------

cdef enum:
    SHARD_COUNT = 4096
    SHARD_SHIFT = 52       # the top 12 bits of the hash choose the shard, the low ones the place
    KEY_WORDS_MAX = 3
    FIRST_CAPACITY = 8

cdef struct Shard:
    uint8_t* entries
    uint32_t mask          # capacity - 1
    uint32_t count

# An entry begins with its key of 1 to 3 words; a key of zeros marks a free place and is never
# stored.
cdef struct Table:
    Shard* shards
    uint32_t entry_bytes   # 16 or 32
    uint32_t key_words
    uint32_t first_capacity
    uint64_t seed          # 0 = keys are hashes already
    uint64_t floor         # entries whose second key word is below it may be dropped when full
    uint64_t count
    uint64_t size_bytes


cdef inline int table_init(Table* table, uint32_t entry_bytes, uint32_t key_words,
                           uint64_t seed) noexcept nogil:
    memset(table, 0, sizeof(Table))
    table.entry_bytes = entry_bytes
    table.key_words = key_words
    table.seed = seed
    table.first_capacity = FIRST_CAPACITY
    table.shards = <Shard*> calloc(SHARD_COUNT, sizeof(Shard))
    table.size_bytes = SHARD_COUNT * sizeof(Shard)
    return 0 if table.shards != NULL else -1


cdef inline void table_free(Table* table) noexcept nogil:
    cdef uint32_t i
    if table.shards == NULL:
        return
    for i in range(<uint32_t> SHARD_COUNT):
        free(table.shards[i].entries)
    free(table.shards)
    table.shards = NULL


# Finalizer of SplitMix64 (variant 13 of Stafford's).
cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9ULL
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EBULL
    return x ^ (x >> 31)


# Keys that outsiders choose are mixed with a secret seed, so that nobody can aim at one shard.
# Keyed hashes need no secret; one multiplication only guards against tokens that were not hashed
# (test data).
cdef inline uint64_t table_hash(const Table* table, const uint64_t* key) noexcept nogil:
    cdef uint64_t h = table.seed
    cdef uint32_t i
    if h == 0:
        h = key[0] * <uint64_t> 0x9E3779B97F4A7C15ULL
        return h ^ (h >> 32)
    for i in range(table.key_words):
        h = mix64(h ^ key[i])
    return mix64(h + table.seed)


cdef inline bint key_is_zero(const uint64_t* key, uint32_t words) noexcept nogil:
    return key[0] == 0 and (words < 2 or key[1] == 0) and (words < 3 or key[2] == 0)


cdef inline bint key_is_same(const uint64_t* a, const uint64_t* b, uint32_t words) noexcept nogil:
    return a[0] == b[0] and (words < 2 or a[1] == b[1]) and (words < 3 or a[2] == b[2])


cdef inline uint64_t* shard_entry(const Table* table, const Shard* shard,
                                  uint64_t place) noexcept nogil:
    return <uint64_t*> (shard.entries + <size_t> place * table.entry_bytes)


cdef inline void* table_find(const Table* table, const uint64_t* key) noexcept nogil:
    cdef uint64_t h = table_hash(table, key)
    cdef const Shard* shard = &table.shards[h >> SHARD_SHIFT]
    cdef uint64_t place = h & shard.mask
    cdef uint64_t* entry
    if shard.entries == NULL or key_is_zero(key, table.key_words):
        return NULL
    while True:
        entry = shard_entry(table, shard, place)
        if key_is_same(entry, key, table.key_words):
            return entry
        if key_is_zero(entry, table.key_words):
            return NULL
        place = (place + 1) & shard.mask


# Fetch the place of a key that is asked for soon.
cdef inline void table_prefetch(const Table* table, const uint64_t* key) noexcept nogil:
    cdef uint64_t h = table_hash(table, key)
    cdef const Shard* shard = &table.shards[h >> SHARD_SHIFT]
    if shard.entries != NULL:
        faregate_prefetch(shard_entry(table, shard, h & shard.mask))


# The free place where this key belongs; precondition: there is one, and the key is absent.
cdef inline uint64_t* shard_place(const Table* table, const Shard* shard,
                                  const uint64_t* key) noexcept nogil:
    cdef uint64_t place = table_hash(table, key) & shard.mask
    cdef uint64_t* entry = shard_entry(table, shard, place)
    while not key_is_zero(entry, table.key_words):
        place = (place + 1) & shard.mask
        entry = shard_entry(table, shard, place)
    return entry


cdef inline bint entry_is_kept(const Table* table, const uint64_t* entry) noexcept nogil:
    if key_is_zero(entry, table.key_words):
        return False
    return table.floor == 0 or entry[1] >= table.floor


cdef inline uint32_t shard_kept(const Table* table, const Shard* shard) noexcept nogil:
    cdef uint32_t place, kept = 0
    if shard.entries != NULL:
        for place in range(shard.mask + 1):
            kept += entry_is_kept(table, shard_entry(table, shard, place))
    return kept


# Moves the entries worth keeping into a new block of this capacity (a power of two with room for
# them).
cdef inline int shard_rebuild(Table* table, Shard* shard, uint32_t capacity) noexcept nogil:
    cdef Shard bigger
    cdef uint64_t* entry
    cdef uint32_t place
    bigger.entries = <uint8_t*> faregate_lines(<size_t> capacity * table.entry_bytes)
    bigger.mask = capacity - 1
    bigger.count = 0
    if bigger.entries == NULL:
        return -1
    table.size_bytes += <size_t> capacity * table.entry_bytes
    if shard.entries != NULL:
        for place in range(shard.mask + 1):
            entry = shard_entry(table, shard, place)
            if entry_is_kept(table, entry):
                memcpy(shard_place(table, &bigger, entry), entry, table.entry_bytes)
                bigger.count += 1
        table.size_bytes -= (<size_t> shard.mask + 1) * table.entry_bytes
        free(shard.entries)
    table.count -= shard.count - bigger.count
    shard[0] = bigger
    return 0


# Room for one more entry: nothing up to three quarters full, else sweep or double.
cdef inline int shard_make_room(Table* table, Shard* shard) noexcept nogil:
    cdef uint32_t capacity = shard.mask + 1
    if shard.entries == NULL:
        return shard_rebuild(table, shard, table.first_capacity)
    if (shard.count + 1) * <uint64_t> 4 <= capacity * <uint64_t> 3:
        return 0
    if table.floor != 0 and shard_kept(table, shard) <= capacity // 2:
        return shard_rebuild(table, shard, capacity)
    if capacity >= <uint32_t> 1 << 30:
        return -1
    return shard_rebuild(table, shard, capacity * 2)


# A new entry, zero behind its key. Precondition: the key is absent and not zero. NULL = no memory.
cdef inline void* table_insert(Table* table, const uint64_t* key) noexcept nogil:
    cdef Shard* shard = &table.shards[table_hash(table, key) >> SHARD_SHIFT]
    cdef uint64_t* entry
    if shard_make_room(table, shard) < 0:
        return NULL
    entry = shard_place(table, shard, key)
    memset(entry, 0, table.entry_bytes)
    memcpy(entry, key, table.key_words * 8)
    shard.count += 1
    table.count += 1
    return entry


# Frees the place of an entry and closes the gap, so that no tombstones pile up.
cdef inline void shard_close_gap(const Table* table, Shard* shard, uint64_t gap) noexcept nogil:
    cdef uint64_t place = gap, home
    cdef uint64_t* entry
    while True:
        place = (place + 1) & shard.mask
        entry = shard_entry(table, shard, place)
        if key_is_zero(entry, table.key_words):
            break
        home = table_hash(table, entry) & shard.mask
        if ((place - home) & shard.mask) >= ((place - gap) & shard.mask):
            memcpy(shard_entry(table, shard, gap), entry, table.entry_bytes)
            gap = place
    memset(shard_entry(table, shard, gap), 0, table.entry_bytes)


cdef inline void table_remove(Table* table, const uint64_t* key) noexcept nogil:
    cdef Shard* shard = &table.shards[table_hash(table, key) >> SHARD_SHIFT]
    cdef uint8_t* entry = <uint8_t*> table_find(table, key)
    if entry == NULL:
        return
    shard_close_gap(table, shard, <uint64_t> (entry - shard.entries) // table.entry_bytes)
    shard.count -= 1
    table.count -= 1


# Shards made from now on are big enough for this many entries in all.
cdef inline void table_expect(Table* table, uint64_t count) noexcept nogil:
    cdef uint64_t each = count // SHARD_COUNT * 4 // 3
    while table.first_capacity < each and table.first_capacity < <uint32_t> 1 << 30:
        table.first_capacity *= 2


# ---- undo log ------------------------------------------------------------------------------------

cdef enum:
    UNDO_BLOCK_BYTES = 1 << 20

cdef struct UndoEntry:
    uint8_t type
    uint8_t spare
    uint16_t size_bytes    # this head and what follows
    uint16_t before_bytes  # size of the entry before it in its block, 0 = none
    uint16_t residue
    uint32_t index
    uint32_t spare2

cdef struct UndoBlock:
    UndoBlock* older
    UndoBlock* newer
    uint32_t used_bytes
    uint16_t last_bytes

cdef struct UndoLog:
    UndoBlock* first
    UndoBlock* current
    uint32_t generation    # which filling of the log this is; unique in the store
    uint32_t given_up      # windows that wait in the log to be freed


cdef inline uint8_t* undo_block_data(UndoBlock* block) noexcept nogil:
    return <uint8_t*> block + sizeof(UndoBlock)


cdef inline UndoBlock* undo_block_new(UndoBlock* older) noexcept nogil:
    cdef UndoBlock* block = <UndoBlock*> malloc(sizeof(UndoBlock) + UNDO_BLOCK_BYTES)
    if block != NULL:
        block.older = older
        block.newer = NULL
        block.used_bytes = 0
        block.last_bytes = 0
        if older != NULL:
            older.newer = block
    return block


# Makes sure that entries of size_bytes in all (heads included) fit without allocation.
cdef inline int log_room(UndoLog* log, uint32_t size_bytes) noexcept nogil:
    cdef UndoBlock* block = log.current
    if block.used_bytes + size_bytes <= UNDO_BLOCK_BYTES:
        return 0
    if block.newer == NULL and undo_block_new(block) == NULL:
        return -1
    log.current = block.newer
    log.current.used_bytes = 0
    log.current.last_bytes = 0
    return 0


# Precondition: log_room said yes. Returns the copy of the image.
cdef inline uint8_t* log_push(UndoLog* log, uint8_t type, uint32_t index, const void* image,
                              uint32_t image_bytes) noexcept nogil:
    cdef UndoBlock* block = log.current
    cdef UndoEntry* entry = <UndoEntry*> (undo_block_data(block) + block.used_bytes)
    memset(entry, 0, sizeof(UndoEntry))
    entry.type = type
    entry.index = index
    entry.size_bytes = <uint16_t> (sizeof(UndoEntry) + image_bytes)
    entry.before_bytes = block.last_bytes
    if image_bytes:
        memcpy(entry + 1, image, image_bytes)
    block.used_bytes += entry.size_bytes
    block.last_bytes = entry.size_bytes
    return <uint8_t*> (entry + 1)


# Takes the newest entry off and returns it (valid until the next push); NULL = empty.
cdef inline UndoEntry* log_pop(UndoLog* log) noexcept nogil:
    cdef UndoBlock* block = log.current
    cdef UndoEntry* entry
    while block.used_bytes == 0:
        if block.older == NULL:
            return NULL
        block = block.older
        log.current = block
    block.used_bytes -= block.last_bytes
    entry = <UndoEntry*> (undo_block_data(block) + block.used_bytes)
    block.last_bytes = entry.before_bytes
    return entry


cdef inline void log_clear(UndoLog* log) noexcept nogil:
    log.current = log.first
    log.current.used_bytes = 0
    log.current.last_bytes = 0


cdef inline void log_free(UndoLog* log) noexcept nogil:
    cdef UndoBlock* block = log.first
    cdef UndoBlock* newer
    while block != NULL:
        newer = block.newer
        free(block)
        block = newer
    log.first = NULL
