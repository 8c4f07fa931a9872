"""Whose keys call the API in tests, and hands to call it with."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from multidict import CIMultiDictProxy

from gateway.apiplane import build_api
from gateway.bootstrap import build_access, build_ledger
from gateway.config import Config
from gateway.http.app import build_app
from gateway.journals import open_reader
from gateway.ledger.projector import build_projector
from gateway.observability.page import PageReader
from gateway.registry.actors import Actor
from gateway.registry.credentials import NewCredential
from gateway.registry.scopes import CEILINGS, Scope, TenantKind
from gateway.registry.tenants import Merchant, Tenant

SYSTEM = Actor.system("test")


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def code(self) -> str:
        return str(self.body["code"])


class Caller:
    """One key that calls the API."""

    def __init__(self, town: Town, token: str) -> None:
        self.town = town
        self.token = token

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Said:
        """One request. key: "" = a fresh one for POST, None = none."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method == "POST" and key is not None:
            sent["Idempotency-Key"] = key or self.town.fresh_key()
        sent |= headers or {}
        more: dict[str, Any] = {"json": body} if body is not None else {}
        if data is not None:
            more = {"data": data}
        async with self.town.session.request(
            method, self.town.url + path, headers=sent, **more
        ) as answer:
            json = "json" in answer.content_type
            said = await answer.json() if json else await answer.text()
            return Said(answer.status, said, answer.headers)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """A request that has to succeed; its body."""
        said = await self(method, path, body, **more)
        assert 200 <= said.status < 300, said
        return said.body

    async def account(self, amount_minor: int = 0, **body: Any) -> int:
        """A new account with money in it; its number."""
        made = await self.ok("POST", "/v1/accounts", body)
        account_id: int = made["account_id"]
        if amount_minor:
            order = {"amount_minor": amount_minor, "reference": f"test-{account_id}"}
            await self.ok("POST", f"/v1/accounts/{account_id}/credits", order)
        return account_id

    async def balance(self, account_id: int) -> int:
        shown = await self.ok("GET", f"/v1/accounts/{account_id}")
        balance: int = shown["balance_minor"]
        return balance


class Town:
    """A city, an operator, a school and a hospital with their keys; the application they call."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.access = build_access(config)
        self.ledger = build_ledger(config)
        self._keys = itertools.count(1)
        for kind in TenantKind:
            self.access.tenants.add(SYSTEM, Tenant(str(kind), kind, f"a {kind}"))
        self.merchant = self.access.tenants.add_merchant(SYSTEM, Merchant(0, "school", "canteen"))
        self.api = build_api(config, self.access, self.ledger)
        self.app = build_app(config, PageReader(config.page_path), self.api)
        self.city = self.caller(TenantKind.CITY)
        self.school = self.caller(TenantKind.SCHOOL)
        self.hospital = self.caller(TenantKind.HOSPITAL)
        self.anybody = Caller(self, "")

    def caller(self, kind: TenantKind, scopes: frozenset[Scope] | None = None) -> Caller:
        """A fresh key of a tenant, with all scopes it may have."""
        wanted = NewCredential(str(kind), scopes or CEILINGS[kind], "somebody")
        return Caller(self, self.access.credentials.create(SYSTEM, wanted).token)

    def begin(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def agreed(self, path: str, body: Any, **more: Any) -> Any:
        """What needs four eyes: asked for by the city, agreed to by another, asked for again."""
        key = self.fresh_key()
        said = await self.city("POST", path, body, key=key, **more)
        assert (said.status, said.code) == (409, "APPROVAL_NEEDED"), said
        other = Actor.system("somebody-else")
        await asyncio.to_thread(self.access.approvals.approve, other, said.body["approval_id"])
        return await self.city("POST", path, body, key=key, **more)

    def project(self) -> None:
        """Bring the ledger up to the journal. Blocking."""
        journal = open_reader(self.config)
        try:
            projector = build_projector(self.config, self.ledger, journal)
            projector.start()
            while projector.step():
                pass
        finally:
            journal.close()

    def fresh_key(self) -> str:
        return f"key-{next(self._keys)}"
