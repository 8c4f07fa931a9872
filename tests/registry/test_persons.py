"""Personal data: sealed, bound to its row, found by exact values, wrapped anew, erased for good."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, insert, select, update

from gateway.db import Database
from gateway.errors import AuthError, DatabaseError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.consents import Consents
from gateway.registry.links import Links
from gateway.registry.person_tables import ACCOUNTS, CONSENTS, FIELDS, MEDIA, OWNED, PERSONS
from gateway.registry.persons import Person, Persons, PersonState
from gateway.registry.scopes import ALL, CEILINGS, RIDER, Scope, TenantKind
from gateway.registry.store import METADATA, open_registry
from gateway.registry.tenants import Tenant, Tenants
from gateway.registry.vault import BlindIndex, KeyRing, PersonKey, Wrapped

ROOT = Actor.system("cli:test")
WANG = {"name": "王小明", "phone": "+86 138-0013-8000", "id_number": "11010519491231002X"}
TOKEN = bytes(range(16))


def tenant(name: str, kind: TenantKind = TenantKind.HOSPITAL) -> Actor:
    return Actor(ActorKind.TENANT, f"key:{name}", name, CEILINGS[kind], owner=name)


def rider(person: Person, step_up_us: int = 0) -> Actor:
    return Actor(
        ActorKind.RIDER,
        f"person:{person.person_id}",
        scopes=RIDER,
        person_id=person.person_id,
        step_up_us=step_up_us,
    )


@dataclass
class Office:
    """The services on persons over one registry."""

    database: Database
    keys: list[bytes] = field(default_factory=lambda: [os.urandom(32)])
    index_key: bytes = field(default_factory=lambda: os.urandom(32))
    now: int = 1_790_000_000_000_000

    def __post_init__(self) -> None:
        house = Tenants(self.database)
        house.add(ROOT, Tenant("hospital", TenantKind.HOSPITAL))
        house.add(ROOT, Tenant("school", TenantKind.SCHOOL))

    def clock(self) -> int:
        return self.now

    @property
    def persons(self) -> Persons:
        index = BlindIndex(self.index_key)
        return Persons(self.database, KeyRing(self.keys), index, clock=self.clock)

    @property
    def links(self) -> Links:
        index = BlindIndex(self.index_key)
        return Links(self.database, KeyRing(self.keys), index, clock=self.clock)

    @property
    def consents(self) -> Consents:
        return Consents(self.database, KeyRing(self.keys), clock=self.clock)

    def rows(self, table: Table) -> list[tuple[object, ...]]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(table))]


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


# --- kept and found -------------------------------------------------------------------------------


def test_a_person_comes_back_as_they_went_in(office: Office) -> None:
    added = office.persons.add(ROOT, WANG)
    again = office.persons.get(ROOT, added.person_id)
    assert again == added
    assert again.data == WANG
    assert "王小明" not in repr(again)


def test_nothing_that_identifies_lies_there_in_the_clear(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    office.links.link_account(ROOT, person.person_id, 7)
    office.links.link_medium(ROOT, 7, TOKEN, kind="card", label="my card")
    office.consents.give(
        ROOT, person.person_id, "hospital", Scope.PERSONS_READ, evidence="paper 12"
    )
    stored = b"".join(
        value if isinstance(value, bytes) else str(value).encode()
        for table in METADATA.sorted_tables
        for row in office.rows(table)
        for value in row
    )
    for secret in (*WANG.values(), "13800138000", "my card", "paper 12", TOKEN.hex()):
        assert secret.encode() not in stored, secret
    assert TOKEN not in stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phone", "+8613800138000"),
        ("phone", "＋８６ 138 0013 8000"),
        ("id_number", "11010519491231002x"),
    ],
)
def test_a_person_is_found_by_what_reads_the_same(office: Office, name: str, value: str) -> None:
    person = office.persons.add(ROOT, WANG)
    office.persons.add(ROOT, {"phone": "+86 138-0013-8001", "name": "王小明"})
    assert office.persons.find(ROOT, name, value) == [person]


@pytest.mark.parametrize(
    ("name", "value"),
    [("phone", "+861380013800"), ("id_number", "1101051949123100"), ("email", "")],
)
def test_a_part_of_a_value_finds_nobody(office: Office, name: str, value: str) -> None:
    office.persons.add(ROOT, WANG)
    assert office.persons.find(ROOT, name, value) == []


def test_the_same_number_of_another_field_is_another_value(office: Office) -> None:
    office.persons.add(ROOT, {"student_number": "42"})
    assert office.persons.find(ROOT, "patient_number", "42") == []


def test_unknown_fields_and_long_values_are_refused(office: Office) -> None:
    for data in ({"shoe_size": "43"}, {"name": "x" * 501}):
        with pytest.raises(RegistryError, match="REGISTRY_FIELD"):
            office.persons.add(ROOT, data)
    with pytest.raises(RegistryError, match="REGISTRY_FIELD"):
        office.persons.find(ROOT, "name", "王小明")
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        office.persons.get(ROOT, "per_none")


def test_a_change_replaces_a_value_and_its_index(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    office.now += 1
    changed = office.persons.change(ROOT, person.person_id, {"phone": "110", "id_number": ""})
    assert changed.data == {"name": "王小明", "phone": "110"}
    assert changed.changed_us == person.changed_us + 1
    assert office.persons.find(ROOT, "phone", WANG["phone"]) == []
    assert office.persons.find(ROOT, "phone", "110") == [changed]


# --- sealed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["field", "person"])
def test_a_sealed_value_moved_elsewhere_cannot_be_opened(office: Office, to: str) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, WANG)
    with office.database.transaction() as connection:
        phone = (FIELDS.c.person_id == one.person_id) & (FIELDS.c.name == "phone")
        sealed = connection.scalar(select(FIELDS.c.sealed).where(phone))
        target = two.person_id if to == "person" else one.person_id
        name = "phone" if to == "person" else "name"
        row = (FIELDS.c.person_id == target) & (FIELDS.c.name == name)
        connection.execute(update(FIELDS).where(row).values(sealed=sealed))
    with pytest.raises(RegistryError, match="REGISTRY_KEY"):
        office.persons.get(ROOT, target)


def test_a_wrapped_key_moved_to_another_person_cannot_be_opened(office: Office) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, {})
    with office.database.transaction() as connection:
        row = PERSONS.c.person_id == one.person_id
        wrapped = connection.scalar(select(PERSONS.c.wrapped_key).where(row))
        other = PERSONS.c.person_id == two.person_id
        connection.execute(update(PERSONS).where(other).values(wrapped_key=wrapped))
    with pytest.raises(RegistryError, match="REGISTRY_KEY"):
        office.persons.get(ROOT, two.person_id)


@given(st.binary(max_size=64), st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_is_noticed(value: bytes, data: st.DataObject) -> None:
    key = PersonKey("per_1", bytes(32))
    sealed = bytearray(key.seal("name", value))
    assert key.open("name", bytes(sealed)) == value
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RegistryError, match="REGISTRY_KEY"):
        key.open("name", bytes(sealed))


def test_the_same_value_never_seals_to_the_same_bytes() -> None:
    key = PersonKey("per_1", bytes(32))
    assert len({key.seal("name", b"x") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("wrapped", [b"", b"short", bytes(60)])
def test_what_is_no_wrapped_key_is_refused(wrapped: bytes) -> None:
    ring = KeyRing([os.urandom(32)])
    with pytest.raises(RegistryError, match="REGISTRY_KEY"):
        ring.open("per_1", Wrapped(ring.current_id, wrapped))


# --- rotation -------------------------------------------------------------------------------------


def test_rotation_wraps_every_key_anew(office: Office) -> None:
    people = [office.persons.add(ROOT, WANG | {"note": str(n)}) for n in range(7)]
    fields = office.rows(FIELDS)
    office.keys.insert(0, os.urandom(32))
    assert office.persons.count_wrapped_otherwise() == 7
    assert office.persons.get(ROOT, people[0].person_id) == people[0]  # the old key still opens
    rotation = office.persons.rotate(ROOT, batch=3)
    assert (rotation.wrapped, rotation.left) == (7, 0)
    del office.keys[1]
    assert [office.persons.get(ROOT, person.person_id) for person in people] == people
    assert office.rows(FIELDS) == fields  # the data itself was not touched


def test_a_rotation_broken_off_goes_on_where_it_was(office: Office) -> None:
    for _ in range(5):
        office.persons.add(ROOT, WANG)
    lost = office.keys[0]
    with office.database.transaction() as connection:
        row = connection.execute(select(PERSONS).limit(1)).one()
        values = {"wrapped_key": b"damaged"}
        mine = PERSONS.c.person_id == row.person_id
        connection.execute(update(PERSONS).where(mine).values(values))
    office.keys[:] = [os.urandom(32), lost]
    with pytest.raises(RegistryError, match="REGISTRY_KEY"):
        office.persons.rotate(ROOT, batch=1)
    assert office.persons.count_wrapped_otherwise() >= 1
    with office.database.transaction() as connection:
        whole = {"wrapped_key": row.wrapped_key}
        connection.execute(update(PERSONS).where(mine).values(whole))
    assert office.persons.rotate(ROOT, batch=2).left == 0
    assert len({key_id for *_, key_id in ((r[3],) for r in office.rows(PERSONS))}) == 1


def test_without_the_key_nothing_opens_and_rotation_says_so(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    office.keys[:] = [os.urandom(32)]
    for call in (
        lambda: office.persons.get(ROOT, person.person_id),
        lambda: office.persons.rotate(ROOT),
    ):
        with pytest.raises(RegistryError, match="REGISTRY_KEY"):
            call()


# --- erasure --------------------------------------------------------------------------------------


def test_an_erased_person_leaves_numbers_behind_and_nothing_else(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    number = person.person_id
    office.links.link_account(ROOT, number, (1 << 64) - 1)
    office.links.link_medium(ROOT, (1 << 64) - 1, TOKEN, kind="card")
    office.consents.give(ROOT, number, "hospital", Scope.PERSONS_READ, evidence="paper 12")
    office.now += 5
    erased = office.persons.erase(ROOT, number)
    assert (erased.state, erased.data, erased.erased_us) == (PersonState.ERASED, {}, office.now)
    assert office.persons.get(ROOT, number) == erased == office.persons.erase(ROOT, number)
    assert office.links.list_accounts(number) == [(1 << 64) - 1]
    assert office.links.list_media(ROOT, number) == []
    assert office.persons.find(ROOT, "phone", WANG["phone"]) == []
    (consent,) = office.consents.list_all(ROOT, number)
    assert (consent.evidence, consent.scope) == ("", Scope.PERSONS_READ)
    assert [row[3:5] for row in office.rows(PERSONS)] == [("", b"")]
    assert all(office.rows(table) == [] for table in OWNED)
    for change in (
        lambda: office.persons.change(ROOT, number, WANG),
        lambda: office.links.link_account(ROOT, number, 8),
    ):
        with pytest.raises(RegistryError, match="REGISTRY_ERASED"):
            change()
    assert office.persons.rotate(ROOT).left == 0


def test_everything_that_hangs_on_a_person_is_erased_or_named_here() -> None:
    """A new table with a person in it has to be thought about."""
    hanging = {table for table in METADATA.sorted_tables if "person_id" in table.columns}
    assert hanging - set(OWNED) == {PERSONS, ACCOUNTS, CONSENTS}


def test_the_files_of_the_registry_hold_nothing_of_an_erased_person(tmp_path: Path) -> None:
    """Neither the wrapped key nor the index entries, in the file or in its log of changes."""
    office = Office(open_registry(tmp_path / "r.sqlite", create=True))
    gone, stays = office.persons.add(ROOT, WANG), office.persons.add(ROOT, {"phone": "110"})
    office.links.link_account(ROOT, gone.person_id, 7)
    office.links.link_medium(ROOT, 7, TOKEN, kind="card")
    office.consents.give(ROOT, gone.person_id, "hospital", Scope.PERSONS_READ, evidence="paper")
    traces = [
        value
        for table in (PERSONS, FIELDS, MEDIA, CONSENTS)
        for row in office.rows(table)
        if stays.person_id not in row
        for value in row
        if isinstance(value, bytes) and value
    ]
    assert len(traces) >= 9
    assert all(trace in _files(tmp_path) for trace in traces)
    with office.database.engine.connect() as other:  # keeps the log of changes alive
        other.exec_driver_sql("SELECT count(*) FROM persons")
        other.rollback()
        office.persons.erase(ROOT, gone.person_id)
        assert not [trace for trace in traces if trace in _files(tmp_path)]
    assert not [trace for trace in traces if trace in _files(tmp_path)]
    assert office.persons.get(ROOT, stays.person_id) == stays


def _files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


# --- who may --------------------------------------------------------------------------------------


def test_a_tenant_sees_its_own_persons_and_those_who_consented(office: Office) -> None:
    hospital, school = tenant("hospital"), tenant("school", TenantKind.SCHOOL)
    pupil = office.persons.add(school, {"name": "小红", "phone": "110"})
    assert office.persons.get(school, pupil.person_id) == pupil
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        office.persons.get(hospital, pupil.person_id)
    assert office.persons.find(hospital, "phone", "110") == []
    office.consents.give(
        rider(pupil), pupil.person_id, "hospital", Scope.PERSONS_READ, evidence="in the app"
    )
    assert office.persons.find(hospital, "phone", "110") == [pupil]
    office.consents.withdraw(rider(pupil), pupil.person_id, "hospital", Scope.PERSONS_READ)
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        office.persons.get(hospital, pupil.person_id)


def test_a_rider_sees_themselves_alone(office: Office) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, WANG)
    assert office.persons.get(rider(one), one.person_id) == one
    assert office.persons.find(rider(one), "phone", WANG["phone"]) == [one]
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        office.persons.get(rider(one), two.person_id)
    with pytest.raises(AuthError, match="AUTH_SCOPE"):
        office.persons.erase(rider(one), one.person_id)


def test_nobody_consents_for_another(office: Office) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, WANG)
    for actor in (rider(two), tenant("hospital")):
        with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
            office.consents.give(
                actor, one.person_id, "hospital", Scope.PERSONS_READ, evidence="forged"
            )
    with pytest.raises(RegistryError, match="REGISTRY_SCOPE"):
        office.consents.give(
            rider(one), one.person_id, "hospital", Scope.ADJUSTMENTS_WRITE, evidence=""
        )
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        office.consents.withdraw(rider(one), one.person_id, "hospital", Scope.PERSONS_READ)


def test_a_consent_is_one_until_it_is_withdrawn(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    how = (rider(person), person.person_id, "hospital", Scope.ACCOUNTS_READ)
    first = office.consents.give(*how, evidence="paper 1")
    assert office.consents.give(*how, evidence="paper 2").consent_id == first.consent_id
    office.now += 1
    office.consents.withdraw(*how)
    office.now += 1
    second = office.consents.give(*how, evidence="paper 3")
    listed = office.consents.list_all(ROOT, person.person_id)
    assert [(one.consent_id, one.evidence, bool(one.withdrawn_us)) for one in listed] == [
        (first.consent_id, "paper 1", True),
        (second.consent_id, "paper 3", False),
    ]


ACCOUNT_RULES = """
actor     owner   consent  scope            may
house     -       -        accounts:read    yes
house     other   -        payments:write   yes
rider     self    -        accounts:read    yes
rider     self    -        payments:write   no
rider     self    -        media:write      yes
rider     other   -        accounts:read    no
rider     other   -        payments:write   no
rider     -       -        accounts:read    no
rider     self    -        adjustments:write no
tenant    -       -        payments:write   no
tenant    other   -        payments:write   no
tenant    other   -        refunds:write    no
tenant    -       -        credits:write    no
tenant    other   given    credits:write    no
tenant    -       -        accounts:read    no
tenant    other   -        accounts:read    no
tenant    other   given    accounts:read    yes
tenant    other   given    statements:read  no
tenant    other   gone     accounts:read    no
"""


@pytest.mark.parametrize("line", ACCOUNT_RULES.strip().splitlines()[1:])
def test_who_may_touch_an_account(office: Office, line: str) -> None:
    kind, owner, consent, name, may = line.split()
    me, other = office.persons.add(ROOT, {}), office.persons.add(ROOT, {})
    actors = {
        "house": Actor(ActorKind.OPERATOR, "key:m", "metro", ALL),
        "rider": rider(me),
        "tenant": tenant("hospital"),
    }
    if owner != "-":
        person = me if owner == "self" else other
        office.links.link_account(ROOT, person.person_id, 7)
    if consent != "-":
        how = (ROOT, other.person_id, "hospital", Scope.ACCOUNTS_READ)
        office.consents.give(*how, evidence="x")
        if consent == "gone":
            office.consents.withdraw(*how)
    if may == "yes":
        office.links.check_account(actors[kind], 7, Scope(name))
    else:
        with pytest.raises(AuthError):
            office.links.check_account(actors[kind], 7, Scope(name))


# --- links ----------------------------------------------------------------------------------------


def test_an_account_has_one_owner(office: Office) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, {})
    office.links.link_account(ROOT, one.person_id, 7)
    office.links.link_account(ROOT, one.person_id, 7)
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        office.links.link_account(ROOT, two.person_id, 7)
    assert office.links.find_owner(7) == one.person_id
    assert office.links.find_owner(8) is None


def test_linking_a_medium_wants_a_fresh_second_factor(office: Office) -> None:
    person = office.persons.add(ROOT, WANG)
    office.links.link_account(ROOT, person.person_id, 7)
    for shown in (0, office.now - 300_000_001):
        with pytest.raises(AuthError, match="AUTH_STEP_UP"):
            office.links.link_medium(rider(person, shown), 7, TOKEN, kind="card")
    fresh = rider(person, office.now - 300_000_000)
    medium = office.links.link_medium(fresh, 7, TOKEN, kind="card", label="mine")
    assert office.links.list_media(fresh, person.person_id) == [medium]
    assert medium.token == TOKEN
    assert TOKEN.hex() not in repr(medium) + str(medium.as_dict())


def test_a_medium_belongs_to_one_person(office: Office) -> None:
    one, two = office.persons.add(ROOT, WANG), office.persons.add(ROOT, {})
    office.links.link_account(ROOT, one.person_id, 7)
    office.links.link_account(ROOT, two.person_id, 8)
    office.links.link_medium(ROOT, 7, TOKEN, kind="card")
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        office.links.link_medium(ROOT, 8, TOKEN, kind="card")
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        office.links.unlink_medium(rider(two), TOKEN)
    assert office.links.unlink_medium(ROOT, TOKEN)
    assert not office.links.unlink_medium(ROOT, TOKEN)
    office.links.link_medium(ROOT, 8, TOKEN, kind="card")
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        office.links.link_medium(ROOT, 9, bytes(16), kind="card")


def test_a_row_without_its_person_cannot_be_made(office: Office) -> None:
    row = {"person_id": "per_none", "name": "name", "sealed": b"", "blind": None}
    with pytest.raises(DatabaseError), office.database.transaction() as connection:
        connection.execute(insert(FIELDS).values(row))
