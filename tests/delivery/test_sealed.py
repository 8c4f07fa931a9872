"""Personal parts of commands in the outbox: sealed, the same each time, opened on the way out."""

from __future__ import annotations

import pytest

from adapters.contract import Capability, Command, Money
from adapters.errors import Misconfigured
from gateway.db import Database
from gateway.delivery.codec import encode_command
from gateway.delivery.outbox import Outbox, State
from gateway.delivery.relay import Relay, RelaySettings
from gateway.delivery.sealed import MARK, CommandSealer
from tests.support.peer import Peer, PeerAdapter
from tests.support.registry import Clock

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
SEALER = CommandSealer([OLD])
FACTS = {"name": "Han Meimei", "account_id": 7, "note": "free"}
COMMAND = Command("k-1", Capability.REFUND, "DE-77", Money(5, 156), facts=FACTS)


def sealed(command: Command = COMMAND, sealer: CommandSealer = SEALER) -> Command:
    return sealer.seal(command, {"name"})


def test_what_is_personal_is_not_there_and_comes_back() -> None:
    text = encode_command(sealed())
    for word in ("Han", "Meimei", "DE-77"):
        assert word not in text
    assert '"account_id":7' in text
    assert '"note":"free"' in text
    assert SEALER.open(sealed()) == COMMAND


def test_the_same_command_seals_to_the_same_text_and_another_to_another() -> None:
    assert sealed() == sealed()
    other = Command("k-2", Capability.REFUND, "DE-77", Money(5, 156), facts=FACTS)
    assert sealed(other).subject != sealed().subject
    same_words = Command("k-1", Capability.REFUND, "x", facts={"name": "x"})
    assert sealed(same_words).subject != sealed(same_words).facts["name"]


def test_a_key_that_was_replaced_still_opens() -> None:
    assert CommandSealer([NEW, OLD]).open(sealed()) == COMMAND
    with pytest.raises(Misconfigured):
        CommandSealer([NEW]).open(sealed())


def test_what_was_moved_to_another_command_or_changed_does_not_open() -> None:
    moved = Command("k-2", Capability.REFUND, sealed().subject)
    with pytest.raises(Misconfigured):
        SEALER.open(moved)
    text = sealed().subject
    changed = MARK + ("A" if text[len(MARK)] != "A" else "B") + text[len(MARK) + 1 :]
    with pytest.raises(Misconfigured):
        SEALER.open(Command("k-1", Capability.REFUND, changed))


def test_nothing_to_seal_stays_nothing() -> None:
    plain = Command("k-1", Capability.REFUND, "", facts={"name": "", "n": None})
    assert sealed(plain) == plain
    assert SEALER.open(plain) == plain


async def test_the_adapter_gets_it_open_and_a_lost_key_blames_no_command(
    database: Database, clock: Clock
) -> None:
    seen: list[Command] = []

    class Looking(PeerAdapter):
        async def execute(self, command: Command):  # type: ignore[no-untyped-def]
            seen.append(command)
            return await super().execute(command)

    outbox = Outbox(database)
    for _ in range(2):
        outbox.put("bank", "a", sealed(), clock.us)
    adapter = Looking(Peer())
    for sealer in (CommandSealer([NEW]), SEALER):
        relay = Relay(
            "bank",
            adapter,
            outbox,
            clock.now_us,
            open_command=sealer.open,
            settings=RelaySettings(),
            monotonic=clock.monotonic,
        )
        await relay.work()
        clock.forward(10.0)
        if sealer is not SEALER:
            assert (outbox.find("k-1")[0], seen) == (State.WAITING, [])
    assert outbox.find("k-1")[0] is State.DONE
    assert (seen[0].subject, dict(seen[0].facts)) == ("DE-77", FACTS)
