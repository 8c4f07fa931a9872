"""/v1/sessions and /v1/factors: riders sign in, and show a second factor.

A session is a secret: its answers are never kept for an Idempotency-Key to give again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gateway.errors import AuthError
from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.actors import ActorKind
from gateway.registry.factors import FactorKind, Factors
from gateway.registry.passkeys import Passkeys
from gateway.registry.sessions import Sessions
from gateway.shapes import PLAIN, InstantUs, says

Password = Annotated[str, says("of the rider", minLength=1, maxLength=256)]
MaybePassword = Annotated[str, says("for the first factor only", maxLength=256)]
Code = Annotated[str, says("six digits, or a recovery code", minLength=1, maxLength=64)]
Secret = Annotated[str, says("shown once", minLength=1)]
PROOF = ("AUTH_FORBIDDEN", "AUTH_PROOF", "AUTH_NO_FACTOR", "RATE_LIMITED", "REGISTRY_ERASED")
ADD = (*PROOF, "AUTH_STEP_UP", "REGISTRY_TAKEN", "REGISTRY_UNKNOWN")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Login and password."""

    login: Annotated[str, says("e-mail or phone", minLength=1, maxLength=200, pattern=PLAIN)]
    password: Password


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A new session; send the token as a bearer token."""

    token: Secret
    person_id: str
    expires_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionShown:
    """Whose session this is. step_up_us: when a second factor was shown, 0 = not yet."""

    person_id: str
    step_up_us: InstantUs
    has_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """The password so far and the new one."""

    old: Password
    new: Password


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeShown:
    """A code of the app, or one of the recovery codes."""

    code: Code
    kind: Literal["totp", "recovery"] = "totp"


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedUp:
    """How long the second factor is good."""

    until_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorShown:
    """A second factor, without its secret; confirmed_us 0 = not in use yet."""

    factor_id: str
    kind: FactorKind
    created_us: InstantUs
    confirmed_us: InstantUs
    used_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorList:
    """The oldest first."""

    data: tuple[FactorShown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorStart:
    """The first factor wants the password, each further one a step-up."""

    password: MaybePassword = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpStarted:
    """For the app; confirm it with a code."""

    factor_id: str
    uri: Annotated[str, says("otpauth://, also as a QR code", minLength=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpConfirm:
    """A code of the app."""

    code: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    """Each good once; the ones before are void."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyOptions:
    """For navigator.credentials.create or .get."""

    public_key: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyAnswer:
    """What navigator.credentials gave, as JSON (PublicKeyCredential.toJSON)."""

    credential: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyAdded:
    """The new factor."""

    factor_id: str


async def _sign_in(call: Call) -> Answer:
    made = await call.service(Sessions).sign_in(
        call.body.login, call.body.password, remote=call.remote
    )
    shown = SignedIn(token=made.token, person_id=made.person_id, expires_us=made.expires_us)
    return Answer(value=shown, status=201)


async def _show(call: Call) -> SessionShown:
    rider = _rider(call)
    has_factor = await _beside(lambda: call.service(Factors).has_factor(rider))
    step_up_us = call.actor.step_up_us
    return SessionShown(person_id=rider, step_up_us=step_up_us, has_factor=has_factor)


async def _sign_out(call: Call) -> Answer:
    _rider(call)
    await _beside(lambda: call.service(Sessions).sign_out(_token(call)))
    return Answer(value=None, status=204)


async def _sign_out_everywhere(call: Call) -> Answer:
    _rider(call)
    await _beside(lambda: call.service(Sessions).sign_out_everywhere(call.actor))
    return Answer(value=None, status=204)


async def _change_password(call: Call) -> Answer:
    _rider(call)
    await call.service(Sessions).change_password(call.actor, call.body.old, call.body.new)
    return Answer(value=None, status=204)


async def _step_up(call: Call) -> SteppedUp:
    _rider(call)
    factors, body = call.service(Factors), call.body
    show = factors.step_up_totp if body.kind == "totp" else factors.step_up_code
    return SteppedUp(until_us=await _beside(lambda: show(call.actor, _token(call), body.code)))


async def _passkey_challenge(call: Call) -> PasskeyOptions:
    _rider(call)
    passkeys = call.service(Passkeys)
    options = await _beside(lambda: passkeys.begin_step_up(call.actor, _token(call)))
    return PasskeyOptions(public_key=options)


async def _passkey_step_up(call: Call) -> SteppedUp:
    _rider(call)
    passkeys, shown = call.service(Passkeys), call.body.credential
    until = await _beside(lambda: passkeys.step_up(call.actor, _token(call), shown))
    return SteppedUp(until_us=until)


async def _factors(call: Call) -> FactorList:
    rider = _rider(call)
    found = await _beside(lambda: call.service(Factors).list_all(rider))
    return FactorList(
        data=tuple(
            FactorShown(
                factor_id=one.factor_id,
                kind=one.kind,
                created_us=one.created_us,
                confirmed_us=one.confirmed_us,
                used_us=one.used_us,
            )
            for one in found
        )
    )


