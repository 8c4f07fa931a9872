"""WebAuthn: a key of the rider's device as a second factor.

The challenge lies in the session with what it is for, is used once and is over after five minutes:
one given for a step-up adds no key. A count that does not rise is a copied key: refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    UserVerificationRequirement,
)

from gateway.errors import AuthError
from gateway.registry.actors import Actor
from gateway.registry.factors import (
    US,
    FactorKind,
    Factors,
    NewFactor,
    list_factors,
    note,
    put_factor,
)
from gateway.registry.rider_tables import FACTORS, SESSIONS
from gateway.registry.sessions import hash_token
from gateway.registry.vault import PersonKey

CHALLENGE_US = 300 * US
REGISTER, STEP_UP = b"R", b"A"
"""What a challenge is for, before its bytes."""
_MALFORMED = (WebAuthnException, ValueError, KeyError, TypeError)


class Passkeys:
    """The services on WebAuthn credentials."""

    def __init__(
        self, factors: Factors, *, rp_id: str, origins: Sequence[str], name: str = "faregate"
    ) -> None:
        self._factors = factors
        self._rp_id = rp_id
        self._origins = list(origins)
        self._name = name

    async def begin_registration(
        self, actor: Actor, token: str, *, password: str = ""
    ) -> dict[str, Any]:
        """Options for `navigator.credentials.create`. Raises: AuthError."""
        await self._factors.check_may_add(actor, password)
        options = generate_registration_options(
            rp_id=self._rp_id,
            rp_name=self._name,
            user_name=actor.person_id,
            user_id=actor.person_id.encode(),
            authenticator_selection=AuthenticatorSelectionCriteria(
                user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        await asyncio.to_thread(self._remember, actor, token, REGISTER + options.challenge)
        return dict(json.loads(options_to_json(options)))

    def finish_registration(self, actor: Actor, token: str, credential: Mapping[str, Any]) -> str:
        """What `create` gave; the id of the new factor. Raises: AuthError AUTH_PROOF."""
        now, challenge = self._factors.clock(), self._take_challenge(actor, token, REGISTER)
        try:
            made = verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise AuthError("AUTH_PROOF", "this credential cannot be taken") from error
        secret = {
            "id": bytes_to_base64url(made.credential_id),
            "key": bytes_to_base64url(made.credential_public_key),
        }
        kept = json.dumps(secret).encode()
        with self._factors.database.transaction() as connection:
            key = self._factors.key_of(connection, actor.person_id)
            fresh = NewFactor(actor.person_id, FactorKind.WEBAUTHN, kept, now)
            factor_id = put_factor(connection, key, fresh)
            values = {"confirmed_us": now, "counter": made.sign_count}
            mine = FACTORS.c.factor_id == factor_id
            connection.execute(update(FACTORS).where(mine).values(values))
            note(connection, actor, "factor.add", now, kind=str(FactorKind.WEBAUTHN))
        return factor_id

    def begin_step_up(self, actor: Actor, token: str) -> dict[str, Any]:
        """Options for `navigator.credentials.get`. Raises: AuthError AUTH_NO_FACTOR."""
        with self._factors.database.reading() as connection:
            known = self._known(connection, actor)
        options = generate_authentication_options(
            rp_id=self._rp_id,
            allow_credentials=[
                PublicKeyCredentialDescriptor(id=base64url_to_bytes(name)) for name in known
            ],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        self._remember(actor, token, STEP_UP + options.challenge)
        return dict(json.loads(options_to_json(options)))

    def step_up(self, actor: Actor, token: str, credential: Mapping[str, Any]) -> int:
        """What `get` gave. Returns: until when the step-up is good. Raises: AuthError."""
        challenge = self._take_challenge(actor, token, STEP_UP)
        with self._factors.database.transaction() as connection:
            known = self._known(connection, actor)
            if str(credential.get("id")) not in known:
                raise AuthError("AUTH_PROOF", "this assertion cannot be taken")
            row, public_key = known[str(credential["id"])]
            try:
                shown = verify_authentication_response(
                    credential=dict(credential),
                    expected_challenge=challenge,
                    expected_rp_id=self._rp_id,
                    expected_origin=self._origins,
                    credential_public_key=public_key,
                    credential_current_sign_count=row.counter,
                    require_user_verification=True,
                )
            except _MALFORMED as error:
                raise AuthError("AUTH_PROOF", "this assertion cannot be taken") from error
            values = {"counter": shown.new_sign_count, "used_us": self._factors.clock()}
            mine = FACTORS.c.factor_id == row.factor_id
            connection.execute(update(FACTORS).where(mine).values(values))
            return self._factors.mark(connection, actor, token, FactorKind.WEBAUTHN)

    def _known(self, connection: Connection, actor: Actor) -> dict[str, tuple[Any, bytes]]:
        """Credential ids with their rows and public keys."""
        key: PersonKey = self._factors.key_of(connection, actor.person_id)
        found: dict[str, tuple[Any, bytes]] = {}
        for row in list_factors(connection, actor.person_id, FactorKind.WEBAUTHN):
            secret = json.loads(key.open(row.factor_id, row.sealed))
            found[secret["id"]] = (row, base64url_to_bytes(secret["key"]))
        return found

    def _remember(self, actor: Actor, token: str, challenge: bytes) -> None:
        with self._factors.database.transaction() as connection:
            values = {"challenge": challenge, "challenge_us": self._factors.clock()}
            mine = _session(actor, token)
            if not connection.execute(update(SESSIONS).where(mine).values(values)).rowcount:
                raise AuthError("AUTH_INVALID")

    def _take_challenge(self, actor: Actor, token: str, purpose: bytes) -> bytes:
        """The challenge of this session, which is over with this, whatever comes of it.

        Raises: AuthError: none, too old, or given for something else.
        """
        mine = _session(actor, token)
        with self._factors.database.transaction() as connection:
            row = connection.execute(select(SESSIONS).where(mine).with_for_update()).first()
            values = {"challenge": b"", "challenge_us": 0}
            connection.execute(update(SESSIONS).where(mine).values(values))
        age_us = self._factors.clock() - row.challenge_us if row is not None else CHALLENGE_US
        challenge = bytes(row.challenge) if row is not None else b""
        if not challenge.startswith(purpose) or not 0 <= age_us < CHALLENGE_US:
            raise AuthError("AUTH_PROOF", "no ceremony is under way")
        return challenge.removeprefix(purpose)


def _session(actor: Actor, token: str) -> Any:
    return (SESSIONS.c.session_hash == hash_token(token)) & (
        SESSIONS.c.person_id == actor.person_id
    )
