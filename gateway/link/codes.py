"""Numbers of the validator link: frame types, error codes, modes, limits.

The tables of docs/protocol.md in code; a test compares them.
Must not import anything of the gateway but its errors. Numbers are never reused.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from gateway.errors import Retry, WireError

PROTOCOL_VERSION = 1
LENGTH_BYTES = 4
TAG_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 16
TOKEN_BYTES = 16
HASH_BYTES = 32
FRAME_MAX_BYTES = 65536
"""Most bytes a frame may have behind its length, once in session."""
HELLO_MAX_BYTES = 512
"""The same before."""
BATCH_MAX = 256
TARIFF_SLOTS = 16
TARIFF_PART_MAX_BYTES = 32768
TIME_MAX_US = 1 << 53

ZERO_TAG = bytes(TAG_BYTES)


class FrameType(IntEnum):
    """First element of every payload. 64 to 95 belong to the control plane's Unix socket."""

    HELLO = 1
    CHALLENGE = 2
    AUTH = 3
    WELCOME = 4
    TAP = 10
    ANSWER = 11
    TAP_BATCH = 12
    BATCH_ANSWER = 13
    PASSAGE = 14
    PASSAGE_ANSWER = 15
    HEARTBEAT = 16
    HEARTBEAT_ANSWER = 17
    DENYLIST_REQUEST = 18
    DENYLIST_DELTA = 19
    TARIFF_REQUEST = 20
    TARIFF_PART = 21
    MODE_CHANGE = 22
    MODE_ANSWER = 23
    CONTEXT_CHANGE = 24
    CONTEXT_ANSWER = 25
    ACK = 26
    BYE = 126
    ERROR = 127


class Algorithm(IntEnum):
    """MAC algorithms a hello may name."""

    HMAC_SHA256 = 1
    BLAKE2B = 2


PREFERENCE = (Algorithm.BLAKE2B, Algorithm.HMAC_SHA256)
"""The server's order unless configured otherwise: docs/adr/0002-mac-algorithm.md."""


class DeviceMode(IntEnum):
    """What a validator is doing; 16 and above are ordered by the operator, for everyone's fares."""

    NORMAL = 1
    SERVICE = 2
    CLOSED = 3
    OUT_OF_SERVICE = 4
    FAULT = 5
    MAINTENANCE = 6
    OFFLINE = 7
    TRAIN_FAULT = 16
    ENTRY_EXIT_ORDER_FREE = 17
    RIDE_TIME_FREE = 18
    DATE_FREE = 19
    FARE_FREE = 20
    EMERGENCY_RELEASE = 21


class WireCode(IntEnum):
    """Every error the link can answer with."""

    FRAME_TOO_LONG = 1
    FRAME_TRUNCATED = 2
    MALFORMED = 3
    OUT_OF_RANGE = 4
    UNKNOWN_FRAME = 5
    UNSUPPORTED_VERSION = 6
    UNKNOWN_ALGORITHM = 7
    AUTH_FAILED = 8
    BAD_TAG = 9
    OLD_COUNTER = 10
    NOT_IN_SESSION = 11
    BATCH_TOO_LARGE = 12
    BUSY = 13
    JOURNAL_FULL = 14
    SHUTTING_DOWN = 15
    INTERNAL = 16

    @property
    def text(self) -> str:
        """The code as it stands in the error frame."""
        return self.name.lower()


class WireRule(NamedTuple):
    """What follows from a code: does it close, may the request be sent again, how soon, a hint."""

    closes: bool
    retry: Retry
    retry_after_ms: int
    hint: str


WIRE_RULES: dict[WireCode, WireRule] = {
    WireCode.FRAME_TOO_LONG: WireRule(True, Retry.NEVER, 1000, "the length is above frame_max"),
    WireCode.FRAME_TRUNCATED: WireRule(True, Retry.UNKNOWN, 1000, "a frame began and did not end"),
    WireCode.MALFORMED: WireRule(False, Retry.NEVER, 0, "compare with the vectors of the protocol"),
    WireCode.OUT_OF_RANGE: WireRule(False, Retry.NEVER, 0, "a value is outside its range"),
    WireCode.UNKNOWN_FRAME: WireRule(False, Retry.NEVER, 0, "no such frame in this direction"),
    WireCode.UNSUPPORTED_VERSION: WireRule(True, Retry.NEVER, 60000, "this gateway speaks 1"),
    WireCode.UNKNOWN_ALGORITHM: WireRule(True, Retry.NEVER, 60000, "offer algorithm 1 or 2"),
    WireCode.AUTH_FAILED: WireRule(True, Retry.NEVER, 60000, "check key, key version, revocation"),
    WireCode.BAD_TAG: WireRule(True, Retry.UNKNOWN, 1000, "the tag does not fit the payload"),
    WireCode.OLD_COUNTER: WireRule(True, Retry.NEVER, 1000, "counters rise strictly"),
    WireCode.NOT_IN_SESSION: WireRule(True, Retry.SAFE, 1000, "hello and auth come first"),
    WireCode.BATCH_TOO_LARGE: WireRule(False, Retry.NEVER, 0, "1 to batch_max taps a batch"),
    WireCode.BUSY: WireRule(False, Retry.SAFE, 200, "nothing was done; send it again"),
    WireCode.JOURNAL_FULL: WireRule(False, Retry.SAFE, 5000, "nothing was done; decide alone"),
    WireCode.SHUTTING_DOWN: WireRule(True, Retry.SAFE, 1000, "connect again"),
    WireCode.INTERNAL: WireRule(True, Retry.UNKNOWN, 1000, "send the same tap_id again"),
}

RETRY_NUMBERS: dict[Retry, int] = {Retry.NEVER: 0, Retry.SAFE: 1, Retry.UNKNOWN: 2}


def wire_error(code: WireCode, detail: str = "") -> WireError:
    """The exception for a code; `wire_code` finds the code again."""
    rule = WIRE_RULES[code]
    return WireError(f"WIRE_{code.name}", detail, rule.hint, rule.retry)


def wire_code(error: WireError) -> WireCode:
    """The number of an error; one that is not of the link counts as internal."""
    return WireCode.__members__.get(error.code.removeprefix("WIRE_"), WireCode.INTERNAL)
