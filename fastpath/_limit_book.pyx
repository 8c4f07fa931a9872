"""Compiled limits: a LimitSpec packed into one immutable little-endian blob, and a C view on it.

The blob is canonical (the same spec gives the same bytes), so its SHA-256 names it. Layout: header,
the instants at which local days begin, profiles, months of the days, names as JSON; each part
8-byte aligned with zero padding. `load` trusts nothing in it.
"""

import hashlib
import json
import struct
from array import array

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

cimport cython

from fastpath._limits cimport LimitProfile as ProfileC
from fastpath._limits cimport Dates, LimitsC, find_dates

from fastpath.limits import (
    AMOUNT_MAX_MINOR, AMOUNTS, NO_LIMIT, PROFILES_MAX, TIERS_MAX, LimitBlobError, LimitProfile,
    LimitSpec, LimitSpecError,
)

MAGIC = b"FGLIMITS"
FORMAT = 1
DAYS_MAX = 40_000

cdef int64_t DAY_US = 86400000000

HEADER = struct.Struct("<8sHHIIIqQ")  # magic, format, currency, days, profiles, bytes of names, first day, total
PROFILE = struct.Struct("<8q")


cdef _require(bint holds, str what):
    if not holds:
        raise LimitBlobError(what)


cdef bytes _padded(bytes body):
    return body + bytes((8 - len(body) % 8) % 8)


def _packed(typecode, name, values):
    try:
        return array(typecode, values).tobytes()
    except (OverflowError, TypeError) as error:
        raise LimitSpecError(f"{name}: {error}") from error


def _pack_profile(one):
    try:
        return PROFILE.pack(one.tier, one.from_us, *(getattr(one, name) for name in AMOUNTS))
    except struct.error as error:
        raise LimitSpecError(f"profile of tier {one.tier}: {error}") from error


def _pack(spec):
    if len(spec.start_us) != len(spec.month) + 1:
        raise LimitSpecError(f"{len(spec.start_us)} instants for {len(spec.month)} days")
    meta = json.dumps({"limits_id": spec.limits_id, "version": spec.version}, ensure_ascii=False,
                      separators=(",", ":"), sort_keys=True).encode()
    body = b"".join([
        _packed("q", "start_us", spec.start_us),
        *(_pack_profile(one) for one in spec.profiles),
        _padded(_packed("I", "month", spec.month)),
        _padded(meta),
    ])
    try:
        head = HEADER.pack(MAGIC, FORMAT, spec.currency, len(spec.month), len(spec.profiles),
                           len(meta), spec.first_day, HEADER.size + len(body))
    except struct.error as error:
        raise LimitSpecError(f"currency {spec.currency} or first_day {spec.first_day}: {error}") from error
    return head + body


def _read_meta(raw):
    try:
        meta = json.loads(raw)
    except ValueError as error:
        raise LimitBlobError(f"the names are not JSON: {error}") from error
    names = ("limits_id", "version")
    _require(isinstance(meta, dict) and all(isinstance(meta.get(one), str) for one in names),
             "the names lack limits_id or version")
    return meta


