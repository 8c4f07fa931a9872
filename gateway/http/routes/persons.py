"""/v1/persons: personal data, accounts, media and consents of persons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from gateway.errors import ApiError
from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.consents import Consent, Consents
from gateway.registry.links import Links
from gateway.registry.persons import Person, Persons, PersonState
from gateway.registry.scopes import Scope
from gateway.registry.sessions import Sessions
from gateway.shapes import PLAIN, InstantUs, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.media import Media

Value = Annotated[str, says("empty takes it away", maxLength=500, pattern=PLAIN)]
Login = Annotated[str, says("e-mail or phone", minLength=3, maxLength=200, pattern=PLAIN)]
Password = Annotated[str, says("at least 10 characters", minLength=1, maxLength=256)]
TenantId = Annotated[str, says("a tenant", minLength=1, maxLength=40, pattern=PLAIN)]
Findable = Literal[
    "phone", "email", "id_number", "student_number", "patient_number", "staff_number"
]
Consentable = Literal["accounts:read", "statements:read", "persons:read"]
PERSON = ("REGISTRY_UNKNOWN", "AUTH_FORBIDDEN")
LIVING = (*PERSON, "REGISTRY_ERASED", "REGISTRY_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonData:
    """What is known of a person; what is left out stays as it is."""

    name: Value | None = None
    phone: Value | None = None
    email: Value | None = None
    id_number: Value | None = None
    student_number: Value | None = None
    patient_number: Value | None = None
    staff_number: Value | None = None
    birth_date: Value | None = None
    address: Value | None = None
    note: Value | None = None

    def named(self) -> dict[str, str]:
        """Those that were sent."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonShown:
    """A person with what is known of them."""

    person_id: str
    tenant_id: Annotated[str, says("who entered them; empty = the house")]
    state: PersonState
    created_us: InstantUs
    changed_us: InstantUs
    erased_us: InstantUs
    data: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSearch:
    """An exact value; it is never part of an address, so that no log has it."""

    field: Findable
    value: Annotated[str, says("the whole value", minLength=1, maxLength=500, pattern=PLAIN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonList:
    """Who has it, of those one may see."""

    data: tuple[PersonShown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLogin:
    """How a rider signs in from now on; sessions that are open end."""

    login: Login
    password: Password


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedAccounts:
    """Numbers of accounts."""

    data: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedMedium:
    """A medium of a person, without its token."""

    medium_id: str
    account_id: int
    kind: str
    label: str
    linked_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedMedia:
    """Media, the oldest link first."""

    data: tuple[OwnedMedium, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConsent:
    """What is consented to."""

    tenant_id: TenantId
    scope: Consentable
    evidence: Annotated[str, says("where and how", maxLength=500, pattern=PLAIN)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfConsent:
    """What is not consented to any more."""

    tenant_id: TenantId
    scope: Consentable


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentShown:
    """One consent; withdrawn_us 0 = in force."""

    consent_id: str
    person_id: str
    tenant_id: str
    scope: Scope
    given_us: InstantUs
    withdrawn_us: InstantUs
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentList:
    """Also those withdrawn."""

    data: tuple[ConsentShown, ...]


async def _add(call: Call) -> Answer:
    persons, data = call.service(Persons), call.body.named()
    made = await _beside(lambda: persons.add(call.actor, data, cause=call.operation_id))
    return Answer(value=_shown(made), status=201)


async def _get(call: Call) -> PersonShown:
    persons = call.service(Persons)
    return _shown(await _beside(lambda: persons.get(call.actor, _id(call))))


async def _change(call: Call) -> PersonShown:
    persons, data = call.service(Persons), call.body.named()
    return _shown(await _beside(lambda: persons.change(call.actor, _id(call), data)))


async def _search(call: Call) -> PersonList:
    persons, body = call.service(Persons), call.body
    found = await _beside(lambda: persons.find(call.actor, body.field, body.value))
    return PersonList(data=tuple(_shown(one) for one in found))


async def _erase(call: Call) -> PersonShown:
    persons = call.service(Persons)
    return _shown(await _beside(lambda: persons.erase(call.actor, _id(call))))


async def _set_login(call: Call) -> Answer:
    body: NewLogin = call.body
    await call.service(Sessions).set_login(call.actor, _id(call), body.login, body.password)
    return Answer(value=None, status=204)


async def _link(call: Call) -> Answer:
    links, account_id = call.service(Links), call.path["account_id"]
    await _beside(lambda: links.link_account(call.actor, _id(call), account_id))
    return Answer(value=None, status=204)


async def _unlink(call: Call) -> Answer:
    links, account_id = call.service(Links), call.path["account_id"]
    if not await _beside(lambda: links.unlink_account(call.actor, _id(call), account_id)):
        raise ApiError("API_NOT_FOUND", "the person has no such account")
    call.service(AccountAccess).forget()
    return Answer(value=None, status=204)


async def _accounts(call: Call) -> OwnedAccounts:
    persons, links = call.service(Persons), call.service(Links)
    await _beside(lambda: persons.get(call.actor, _id(call)))  # may they know?
    return OwnedAccounts(data=tuple(await _beside(lambda: links.list_accounts(_id(call)))))


async def _media(call: Call) -> OwnedMedia:
    media = call.service(Media)
    found = await media.list_person(call.actor, _id(call))
    shown = [
        OwnedMedium(
            medium_id=one.medium_id,
            account_id=await media.account_of(one),
            kind=one.kind,
            label=one.label,
            linked_us=one.linked_us,
        )
        for one in found
    ]
    return OwnedMedia(data=tuple(shown))


async def _consent(call: Call) -> Answer:
    consents, body = call.service(Consents), call.body
    how = (call.actor, _id(call), body.tenant_id, Scope(body.scope))
    made = await _beside(lambda: consents.give(*how, evidence=body.evidence))
    return Answer(value=_shown_consent(made), status=201)


async def _withdraw(call: Call) -> Answer:
    consents, body = call.service(Consents), call.body
    how = (call.actor, _id(call), body.tenant_id, Scope(body.scope))
    withdrawn = await _beside(lambda: consents.withdraw(*how))
    call.service(AccountAccess).forget()
    return Answer(value=_shown_consent(withdrawn))


async def _consents(call: Call) -> ConsentList:
    consents = call.service(Consents)
    found = await _beside(lambda: consents.list_all(call.actor, _id(call)))
    return ConsentList(data=tuple(_shown_consent(one) for one in found))


async def _beside(work: Callable[[], Any]) -> Any:
    """The registry blocks: beside the loop."""
    return await asyncio.to_thread(work)


def _id(call: Call) -> str:
    return str(call.path["person_id"])


def _shown(person: Person) -> PersonShown:
    return PersonShown(
        person_id=person.person_id,
        tenant_id=person.tenant_id,
        state=person.state,
        created_us=person.created_us,
        changed_us=person.changed_us,
        erased_us=person.erased_us,
        data=dict(person.data),
    )


def _shown_consent(one: Consent) -> ConsentShown:
    return ConsentShown(**one.as_dict())


def _endpoint(method: Any, path: str, handler: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=f"/v1/persons{path}",
        handler=handler,
        summary=summary,
        tag="persons",
        **more,
    )


READ, WRITE = ("persons:read",), ("persons:write",)

ENDPOINTS = [
    _endpoint("POST", "", _add, "Enter a person", body=PersonData, answer=PersonShown,
              status=201, scopes=WRITE, errors=LIVING, is_personal=True),
    _endpoint("POST", "/search", _search, "Find persons by an exact value", body=PersonSearch,
              answer=PersonList, scopes=READ, errors=("REGISTRY_KEY",), idempotent=False),
    _endpoint("GET", "/{person_id}", _get, "Show a person", answer=PersonShown, scopes=READ,
              errors=LIVING),
    _endpoint("PATCH", "/{person_id}", _change, "Change what is known of a person",
              body=PersonData, answer=PersonShown, scopes=WRITE, errors=LIVING),
    _endpoint("DELETE", "/{person_id}", _erase, "Erase a person: their key and all under it",
              answer=PersonShown, scopes=("persons:erase",), errors=PERSON),
    _endpoint("PUT", "/{person_id}/login", _set_login, "Let a person sign in", body=NewLogin,
              status=204, scopes=WRITE,
              errors=(*LIVING, "REGISTRY_TAKEN", "AUTH_WEAK_PASSWORD", "RATE_LIMITED")),
    _endpoint("PUT", "/{person_id}/accounts/{account_id}", _link, "Give an account its owner",
              status=204, scopes=WRITE, errors=(*LIVING, "REGISTRY_TAKEN")),
    _endpoint("DELETE", "/{person_id}/accounts/{account_id}", _unlink,
              "Take an account from its owner, as the house", status=204, scopes=WRITE,
              errors=(*PERSON, "API_NOT_FOUND")),
    _endpoint("GET", "/{person_id}/accounts", _accounts, "List the accounts of a person",
              answer=OwnedAccounts, scopes=READ, errors=LIVING),
    _endpoint("GET", "/{person_id}/media", _media, "List the media of a person",
              answer=OwnedMedia, scopes=READ, errors=LIVING),
    _endpoint("POST", "/{person_id}/consents", _consent, "Give a consent", body=NewConsent,
              answer=ConsentShown, status=201, scopes=("consents:write",), errors=LIVING,
              is_personal=True),
    _endpoint("POST", "/{person_id}/consents/withdraw", _withdraw, "Withdraw a consent",
              body=EndOfConsent, answer=ConsentShown, scopes=("consents:write",), errors=LIVING),
    _endpoint("GET", "/{person_id}/consents", _consents, "List the consents of a person",
              answer=ConsentList, scopes=READ, errors=LIVING),
]  # fmt: skip
