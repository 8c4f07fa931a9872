"""How long one turn of the loop may decide: beyond it taps are told busy and nothing of them is
kept. The clock is the test's own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgpack
import pytest

from fastpath.api import FED, Book, Engine, Session, StoreHandle
from fastpath.types import TapKind
from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import Algorithm, WireCode, wire_code
from gateway.link.handshake import SealedLink, SessionKeys
from gateway.link.service import pack_busy
from gateway.observability import page as slots
from tests.support.plane import make_folder, records_of, running

NOW_US = 1_780_000_000_000_000
TURN_MAX_US = 5_000
FREE = 256
"""So many taps a turn takes whatever its length."""
KEYS = SessionKeys(Algorithm.BLAKE2B, bytes(range(32)), bytes(range(32, 64)))


class Desk:
    """An engine, one session, and the loop's part of a turn by hand."""

    def __init__(self) -> None:
        self.engine = Engine(StoreHandle(), Book(), turn_max_us=TURN_MAX_US)
        self.engine.begin(4096, 1)
        self.engine.tell(busy=pack_busy())
        self.session = Session(KEYS.from_device, KEYS.from_server, algorithm=2, device_id=5)
        self.device = SealedLink(KEYS, is_server=False)
        self.seq = 0
        self.mono_us = 1_000_000
        self.position = 1 << 20

    def events(self, count: int) -> tuple[frames.TapEvent, ...]:
        first, self.seq = self.seq + 1, self.seq + count
        return tuple(
            frames.TapEvent(7, seq, TapKind.FLAT, bytes(range(16)), 11, NOW_US)
            for seq in range(first, self.seq + 1)
        )

    def feed(self, events: tuple[frames.TapEvent, ...]) -> list[frames.Frame]:
        """One batch; what is said at once."""
        payload = frames.TapBatch(self.device.next_counter(), events).encode()
        fed = self.engine.feed(self.session, self.device.seal(payload), NOW_US, self.mono_us)
        return self.told() if fed & FED["ready"] else []

    def told(self) -> list[frames.Frame]:
        data, found = self.session.take(), []
        while data:
            size = int.from_bytes(data[:4])
            found.append(frames.decode(data[4 : 4 + size - 16]))
            data = data[4 + size :]
        return found

    def seal(self) -> None:
        self.engine.seal(NOW_US, bytes(32))
        self.position += 1 << 20
        self.engine.begin_next(self.position)

    def commit(self) -> list[frames.Frame]:
        """Seal, written, told: as a turn with commits in the loop ends, or a full group."""
        self.seal()
        self.engine.commit(self.mono_us)
        return self.told()


def codes(said: list[frames.Frame]) -> list[int]:
    assert all(isinstance(frame, frames.Error) for frame in said), said
    return [frame.code for frame in said if isinstance(frame, frames.Error)]


def test_beyond_its_time_a_turn_refuses_and_keeps_nothing() -> None:
    desk = Desk()
    assert desk.feed(desk.events(FREE)) == []
    desk.mono_us += TURN_MAX_US
    assert desk.feed(desk.events(1)) == []
    desk.mono_us += 1
    late = desk.events(2)
    (refusal,) = desk.feed(late)
    assert isinstance(refusal, frames.Error)
    assert (refusal.code, refusal.retry) == (WireCode.BUSY, 1)
    assert refusal.retry_after_ms > 0
    assert refusal.request_counter == desk.device.sent
    assert desk.engine.record_count == FREE + 1
    desk.commit()
    desk.engine.end_turn(True)
    desk.feed(late)
    (answers,) = desk.commit()
    assert isinstance(answers, frames.BatchAnswer)
    assert all(answer.position for answer in answers.answers), "executed now, not remembered"


def test_a_few_taps_are_never_too_much() -> None:
    desk = Desk()
    for _ in range(FREE):
        assert desk.feed(desk.events(1)) == []
        desk.mono_us += TURN_MAX_US
    assert codes(desk.feed(desk.events(1))) == [WireCode.BUSY]


def test_the_first_batch_of_a_turn_is_taken_whatever_its_size() -> None:
    """An upload makes progress however long the gateway is overloaded."""
    desk = Desk()
    for _ in range(5):
        assert desk.feed(desk.events(256)) == []
        desk.mono_us += 100 * TURN_MAX_US
        assert codes(desk.feed(desk.events(256))) == [WireCode.BUSY]
        desk.commit()
        desk.engine.end_turn(True)