@cython.final
cdef class LimitBook:

    @staticmethod
    def build(spec):
        """Compile a spec. Raises: LimitSpecError."""
        try:
            return LimitBook.load(_pack(spec))
        except LimitBlobError as error:
            raise LimitSpecError(str(error)) from error

    @staticmethod
    def load(bytes blob not None):
        """Limits from their bytes. Raises: LimitBlobError: they are not sound."""
        cdef LimitBook made = LimitBook.__new__(LimitBook)
        _require(len(blob) >= HEADER.size, f"{len(blob)} bytes are too few for compiled limits")
        magic, version, currency, days, profiles, meta_bytes, first_day, total = HEADER.unpack_from(blob)
        _require(magic == MAGIC, "these are not compiled limits (wrong magic)")
        _require(version == FORMAT, f"format {version} of limits, this build reads {FORMAT}")
        _require(0 < days <= DAYS_MAX, f"{days} days, 1 to {DAYS_MAX} are possible")
        _require(profiles <= PROFILES_MAX, f"{profiles} profiles, at most {PROFILES_MAX}")
        at = HEADER.size + 8 * (days + 1) + PROFILE.size * profiles + (4 * days + 7) // 8 * 8
        _require(total == len(blob) and total == at + (meta_bytes + 7) // 8 * 8,
                 f"{len(blob)} bytes, the header says {total}")
        _require(1 <= currency <= 999, f"currency {currency} is not an ISO 4217 number")
        _require(0 < first_day <= 100_000, f"first_day is {first_day}")
        made.blob = blob
        made.digest = hashlib.sha256(blob).digest()
        made.meta = _read_meta(blob[at:at + meta_bytes])
        made.c.currency, made.c.day_count, made.c.first_day = currency, days, first_day
        made.point_at(profiles)
        made.check_days()
        made.check_profiles(profiles)
        return made

    def __init__(self, *args, **kwargs):
        raise TypeError("use LimitBook.build or LimitBook.load")

    def __cinit__(self):
        memset(&self.c, 0, sizeof(LimitsC))

    cdef point_at(self, uint32_t profile_count):
        cdef const char* at = PyBytes_AS_STRING(self.blob) + <size_t> HEADER.size
        self.c.key = int.from_bytes(self.digest[:8], "little") or 1
        self.c.day_start_us = <const int64_t*> at
        at += 8 * (<size_t> self.c.day_count + 1)
        self.c.profiles = <const ProfileC*> at
        self.c.day_month = <const uint32_t*> (at + sizeof(ProfileC) * profile_count)

    cdef check_days(self):
        cdef const LimitsC* c = &self.c
        cdef int64_t drift
        cdef uint32_t i
        _require(0 <= c.day_start_us[0] <= 100_000 * DAY_US, "the days begin out of range")
        for i in range(c.day_count):
            _require(c.day_start_us[i] <= c.day_start_us[i + 1], f"day {i} ends before it begins")
            drift = c.day_start_us[i + 1] - c.day_start_us[0] - (<int64_t> i + 1) * DAY_US
            _require(-DAY_US <= drift <= DAY_US, f"day {i} ends too far from its ordinary time")
            _require(12 <= c.day_month[i] < 12 * 10_000, f"day {i} has no month")
            _require(i == 0 or c.day_month[i] >= c.day_month[i - 1], f"months go back at day {i}")

    cdef check_profiles(self, uint32_t profile_count):
        cdef const ProfileC* one
        cdef const ProfileC* before = NULL
        cdef uint32_t i, tier
        for i in range(profile_count):
            one = &self.c.profiles[i]
            _require(0 <= one.tier < <int64_t> TIERS_MAX, f"profile {i} is of tier {one.tier}")
            _require(0 <= one.from_us <= 100_000 * DAY_US, f"profile {i} begins out of range")
            for name, value in zip(AMOUNTS, self.amounts_of(i)):
                _require(NO_LIMIT <= value <= AMOUNT_MAX_MINOR, f"{name} of profile {i} is {value}")
            _require(before == NULL or before.tier < one.tier
                     or (before.tier == one.tier and before.from_us < one.from_us),
                     f"profiles do not ascend at {i}")
            before = one
            for tier in range(<uint32_t> one.tier + 1, <uint32_t> TIERS_MAX + 1):
                self.c.rows[tier] = i + 1

    def amounts_of(self, uint32_t index):
        """The limits of a profile in the order of AMOUNTS."""
        cdef const ProfileC* one = &self.c.profiles[index]
        return (one.payment_minor, one.day_minor, one.month_minor, one.year_minor,
                one.lifetime_minor, one.balance_minor)

    @property
    def key(self):
        """First 8 bytes of the digest, little-endian; never 0. Group heads name limits by it."""
        return self.c.key

    @property
    def limits_id(self):
        return self.meta["limits_id"]

    @property
    def version(self):
        return self.meta["version"]

    @property
    def currency(self):
        """ISO 4217 numeric."""
        return self.c.currency

    def find_profile(self, uint32_t tier, int64_t ts_us):
        """The newest profile of a tier at an instant, None = there is none yet."""
        cdef uint32_t i
        if tier >= TIERS_MAX:
            return None
        i = self.c.rows[tier + 1]
        while i > self.c.rows[tier]:
            i -= 1
            if self.c.profiles[i].from_us <= ts_us:
                return LimitProfile(tier, self.c.profiles[i].from_us, *self.amounts_of(i))
        return None

    def find_dates(self, int64_t ts_us):
        """(day, month, year) of an instant, as decisions have them."""
        cdef Dates dates
        find_dates(&self.c, ts_us, &dates)
        return dates.day, dates.month, dates.year

    def spec(self):
        """The LimitSpec again, for the reference engine."""
        cdef uint32_t count = self.c.rows[<uint32_t> TIERS_MAX]
        starts = array("q", [self.c.day_start_us[i] for i in range(self.c.day_count + 1)])
        months = array("I", [self.c.day_month[i] for i in range(self.c.day_count)])
        profiles = [LimitProfile(self.c.profiles[i].tier, self.c.profiles[i].from_us,
                                 *self.amounts_of(i)) for i in range(count)]
        return LimitSpec(self.limits_id, self.version, self.currency, self.c.first_day, starts,
                         months, tuple(profiles))

    def __reduce__(self):
        return LimitBook.load, (self.blob,)
