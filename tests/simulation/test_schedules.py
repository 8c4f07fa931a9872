"""Schedules of the real gateway in a simulated world: nothing lost, doubled or altered, all laws
kept after every step; and a harness that notices when a promise is taken out.

More of them: `python -m benchmarks.crash --schedules N --seed S`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.crash_flight import Aloft, SimFlight
from benchmarks.crash_schedule import Failure, run_schedule
from benchmarks.crash_world import Ground, Tally
from fastpath import reference, reference_period
from fastpath.reference_case import Case, Charge
from gateway.engine.commit import CommitPace, GroupCommit
from gateway.engine.snapshotter import Follower
from gateway.journal.appending import SyncedAppends
from gateway.journal.port import Journal, OverlappedAppends
from gateway.journal.writer import SegmentWriter
from tests.support.faultfs import BLOCK as DISK_BLOCK
from tests.support.faultfs import ForgetfulDisk

BLOCKS = 5
BLOCK = 24
POWER_CUTS = 24
CAUGHT_WITHIN = 60
PROMISES = ("lost", "taken twice", "a durable record is gone")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    made = Ground.make()
    yield made
    made.remove()


def run(ground: Ground, seeds: range, *, power_only: bool = False) -> Tally:
    tally = Tally()
    for seed in seeds:
        outcome = run_schedule(seed, ground, power_only=power_only)
        assert not isinstance(outcome, Failure), (
            f"seed {outcome.seed}, step {outcome.step}: {outcome.detail}"
        )
        tally.add(outcome)
    return tally


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_schedule_keeps_every_law(ground: Ground, block: int) -> None:
    tally = run(ground, range(block * BLOCK, (block + 1) * BLOCK))
    assert tally.kills
    assert tally.power_cuts
    assert tally.acked > 20 * BLOCK
    assert 0 < tally.layered < BLOCK
    assert min(tally.transfers, tally.tiers, tally.passes) > 0


def test_what_was_acknowledged_outlives_power_cuts(ground: Ground) -> None:
    tally = run(ground, range(70_000, 70_000 + POWER_CUTS), power_only=True)
    assert tally.power_cuts > POWER_CUTS
    assert tally.in_flight_at_end * 2 > tally.power_cuts
    assert tally.on_its_way_at_end


def test_what_counters_say_is_compared_with_the_reference(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live memory and recovery may forget the same: only who prices the rides again sees it."""
    counted = reference_period.count_leg

    def count_twice(case: Case, charge: Charge) -> None:
        counted(case, charge)
        counted(case, charge)

    monkeypatch.setattr(reference, "count_leg", count_twice)
    outcomes = [run_schedule(seed, ground) for seed in range(BLOCK)]
    found = [one.detail for one in outcomes if isinstance(one, Failure)]
    assert any("should be" in detail for detail in found)


def test_a_seed_says_everything(ground: Ground) -> None:
    first, second = (run_schedule(4711, ground) for _ in range(2))
    assert isinstance(first, Tally)
    assert first == second


def find_failure(ground: Ground, said: str) -> Failure | None:
    for seed in range(CAUGHT_WITHIN):
        outcome = run_schedule(seed, ground, power_only=True)
        if isinstance(outcome, Failure) and said in outcome.detail:
            return outcome
    return None


def test_a_snapshot_of_what_only_the_page_cache_holds_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = Follower.follow

    def follow_blindly(self: Follower, journal: Journal, *, until: int | None = None) -> bool:
        return follow(self, journal)

    monkeypatch.setattr(Follower, "follow", follow_blindly)
    assert find_failure(ground, "but snapshot has seen it up to") is not None


def test_a_gateway_that_ends_itself_by_a_mistake_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery would make it good each time, and nothing would be lost."""

    def slip(self: CommitPace, duration_us: int) -> None:
        raise TypeError("a slip")

    monkeypatch.setattr(CommitPace, "note", slip)
    found = run_schedule(1, ground)
    assert isinstance(found, Failure)
    assert "a slip" in found.detail


def find_violation(ground: Ground) -> Failure | None:
    for seed in range(CAUGHT_WITHIN):
        outcome = run_schedule(seed, ground, power_only=True)
        if isinstance(outcome, Failure) and any(word in outcome.detail for word in PROMISES):
            return outcome
    return None


def test_a_gateway_that_does_not_sync_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentWriter, "_sync", lambda self: None)
    assert find_violation(ground) is not None


def test_a_gateway_whose_synced_writes_are_not_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SyncedAppends.write

    def write_only(self: SyncedAppends, data: memoryview, offset: int) -> bool:
        if self._write_synced is not None:
            self._write_synced = self._files.pwrite
        return write(self, data, offset)

    monkeypatch.setattr(SyncedAppends, "write", write_only)
    assert find_violation(ground) is not None


def told_once(self: GroupCommit) -> None:
    self._on_output(self.engine.commit(0) if self.engine.is_writing else [])
    waiters, self._sealed_waiters = self._sealed_waiters, []
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def test_a_gateway_that_answers_before_the_commit_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GroupCommit._write

    def answer_then_write(self: GroupCommit, group: memoryview) -> tuple[bytes, int]:
        self._on_output(self.engine.commit(0))
        return write(self, group)

    monkeypatch.setattr(GroupCommit, "_write", answer_then_write)
    monkeypatch.setattr(GroupCommit, "_told", told_once)
    assert find_violation(ground) is not None


def test_a_gateway_that_answers_when_a_write_begins_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = GroupCommit._begin

    def answer_then_begin(
        self: GroupCommit, appends: OverlappedAppends, group: memoryview, records: int
    ) -> None:
        self._on_output(self.engine.commit(0))
        begin(self, appends, group, records)

    monkeypatch.setattr(GroupCommit, "_begin", answer_then_begin)
    monkeypatch.setattr(GroupCommit, "_told", told_once)
    assert find_violation(ground) is not None


def test_a_write_in_flight_that_is_not_synced_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = SimFlight._written

    def write_only(self: SimFlight, aloft: Aloft) -> int | OSError:
        with monkeypatch.context() as patched:
            patched.setattr(ForgetfulDisk, "pwrite_synced", ForgetfulDisk.pwrite)
            return written(self, aloft)

    monkeypatch.setattr(SimFlight, "_written", write_only)
    assert find_failure(ground, "") is not None  # lost, or a start refused


def test_a_group_that_changes_while_it_is_written_is_caught(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reads the bytes when it likes: until the end nobody may touch them."""
    begin = SyncedAppends.begin

    def begin_and_spoil(self: SyncedAppends, data: memoryview, offset: int) -> bool:
        begun = begin(self, data, offset)
        if begun:
            at = offset % DISK_BLOCK
            self._view[at : at + len(data)] = bytes(len(data))
        return begun

    monkeypatch.setattr(SyncedAppends, "begin", begin_and_spoil)
    assert find_failure(ground, "") is not None
