"""The frames of the validator link as dataclasses, checked both ways (docs/protocol.md).

The hot frames are here too, for clients and tests; the server has fastpath/_wire.pyx for those.
Must not import the server, the engine or fastpath.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

import msgpack

from gateway.link.codes import (
    BATCH_MAX,
    HASH_BYTES,
    NONCE_BYTES,
    RETRY_NUMBERS,
    TARIFF_PART_MAX_BYTES,
    TARIFF_SLOTS,
    TIME_MAX_US,
    TOKEN_BYTES,
    WIRE_RULES,
    DeviceMode,
    FrameType,
    WireCode,
    wire_error,
)
from gateway.link.schema import Row, array, boolean, checked, integer, octets, optional, row, text

_U8 = integer(0, 2**8 - 1)
_U32 = integer(0, 2**32 - 1)
_U64 = integer(0, 2**64 - 1)
_SLOT = integer(0, TARIFF_SLOTS - 1)
_HASH = octets(HASH_BYTES, HASH_BYTES)

U8 = Annotated[int, _U8]
U32 = Annotated[int, _U32]
U64 = Annotated[int, _U64]
I64 = Annotated[int, integer(-(2**63), 2**63 - 1)]
Seq = Annotated[int, integer(1, 2**32 - 1)]
Id64 = Annotated[int, integer(1, 2**64 - 1)]
TimeUs = Annotated[int, integer(0, TIME_MAX_US)]
Bool = Annotated[bool, boolean]
Nonce = Annotated[bytes, octets(NONCE_BYTES, NONCE_BYTES)]
Token = Annotated[bytes, octets(TOKEN_BYTES, TOKEN_BYTES)]
Tokens = Annotated[tuple[bytes, ...], array(octets(TOKEN_BYTES, TOKEN_BYTES), 0, 3000)]
Hash0 = Annotated[bytes, octets(0, HASH_BYTES)]
Signature = Annotated[bytes, octets(0, 64)]
Text64 = Annotated[str, text(64)]
Text200 = Annotated[str, text(200)]
Slot = Annotated[int, _SLOT]
Mode = Annotated[int, integer(min(DeviceMode), max(DeviceMode))]
Tariffs = Annotated[
    tuple[tuple[int, int, bytes], ...], array(row(_SLOT, _U64, _HASH), 0, TARIFF_SLOTS * 8)
]
TariffKeys = Annotated[tuple[tuple[int, int], ...], array(row(_SLOT, _U64), 0, TARIFF_SLOTS * 8)]


@checked
@dataclass(frozen=True, slots=True)
class TapEvent(Row):
    """TAP. kind: TapKind; flags: TapFlag; amount_minor None = the tariff's price.

    distance_m: ridden so far, for tariffs that price by what the device measured; 0 = not given.
    """

    OPTIONAL: ClassVar[int] = 1  # distance_m

    boot: Id64
    seq: Seq
    kind: Annotated[int, integer(1, 4)]
    token: Token
    stop: U32
    device_ts_us: TimeUs
    flags: Annotated[int, integer(0, 15)] = 0
    attempt: U8 = 0
    line: U32 = 0
    denylist_version: U32 = 0
    amount_minor: Annotated[int | None, optional(integer(0, 2**63 - 1))] = None
    distance_m: Annotated[int, integer(0, 2**31 - 1)] = 0


@checked
@dataclass(frozen=True, slots=True)
class Answer(Row):
    """ANSWER. verdict: Verdict; reason: Reason; rules: Rule; kind: Op."""

    boot: U64
    seq: U64
    verdict: U8
    reason: U8
    fare_minor: I64
    balance_minor: I64
    period_paid_minor: I64
    rules: U32
    other_stop: U32
    fare_ts_us: I64
    position: U64
    kind: U8


class Frame(Row):
    """A payload without its type; `counter` comes first in all of them."""

    __slots__ = ()
    TYPE: ClassVar[FrameType]
    counter: int

    def encode(self) -> bytes:
        """The payload. Raises: WireError: a value outside its documented range."""
        packed: bytes = msgpack.packb((int(self.TYPE), *self.as_row()), use_bin_type=True)
        return packed

    def pack_own(self) -> bytes:
        """The payload without checks: for a frame whose values are the gateway's own."""
        names: tuple[str, ...] = self.__match_args__  # type: ignore[attr-defined]
        packed: bytes = msgpack.packb((int(self.TYPE), *map(self.__getattribute__, names)))
        return packed


