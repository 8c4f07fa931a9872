"""Every change of the registry is in the audit trail, with whom, and without personal data."""

from __future__ import annotations

import os

import pytest

from gateway.db import Database
from gateway.errors import AuthError
from gateway.registry.audit import AuditRow, check_trail, iter_events
from gateway.registry.consents import Consents
from gateway.registry.credentials import Credentials, NewCredential
from gateway.registry.devices import Device, DeviceRegistry
from gateway.registry.links import Links
from gateway.registry.scopes import Scope, TenantKind
from gateway.registry.tenants import Merchant, Tenant, Tenants
from gateway.registry.vault import BlindIndex, KeyRing
from tests.registry.riders import LOGIN, PASSWORD, ROOT, Town

PHONE = "+86 138-0013-8000"


def events(database: Database) -> list[AuditRow]:
    with database.reading() as connection:
        return list(iter_events(connection))


async def test_the_whole_life_of_a_person_is_told_without_saying_who_it_was(
    database: Database,
) -> None:
    town = Town(database)
    ring, index = KeyRing(town.keys), BlindIndex(os.urandom(32))
    links, consents = Links(database, ring, index), Consents(database, ring)
    Tenants(database).add(ROOT, Tenant("hospital", TenantKind.HOSPITAL))
    person_id = await town.rider()
    town.persons.change(ROOT, person_id, {"phone": PHONE})
    links.link_account(ROOT, person_id, 7)
    links.link_medium(ROOT, 7, bytes(range(16)), kind="card", label="my card")
    consents.give(ROOT, person_id, "hospital", Scope.PERSONS_READ, evidence="paper 12")
    consents.withdraw(ROOT, person_id, "hospital", Scope.PERSONS_READ)
    actor, token = await town.signed_in()
    with pytest.raises(AuthError):
        await town.sessions.sign_in(LOGIN, "a wrong password")
    await town.sessions.settle()
    await town.factors.begin_totp(actor, password=PASSWORD)
    town.sessions.sign_out(token)
    links.unlink_medium(ROOT, bytes(range(16)))
    town.persons.erase(ROOT, person_id)
    told = events(database)
    assert [row.action for row in told] == [
        "tenant.add",
        "person.add",
        "login.set",
        "person.change",
        "account.link",
        "medium.link",
        "consent.give",
        "consent.withdraw",
        "session.begin",
        "session.begin",
        "session.end",
        "medium.unlink",
        "person.erase",
    ]
    assert [row.outcome for row in told].count("refused") == 1
    assert {row.actor for row in told} == {"cli:test", f"person:{person_id}", "nobody"}
    assert not list(check_trail(iter(told)))
    text = repr(told)
    for secret in (PHONE, "王小明", LOGIN, PASSWORD, bytes(range(16)).hex(), "my card", "paper"):
        assert secret not in text, secret


def test_devices_tenants_and_keys_are_told(database: Database) -> None:
    devices = DeviceRegistry(database, actor=ROOT)
    devices.add_many([Device(1), Device(2), Device(3)])
    devices.add_many([])
    devices.rotate(1)
    devices.finish_rotation(1)
    devices.revoke(1)
    devices.revoke(1)
    tenants, credentials = Tenants(database), Credentials(database)
    tenants.add(ROOT, Tenant("metro", TenantKind.OPERATOR))
    tenants.add_merchant(ROOT, Merchant(5, "metro"))
    made = credentials.create(
        ROOT, NewCredential("metro", frozenset({Scope.EVENTS_READ}), owner="anna")
    )
    credentials.revoke(ROOT, made.credential.credential_id)
    tenants.close_merchant(ROOT, 5)
    tenants.close(ROOT, "metro")
    told = [(row.action, row.subject) for row in events(database)]
    key = f"key:{made.credential.credential_id}"
    assert told == [
        ("device.add", "devices:1..3"),
        ("device.rotate", "device:1"),
        ("device.finish_rotation", "device:1"),
        ("device.revoke", "device:1"),
        ("tenant.add", "tenant:metro"),
        ("merchant.add", "merchant:5"),
        ("key.create", key),
        ("key.revoke", key),
        ("merchant.close", "merchant:5"),
        ("tenant.close", "tenant:metro"),
    ]
    assert made.secret not in repr(events(database))


def test_a_change_that_fails_leaves_no_event(database: Database) -> None:
    tenants = Tenants(database)
    tenants.add(ROOT, Tenant("metro", TenantKind.OPERATOR))
    with pytest.raises(Exception, match="REGISTRY_TAKEN"):
        tenants.add(ROOT, Tenant("metro", TenantKind.CITY))
    tenants.add(ROOT, Tenant("metro", TenantKind.OPERATOR))  # the very same: nothing changes
    assert len(events(database)) == 1
