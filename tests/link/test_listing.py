"""The deny list on its way: what devices end up with, and how much of it goes out in one turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.api import Session
from gateway.link import denylist as lists
from gateway.link import frames, listing
from gateway.link.denylist import BUCKETS, Denylist
from gateway.link.listing import KEPT_PARTS, PART_TOKENS, Cutter, ListSender, build_payload
from gateway.link.validator import DenylistMirror, hash_tokens

KEY = bytes(range(32))


def token(number: int) -> bytes:
    return number.to_bytes(16)


def decode(piece: bytes, counter: int = 1) -> frames.DenylistDelta:
    frame = frames.decode(build_payload(counter, piece))
    assert isinstance(frame, frames.DenylistDelta)
    return frame


def unsigned(denylist: Denylist) -> Cutter:
    return Cutter(denylist, lambda _: b"")


def brought(mirror: DenylistMirror, pieces: Iterator[bytes]) -> DenylistMirror:
    done = [mirror.apply(decode(piece)) for piece in pieces]
    assert done[-1]
    assert not any(done[:-1])
    return mirror


# --- the list itself


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=120))
def test_it_is_the_set_of_what_was_denied_last(changes: list[tuple[int, bool]]) -> None:
    denylist, right = Denylist(), set()
    for version, (number, denied) in enumerate(changes, 1):
        denylist.note(version, token(number), denied=denied)
        (right.add if denied else right.discard)(token(number))
    assert len(denylist) == len(right)
    assert denylist.hash == hash_tokens(frozenset(right))
    assert all((token(number) in denylist) == (token(number) in right) for number in range(41))


def test_bytes_across_two_entries_are_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "BUCKETS", 1)
    half = lists.ENTRY_HEAD * 4
    across = half + half
    denylist = Denylist()
    for version, other in enumerate((bytes(8) + half, half + bytes(8)), 1):
        denylist.note(version, other, denied=True)
    assert across not in denylist
    denylist.note(3, across, denied=False)
    assert len(denylist) == 2
    denylist.note(4, across, denied=True)
    denylist.note(5, half + bytes(8), denied=False)
    assert across in denylist
    assert denylist.hash == hash_tokens(frozenset({bytes(8) + half, across}))


def test_a_token_given_twice_at_the_start_counts_once() -> None:
    denylist = Denylist(3, [token(1), token(2), token(1)])
    assert len(denylist) == 2
    assert denylist.hash == hash_tokens(frozenset({token(1), token(2)}))


# --- cut into frames


@pytest.mark.parametrize("count", [0, 1, PART_TOKENS, PART_TOKENS + 1, 5 * PART_TOKENS])
def test_the_whole_list_in_parts(count: int) -> None:
    denylist = Denylist(9, map(token, range(1, count + 1)))
    pieces = [decode(piece) for piece in unsigned(denylist).cut(0)]
    assert len(pieces) == max(1, -(-count // PART_TOKENS))
    assert [piece.full for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.more for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert [piece.hash for piece in pieces[:-1]] == [b""] * (len(pieces) - 1)
    mirror = brought(DenylistMirror(), unsigned(denylist).cut(0))
    assert (mirror.version, len(mirror.tokens)) == (9, count)


def test_changes_while_a_list_is_sent_are_not_in_it_and_come_after() -> None:
    denylist = Denylist(1, map(token, range(1, 12_001)))
    cutter, mirror = unsigned(denylist), DenylistMirror()
    pieces = cutter.cut(0)
    mirror.apply(decode(next(pieces)))
    for at in range(1, 6_001):
        denylist.note(1 + at, token(2 * at), denied=False)
    denylist.note(6_002, token(99_999), denied=True)
    brought(mirror, pieces)
    assert (mirror.version, len(mirror.tokens)) == (1, 12_000)
    brought(mirror, cutter.cut(1))
    assert (mirror.version, len(mirror.tokens)) == (6_002, 6_001)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 900))
def test_a_delta_stays_what_it_was_while_the_list_goes_on(seed: int, have: int) -> None:
    """A token that changes again after the delta was begun is told as it was at its version."""
    rng, denylist, mirror = random.Random(seed), Denylist(), DenylistMirror()
    for version in range(1, have + 1):
        denylist.note(version, token(rng.randrange(1, 400)), denied=rng.random() < 0.7)
    brought(mirror, unsigned(denylist).cut(0))
    for version in range(have + 1, 1_001):
        denylist.note(version, token(rng.randrange(1, 400)), denied=rng.random() < 0.5)
    right, pieces = denylist.hash, unsigned(denylist).cut(have)
    for version in range(1_001, 1_100):
        denylist.note(version, token(rng.randrange(1, 400)), denied=rng.random() < 0.5)
    assert hash_tokens(brought(mirror, pieces).tokens) == right


def test_forgotten_changes_mean_the_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "KEPT_CHANGES", 10)
    denylist = Denylist()
    for version in range(1, 41):
        denylist.note(version, token(version), denied=True)
    assert decode(next(unsigned(denylist).cut(1))).full
    assert decode(next(unsigned(denylist).cut(41))).full, "a version that is not ours"
    late = decode(next(unsigned(denylist).cut(35)))
    assert (late.full, late.from_version, len(late.added)) == (False, 35, 5)


def test_a_short_delta_is_encoded_and_signed_once() -> None:
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return bytes(64)

    denylist = Denylist(1, [token(1)])
    cutter = Cutter(denylist, sign)
    first, again = list(cutter.cut(1)), list(cutter.cut(1))
    assert first[0] is again[0]
    denylist.note(2, token(2), denied=True)
    assert list(cutter.cut(1)) != first
    assert len(signed) == 2


def test_a_long_one_is_not_kept() -> None:
    denylist = Denylist(1, map(token, range(1, (KEPT_PARTS + 2) * PART_TOKENS)))
    cutter = unsigned(denylist)
    assert next(cutter.cut(0)) is not next(cutter.cut(0))
    assert len(denylist.freeze().buckets) == BUCKETS
    assert denylist.freeze() is denylist.freeze()


# --- sent between the turns


class Device:
    """A connection that takes what it is sent, or does not."""

    def __init__(self) -> None:
        self.session = Session(KEY, KEY, algorithm=2, device_id=1)
        self.closing = False
        self.sent: list[int] = []
        self.behind = 0

    def flush(self) -> None:
        self.sent.append(len(self.session.take()))

    def behind_bytes(self) -> int:
        return self.behind


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(2 * listing.PAUSE_S)


def sender(tokens: int) -> ListSender:
    return ListSender(unsigned(Denylist(1, map(token, range(1, tokens + 1)))).cut)


async def test_one_turn_sends_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAUSE_S", 0.05)
    devices, lists_out = [Device() for _ in range(20)], sender(50 * PART_TOKENS)
    for device in devices:
        lists_out.want(device, 0)
    await asyncio.sleep(0.01)
    sent = sum(sum(device.sent) for device in devices)
    assert 0 < sent < listing.TURN_BYTES + 2 * listing.PART_BYTES
    assert max(len(device.sent) for device in devices) == 1, "devices take turns"


async def test_everybody_gets_the_whole_list_in_the_end() -> None:
    devices, lists_out = [Device() for _ in range(3)], sender(7 * PART_TOKENS)
    for device in devices:
        lists_out.want(device, 0)
    async with asyncio.timeout(20):
        while any(len(device.sent) < 7 for device in devices):
            await turns(1)
    await turns(3)
    assert [len(device.sent) for device in devices] == [7, 7, 7]


async def test_a_device_that_takes_nothing_is_sent_nothing_and_holds_nobody_up() -> None:
    slow, quick, lists_out = Device(), Device(), sender(12 * PART_TOKENS)
    slow.behind = listing.BEHIND_BYTES + 1
    lists_out.want(slow, 0)
    lists_out.want(quick, 0)
    async with asyncio.timeout(20):
        while len(quick.sent) < 12:
            await turns(1)
    assert slow.sent == []
    slow.behind = 0
    async with asyncio.timeout(20):
        while len(slow.sent) < 12:
            await turns(1)


async def test_who_asks_again_and_again_gets_one_list_more() -> None:
    device, lists_out = Device(), sender(8 * PART_TOKENS)
    lists_out.want(device, 0)
    await turns(1)
    for _ in range(100):
        lists_out.want(device, 0)
    async with asyncio.timeout(20):
        while len(device.sent) < 16:
            await turns(1)
    await turns(5)
    assert len(device.sent) == 16


async def test_a_lost_connection_is_forgotten() -> None:
    device, lists_out = Device(), sender(40 * PART_TOKENS)
    lists_out.want(device, 0)
    await turns(1)
    device.closing = True
    sent = len(device.sent)
    lists_out.drop(device)
    await turns(3)
    assert len(device.sent) == sent