async def _remove_factor(call: Call) -> Answer:
    _rider(call)
    factors, factor_id = call.service(Factors), call.path["factor_id"]
    await _beside(lambda: factors.remove(call.actor, factor_id))
    return Answer(value=None, status=204)


async def _begin_totp(call: Call) -> Answer:
    _rider(call)
    factors = call.service(Factors)
    factor_id, uri = await factors.begin_totp(call.actor, password=call.body.password)
    return Answer(value=TotpStarted(factor_id=factor_id, uri=uri), status=201)


async def _confirm_totp(call: Call) -> Answer:
    _rider(call)
    factors, factor_id = call.service(Factors), call.path["factor_id"]
    await _beside(lambda: factors.confirm_totp(call.actor, factor_id, call.body.code))
    return Answer(value=None, status=204)


async def _recovery(call: Call) -> Answer:
    _rider(call)
    codes = await _beside(lambda: call.service(Factors).make_codes(call.actor))
    return Answer(value=RecoveryCodes(codes=tuple(codes)), status=201)


async def _begin_passkey(call: Call) -> PasskeyOptions:
    _rider(call)
    passkeys, password = call.service(Passkeys), call.body.password
    options = await passkeys.begin_registration(call.actor, _token(call), password=password)
    return PasskeyOptions(public_key=options)


async def _finish_passkey(call: Call) -> Answer:
    _rider(call)
    passkeys, shown = call.service(Passkeys), call.body.credential
    made = await _beside(lambda: passkeys.finish_registration(call.actor, _token(call), shown))
    return Answer(value=PasskeyAdded(factor_id=made), status=201)


async def _beside(work: Callable[[], Any]) -> Any:
    """The registry blocks: beside the loop."""
    return await asyncio.to_thread(work)


def _rider(call: Call) -> str:
    """The signed-in person. Raises: AuthError AUTH_FORBIDDEN: a key or token has no session."""
    if call.actor.kind is not ActorKind.RIDER:
        raise AuthError("AUTH_FORBIDDEN", "this is for riders' sessions")
    return call.actor.person_id


def _token(call: Call) -> str:
    """The session's token, which the guard has seen."""
    return call.headers["Authorization"].partition(" ")[2].strip()


def _endpoint(method: Any, path: str, handler: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=f"/v1{path}",
        handler=handler,
        summary=summary,
        tag="session",
        idempotent=False,
        **more,
    )


RIDERS_ONLY = ("AUTH_FORBIDDEN",)
CURRENT = "/sessions/current"

ENDPOINTS = [
    _endpoint("POST", "/sessions", _sign_in, "Sign in", body=SignIn, answer=SignedIn, status=201,
              public=True, errors=("AUTH_INVALID", "RATE_LIMITED")),
    _endpoint("GET", CURRENT, _show, "Show this session", answer=SessionShown, errors=RIDERS_ONLY),
    _endpoint("DELETE", CURRENT, _sign_out, "Sign out", status=204, errors=RIDERS_ONLY),
    _endpoint("DELETE", "/sessions", _sign_out_everywhere, "Sign out everywhere", status=204,
              errors=RIDERS_ONLY),
    _endpoint("PUT", f"{CURRENT}/password", _change_password,
              "Change the password; all sessions end", body=PasswordChange, status=204,
              errors=(*RIDERS_ONLY, "AUTH_PROOF", "AUTH_WEAK_PASSWORD", "RATE_LIMITED")),
    _endpoint("POST", f"{CURRENT}/step-up", _step_up, "Show a code as second factor",
              body=CodeShown, answer=SteppedUp, errors=PROOF),
    _endpoint("POST", f"{CURRENT}/passkey-challenge", _passkey_challenge,
              "Begin to show a passkey", answer=PasskeyOptions, errors=PROOF),
    _endpoint("POST", f"{CURRENT}/passkey", _passkey_step_up, "Show a passkey as second factor",
              body=PasskeyAnswer, answer=SteppedUp, errors=PROOF),
    _endpoint("GET", "/factors", _factors, "List the second factors", answer=FactorList,
              errors=RIDERS_ONLY),
    _endpoint("DELETE", "/factors/{factor_id}", _remove_factor, "Take a second factor away",
              status=204, errors=(*RIDERS_ONLY, "AUTH_STEP_UP", "REGISTRY_UNKNOWN")),
    _endpoint("POST", "/factors/totp", _begin_totp, "Begin to use an app with codes",
              body=FactorStart, answer=TotpStarted, status=201, errors=ADD),
    _endpoint("POST", "/factors/{factor_id}/confirm", _confirm_totp, "Show that the app works",
              body=TotpConfirm, status=204, errors=ADD),
    _endpoint("POST", "/factors/recovery-codes", _recovery, "Make new recovery codes",
              answer=RecoveryCodes, status=201, errors=ADD),
    _endpoint("POST", "/factors/passkey-challenge", _begin_passkey, "Begin to add a passkey",
              body=FactorStart, answer=PasskeyOptions, errors=ADD),
    _endpoint("POST", "/factors/passkeys", _finish_passkey, "Add a passkey", body=PasskeyAnswer,
              answer=PasskeyAdded, status=201, errors=ADD),
]  # fmt: skip
