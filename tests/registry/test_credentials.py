"""Tenants, merchants, API keys, OAuth2 clients: who may, and who may not."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from dataclasses import dataclass

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from gateway.db import Database
from gateway.errors import AuthError, FareGatewayError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.authenticator import Authenticator
from gateway.registry.credentials import (
    CREDENTIALS,
    DAY_US,
    CredentialKind,
    Credentials,
    Issued,
    NewCredential,
)
from gateway.registry.scopes import ALL, CEILINGS, HOUSE_ONLY, MEANING, Scope, TenantKind
from gateway.registry.tenants import Merchant, Tenant, Tenants
from gateway.registry.tokens import LIFE_MAX_S, TokenKeys

ROOT = Actor.system("cli:test")
PAY = frozenset({Scope.PAYMENTS_WRITE, Scope.ACCOUNTS_READ})
NOW = 1_790_000_000_000_000


@dataclass
class House:
    """A registry with three tenants, and a clock to turn."""

    database: Database
    now: int = NOW

    def __post_init__(self) -> None:
        self.tenants = Tenants(self.database, clock=self.clock)
        self.credentials = Credentials(self.database, clock=self.clock)
        self.seeds = [os.urandom(32)]
        for name, kind in (
            ("metro", TenantKind.CITY),
            ("bus", TenantKind.OPERATOR),
            ("hospital", TenantKind.HOSPITAL),
            ("school", TenantKind.SCHOOL),
        ):
            self.tenants.add(ROOT, Tenant(name, kind))

    def clock(self) -> int:
        return self.now

    @property
    def door(self) -> Authenticator:
        """A fresh one: nothing in its cache."""
        tokens = TokenKeys(self.seeds, issuer="faregate:test")
        return Authenticator(self.credentials, tokens, clock=self.clock)

    def key(self, tenant: str = "hospital", actor: Actor = ROOT, **how: object) -> Issued:
        wanted = {"scopes": PAY, "owner": "ward 3"} | how
        return self.credentials.create(actor, NewCredential(tenant, **wanted))  # type: ignore[arg-type]

    def client(self, tenant: str = "hospital") -> Issued:
        return self.key(tenant, kind=CredentialKind.CLIENT)


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def who(door: Authenticator, token: str, name: str = "Authorization") -> Actor:
    return asyncio.run(door.authenticate({name: f"Bearer {token}"}))


def refused(door: Authenticator, token: str) -> str:
    with pytest.raises(AuthError) as error:
        who(door, token)
    return error.value.code


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_says_who_it_is(house: House) -> None:
    issued = house.key()
    actor = who(house.door, issued.token)
    assert actor.kind is ActorKind.TENANT
    assert (actor.tenant_id, actor.scopes, actor.owner) == ("hospital", PAY, "ward 3")
    assert actor.subject == f"key:{issued.credential.credential_id}"
    assert who(house.door, house.key("metro").token).kind is ActorKind.OPERATOR
    assert who(house.door, house.key("bus").token).kind is ActorKind.TENANT
    assert who(house.door, issued.token, "authorization") == actor


def test_a_key_has_256_bits_and_is_kept_as_a_hash_alone(house: House) -> None:
    issued = house.key()
    assert issued.token.startswith("fgk_")
    assert len(base64.urlsafe_b64decode(issued.secret + "=")) == 32
    with house.database.reading() as connection:
        row = connection.execute(select(CREDENTIALS)).one()
    assert issued.secret not in str(row)
    assert issued.secret not in repr(issued)
    assert "secret_hash" not in issued.credential.as_dict()
    json.dumps(issued.credential.as_dict())


@pytest.mark.parametrize("start", ["fgk_aa_", "fgs_", "fgc_", ""])
@pytest.mark.parametrize("end", ["\udcff", "\u00e4", "x" * 5000])
def test_a_token_of_bytes_that_none_has_is_refused_like_any_other(
    house: House, start: str, end: str
) -> None:
    assert refused(house.door, start + end) == "AUTH_INVALID"


def test_whatever_is_wrong_with_a_key_the_answer_is_one(house: House) -> None:
    issued = house.key(life_days=1)
    good, name = issued.token, issued.credential.credential_id
    wrong = [
        f"{name}_{'A' * 43}",
        f"fgk_{'0' * 16}_{issued.secret}",
        good[:-1],
        good + "x",
        "fgk_",
        "fgk__",
        f"fgk_{issued.secret}",
        "Basic",
        "x" * 5000,
    ]
    assert {refused(house.door, token) for token in wrong} == {"AUTH_INVALID"}
    house.now += DAY_US
    assert refused(house.door, good) == "AUTH_INVALID"
    house.now -= DAY_US
    house.credentials.revoke(ROOT, name)
    assert refused(house.door, good) == "AUTH_INVALID"


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "AUTH_MISSING"), ({"Authorization": ""}, "AUTH_MISSING"),
     ({"Authorization": "Bearer"}, "AUTH_INVALID"), ({"Authorization": "Basic a"}, "AUTH_INVALID"),
     ({"Authorization": "Bearer  "}, "AUTH_INVALID")],
)  # fmt: skip
def test_without_a_token_nobody_is_let_in(house: House, headers: dict[str, str], code: str) -> None:
    with pytest.raises(AuthError) as error:
        asyncio.run(house.door.authenticate(headers))
    assert error.value.code == code


def test_a_revocation_is_felt_when_the_cache_is_over(house: House) -> None:
    issued, door = house.key(), house.door
    who(door, issued.token)
    house.credentials.revoke(ROOT, issued.credential.credential_id)
    house.now += 4_999_999
    who(door, issued.token)
    house.now += 1
    assert refused(door, issued.token) == "AUTH_INVALID"


def test_a_closed_tenant_has_no_keys(house: House) -> None:
    issued = house.key()
    house.tenants.close(ROOT, "hospital")
    assert refused(house.door, issued.token) == "AUTH_INVALID"


# --- who may make keys ----------------------------------------------------------------------------


def test_nobody_gives_away_more_than_they_hold(house: House) -> None:
    giver = who(house.door, house.key(scopes=PAY | {Scope.KEYS_WRITE}).token)
    given = house.key(actor=giver, scopes=frozenset({Scope.PAYMENTS_WRITE}))
    assert given.credential.created_by == giver.subject
    with pytest.raises(AuthError, match="not yours to give: refunds:write"):
        house.key(actor=giver, scopes=frozenset({Scope.REFUNDS_WRITE, Scope.PAYMENTS_WRITE}))
    with pytest.raises(AuthError, match="AUTH_SCOPE"):
        house.key(actor=who(house.door, given.token))
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        house.key("school", actor=giver)


@pytest.mark.parametrize("kind", [TenantKind.HOSPITAL, TenantKind.SCHOOL])
@pytest.mark.parametrize("scope", sorted(HOUSE_ONLY))
def test_some_scopes_are_the_house_s(house: House, kind: TenantKind, scope: Scope) -> None:
    assert scope not in CEILINGS[kind]
    with pytest.raises(AuthError, match="never for a"):
        house.key(str(kind), scopes=frozenset({scope}))


def test_every_scope_has_a_meaning_and_someone_who_may_hold_it() -> None:
    assert set(MEANING) == ALL == CEILINGS[TenantKind.CITY]
    assert set(CEILINGS) == set(TenantKind)


@pytest.mark.parametrize(
    "how", [{"scopes": frozenset()}, {"owner": ""}, {"life_days": 0}, {"life_days": 367}]
)
def test_a_key_needs_scopes_an_owner_and_an_end(house: House, how: dict[str, object]) -> None:
    with pytest.raises(RegistryError):
        house.key(**how)


def test_one_request_makes_one_key(house: House) -> None:
    wanted = NewCredential("hospital", PAY, owner="ward 3")
    first = house.credentials.create(ROOT, wanted, cause=b"1")
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        house.credentials.create(ROOT, wanted, cause=b"1")
    house.credentials.create(ROOT, wanted, cause=b"2")
    assert who(house.door, first.token).tenant_id == "hospital"
    assert len(house.credentials.list_all(ROOT)) == 2


def test_a_tenant_sees_and_ends_its_own_keys_only(house: House) -> None:
    own = house.key(scopes=frozenset({Scope.KEYS_WRITE}))
    other = house.key("school")
    actor = who(house.door, own.token)
    assert house.credentials.list_all(actor) == [own.credential]
    assert len(house.credentials.list_all(ROOT)) == 2
    with pytest.raises(AuthError, match="AUTH_FORBIDDEN"):
        house.credentials.revoke(actor, other.credential.credential_id)
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        house.credentials.revoke(ROOT, "fgk_none")


# --- OAuth2 clients -------------------------------------------------------------------------------


def exchange(house: House, client: Issued, scope: str = "") -> dict[str, object]:
    name = client.credential.credential_id
    return asyncio.run(house.door.exchange(name, client.token, scope))


def test_a_client_exchanges_its_secret_for_a_short_token(house: House) -> None:
    client = house.client()
    answer = exchange(house, client)
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == LIFE_MAX_S == 900
    actor = who(house.door, str(answer["access_token"]))
    assert actor.subject == f"client:{client.credential.credential_id}"
    assert actor.scopes == PAY
    narrow = exchange(house, client, "accounts:read")
    assert who(house.door, str(narrow["access_token"])).scopes == {Scope.ACCOUNTS_READ}
    with pytest.raises(AuthError, match="AUTH_SCOPE"):
        exchange(house, client, "refunds:write")
    with pytest.raises(RegistryError, match="REGISTRY_SCOPE"):
        exchange(house, client, "everything")


def test_a_client_s_secret_is_no_key_and_a_key_is_no_client(house: House) -> None:
    client, key = house.client(), house.key()
    assert refused(house.door, f"{client.credential.credential_id}_{client.secret}") == (
        "AUTH_INVALID"
    )
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        asyncio.run(house.door.exchange(key.credential.credential_id, key.secret))
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        asyncio.run(house.door.exchange(client.credential.credential_id, "x"))


def test_a_token_ends_after_its_time_and_with_its_client(house: House) -> None:
    client = house.client()
    token = str(exchange(house, client)["access_token"])
    house.now += LIFE_MAX_S * 1_000_000
    assert refused(house.door, token) == "AUTH_EXPIRED"
    house.now -= 1_000_000
    who(house.door, token)
    house.credentials.revoke(ROOT, client.credential.credential_id)
    assert refused(house.door, token) == "AUTH_INVALID"


def test_two_keys_live_while_they_are_changed(house: House) -> None:
    token = str(exchange(house, house.client())["access_token"])
    house.seeds.insert(0, os.urandom(32))
    who(house.door, token)
    del house.seeds[1]
    assert refused(house.door, token) == "AUTH_INVALID"


def claims(house: House, **changed: object) -> dict[str, object]:
    now = house.now // 1_000_000
    name = house.client().credential.credential_id
    return {
        "iss": "faregate:test",
        "aud": "faregate",
        "sub": name,
        "scope": "accounts:read",
        "jti": "1",
        "iat": now,
        "exp": now + 900,
    } | changed


def sign(house: House, said: dict[str, object], algorithm: str = "EdDSA") -> str:
    private = Ed25519PrivateKey.from_private_bytes(house.seeds[0])
    good = TokenKeys(house.seeds, issuer="x").issue("x", frozenset(), token_id="", now_s=0)
    headers = {"kid": jwt.get_unverified_header(good)["kid"]}
    if algorithm == "EdDSA":
        return jwt.encode(said, private, algorithm=algorithm, headers=headers)
    public = private.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    secret = public if algorithm == "HS256" else None
    return jwt.encode(said, secret, algorithm=algorithm, headers=headers)  # type: ignore[arg-type]


def test_a_token_made_as_ours_are_is_taken(house: House) -> None:
    who(house.door, sign(house, claims(house)))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"iss": "another"},
        {"exp": NOW // 1_000_000 + 901},
        {"iat": NOW // 1_000_000 + 61, "exp": NOW // 1_000_000 + 100},
        {"exp": "soon"},
        {"sub": "fgc_unknown"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_is_refused(
    house: House, changed: dict[str, object]
) -> None:
    assert refused(house.door, sign(house, claims(house, **changed))) == "AUTH_INVALID"


@pytest.mark.parametrize("missing", ["exp", "iat", "iss", "aud", "sub", "jti"])
def test_a_token_that_leaves_something_out_is_refused(house: House, missing: str) -> None:
    said = claims(house)
    del said[missing]
    assert refused(house.door, sign(house, said)) == "AUTH_INVALID"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_algorithm_is_not_the_sender_s_to_choose(house: House, algorithm: str) -> None:
    """`none`, and the public key as an HMAC secret."""
    assert refused(house.door, sign(house, claims(house), algorithm)) == "AUTH_INVALID"


def test_scopes_a_token_claims_beyond_its_client_s_are_not_given(house: House) -> None:
    token = sign(house, claims(house, scope="accounts:read refunds:write nonsense"))
    assert who(house.door, token).scopes == {Scope.ACCOUNTS_READ}


# --- tenants and merchants ------------------------------------------------------------------------


def test_merchants_have_numbers_and_an_owner(house: House) -> None:
    first = house.tenants.add_merchant(ROOT, Merchant(0, "hospital", "pharmacy"))
    last = house.tenants.add_merchant(ROOT, Merchant((1 << 32) - 1, "school", "canteen"))
    assert (first.merchant_id, last.merchant_id) == (1, 4294967295)
    assert house.tenants.list_merchants("school") == [last]
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        house.tenants.add_merchant(ROOT, Merchant(1, "school"))
    assert house.tenants.add_merchant(ROOT, Merchant(1, "hospital", "pharmacy")) == first
    for number in (-1, 1 << 32):
        with pytest.raises(RegistryError, match="is not in"):
            house.tenants.add_merchant(ROOT, Merchant(number, "school"))
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        house.tenants.add_merchant(ROOT, Merchant(0, "nobody"))


def test_a_tenant_charges_for_its_own_merchants_only(house: House) -> None:
    own = house.tenants.add_merchant(ROOT, Merchant(1, "hospital"))
    house.tenants.add_merchant(ROOT, Merchant(2, "school"))
    actor = who(house.door, house.key().token)
    assert house.tenants.check_merchant(actor, 1) == own
    answers = set()
    house.tenants.add_merchant(ROOT, Merchant(3, "hospital"))
    house.tenants.close_merchant(ROOT, 3)
    for number in (2, 3, 99):
        with pytest.raises(AuthError) as error:
            house.tenants.check_merchant(actor, number)
        answers.add((error.value.code, error.value.detail.replace(str(number), "N")))
    assert answers == {("AUTH_FORBIDDEN", "merchant N cannot be charged for")}
    assert house.tenants.check_merchant(ROOT, 2).tenant_id == "school"


@pytest.mark.parametrize("name", ["", "Metro", "a b", "-a", "a" * 41, "ä"])
def test_a_tenant_s_id_is_plain(house: House, name: str) -> None:
    with pytest.raises(RegistryError):
        house.tenants.add(ROOT, Tenant(name, TenantKind.CITY))


def test_tenants_are_the_house_s_business(house: House) -> None:
    actor = who(house.door, house.key().token)
    for call in (
        lambda: house.tenants.add(actor, Tenant("x", TenantKind.CITY)),
        lambda: house.tenants.close(actor, "school"),
        lambda: house.tenants.add_merchant(actor, Merchant(0, "hospital")),
        lambda: house.tenants.close_merchant(actor, 1),
    ):
        with pytest.raises(FareGatewayError, match="AUTH_SCOPE"):
            call()
    with pytest.raises(RegistryError, match="REGISTRY_TAKEN"):
        house.tenants.add(ROOT, Tenant("metro", TenantKind.OPERATOR))