def test_the_write_of_what_was_taken_counts_as_well() -> None:
    """At 10 us a tap 500 taps are as much as a turn may take, however fast they were decided."""
    desk = Desk()
    desk.engine.note_write(10_000, 1_000)
    assert [desk.feed(desk.events(100)) for _ in range(6)] == [[]] * 6
    assert codes(desk.feed(desk.events(100))) == [WireCode.BUSY]
    desk.commit()
    desk.engine.end_turn(True)
    assert desk.feed(desk.events(100)) == []


def test_small_groups_and_one_slow_write_say_little_about_the_next() -> None:
    desk = Desk()
    desk.engine.note_write(60_000, FREE - 1)
    desk.engine.note_write(1_000, 1_000)
    desk.engine.note_write(2_000_000, 1_000)
    assert [desk.feed(desk.events(100)) for _ in range(20)] == [[]] * 20


def test_a_commit_in_the_middle_gives_the_turn_no_more_time() -> None:
    """A full group is committed at once: what comes after it in the same turn is as late."""
    desk = Desk()
    desk.feed(desk.events(FREE))
    desk.mono_us += TURN_MAX_US + 1
    desk.commit()
    assert codes(desk.feed(desk.events(1))) == [WireCode.BUSY]
    desk.engine.end_turn(True)
    assert desk.feed(desk.events(1)) == []


def test_turns_that_wait_for_one_commit_share_its_time() -> None:
    """Commits in the thread: the open group takes what several turns decide."""
    desk = Desk()
    desk.feed(desk.events(1))
    desk.seal()
    desk.engine.end_turn(True)
    for _ in range(3):
        assert desk.feed(desk.events(FREE)) == []
        desk.mono_us += TURN_MAX_US // 3
        assert desk.feed(desk.events(1)) == []
        desk.engine.end_turn(False)
        desk.mono_us += 50 * TURN_MAX_US  # the time between two turns is nobody's
    desk.mono_us += 3
    assert desk.feed(desk.events(1)) == []
    desk.mono_us += 3
    assert codes(desk.feed(desk.events(1))) == [WireCode.BUSY]


def test_heartbeats_and_passages_are_answered_all_the_same() -> None:
    desk = Desk()
    desk.engine.tell(news=msgpack.packb([]) + msgpack.packb(0) + msgpack.packb(1))
    desk.feed(desk.events(FREE))
    desk.mono_us += TURN_MAX_US + 1
    assert codes(desk.feed(desk.events(1))) == [WireCode.BUSY]
    beat = frames.Heartbeat(desk.device.next_counter(), 1, 0, 1).encode()
    fed = desk.engine.feed(desk.session, desk.device.seal(beat), NOW_US, desk.mono_us)
    assert fed & FED["ready"]
    assert isinstance(desk.told()[0], frames.HeartbeatAnswer)


@pytest.mark.parametrize("count", [1, 256])
def test_a_refused_frame_counts_once_and_its_taps_as_busy(count: int) -> None:
    desk = Desk()
    page = memoryview(bytearray(8 * 1024)).cast("q")
    desk.engine = Engine(
        StoreHandle(), Book(), page=page, page_slots=(128, 704, 768, 864, 33, 640), turn_max_us=1
    )
    desk.engine.begin(4096, 1)
    desk.engine.tell(busy=pack_busy())
    desk.feed(desk.events(FREE))
    desk.mono_us += 2
    desk.feed(desk.events(count))
    assert page[640 + WireCode.BUSY] == 1
    assert page[128 + TapKind.FLAT * 64 + 16] == count


async def test_who_was_refused_is_heard_again_and_everything_gets_in(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway", link__turn_max_ms="0.001")
    refused = 0
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        waiting = [[gate.event(TapKind.CHECK_OUT, token, 12) for _ in range(256)] for _ in range(6)]
        while waiting:
            sent = [gate.session.tap_batch(batch) for batch in waiting]
            said = await asyncio.gather(*sent, return_exceptions=True)
            again = [batch for batch, answer in zip(waiting, said, strict=True) if is_busy(answer)]
            assert len(again) < len(waiting), "the first of a turn is always taken"
            refused += len(again)
            waiting = again
        assert hands.plane.page[slots.FRAME_ERRORS + WireCode.BUSY] == refused
    taps = [record for record in records_of(config) if record.op == TapKind.CHECK_OUT]
    assert sorted(record.id_c for record in taps) == list(range(1, 6 * 256 + 1))


def is_busy(answer: object) -> bool:
    """Whether a batch was refused; anything else that went wrong is raised."""
    if isinstance(answer, WireError) and wire_code(answer) is WireCode.BUSY:
        return True
    if isinstance(answer, BaseException):
        raise answer
    return False
