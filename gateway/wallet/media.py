"""Media of an account: linked, listed, reported lost, blocked, replaced, expired.

The engine's word on a medium's account and state is the one that counts. Which medium is whose lies
under the owner's key (gateway/registry/links.py). What was linked while there was no owner, or past
this service (imported, at the command line), is put there when the owner's media are listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from gateway.errors import AuthError, CommandError, DatabaseError, LedgerError, RegistryError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, Movement

MediumState = Literal["active", "lost", "expired", "replaced", "denylisted"]
OWN_WORD = frozenset({"active", "lost", "replaced"})
"""What an owner or a tenant may say of a medium."""
BLOCKED = frozenset({"denylisted"})
"""What only the house, or its clearing house, says and takes back."""
MediumKind = Literal["card", "phone", "qr", "emv", "wristband", "ble"]


class Kept(Protocol):
    """A medium as the registry has it."""

    @property
    def medium_id(self) -> str: ...
    @property
    def account_id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def token(self) -> bytes: ...


class Links(Protocol):
    """Which media are whose. Blocking."""

    def find_owner(self, account_id: int) -> str | None:
        """The person an account belongs to."""

    def link_medium(
        self, actor: Actor, account_id: int, token: bytes, *, kind: str, label: str = ""
    ) -> Any:
        """Raises: AuthError, RegistryError REGISTRY_TAKEN."""

    def adopt_medium(self, account_id: int, token: bytes, *, kind: str) -> bool:
        """Keep a medium of this account for its owner; False = it is, or there is none."""

    def unlink_medium(self, actor: Actor, token: bytes) -> bool:
        """Forget whose medium it was. False = nobody's. Raises: AuthError."""

    def list_media(self, actor: Actor, person_id: str) -> list[Any]:
        """Media of a person with their tokens. Raises: AuthError, RegistryError."""

    def list_accounts(self, person_id: str) -> list[int]:
        """Accounts of a person."""


class Linked(Protocol):
    """What the ledger knows of media. Blocking."""

    def list_media(self, account_id: int) -> list[bytes]:
        """Tokens of media that were ever an account's. Raises: DatabaseError, LedgerError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A medium without its token."""

    medium_id: str
    account_id: AccountId
    kind: MediumKind
    state: MediumState
    label: str
    expires_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMedium:
    """What a medium that was shown pays from."""

    account_id: AccountId
    state: MediumState


@dataclass(frozen=True, slots=True)
class Named:
    """How a caller names a medium: by its token, or by the id it got when it was linked."""

    token: bytes = b""
    medium_id: str = ""