FRAMES: dict[int, type[Frame]] = {}
_FrameT = TypeVar("_FrameT", bound=Frame)


def _frame(number: FrameType) -> Callable[[type[_FrameT]], type[_FrameT]]:
    def register(cls: type[_FrameT]) -> type[_FrameT]:
        cls.TYPE = number
        FRAMES[number] = cls
        return checked(cls)

    return register


@_frame(FrameType.HELLO)
@dataclass(frozen=True, slots=True)
class Hello(Frame):
    """Device: who it is; counter 0."""

    counter: U64
    protocol_version: Seq
    device_id: Id64
    key_version: Seq
    boot_epoch: Id64
    client_nonce: Nonce
    algorithms: Annotated[tuple[int, ...], array(_U8, 1, 8)]
    firmware: Text64


@_frame(FrameType.CHALLENGE)
@dataclass(frozen=True, slots=True)
class Challenge(Frame):
    """Server: its nonce and its choices; counter 0. Unknown devices get one too."""

    counter: U64
    protocol_version: Seq
    server_nonce: Nonce
    algorithm: U8
    server_time_us: TimeUs


@_frame(FrameType.AUTH)
@dataclass(frozen=True, slots=True)
class Auth(Frame):
    """Device: proof that it holds the key, in the tag alone."""

    counter: U64


@_frame(FrameType.WELCOME)
@dataclass(frozen=True, slots=True)
class Welcome(Frame):
    """Server: the session stands; what the device has to know."""

    counter: U64
    server_time_us: TimeUs
    session_id: U64
    heartbeat_s: Annotated[int, integer(1, 3600)]
    acked_seq: U32
    next_seq_expected: Seq
    tariffs: Tariffs
    denylist_version: U32
    mode: Mode
    batch_max: Annotated[int, integer(1, BATCH_MAX)]
    frame_max: Annotated[int, integer(512, 65536)]
    config_version: U32


@_frame(FrameType.TAP)
@dataclass(frozen=True, slots=True)
class Tap(Frame):
    """Device: one tap."""

    counter: U64
    tap: Annotated[TapEvent, TapEvent.from_row]


@_frame(FrameType.ANSWER)
@dataclass(frozen=True, slots=True)
class TapAnswer(Frame):
    """Server: its answer; names the tap by boot and seq."""

    counter: U64
    answer: Annotated[Answer, Answer.from_row]


@_frame(FrameType.TAP_BATCH)
@dataclass(frozen=True, slots=True)
class TapBatch(Frame):
    """Device: taps kept while there was no session."""

    counter: U64
    taps: Annotated[tuple[TapEvent, ...], array(TapEvent.from_row, 1, BATCH_MAX)]


@_frame(FrameType.BATCH_ANSWER)
@dataclass(frozen=True, slots=True)
class BatchAnswer(Frame):
    """Server: one answer a tap, in the batch's order."""

    counter: U64
    request_counter: U64
    answers: Annotated[tuple[Answer, ...], array(Answer.from_row, 1, BATCH_MAX)]


@_frame(FrameType.PASSAGE)
@dataclass(frozen=True, slots=True)
class Passage(Frame):
    """Device: whether the rider went through after an accepted tap. seq 0 only with passed."""

    counter: U64
    boot: Id64
    seq: U32
    original_boot: Id64
    original_seq: Seq
    passed: Bool
    device_ts_us: TimeUs

    def check_together(self) -> None:
        """Only what changes nothing may go without a number."""
        if self.seq == 0 and not self.passed:
            raise wire_error(WireCode.OUT_OF_RANGE, "a reversal needs a seq")


@_frame(FrameType.PASSAGE_ANSWER)
@dataclass(frozen=True, slots=True)
class PassageAnswer(Frame):
    """Server: the reversal, named by the passage's own boot and seq."""

    counter: U64
    answer: Annotated[Answer, Answer.from_row]


@_frame(FrameType.HEARTBEAT)
@dataclass(frozen=True, slots=True)
class Heartbeat(Frame):
    """Device: still here."""

    counter: U64
    device_time_us: TimeUs
    queue_depth: U32
    mode: Mode


@_frame(FrameType.HEARTBEAT_ANSWER)
@dataclass(frozen=True, slots=True)
class HeartbeatAnswer(Frame):
    """Server: its time, the echo, the newest versions."""

    counter: U64
    server_time_us: TimeUs
    device_time_us: TimeUs
    acked_seq: U32
    tariffs: TariffKeys
    denylist_version: U32
    config_version: U32


