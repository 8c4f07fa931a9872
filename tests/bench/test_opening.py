from __future__ import annotations

from pathlib import Path

import pytest

from fastpath.api import StoreHandle
from gateway.bench.fsync import find_filesystem, measure_fsync
from gateway.bench.opening import BALANCE_MINOR, open_accounts, open_by_snapshot
from gateway.bench.options import BenchOptions
from gateway.bench.own_gateway import add_devices, data_folder
from gateway.bootstrap import build_devices
from gateway.config import Config
from gateway.control.views import account_as_dict, medium_as_dict
from gateway.engine.recovery import build_memory, recover
from gateway.errors import ConfigError, EnvironmentFault
from gateway.journal.segments import SegmentJournal, SegmentOptions

SMALL_GROUPS = (("engine.group_records_max", "16"), ("journal.segment_mib", "16"))


def test_the_journal_gives_every_account_its_balance_and_medium(tmp_path: Path) -> None:
    memory = StoreHandle()
    options = BenchOptions(connections=1, accounts=40, folder=tmp_path, settings=SMALL_GROUPS)
    with data_folder(options) as folder:
        opened = open_accounts(folder.config, 40)
        journal = SegmentJournal.open(folder.config.journal.dir, read_only=True)
        groups = [memory.apply_group(bytes(group)) for group in journal.read(0)]
        assert opened.position == journal.head().position
        journal.close()
    assert len(groups) == -(-40 * 3 // 16)
    assert (memory.account_count, memory.medium_count) == (40, 40)
    for account_id in range(1, 41):
        account = account_as_dict(memory.account(account_id) or b"")
        medium = medium_as_dict(memory.medium(opened.tokens[account_id * 16 - 16 :][:16]) or b"")
        assert account["balance_minor"] == BALANCE_MINOR
        assert medium["account_slot"] == memory.account_slot(account_id)


def test_a_data_folder_is_removed_unless_it_is_kept(tmp_path: Path) -> None:
    with data_folder(BenchOptions(folder=tmp_path)) as folder:
        assert folder.config.gateway.data_dir.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    with data_folder(BenchOptions(folder=tmp_path, keep=True)):
        pass
    assert len(list(tmp_path.iterdir())) == 1


def test_memory_is_no_disk() -> None:
    if find_filesystem(Path("/dev/shm")) != "tmpfs":
        pytest.skip("/dev/shm is not a tmpfs here")
    with (
        pytest.raises(EnvironmentFault, match="tmpfs"),
        data_folder(BenchOptions(folder=Path("/dev/shm"))),
    ):
        pass


def test_devices_are_entered_for_the_tariff_s_slot(tmp_path: Path) -> None:
    with data_folder(BenchOptions(folder=tmp_path)) as folder:
        assert add_devices(folder.config, 5) == range(1, 6)
        devices = build_devices(folder.config).list_all()
    assert [(d.device_id, d.tariff_slot, d.stop_id) for d in devices] == [
        (number, 1, 0) for number in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"connections": 0}, "connections"),
        ({"connections": 11, "accounts": 10}, "connections"),
        ({"seconds": 0}, "seconds"),
        ({"batch": 257}, "batch"),
        ({"rate": -1}, "rate"),
        ({"pipeline": 0}, "pipeline"),
        ({"mac": "crc32"}, "mac"),
        ({"opening": "memory"}, "opening"),
        ({"denied": 1}, "denied"),
    ],
)
def test_options_that_make_no_run_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BenchOptions(**wrong)  # type: ignore[arg-type]
    assert any(finding.startswith(said) for finding in refused.value.findings)


def test_bare_writes_are_measured_and_leave_nothing(tmp_path: Path) -> None:
    taken = measure_fsync(tmp_path, block_bytes=8192, seconds=0.05)
    assert 0 < taken.percentile(500) <= taken.percentile(990) <= taken.greatest
    assert list(tmp_path.iterdir()) == []


def test_a_filesystem_is_found_by_its_longest_mount() -> None:
    assert find_filesystem(Path("/proc/self")) == "proc"
    assert find_filesystem(Path("/")) not in {"proc", "unknown"}


def test_a_snapshot_gives_every_account_its_balance_and_medium(tmp_path: Path) -> None:
    options = BenchOptions(connections=1, accounts=40, folder=tmp_path, settings=SMALL_GROUPS)
    with data_folder(options) as folder:
        config = folder.config
        opened = open_by_snapshot(config, 40, denied=5)
        memory = build_memory(config.engine_limits())
        found = recover(memory, config.snapshots.dir, lambda *_: open_writer(config))
        found.journal.close()
    assert (memory.account_count, memory.medium_count) == (40, 45)
    assert memory.denylist_version == 5
    assert found.records == 0
    assert found.snapshot_position == opened.position
    for account_id in range(1, 41):
        account = account_as_dict(memory.account(account_id) or b"")
        medium = medium_as_dict(memory.medium(opened.tokens[account_id * 16 - 16 :][:16]) or b"")
        assert account["balance_minor"] == BALANCE_MINOR
        assert medium["account_slot"] == memory.account_slot(account_id)
        assert medium["state"] == "active"
    states = {
        medium_as_dict(memory.medium(opened.denied[at:][:16]) or b"")["state"]
        for at in range(0, 80, 16)
    }
    assert states == {"denylisted"}


def open_writer(config: Config) -> SegmentJournal:
    size = config.journal.segment_mib << 20
    return SegmentJournal.open(
        config.journal.dir, SegmentOptions(size, config.engine.group_bytes_max)
    )
