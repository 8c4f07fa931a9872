"""What the conformance kit needs to know about the bank."""

from __future__ import annotations

from typing import Any

from adapters.contract import Capability, Command, Meta, Money
from adapters.errors import Refusal
from adapters.funding.bank.adapter import BankAdapter
from adapters.funding.bank.reference import build_reference
from adapters.funding.bank.settings import BankSettings
from adapters.funding.bank.simulator import (
    ACCOUNT,
    CLOSED_ACCOUNT,
    TOKEN,
    WEBHOOK_KEY,
    BankRemote,
    Movement,
    signed,
    statement,
    webhook,
)
from adapters.testing.bench import Bench, Inbound, Personal
from adapters.testing.files import BenchFolder

NOW_US = 1_790_000_000_000_000


class BankBench(Bench):
    """The adapter and a bank."""

    def __init__(self) -> None:
        super().__init__(BankRemote())
        self._folder = BenchFolder()
        self._token_file = self._folder.secret("token", TOKEN)
        self._key_file = self._folder.secret("key", WEBHOOK_KEY)

    def dispose(self) -> None:
        self._folder.cleanup()

    def make_adapter(self) -> BankAdapter:
        return BankAdapter(BankSettings.model_validate(self.good_settings()))

    def good_settings(self) -> dict[str, Any]:
        return {
            "url": self.remote.url or "http://127.0.0.1:1",
            "account": ACCOUNT,
            "token_file": self._token_file,
            "webhook_key_file": self._key_file,
            "timeout_s": 1.5,
            "connect_s": 1.5,
        }

    def bad_settings(self) -> list[dict[str, Any]]:
        good = self.good_settings()
        bad: list[dict[str, Any]] = [
            {"url": "bank"},
            {"currency": 0},
            {"timeout_s": 0},
            {"account": ""},
        ]
        without = {name: value for name, value in good.items() if name != "token_file"}
        return [*(good | one for one in bad), without]

    def command(self, key: str) -> Command:
        return Command(key, Capability.REFUND, "DE-77-1", Money(1250, 156))

    def refused(self, key: str) -> tuple[Command, Refusal]:
        return Command(key, Capability.REFUND, CLOSED_ACCOUNT, Money(1, 156)), Refusal.CLOSED

    def personal(self, key: str) -> Personal:
        facts = {"name": "Han Meimei"}
        command = Command(key, Capability.REFUND, "DE-99-1234", Money(1, 156), facts=facts)
        return Personal(command, ("Han Meimei", "DE-99-1234", TOKEN))

    def inbound(self) -> list[Inbound]:
        own = Movement("E-1", 5000, f"top-up {build_reference(1001)}")
        back = Movement("E-2", 5000, "", "debit", "E-1")
        kinds = ("bank_credit", "bank_return")
        bodies = [(statement(own, back), kinds), (webhook(own), kinds[:1])]
        return [self._inbound(raw, kinds) for raw, kinds in bodies]

    def _inbound(self, raw: bytes, kinds: tuple[str, ...]) -> Inbound:
        good = Meta("bank", NOW_US, signed(raw, NOW_US))
        changed = raw.replace(b"5000", b"9000")
        forged = (
            (raw, Meta("bank", NOW_US)),
            (raw, Meta("bank", NOW_US, signed(raw, NOW_US, "key-of-somebody-else"))),
            (raw, Meta("bank", NOW_US, signed(raw, NOW_US - 400_000_000))),
            (changed, good),
        )
        return Inbound(raw, good, kinds, forged)
