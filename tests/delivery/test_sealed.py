"""Personal parts of commands in the outbox: sealed, the same each time, opened on the way out."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from adapters.contract import Capability, Command, Money, Outcome, Status
from adapters.errors import Misconfigured, Rejected
from gateway.db import Database
from gateway.delivery.codec import encode_command
from gateway.delivery.outbox import Outbox, State
from gateway.delivery.relay import Relay, RelaySettings
from gateway.delivery.resealing import count_commands_otherwise, reseal_commands
from gateway.delivery.sealed import MARK, OF_PERSON, CommandSealer
from gateway.registry.actors import Actor
from gateway.registry.links import Links
from gateway.registry.owner_keys import OwnerKeys
from gateway.registry.person_tables import ACCOUNTS
from gateway.registry.persons import Persons
from gateway.registry.vault import BlindIndex, KeyRing
from tests.support.peer import Peer, PeerAdapter
from tests.support.registry import Clock

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
SEALER = CommandSealer([OLD])
FACTS = {"name": "Han Meimei", "account_id": 7, "note": "free"}
COMMAND = Command("k-1", Capability.REFUND, "DE-77", Money(5, 156), facts=FACTS)


HOUSE = Actor.system("test")


def enter_owner(database: Database) -> tuple[Persons, str]:
    """Account 7 is a person's."""
    ring, index = KeyRing([OLD]), BlindIndex(NEW)
    persons = Persons(database, ring, index)
    person_id = persons.add(HOUSE, {"name": "Han Meimei"}).person_id
    with database.transaction() as connection:
        connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.account_id == 7))
    Links(database, ring, index).link_account(HOUSE, person_id, 7)
    return persons, person_id


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


def test_a_new_registry_key_takes_along_what_waits_and_what_is_over(database: Database) -> None:
    outbox = Outbox(database)
    other = Command("k-2", Capability.REFUND, "DE-78", facts={"name": "Li Lei"})
    for command in (COMMAND, other):
        outbox.put("bank", command.key, sealed(command), 1)
    (letter,) = outbox.claim("bank", 1, 1)
    outbox.finish(letter, Outcome(Status.DONE, letter.command.key), 3)
    fresh, both = CommandSealer([NEW]), CommandSealer([NEW, OLD])
    assert (reseal_commands(database, fresh), count_commands_otherwise(database, fresh)) == (0, 2)
    assert reseal_commands(database, both) == 2
    assert (reseal_commands(database, both), count_commands_otherwise(database, fresh)) == (0, 0)
    (waiting,) = outbox.claim("bank", 4, 9)
    assert fresh.open(waiting.command).facts["name"] in {"Han Meimei", "Li Lei"}
    assert not outbox.put("bank", "k-1", sealed(sealer=fresh), 5)  # the same command again


def test_what_is_of_a_person_goes_with_them(database: Database) -> None:
    persons, person_id = enter_owner(database)
    sealer = CommandSealer([OLD], OwnerKeys(database, [OLD]))
    command = sealed(sealer=sealer)
    assert command == sealed(sealer=sealer)
    assert command.subject.startswith(f"{OF_PERSON}{person_id}:")
    assert sealer.open(command) == COMMAND
    assert CommandSealer([NEW]).is_current(command)  # it goes along with the person's key
    with pytest.raises(Misconfigured):
        SEALER.open(command)
    persons.erase(HOUSE, person_id)
    with pytest.raises(Rejected, match="subject_erased"):
        sealer.open(command)
    assert sealed(sealer=sealer).subject.startswith(MARK)  # whoever owns it now, nobody knows


async def test_a_payout_of_somebody_erased_is_rejected_and_no_other(
    database: Database, clock: Clock
) -> None:
    persons, person_id = enter_owner(database)
    sealer = CommandSealer([OLD], OwnerKeys(database, [OLD]))
    other = Command("k-2", Capability.REFUND, "DE-78", Money(5, 156), facts={"account_id": 8})
    outbox = Outbox(database)
    for command in (COMMAND, other):
        outbox.put("bank", command.key, sealed(command, sealer), clock.us)
    persons.erase(HOUSE, person_id)
    relay = Relay(
        "bank",
        PeerAdapter(Peer()),
        outbox,
        clock.now_us,
        open_command=sealer.open,
        settings=RelaySettings(),
        monotonic=clock.monotonic,
    )
    await relay.work()
    assert (outbox.find("k-1")[0], outbox.find("k-2")[0]) == (State.REJECTED, State.DONE)
    assert "Han" not in str(outbox.find("k-1"))
