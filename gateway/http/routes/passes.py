"""/v1/accounts/{account_id}/passes and concessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, Category, cause_of, moved
from gateway.shapes import INT_MAX, InstantUs, Note, says
from gateway.wallet.commands import Movement
from gateway.wallet.passes import Concession, Entitlements, Passes, PassOrder

PassId = Annotated[int, says("number of the tariff's product", minimum=1, maximum=2**32 - 1)]
Value = Annotated[int, says("minor units", minimum=0, maximum=INT_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPass:
    """A pass; its price is taken from the stored value, 0 = paid elsewhere."""

    pass_id: PassId
    price_minor: Value = 0
    from_us: InstantUs = 0
    until_us: Annotated[InstantUs, says("0 = its time begins with the first use")] = 0
    rides: Annotated[int, says("-1 = any number; never 0", minimum=-1, maximum=2**31 - 1)] = -1
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePass:
    """What is given back for it; from_us: of the one valid from then, 0 = the oldest."""

    refund_minor: Value = 0
    from_us: InstantUs = 0
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConcession:
    """A rider category for a span of time; it beats the account's own."""

    rider_category: Category
    until_us: InstantUs
    from_us: InstantUs = 0
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConcession:
    """Why."""

    note: Note = ""


async def _get(call: Call) -> Answer:
    return Answer(value=await call.service(Passes).get(call.actor, call.path["account_id"]))


async def _add(call: Call) -> Answer:
    body: AddPass = call.body
    order = PassOrder(body.pass_id, body.price_minor, body.from_us, body.until_us, body.rides)
    made = await call.service(Passes).add(
        call.actor, cause_of(call, body.note), call.path["account_id"], order
    )
    return moved(made)


async def _remove(call: Call) -> Answer:
    body: RemovePass = call.body
    made = await call.service(Passes).remove(
        call.actor,
        cause_of(call, body.note),
        call.path["account_id"],
        call.path["pass_id"],
        refund_minor=body.refund_minor,
        from_us=body.from_us,
    )
    return moved(made)


async def _set_concession(call: Call) -> Answer:
    body: SetConcession = call.body
    wanted = Concession(
        rider_category=body.rider_category, from_us=body.from_us, until_us=body.until_us
    )
    made = await call.service(Passes).set_concession(
        call.actor, cause_of(call, body.note), call.path["account_id"], wanted
    )
    return moved(made)


async def _remove_concession(call: Call) -> Answer:
    made = await call.service(Passes).remove_concession(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["rider_category"],
    )
    return moved(made)


PATH = "/v1/accounts/{account_id}"
SCOPES = ("accounts:write",)
MONEY = ("COMMAND_CEILING", "amount_overflow")
ROOM = ("too_many_cells", "bad_request", "COMMAND_BAD_ARGUMENT")

ENDPOINTS = [
    Endpoint(
        method="GET",
        path=PATH + "/entitlements",
        handler=_get,
        summary="Passes and concessions of an account",
        tag="accounts",
        answer=Entitlements,
        scopes=("accounts:read",),
        errors=ACCOUNT,
    ),
    Endpoint(
        method="POST",
        path=PATH + "/passes",
        handler=_add,
        summary="Put a pass on an account",
        tag="accounts",
        body=AddPass,
        answer=Movement,
        status=201,
        scopes=SCOPES,
        errors=(
            "account_frozen",
            "credit_late",
            "insufficient_balance",
            "limit_exceeded",
            *MONEY,
            *ROOM,
            *ACCOUNT,
        ),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/passes/{pass_id}/remove",
        handler=_remove,
        summary="Take a pass off; what is given back for it needs a second pair of eyes",
        tag="accounts",
        body=RemovePass,
        answer=Movement,
        scopes=SCOPES,
        errors=("APPROVAL_NEEDED", "nothing_to_reverse", *MONEY, *ROOM, *ACCOUNT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/concessions",
        handler=_set_concession,
        summary="Give a rider category for a span of time",
        tag="accounts",
        body=SetConcession,
        answer=Movement,
        status=201,
        scopes=SCOPES,
        errors=(*ROOM, *ACCOUNT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/concessions/{rider_category}/remove",
        handler=_remove_concession,
        summary="Take a concession away at once",
        tag="accounts",
        body=EndConcession,
        answer=Movement,
        scopes=SCOPES,
        errors=("nothing_to_reverse", "COMMAND_BAD_ARGUMENT", *ACCOUNT),
    ),
]
