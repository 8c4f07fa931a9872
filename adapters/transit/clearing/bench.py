"""What the conformance kit needs to know about a clearing house."""

from __future__ import annotations

import datetime
from typing import Any

from adapters.contract import Capability, Command
from adapters.errors import Refusal
from adapters.testing.bench import Bench, Personal
from adapters.testing.files import BenchFolder
from adapters.transit.clearing.adapter import ClearingAdapter
from adapters.transit.clearing.exchange import digest_of
from adapters.transit.clearing.settings import ClearingSettings
from adapters.transit.clearing.simulator import HOUSE, TOKEN, US, ClearingRemote


class ClearingBench(Bench):
    """The adapter over HTTP, and a house that takes any file."""

    can_undo = False
    stream_kind = "files"

    def __init__(self) -> None:
        self._remote = ClearingRemote(opaque=True)
        super().__init__(self._remote)
        self._folder = BenchFolder()
        self._token_file = self._folder.secret("token", TOKEN)

    def dispose(self) -> None:
        self._folder.cleanup()

    def make_adapter(self) -> ClearingAdapter:
        return ClearingAdapter(ClearingSettings.model_validate(self.good_settings()))

    def good_settings(self) -> dict[str, Any]:
        return {
            "sender": US,
            "receiver": HOUSE,
            "url": self.remote.url or "http://127.0.0.1:1",
            "token_file": self._token_file,
            "timeout_s": 1.5,
            "connect_s": 1.5,
        }

    def bad_settings(self) -> list[dict[str, Any]]:
        good = self.good_settings()
        bad: list[dict[str, Any]] = [
            {"folder": "both"},
            {"url": None},
            {"token_file": None},
            {"sender": "city"},
            {"charset": "latin1"},
            {"day_starts": "25:00"},
        ]
        return [good | one for one in bad]

    def command(self, key: str) -> Command:
        return self._file(key, f"fares of {key}".encode())

    def refused(self, key: str) -> tuple[Command, Refusal]:
        return self._file(key, b"refuse me"), Refusal.NOT_ELIGIBLE

    def personal(self, key: str) -> Personal:
        data = b"taps of 3f" + b"7a" * 15
        return Personal(self._file(key, data), ("7a" * 15, TOKEN))

    def add_records(self, count: int) -> None:
        house = self._remote.house
        for _ in range(count):
            house.deny(datetime.date(2026, 11, 28))

    def _file(self, key: str, data: bytes) -> Command:
        path = self._folder.path / key
        path.write_bytes(data)
        facts = {"name": key, "path": str(path), "digest": digest_of(data)}
        return Command(key, Capability.SEND_FILE, facts=facts)