@_frame(FrameType.DENYLIST_REQUEST)
@dataclass(frozen=True, slots=True)
class DenylistRequest(Frame):
    """Device: which version it has; 0 = none."""

    counter: U64
    have_version: U32


@_frame(FrameType.DENYLIST_DELTA)
@dataclass(frozen=True, slots=True)
class DenylistDelta(Frame):
    """Server: what to change. The last part (not more) has hash and signature."""

    counter: U64
    from_version: U32
    to_version: U32
    full: Bool
    added: Tokens
    removed: Tokens
    more: Bool
    hash: Hash0
    signature: Signature


@_frame(FrameType.TARIFF_REQUEST)
@dataclass(frozen=True, slots=True)
class TariffRequest(Frame):
    """Device: the next piece of a tariff blob."""

    counter: U64
    slot: Slot
    key: U64
    offset: U32


@_frame(FrameType.TARIFF_PART)
@dataclass(frozen=True, slots=True)
class TariffPart(Frame):
    """Server: a piece; the signature is over slot, key and the whole blob's digest."""

    counter: U64
    slot: Slot
    key: U64
    total_bytes: U32
    offset: U32
    data: Annotated[bytes, octets(0, TARIFF_PART_MAX_BYTES)]
    signature: Signature


@_frame(FrameType.MODE_CHANGE)
@dataclass(frozen=True, slots=True)
class ModeChange(Frame):
    """Either side: the device reports its mode, the server orders one."""

    counter: U64
    mode: Mode
    since_us: TimeUs
    cause: Text200


@_frame(FrameType.MODE_ANSWER)
@dataclass(frozen=True, slots=True)
class ModeAnswer(Frame):
    """Either side: the mode in force now."""

    counter: U64
    request_counter: U64
    mode: Mode


@_frame(FrameType.CONTEXT_CHANGE)
@dataclass(frozen=True, slots=True)
class ContextChange(Frame):
    """Device: where it is now; seq is a sequence of its own, the highest one counts."""

    counter: U64
    boot: Id64
    seq: Seq
    vehicle: Text64
    line: U32
    stop: U32
    device_ts_us: TimeUs


@_frame(FrameType.CONTEXT_ANSWER)
@dataclass(frozen=True, slots=True)
class ContextAnswer(Frame):
    """Server: applied, or older than what it knew."""

    counter: U64
    boot: Id64
    seq: Seq
    applied: Bool


@_frame(FrameType.ACK)
@dataclass(frozen=True, slots=True)
class Ack(Frame):
    """Device: all its taps up to here are answered and forgotten."""

    counter: U64
    boot: Id64
    upto_seq: U32


@_frame(FrameType.ERROR)
@dataclass(frozen=True, slots=True)
class Error(Frame):
    """Either side: a coded refusal. request_counter 0 = of no one frame."""

    counter: U64
    code: Annotated[int, integer(1, 255)]
    code_text: Text64
    request_counter: U64
    retry: Annotated[int, integer(0, 2)]
    retry_after_ms: U32
    hint: Text200


@_frame(FrameType.BYE)
@dataclass(frozen=True, slots=True)
class Bye(Frame):
    """Either side: the session ends; come back after so long."""

    counter: U64
    retry_after_ms: U32


_BROKEN = (ValueError, TypeError, OverflowError, msgpack.UnpackException)


def decode(payload: bytes) -> Frame:
    """The frame of a payload. Raises: WireError: malformed, out_of_range, unknown_frame."""
    try:
        values = msgpack.unpackb(payload, use_list=False, raw=False, strict_map_key=True)
    except _BROKEN as error:
        raise wire_error(WireCode.MALFORMED, type(error).__name__) from error
    if not isinstance(values, tuple) or len(values) < 2 or type(values[0]) is not int:
        raise wire_error(WireCode.MALFORMED, "not an array of type, counter and fields")
    kind = FRAMES.get(values[0])
    if kind is None:
        raise wire_error(WireCode.UNKNOWN_FRAME, f"frame type {values[0]}")
    return kind.from_row(values[1:])


def error_frame(
    code: WireCode, *, counter: int, request_counter: int = 0, detail: str = ""
) -> Error:
    """The error frame for a code, with its standing rule; a detail goes in front of the hint."""
    rule = WIRE_RULES[code]
    hint = f"{detail}: {rule.hint}" if detail else rule.hint
    return Error(
        counter,
        int(code),
        code.text,
        request_counter,
        RETRY_NUMBERS[rule.retry],
        rule.retry_after_ms,
        hint.encode()[:200].decode(errors="ignore"),
    )
