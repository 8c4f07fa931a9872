"""Riders sign in: nobody learns who exists, guessing is slow, sessions end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter

import pytest
from sqlalchemy import select

from gateway.db import Database
from gateway.errors import AuthError, FareGatewayError, RateLimited, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.audit import iter_events
from gateway.registry.consents import Consents
from gateway.registry.links import Links
from gateway.registry.passwords import WAITING_EACH_MAX, WAITING_MAX, Passwords
from gateway.registry.rider_tables import LOGINS, SESSIONS
from gateway.registry.scopes import CEILINGS, RIDER, Scope, TenantKind
from gateway.registry.sessions import Sessions
from gateway.registry.tenants import Tenant, Tenants
from gateway.registry.vault import BlindIndex, KeyRing
from tests.registry.riders import LOGIN, PASSWORD, ROOT, CountingHasher, Town


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


async def refused(town: Town, login: str, password: str) -> dict[str, object]:
    with pytest.raises(AuthError) as error:
        await town.sessions.sign_in(login, password)
    return error.value.as_dict()


async def test_a_rider_signs_in_and_out(town: Town) -> None:
    person_id = await town.rider()
    session = await town.sessions.sign_in(" WANG@example.cn", PASSWORD)
    actor = town.sessions.authenticate(session.token)
    assert (actor.kind, actor.person_id, actor.scopes) == (ActorKind.RIDER, person_id, RIDER)
    assert actor.step_up_us == 0
    town.sessions.sign_out(session.token)
    town.sessions.sign_out(session.token)
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        town.sessions.authenticate(session.token)


async def test_a_session_is_256_bits_and_kept_as_a_hash(town: Town) -> None:
    await town.rider()
    session = await town.sessions.sign_in(LOGIN, PASSWORD)
    assert len(session.token) == len("fgs_") + 43
    assert session.token not in repr(session)
    with town.database.reading() as connection:
        rows = [*connection.execute(select(SESSIONS)), *connection.execute(select(LOGINS))]
    stored = " ".join(str(value) for row in rows for value in row)
    for secret in (session.token, PASSWORD, LOGIN):
        assert secret not in stored


async def test_unknown_and_wrong_get_one_answer_after_the_same_work(town: Town) -> None:
    await town.rider()
    answers = []
    for login, password in ((LOGIN, "wrong password"), ("nobody@example.cn", PASSWORD)):
        town.hasher.compared.clear()
        answers.append(await refused(town, login, password))
        answers.append({"compared": list(town.hasher.compared)})
    assert answers[:2] == answers[2:]
    assert answers[0]["code"] == "AUTH_INVALID"
    assert len(town.hasher.compared) == 1


async def test_an_erased_person_is_as_unknown_as_nobody(town: Town) -> None:
    person_id = await town.rider()
    _, token = await town.signed_in()
    town.persons.erase(ROOT, person_id)
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        town.sessions.authenticate(token)
    assert await refused(town, LOGIN, PASSWORD) == await refused(town, "nobody", PASSWORD)


@pytest.mark.parametrize("login", [LOGIN, "nobody@example.cn"])
async def test_guessing_is_slowed_down_for_known_and_unknown_alike(town: Town, login: str) -> None:
    await town.rider()
    ends = Counter[str]()
    for _ in range(20):
        try:
            await town.sessions.sign_in(login, "a wrong password")
        except FareGatewayError as error:
            ends[error.code] += 1
    assert ends == {"AUTH_INVALID": 5, "RATE_LIMITED": 15}
    with pytest.raises(RateLimited) as limited:
        await town.sessions.sign_in(login.upper(), PASSWORD)  # the right one has to wait, too
    assert limited.value.retry_after_s == 60
    town.later(60)
    await refused(town, login, "a wrong password")


async def test_nobody_keeps_an_owner_out_from_another_address(town: Town) -> None:
    await town.rider()
    for _ in range(200):
        with pytest.raises(FareGatewayError):
            await town.sessions.sign_in(LOGIN, "a wrong password", remote="203.0.113.9")
    await town.sessions.sign_in(LOGIN, PASSWORD, remote="198.51.100.7")


async def test_one_address_does_not_take_the_places_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, go_on = Passwords(CountingHasher()), threading.Event()
    monkeypatch.setattr(passwords, "_verify", lambda *_: go_on.wait(20))
    here = [
        asyncio.create_task(passwords.is_right("x", "y", remote="203.0.113.9"))
        for _ in range(WAITING_EACH_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await passwords.is_right("x", "y", remote="203.0.113.9")
    there = asyncio.create_task(passwords.is_right("x", "y", remote="198.51.100.7"))
    await asyncio.sleep(0)
    assert not there.done()
    go_on.set()
    assert all(await asyncio.gather(*here, there))
    assert await passwords.is_right("x", "y", remote="203.0.113.9")
    passwords.close()


async def test_guessing_from_many_addresses_is_slowed_down_too(town: Town) -> None:
    await town.rider()
    ends = Counter[str]()
    for number in range(60):
        try:
            await town.sessions.sign_in(LOGIN, "a wrong password", remote=f"203.0.113.{number}")
        except FareGatewayError as error:
            ends[error.code] += 1
    assert ends == {"AUTH_INVALID": 50, "RATE_LIMITED": 10}


async def test_signing_in_often_locks_nobody_out(town: Town) -> None:
    await town.rider()
    for _ in range(12):
        await town.sessions.sign_in(LOGIN, PASSWORD)


async def test_a_session_ends_when_it_is_not_used(town: Town) -> None:
    await town.rider()
    _, token = await town.signed_in()
    for _ in range(5):
        town.later(899)
        town.sessions.authenticate(token)
    town.later(901)
    with pytest.raises(AuthError, match="AUTH_EXPIRED"):
        town.sessions.authenticate(token)


async def test_a_session_ends_however_it_is_used(town: Town) -> None:
    await town.rider()
    _, token = await town.signed_in()
    for _ in range(71):
        town.later(600)
        town.sessions.authenticate(token)
    town.later(600)
    with pytest.raises(AuthError, match="AUTH_EXPIRED"):
        town.sessions.authenticate(token)
    assert town.sessions.drop_expired() == 1
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        town.sessions.authenticate(token)


async def test_a_new_password_ends_all_sessions(town: Town) -> None:
    await town.rider()
    actor, token = await town.signed_in()
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        await town.sessions.change_password(actor, "not the old one", "another horse battery")
    await town.sessions.change_password(actor, PASSWORD, "another horse battery")
    with pytest.raises(AuthError):
        town.sessions.authenticate(token)
    await refused(town, LOGIN, PASSWORD)
    await town.sessions.sign_in(LOGIN, "another horse battery")


async def test_signing_out_everywhere(town: Town) -> None:
    await town.rider()
    actor, first = await town.signed_in()
    _, second = await town.signed_in()
    assert town.sessions.sign_out_everywhere(actor) == 2
    for token in (first, second):
        with pytest.raises(AuthError):
            town.sessions.authenticate(token)


@pytest.mark.parametrize(
    "password", ["short", "a" * 20, "abababababab", f"my {LOGIN} is it", "x" * 257]
)
async def test_weak_passwords_are_refused(town: Town, password: str) -> None:
    person_id = await town.rider()
    with pytest.raises(AuthError, match="AUTH_WEAK_PASSWORD"):
        await town.sessions.set_login(ROOT, person_id, LOGIN, password)


async def test_a_login_is_one_person_s(town: Town) -> None:
    first = await town.rider()
    second = town.persons.add(ROOT, {}).person_id
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        await town.sessions.set_login(ROOT, second, LOGIN, PASSWORD)
    await town.sessions.set_login(ROOT, first, "other@example.cn", PASSWORD)
    await town.sessions.set_login(ROOT, second, LOGIN, PASSWORD)
    assert (await town.sessions.sign_in(LOGIN, PASSWORD)).person_id == second
    actor, _ = await town.signed_in()
    with pytest.raises(AuthError, match="AUTH_SCOPE"):
        await town.sessions.set_login(actor, first, "x@example.cn", PASSWORD)


async def test_guesses_at_logins_nobody_has_do_not_fill_the_trail(town: Town) -> None:
    await town.rider()
    for number in range(40):
        await refused(town, f"nobody-{number}@example.cn", PASSWORD)
        await town.sessions.settle()
    await refused(town, LOGIN, "a wrong password")
    await town.sessions.settle()
    with town.database.reading() as connection:
        told = [row for row in iter_events(connection) if row.outcome == "refused"]
    assert len(told) == 20 + 1
    assert json.loads(told[-1].facts) == {"left_out": 20}


async def test_a_tenant_lets_only_those_it_entered_sign_in_and_resets_nothing(town: Town) -> None:
    school = Actor(ActorKind.TENANT, "key:s", "school", CEILINGS[TenantKind.SCHOOL], owner="s")
    hospital = Actor(ActorKind.TENANT, "key:h", "hospital", school.scopes, owner="h")
    Tenants(town.database).add(ROOT, Tenant("hospital", TenantKind.HOSPITAL))
    person_id = town.persons.add(school, {"phone": "110"}).person_id
    consents = Consents(town.database, KeyRing(town.keys))
    consents.give(ROOT, person_id, "hospital", Scope.PERSONS_READ, evidence="paper")
    assert town.persons.get(hospital, person_id).data == {"phone": "110"}
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        town.persons.change(hospital, person_id, {"phone": "120"})
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        await town.sessions.set_login(hospital, person_id, LOGIN, PASSWORD)
    Links(town.database, KeyRing(town.keys), BlindIndex(bytes(range(32)))).link_account(
        ROOT, person_id, 7
    )
    with pytest.raises(AuthError, match="they own other accounts"):
        await town.sessions.set_login(school, person_id, LOGIN, PASSWORD)
    held = (7, "school")
    town.sessions._is_held = lambda _connection, *asked: asked == held
    await town.sessions.set_login(school, person_id, LOGIN, PASSWORD)
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        await town.sessions.set_login(school, person_id, LOGIN, "another horse battery")
    assert (await town.sessions.sign_in(LOGIN, PASSWORD)).person_id == person_id
    await town.sessions.set_login(ROOT, person_id, "other@example.cn", PASSWORD)


async def test_a_hash_of_weaker_settings_is_made_anew(town: Town) -> None:
    await town.rider()

    def stored() -> str:
        with town.database.reading() as connection:
            return str(connection.scalar(select(LOGINS.c.password_hash)))

    assert "t=1" in stored()
    stronger = Sessions(
        town.database,
        town.sessions._index,
        Passwords(CountingHasher(time_cost=2)),
        clock=town.clock,
    )
    await stronger.sign_in(LOGIN, PASSWORD)
    assert "t=2" in stored()
    await town.sessions.sign_in(LOGIN, PASSWORD)


async def test_only_so_many_passwords_are_compared_at_once() -> None:
    passwords = Passwords(CountingHasher())
    stored = await passwords.hash(PASSWORD)
    tries = [passwords.is_right(stored, PASSWORD) for _ in range(WAITING_MAX + 10)]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(end is True for end in ends) == WAITING_MAX
    assert sum(isinstance(end, RateLimited) for end in ends) == 10
    assert await passwords.is_right(stored, PASSWORD)
    passwords.close()


async def test_a_tenant_learns_of_few_logins_that_they_are_taken(town: Town) -> None:
    """Each is told, too, in the audit trail over HTTP; the house knows all of them anyway."""
    first = await town.rider()
    for name in ("school", "hospital"):
        Tenants(town.database).add(ROOT, Tenant(name, TenantKind(name)))
    school, hospital = (
        Actor(ActorKind.TENANT, f"key:{name}", name, CEILINGS[TenantKind(name)])
        for name in ("school", "hospital")
    )
    pupils = [town.persons.add(school, {"name": "x"}).person_id for _ in range(13)]
    patient = town.persons.add(hospital, {"name": "x"}).person_id
    for number, pupil in enumerate(pupils[:12]):
        await town.sessions.set_login(school, pupil, f"{number}@school.cn", PASSWORD)
    for _ in range(10):
        with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
            await town.sessions.set_login(school, pupils[12], LOGIN, PASSWORD)
    for login in (LOGIN, "nobody@example.cn"):
        with pytest.raises(RateLimited):
            await town.sessions.set_login(school, pupils[12], login, PASSWORD)
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        await town.sessions.set_login(hospital, patient, LOGIN, PASSWORD)
    await town.sessions.set_login(ROOT, first, "new@example.cn", PASSWORD)
