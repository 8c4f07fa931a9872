"""A bank: refunds as payouts over its JSON interface, transfers in by statement and webhook."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from adapters.contract import (
    NOT_FOUND,
    AckResult,
    Adapter,
    AdapterInfo,
    Capability,
    CheckResult,
    Command,
    Context,
    Delivery,
    Domain,
    Event,
    Health,
    Meta,
    Money,
    NotFound,
    Outcome,
    Status,
)
from adapters.errors import Malformed, Refusal, Rejected
from adapters.funding.bank.settings import BankSettings
from adapters.funding.bank.statement import MAGIC, read_entry, read_statement
from adapters.http import Answer, HttpPeer, Request
from adapters.secret import read_secret
from adapters.webhook import check_signature

REFUSALS = {
    "insufficient_funds": Refusal.INSUFFICIENT,
    "amount_limit": Refusal.LIMIT,
    "account_blocked": Refusal.FROZEN,
    "account_unknown": Refusal.UNKNOWN_SUBJECT,
    "account_closed": Refusal.CLOSED,
    "duplicate_reference": Refusal.DUPLICATE,
}
"""The bank's words for no; one that is not here becomes OTHER, with its word as the code."""

STATES = {"booked": Status.DONE, "queued": Status.PENDING}


class BankAdapter(Adapter[BankSettings]):
    """One account of ours at one bank. A refund's subject is the account it goes to."""

    info = AdapterInfo(
        name="bank",
        version="1",
        domain=Domain.FUNDING,
        capabilities=frozenset({Capability.REFUND, Capability.INBOUND}),
        delivery=Delivery.ASYNC,
        pii_fields=frozenset({"name"}),
    )
    config_model = BankSettings
    bench = "adapters.funding.bank.bench:BankBench"

    def __init__(self, config: BankSettings) -> None:
        super().__init__(config)
        self._peer = HttpPeer(config.url, timeout_s=config.timeout_s, connect_s=config.connect_s)

    async def open(self, context: Context) -> None:
        token = read_secret(self.config.token_file)
        await self._peer.open({"Authorization": f"Bearer {token}"})

    async def check(self) -> CheckResult:
        return await self._peer.check(Request("GET", "/v1/status"))

    async def close(self) -> None:
        await self._peer.close()

    def health(self) -> Health:
        return self._peer.health()

    # --- refunds ------------------------------------------------------------------------------

    def validate(self, command: Command) -> None:
        super().validate(command)
        if command.money is None or command.money.amount_minor == 0 or not command.subject:
            raise Malformed("a refund needs an amount and the account it goes to")
        if command.money.currency != self.config.currency:
            raise Rejected(Refusal.NOT_SUPPORTED, f"our account is in {self.config.currency}")

    async def execute(self, command: Command) -> Outcome:
        money = command.money or Money(0, self.config.currency)
        message = {
            "reference": command.key,
            "from": self.config.account,
            "to": command.subject,
            "name": command.facts.get("name", ""),
            "amount_minor": money.amount_minor,
            "currency": money.currency,
        }
        return await self._order("/v1/payouts", command.key, message)

    async def query(self, key: str) -> Outcome | NotFound:
        answer = await self._peer.send(
            Request("GET", f"/v1/orders?reference={quote(key, safe='')}")
        )
        said = answer.json()
        if answer.status == 404 and said.get("reference") == key and said.get("known") is False:
            return NOT_FOUND
        return _outcome(answer, said, key)

    async def compensate(self, command: Command, outcome: Outcome) -> Outcome:
        key = f"{command.key}:undo"
        return await self._order("/v1/recalls", key, {"reference": key, "recalls": command.key})

    async def _order(self, path: str, key: str, message: dict[str, Any]) -> Outcome:
        answer = await self._peer.send(Request.post_json(path, message, {"Idempotency-Key": key}))
        return _outcome(answer, answer.json(), key)

    # --- transfers in -------------------------------------------------------------------------

    def parse(self, raw: bytes, meta: Meta) -> list[Event]:
        if not meta.by_hand:
            key = read_secret(self.config.webhook_key_file)
            age_s, now_us = self.config.webhook_age_s, meta.received_us
            check_signature(key, meta.headers, raw, now_us=now_us, age_max_s=age_s)
        if raw.lstrip(b"\xef\xbb\xbf").startswith(MAGIC.encode()):
            return [entry.as_event() for entry in read_statement(raw, self.config)]
        return [self._webhook(raw)]

    def _webhook(self, raw: bytes) -> Event:
        try:
            message = json.loads(raw)
        except (ValueError, UnicodeDecodeError) as error:
            raise Malformed("neither a statement nor JSON") from error
        entry = message.get("entry") if isinstance(message, dict) else None
        if not isinstance(entry, dict) or message.get("type") != "entry.booked":
            raise Malformed("a message is {type: entry.booked, account, entry: {...}}")
        if message.get("account") != self.config.account:
            raise Malformed("a message about another account")
        return read_entry(entry, self.config).as_event()

    def ack(self, result: AckResult, raw: bytes) -> bytes:
        return json.dumps({"result": result.value}).encode()


def _outcome(answer: Answer, said: dict[str, Any], key: str) -> Outcome:
    """The bank's words to ours. An answer about another reference says nothing about this one."""
    if said.get("reference") != key:
        raise answer.not_understood("about another reference")
    state = str(said.get("state"))
    if state == "refused" and answer.status in (200, 422):
        word = str(said.get("reason"))[:40]
        refusal = REFUSALS.get(word, Refusal.OTHER)
        if answer.status == 422:
            raise Rejected(refusal, word, peer_code=word)
        return Outcome(Status.REJECTED, refusal=refusal, detail=word, raw_digest=answer.digest)
    if answer.status != 200 or state not in STATES:
        raise answer.not_understood("no state that is known")
    try:
        money = Money(said["amount_minor"], said["currency"])
        order = str(said["order_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise answer.not_understood(type(error).__name__) from error
    return Outcome(STATES[state], order, money=money, raw_digest=answer.digest)
