"""Taking a restored folder back to an instant: what was there then, and a journal that goes on."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.backup import make_backup
from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.journal.segments import SegmentJournal
from gateway.journal.verify import verify_journal
from gateway.point_in_time import PointInTimeError, take_back
from gateway.registry.store import open_registry
from gateway.wallet.stores.accounts import AccountStore, Ownership
from tests.control.commands import Cli, Gateway, make_folder
from tests.support.journals import SMALL, build_next


def instant(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[int]]:
    """Configuration, a backup, and the instants after which the balance was 1, 2, 3 ... yuan.

    Long enough for two segments of 8 MiB, so that a closed one can be open again.
    """
    folder = tmp_path_factory.mktemp("instants")
    config = make_folder(folder / "city")
    gateway = Gateway(config, "--set=snapshots.every_s=1")
    try:
        settings = load_config(config, env={}).config
        client = ControlClient(settings.control.socket)
        client.call("account_open", {"account_id": 1})
        instants = []
        for _ in range(4):
            client.call("credit", {"account_id": 1, "amount_minor": 100})
            time.sleep(0.7)  # a snapshot may come in between
            instants.append(time.time_ns() // 1000)
            for _ in range(5):
                client.exchange("debit", {"account_id": 1, "amount_minor": 5_000})  # refused
        opened = client.call("account_open", {})["account_id"]
        with closing(open_registry(settings.registry_path)) as registry:
            AccountStore(registry).add(Ownership(opened, "school", "", "op", 1))
        make_backup(load_config(config, env={}), folder / "backup")
    finally:
        gateway.stop()
    return config, folder / "backup", instants


@pytest.mark.parametrize("number", [0, 2])
def test_the_balance_is_that_of_then(
    history: tuple[Path, Path, list[int]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: int,
) -> None:
    config, backup, instants = history
    words = ["restore", str(backup), "--dir", str(tmp_path / "then")]
    words += ["--secrets", str(config.parent / "secrets"), "--until", instant(instants[number])]
    restored = Cli(capsys).ok(*words)
    assert restored["taken_back"]["last_us"] <= instants[number]
    assert restored["taken_back"]["records_dropped"] == (3 - number) * 6 + 5 + 1
    assert restored["fitted"] | {"accounts": 1, "rows": 1} == restored["fitted"]
    there = Cli(capsys, Path(restored["config"]))
    gateway = Gateway(Path(restored["config"]))
    try:
        assert there.ok("account", "show", "1")["balance"] == f"{number + 1}.00"
        there.ok("account", "credit", "1", "0.50")  # the journal goes on from there
        again = there.ok("account", "open")["account_id"]
        with closing(open_registry(tmp_path / "then" / "registry.sqlite")) as registry:
            now_of = AccountStore(registry).find(again)
            assert now_of is not None
            assert now_of.tenant_id == "", "not the school's of before"
    finally:
        assert gateway.stop() == 0
    verified = verify_journal(tmp_path / "then" / "journal")
    assert verified.is_sound, verified.findings


def test_before_the_beginning_there_is_nothing(
    history: tuple[Path, Path, list[int]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, backup, _ = history
    words = ["restore", str(backup), "--dir", str(tmp_path / "then")]
    error = Cli(capsys).fail(1, *words, "--until", "2020-01-01T00:00+00:00")
    assert error["code"] == "BACKUP_INSTANT"
    words = ["restore", str(backup), "--dir", str(tmp_path / "other"), "--until"]
    assert Cli(capsys).fail(2, *words, "yesterday")["code"] == "USAGE_INVALID"
    assert Cli(capsys).fail(2, *words, "2026-01-01T00:00")["code"] == "USAGE_INVALID"


def test_a_closed_segment_is_open_again(tmp_path: Path) -> None:
    """Cut in a segment that had a successor: its root goes, the rest of it is zeros."""
    journal = SegmentJournal.open(tmp_path / "journal", SMALL)
    ends = []
    for number in range(60):
        position, group = build_next(journal, ts_us=1_790_000_000_000_000 + number)
        journal.append(position, group)
        ends.append(position + len(group))
    journal.close()
    assert len(list((tmp_path / "journal").glob("*.root"))) > 2
    point = take_back(tmp_path, 1_790_000_000_000_020)
    assert (point.position, point.groups_kept, point.groups_dropped) == (ends[20], 21, 39)
    verified = verify_journal(tmp_path / "journal")
    assert verified.is_sound, verified.findings
    assert verified.end_position == ends[20]
    again = SegmentJournal.open(tmp_path / "journal", SMALL)
    position, group = build_next(again)
    again.append(position, group)
    again.close()
    with pytest.raises(PointInTimeError):
        take_back(tmp_path, 1)