class Media:
    """The services on media."""

    def __init__(
        self,
        commands: Commands,
        access: AccountAccess,
        links: Links,
        linked: Linked,
        clock: Callable[[], int],
        *,
        step_up_s: float,
    ) -> None:
        self._commands = commands
        self._access = access
        self._links = links
        self._linked = linked
        self._clock = clock
        self._step_up_s = step_up_s

    async def link(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        token: bytes,
        *,
        kind: str,
        label: str = "",
        expires_us: int = 0,
    ) -> Movement:
        """Let a medium pay from an account. A rider has to show a second factor first.

        Raises: AuthError AUTH_STEP_UP; CommandRefused already_exists: it is linked.
        """
        await self._access.require(actor, account_id, Scope.MEDIA_WRITE)
        actor.require_step_up(self._clock(), self._step_up_s)
        made = await self._commands.move(
            actor,
            cause,
            "medium_link",
            account_id=account_id,
            token=token,
            kind=kind,
            expires_us=expires_us,
        )
        await self._keep(actor, account_id, token, kind, label)
        return made

    async def _keep(
        self, actor: Actor, account_id: int, token: bytes, kind: str, label: str
    ) -> None:
        """Under the owner's key, if there is an owner; again is nothing."""
        if await asyncio.to_thread(self._links.find_owner, account_id) is None:
            return
        try:
            await asyncio.to_thread(
                lambda: self._links.link_medium(actor, account_id, token, kind=kind, label=label)
            )
        except RegistryError as error:
            if error.code != "REGISTRY_TAKEN":
                raise

    async def list_account(self, actor: Actor, account_id: int) -> list[Medium]:
        """Media of an account whose owner is known, with their states now."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        found = []
        for kept in await self._list_whole(actor, account_id):
            shown = await self._commands.read("medium_show", token=kept.token)
            if shown["account_id"] != account_id:
                continue
            found.append(
                Medium(
                    medium_id=kept.medium_id,
                    account_id=shown["account_id"],
                    kind=shown["kind"],
                    state=shown["state"],
                    label=kept.label,
                    expires_us=shown["expires_us"],
                )
            )
        return found

    async def list_person(self, actor: Actor, person_id: str) -> list[Any]:
        """Media of a person, of all their accounts. Raises: AuthError, RegistryError."""
        kept = await asyncio.to_thread(self._links.list_media, actor, person_id)
        adopted = 0
        for account_id in await asyncio.to_thread(self._links.list_accounts, person_id):
            adopted += await self._adopt(account_id, {one.token for one in kept})
        return (
            await asyncio.to_thread(self._links.list_media, actor, person_id) if adopted else kept
        )

    async def _list_whole(self, actor: Actor, account_id: int) -> list[Kept]:
        """As _list_kept, with those that nobody kept when they were linked."""
        kept = await self._list_kept(actor, account_id)
        adopted = await self._adopt(account_id, {one.token for one in kept})
        return await self._list_kept(actor, account_id) if adopted else kept

    async def _adopt(self, account_id: int, known: set[bytes]) -> int:
        """Keep what the ledger saw linked and the data plane says is still this account's. Without
        a ledger there is what was kept: a report of a loss waits for nothing.
        """
        adopted = 0
        try:
            linked = await asyncio.to_thread(self._linked.list_media, account_id)
        except (DatabaseError, LedgerError):
            return adopted
        for token in linked:
            if token in known:
                continue
            shown = await self._commands.read("medium_show", token=token)
            if shown["account_id"] == account_id:
                adopt = partial(self._links.adopt_medium, account_id, token, kind=shown["kind"])
                adopted += await asyncio.to_thread(adopt)
        return adopted

    async def account_of(self, kept: Kept) -> int:
        """Which account a medium pays from now: it may have moved since it was linked."""
        try:
            shown = await self._commands.read("medium_show", token=kept.token)
        except CommandError as error:
            if error.code != "unknown_medium":
                raise
            return kept.account_id
        return int(shown["account_id"])

    async def _list_kept(self, actor: Actor, account_id: int) -> list[Kept]:
        """All media of the account's owner: the engine says which of them are this account's."""
        person_id = await asyncio.to_thread(self._links.find_owner, account_id)
        if person_id is None:
            return []
        return await asyncio.to_thread(self._links.list_media, actor, person_id)

    async def find_shown(self, actor: Actor, token: bytes) -> ShownMedium:
        """Whose account a medium pays from, for whoever takes payments and was shown it.

        Raises: CommandError unknown_medium.
        """
        actor.require(Scope.PAYMENTS_WRITE)
        shown = await self._commands.read("medium_show", token=token)
        return ShownMedium(account_id=shown["account_id"], state=shown["state"])

    async def set_state(
        self, actor: Actor, cause: Cause, account_id: int, named: Named, state: MediumState
    ) -> Movement:
        """Report a medium lost, block it, end it, or take it back into use.

        From the record's position on the data plane refuses it, and validators are told.
        Raises: CommandError unknown_medium: not one of this account. AuthError AUTH_FORBIDDEN: the
            house blocked it, or it is the house's to say.
        """
        await self._access.require(actor, account_id, Scope.MEDIA_WRITE)
        if state == "active":
            actor.require_step_up(self._clock(), self._step_up_s)
        token = await self._find_token(actor, account_id, named)
        if not actor.is_house:
            await self._check_own_word(cause, token, state)
        return await self._commands.move(actor, cause, "medium_state", token=token, state=state)

    async def _check_own_word(self, cause: Cause, token: bytes, state: MediumState) -> None:
        """A second factor shows who it is, not that they may: a block is lifted by who set it."""
        if state not in OWN_WORD:
            raise AuthError("AUTH_FORBIDDEN", f"the house says what is {state}")
        shown = await self._commands.read("medium_show", token=token)
        if shown["state"] not in BLOCKED:
            return
        if await self._commands.find_operation(cause.operation_id) is None:
            raise AuthError("AUTH_FORBIDDEN", "the house blocked this medium")

    async def replace(
        self, actor: Actor, cause: Cause, account_id: int, old: Named, token: bytes, *, kind: str
    ) -> Movement:
        """A new medium for an old one, which is good for nothing from then on.

        The new one first: when it is refused, the rider still has the old one.
        """
        await self._access.require(actor, account_id, Scope.MEDIA_WRITE)
        actor.require_step_up(self._clock(), self._step_up_s)
        old_token = await self._find_token(actor, account_id, old)
        ended = Cause(cause.part("old"), cause.key, cause.reference, cause.note)
        made = await self.link(actor, cause, account_id, token, kind=kind)
        await self._commands.move(actor, ended, "medium_state", token=old_token, state="replaced")
        return made

    async def move(self, actor: Actor, cause: Cause, account_id: int, token: bytes) -> Movement:
        """Let a medium pay from another account; it is its owner's from then on, if there is one.

        Raises: CommandRefused already_in: the rider has to leave first. CommandError.
        """
        await self._access.require(actor, account_id, Scope.MEDIA_WRITE)
        shown = await self._commands.read("medium_show", token=token)
        await self._access.require(actor, shown["account_id"], Scope.MEDIA_WRITE)
        made = await self._commands.move(
            actor, cause, "medium_move", account_id=account_id, token=token
        )
        await asyncio.to_thread(self._links.unlink_medium, actor, token)
        await self._keep(actor, account_id, token, shown["kind"], "")
        return made

    async def _find_token(self, actor: Actor, account_id: int, named: Named) -> bytes:
        """The token, when it is a medium of this account. Raises: CommandError unknown_medium."""
        token = named.token
        if not token:
            for kept in await self._list_kept(actor, account_id):
                if kept.medium_id == named.medium_id:
                    token = kept.token
        if token:
            shown = await self._commands.read("medium_show", token=token)
            if shown["account_id"] == account_id:
                return token
        raise CommandError("unknown_medium", "the account has no such medium")
