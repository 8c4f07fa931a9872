"""/v1/tenants and /v1/merchants: organisations, and who is paid."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.scopes import TenantKind
from gateway.registry.tenants import Merchant, Standing, Tenant, Tenants
from gateway.shapes import PLAIN, InstantUs, says

TenantId = Annotated[
    str, says("lower-case letters, digits, dashes", pattern="^[a-z0-9][a-z0-9-]{0,39}$")
]
Text = Annotated[str, says("text for people", maxLength=100, pattern=PLAIN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """An organisation."""

    tenant_id: TenantId
    kind: TenantKind
    name: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantShown:
    """An organisation."""

    tenant_id: str
    kind: TenantKind
    name: str
    state: Standing
    created_us: InstantUs
    changed_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantList:
    """By id."""

    data: tuple[TenantShown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMerchant:
    """A receiver of payments."""

    tenant_id: TenantId
    merchant_id: Annotated[int, says("its number", minimum=1, maximum=(1 << 32) - 1)]
    name: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantShown:
    """A receiver of payments."""

    merchant_id: int
    tenant_id: str
    name: str
    state: Standing
    created_us: InstantUs
    changed_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantList:
    """By number."""

    data: tuple[MerchantShown, ...]


async def _add(call: Call) -> Answer:
    body: NewTenant = call.body
    tenant = Tenant(body.tenant_id, body.kind, body.name)
    made = await asyncio.to_thread(call.service(Tenants).add, call.actor, tenant)
    return Answer(value=TenantShown(**made.as_dict()))


async def _list(call: Call) -> TenantList:
    """The house sees all, an operator itself."""
    found = await asyncio.to_thread(call.service(Tenants).list_all)
    seen = [one for one in found if call.actor.may_touch(one.tenant_id)]
    return TenantList(data=tuple(TenantShown(**one.as_dict()) for one in seen))


async def _add_merchant(call: Call) -> Answer:
    body: NewMerchant = call.body
    merchant = Merchant(body.merchant_id, body.tenant_id, body.name)
    made = await asyncio.to_thread(call.service(Tenants).add_merchant, call.actor, merchant)
    return Answer(value=MerchantShown(**made.as_dict()))


async def _list_merchants(call: Call) -> MerchantList:
    """The house sees all, a tenant its own."""
    whose = None if call.actor.is_house else call.actor.tenant_id
    found = await asyncio.to_thread(call.service(Tenants).list_merchants, whose)
    return MerchantList(data=tuple(MerchantShown(**one.as_dict()) for one in found))


async def _close_merchant(call: Call) -> MerchantShown:
    tenants, number = call.service(Tenants), call.path["merchant_id"]
    closed = await asyncio.to_thread(tenants.close_merchant, call.actor, number)
    return MerchantShown(**closed.as_dict())


SCOPES = ("tenants:write",)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/tenants",
        handler=_add,
        summary="Enter an organisation",
        tag="tenants",
        body=NewTenant,
        answer=TenantShown,
        status=201,
        scopes=SCOPES,
        errors=("REGISTRY_TAKEN", "AUTH_FORBIDDEN"),
    ),
    Endpoint(
        method="GET",
        path="/v1/tenants",
        handler=_list,
        summary="List the organisations: all of them, or oneself",
        tag="tenants",
        answer=TenantList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="POST",
        path="/v1/merchants",
        handler=_add_merchant,
        summary="Enter a receiver of payments",
        tag="tenants",
        body=NewMerchant,
        answer=MerchantShown,
        status=201,
        scopes=SCOPES,
        errors=("REGISTRY_TAKEN", "REGISTRY_UNKNOWN", "AUTH_FORBIDDEN"),
    ),
    Endpoint(
        method="GET",
        path="/v1/merchants",
        handler=_list_merchants,
        summary="List the receivers of payments: all of them, or one's own",
        tag="tenants",
        answer=MerchantList,
        scopes=("payments:write",),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/merchants/{merchant_id}",
        handler=_close_merchant,
        summary="Pay nothing to a merchant from now on",
        tag="tenants",
        answer=MerchantShown,
        scopes=SCOPES,
        errors=("REGISTRY_UNKNOWN",),
    ),
]
