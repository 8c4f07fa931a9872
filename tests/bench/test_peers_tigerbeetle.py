"""TigerBeetle as a peer, against a scripted client and a scripted program: no server is needed, and
none was ever met here.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import peers_tigerbeetle as peer
from benchmarks.peers_common import Scope, Skip

MODULE = """
import asyncio
from types import SimpleNamespace
CreateAccountStatus = CreateTransferStatus = SimpleNamespace(CREATED=1)
Transfer = SimpleNamespace
def id():
    return 1
class ClientAsync:
    def __init__(self, cluster_id, replica_addresses):
        assert replica_addresses == "127.0.0.1:4711", replica_addresses
    async def __aenter__(self):
        return self
    async def __aexit__(self, *_):
        pass
    async def create_transfers(self, transfers):
        assert all(t.amount == 300 and 1 <= t.debit_account_id <= 9 for t in transfers)
        await asyncio.sleep(0.001)
        return [SimpleNamespace(status=1) for _ in transfers]
"""


class Ledger:
    """A scripted tigerbeetle package: keeps what it is asked to make."""

    CreateAccountStatus = CreateTransferStatus = SimpleNamespace(CREATED=1)
    AccountFlags = SimpleNamespace(DEBITS_MUST_NOT_EXCEED_CREDITS=2)
    Account = Transfer = SimpleNamespace

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.accounts: list[Any] = []
        self.transfers: list[Any] = []
        self.sizes: list[int] = []
        self._ids = iter(range(1, 1 << 40))

    def id(self) -> int:
        return next(self._ids)

    def ClientSync(self, cluster_id: int, replica_addresses: str) -> Ledger:
        return self

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None: ...

    def _take(self, kept: list[Any], events: list[Any]) -> list[Any]:
        self.sizes.append(len(events))
        kept += events
        return [SimpleNamespace(status=1 if len(kept) != self.refused else 9) for _ in events]

    def create_accounts(self, events: list[Any]) -> list[Any]:
        return self._take(self.accounts, events)

    def create_transfers(self, events: list[Any]) -> list[Any]:
        return self._take(self.transfers, events)


def scope(folder: Path) -> Scope:
    return Scope(accounts=9, seconds=0.2, warmup_s=0.0, folder=folder)


def program(folder: Path, script: str) -> Path:
    path = folder / "tigerbeetle"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def only_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_every_rider_has_an_account_that_cannot_go_below_nothing_and_money() -> None:
    ledger, riders = Ledger(), peer.EVENTS_MAX + 5
    peer.fill(ledger, 1, riders)
    assert [account.id for account in ledger.accounts] == [peer.OPERATOR, *range(1, riders + 1)]
    assert {getattr(account, "flags", 0) for account in ledger.accounts[1:]} == {2}
    assert [transfer.credit_account_id for transfer in ledger.transfers] == [*range(1, riders + 1)]
    assert {transfer.amount for transfer in ledger.transfers} == {peer.BALANCE_MINOR}
    assert len({transfer.id for transfer in ledger.transfers}) == riders
    assert max(ledger.sizes) <= peer.EVENTS_MAX


def test_a_refused_event_skips_the_peer() -> None:
    with pytest.raises(Skip, match="refused an event"):
        peer.fill(Ledger(refused=10), 1, 10)


def test_without_the_program_it_is_skipped_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(Skip, match="no tigerbeetle on PATH"),
        peer.open_tigerbeetle(scope(tmp_path)),
    ):
        raise AssertionError


def test_without_its_client_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "exit 0")
    only_here(monkeypatch, tmp_path)
    monkeypatch.setattr(peer.importlib.util, "find_spec", lambda _: None)
    with (
        pytest.raises(Skip, match="package tigerbeetle is not installed"),
        peer.open_tigerbeetle(scope(tmp_path)),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no room >&2; exit 1", "no room"),
        ('[ "$1" = format ] && exit 0; echo cannot listen; exit 1', "cannot listen"),
    ],
    ids=["format", "start"],
)
def test_a_server_that_does_not_come_up_is_skipped_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program(tmp_path, script)
    only_here(monkeypatch, tmp_path)
    monkeypatch.setattr(peer.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(Skip, match=said), peer.open_tigerbeetle(scope(tmp_path)):
        raise AssertionError


def test_the_load_generator_as_the_peer_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tigerbeetle.py").write_text(MODULE)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    found = peer.TigerBeetlePeer(scope(tmp_path), 4711, "tigerbeetle").measure("c50_batch32")
    assert found.per_s > 0
    assert 0 < found.p50_us <= found.p99_us
    assert found.client_cpu > 0


def test_it_says_which_version_it_was(tmp_path: Path) -> None:
    path = program(tmp_path, "echo TigerBeetle version 0.17.9")
    about = peer.TigerBeetlePeer(scope(tmp_path), 4711, str(path)).about()
    assert about["version"] == "TigerBeetle version 0.17.9"
