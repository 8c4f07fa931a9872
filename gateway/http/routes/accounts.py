"""/v1/accounts: opened, shown, listed, closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import Answer, Call, Endpoint, Page
from gateway.shapes import INT_MAX, Note, Reference, says
from gateway.wallet.accounts import Account, AccountRef, Accounts
from gateway.wallet.commands import Cause, Movement

Category = Annotated[int, says("rider category of the tariffs", minimum=0, maximum=255)]
TenantId = Annotated[
    str, says("tenant it belongs to; empty = the caller's", pattern="^[a-z0-9-]{0,40}$")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount:
    """A new account."""

    currency: Annotated[int, says("ISO 4217 number", minimum=1, maximum=999)] = 156
    rider_category: Category = 0
    tenant_id: TenantId = ""
    reference: Reference | None = None
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAccount:
    """Why it is closed."""

    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCategory:
    """Who the rider is to tariffs."""

    rider_category: Category
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCreditLimit:
    """How far the main purse may go below 0; may be below what is used."""

    amount_minor: Annotated[int, says("minor units", minimum=0, maximum=INT_MAX)]
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAccess:
    """A tenant that may see and charge the account."""

    tenant_id: Annotated[str, says("a tenant", pattern="^[a-z0-9][a-z0-9-]{0,39}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Who may see and charge the account besides its owner."""

    account_id: int
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountList(Listed):
    """Accounts by number."""

    data: tuple[AccountRef, ...]


async def _open(call: Call) -> Answer:
    body: OpenAccount = call.body
    made = await call.service(Accounts).open(
        call.actor,
        cause_of(call, body.note, body.reference or ""),
        currency=body.currency,
        rider_category=body.rider_category,
        tenant_id=body.tenant_id or call.actor.tenant_id,
    )
    return moved(made)


async def _list(call: Call) -> AccountList:
    window = read_page("acc", call.query)
    found = await call.service(Accounts).list(call.actor, window)
    return cut_page(AccountList, "acc", [(one.account_id, one) for one in found], window)


async def _get(call: Call) -> Answer:
    account = await call.service(Accounts).get(call.actor, call.path["account_id"])
    return Answer(value=account, version=account.version)


async def _close(call: Call) -> Answer:
    made = await call.service(Accounts).close(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        expected_version=call.if_match,
    )
    return moved(made)


async def _set_category(call: Call) -> Answer:
    made = await call.service(Accounts).set_category(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.body.rider_category,
        expected_version=call.if_match,
    )
    return moved(made)


async def _set_credit_limit(call: Call) -> Answer:
    made = await call.service(Accounts).set_credit_limit(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.body.amount_minor,
        expected_version=call.if_match,
    )
    return moved(made)


async def _grant(call: Call) -> Granted:
    account_id, tenant_id = call.path["account_id"], call.body.tenant_id
    await call.service(Accounts).grant(call.actor, account_id, tenant_id)
    return Granted(account_id=account_id, tenant_id=tenant_id)


async def _take_back(call: Call) -> Answer:
    account_id, tenant_id = call.path["account_id"], call.path["tenant_id"]
    await call.service(Accounts).take_back(call.actor, account_id, tenant_id)
    return Answer(value=None, status=204)


def cause_of(call: Call, note: str = "", reference: str = "") -> Cause:
    """What the commands of this request follow from."""
    return Cause(call.operation_id, call.key, reference, note)


def moved(made: Movement) -> Answer:
    """An operation as an answer: the first one again when it was carried out before."""
    return Answer(value=made, replayed=made.replayed)


COMMANDS = ("COMMAND_BUSY", "COMMAND_DISK", "COMMAND_NOT_SENT", "UNCERTAIN_OUTCOME")
"""What every command may be answered with."""
ACCOUNT = ("unknown_account", "account_closed", "op_too_old", *COMMANDS)
VERSION = ("version_conflict",)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/accounts",
        handler=_open,
        summary="Open an account",
        tag="accounts",
        body=OpenAccount,
        answer=Movement,
        status=201,
        scopes=("accounts:write",),
        errors=(
            "too_many_accounts",
            "AUTH_FORBIDDEN",
            "REGISTRY_TAKEN",
            "REGISTRY_UNKNOWN",
            "op_too_old",
            *COMMANDS,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts",
        handler=_list,
        summary="List accounts",
        tag="accounts",
        query=Page,
        answer=AccountList,
        scopes=("accounts:read",),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}",
        handler=_get,
        summary="Show an account with its balances as they are now",
        tag="accounts",
        answer=Account,
        has_version=True,
        scopes=("accounts:read",),
        errors=("unknown_account", *COMMANDS),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/close",
        handler=_close,
        summary="Close an account; refused while it has money, holds, passes or plans",
        tag="accounts",
        body=CloseAccount,
        answer=Movement,
        if_match="optional",
        scopes=("accounts:write",),
        errors=("balance_not_zero", "hold_open", *ACCOUNT, *VERSION),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/category",
        handler=_set_category,
        summary="Set the rider category",
        tag="accounts",
        body=SetCategory,
        answer=Movement,
        if_match="optional",
        scopes=("accounts:write",),
        errors=(*ACCOUNT, *VERSION),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/credit-limit",
        handler=_set_credit_limit,
        summary="Set the credit line's limit",
        tag="credit",
        body=SetCreditLimit,
        answer=Movement,
        if_match="optional",
        scopes=("lending:write", "accounts:write"),
        errors=("APPROVAL_NEEDED", "COMMAND_CEILING", *ACCOUNT, *VERSION),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/grants",
        handler=_grant,
        summary="Let another tenant see and charge an account",
        tag="accounts",
        body=GrantAccess,
        answer=Granted,
        scopes=("accounts:write",),
        errors=("REGISTRY_UNKNOWN", *ACCOUNT),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/accounts/{account_id}/grants/{tenant_id}",
        handler=_take_back,
        summary="Let a tenant see and charge an account no more",
        tag="accounts",
        status=204,
        scopes=("accounts:write",),
        errors=("unknown_account", "API_NOT_FOUND"),
    ),
]
