"""verify, show, audit, backup and the check of simulated runs, the journal in a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpath import _journal as codec
from fastpath.types import TapKind
from gateway.backup import BackupError, make_backup, restore_backup
from gateway.bootstrap import audit_journal, build_registry, verify_configured
from gateway.config import Config, load_config
from gateway.engine.recovery import build_memory
from gateway.engine.snapshotter import Follower, Schedule, Snapshotter
from gateway.errors import JournalError, SnapshotError
from gateway.journal.records import ShowFilter, show_records
from gateway.journal.valkey import ValkeyJournal, ValkeyOptions
from gateway.journal.valkey_verify import VerifiedStream, verify_stream
from gateway.journals import open_reader
from gateway.simulate.examine import read_journal
from tests.support.journals import Bank, fill
from tests.support.plane import load_settings, make_folder, running
from tests.support.valkey import Pair, needs_server, started

pytestmark = needs_server
REPO = Path(__file__).parents[2]
names = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with started(tmp_path_factory.mktemp("valkey")) as servers:
        yield servers


@pytest.fixture
def options(shared: Pair) -> ValkeyOptions:
    return shared.options(f"tools-{next(names)}")


def verify(options: ValkeyOptions) -> VerifiedStream:
    reader = ValkeyJournal.open_reader(options)
    try:
        return verify_stream(reader)
    finally:
        reader.close()


def make_stream(options: ValkeyOptions, groups: int, terms: int = 1) -> list[bytes]:
    made: list[bytes] = []
    bank = Bank()
    for _ in range(terms):
        journal = ValkeyJournal.open(options, takeover=True)
        made += fill(journal, groups, bank)
        journal.close()
    return made


# --- verify and show ------------------------------------------------------------------------------


def test_a_sound_stream(options: ValkeyOptions) -> None:
    made = make_stream(options, 7, terms=3)
    found = verify(options)
    assert found.findings == []
    assert (found.group_count, found.term_count, found.first_position) == (21, 3, 4096)
    assert found.totals.record_count == 63
    assert found.next_seq == 64
    assert found.end_position == codec.view_group(made[-1]).position + len(made[-1])
    json.dumps(found.as_dict())


def test_nothing_to_verify(options: ValkeyOptions) -> None:
    with pytest.raises(JournalError) as caught:
        verify(options)
    assert caught.value.code == "JOURNAL_NOT_FOUND"


def test_every_damage_is_named_and_the_walk_goes_on(shared: Pair, options: ValkeyOptions) -> None:
    """The groups of a sound stream, laid into another one with three of them spoilt."""
    made = make_stream(options, 12)
    spoilt = shared.options(f"tools-{next(names)}")
    key = spoilt.key("groups")
    with shared.primary.client() as client:
        client.xadd(key, {"w": "x", "s": 0}, id="1-0")
        for number, group in enumerate(made):
            data = bytearray(group)
            position = codec.view_group(group).position
            if number == 3:
                continue  # missing
            if number == 6:
                data[200] ^= 1  # a flipped bit
            term = 3 if number > 8 else 1  # a term without a mark
            client.xadd(key, {"g": bytes(data)}, id=f"{term}-{position}")
    found = verify(spoilt)
    assert not found.is_sound
    places = [(one.fault, one.offset) for one in found.findings]
    at = [codec.view_group(group).position for group in made]
    assert places == [("group", at[4]), ("group", at[6]), ("mark", at[9])]
    assert found.group_count == 11


def test_a_trimmed_stream_is_sound_and_says_so(options: ValkeyOptions) -> None:
    made = make_stream(options, 8)
    reader = ValkeyJournal.open_reader(options)
    begin = codec.view_group(made[5]).position
    reader.trim(begin)
    found = verify_stream(reader)
    assert found.is_sound
    assert [(one.fault, one.severity, one.offset) for one in found.findings] == [
        ("trimmed", "note", begin)
    ]
    assert (found.first_position, found.group_count, found.next_seq) == (begin, 3, 25)
    shown = list(show_records(reader))
    assert [one["seq"] for one in shown] == list(range(16, 25))
    reader.close()


def test_show_and_its_filters(options: ValkeyOptions) -> None:
    make_stream(options, 10, terms=2)
    reader = ValkeyJournal.open_reader(options)
    every = list(show_records(reader))
    assert [one["seq"] for one in every] == list(range(1, 61))
    mine = list(show_records(reader, ShowFilter(account_id=3)))
    assert mine == [one for one in every if one["account_id"] == 3]
    begin, end = int(str(every[40]["position"])), int(str(every[50]["position"]))
    assert list(show_records(reader, ShowFilter(None, None, begin, end))) == every[40:50]
    assert list(show_records(reader, ShowFilter(limit=5))) == every[:5]
    assert list(show_records(reader, ShowFilter(None, None, 1 << 40))) == []
    reader.close()


# --- with a gateway -------------------------------------------------------------------------------


def settings(folder: Path, options: ValkeyOptions) -> Config:
    """A data folder whose journal is in these servers."""
    make_folder(folder)
    servers = json.dumps(list(options.servers))
    (folder / "gateway.toml").write_text(
        f'[link]\nport = 0\n[journal]\nkind = "valkey"\n[valkey]\nservers = {servers}\n'
        f'name = "{options.name}"\nleader_ttl_ms = 300\ntimeout_ms = 1000\n'
    )
    build_registry(load_settings(folder))
    return load_settings(folder)


async def serve_some(config: Config, first_token: int = 1) -> None:
    """A gateway that serves riders nobody has served before, and stops."""
    async with running(config) as gateway:
        gateway._tokens = itertools.count(first_token)
        gate = await gateway.gate(boot=first_token)
        for _ in range(6):
            _, token = await gateway.rider()
            for stop, kind in ((11, TapKind.CHECK_IN), (13, TapKind.CHECK_OUT)):
                await gate.tap(kind, token, stop)


@pytest.fixture
async def config(tmp_path: Path, options: ValkeyOptions) -> Config:
    made = await asyncio.to_thread(settings, tmp_path / "town", options)
    await serve_some(made)
    return made


def snapshot_now(config: Config) -> int:
    """What the snapshotter does; the position of the snapshot."""
    follower = Follower(build_memory(config.engine_limits()))
    journal = open_reader(config)
    try:
        snapshotter = Snapshotter(follower, config.snapshots.dir, Schedule(every_us=1))
        snapshotter.step(journal)
        snapshotter.write()
        return follower.position
    finally:
        journal.close()


async def test_what_a_gateway_wrote_is_verified_audited_and_read(config: Config) -> None:
    found = await asyncio.to_thread(verify_configured, config)
    assert found.is_sound
    report = await asyncio.to_thread(audit_journal, config)
    assert report.is_sound
    records = await asyncio.to_thread(lambda: list(read_journal(config)))
    assert report.records == len(records) == found.totals.record_count == 6 * 5


async def test_an_audit_of_a_trimmed_journal_begins_at_the_oldest_snapshot(
    config: Config, options: ValkeyOptions
) -> None:
    position = await asyncio.to_thread(snapshot_now, config)
    await serve_some(config, 100)
    reader = ValkeyJournal.open_reader(options)
    await asyncio.to_thread(reader.trim, position)
    report = await asyncio.to_thread(audit_journal, config)
    assert report.is_sound
    assert report.from_position == position
    assert report.records >= 6 * 5
    for path in config.snapshots.dir.iterdir():
        path.unlink()
    with pytest.raises(SnapshotError, match="holds no snapshot"):
        await asyncio.to_thread(audit_journal, config)
    await asyncio.to_thread(reader.close)


async def test_a_backup_becomes_a_gateway_on_files(config: Config, tmp_path: Path) -> None:
    await asyncio.to_thread(snapshot_now, config)
    await serve_some(config, 100)
    loaded = load_config(config.gateway.data_dir / "gateway.toml", env={})
    made = await asyncio.to_thread(make_backup, loaded, tmp_path / "backup")
    found = await asyncio.to_thread(verify_configured, config)
    assert (made.journal_position, made.next_seq) == (found.end_position, found.next_seq)
    secrets = config.gateway.data_dir / "secrets"
    restored = tmp_path / "restored"
    await asyncio.to_thread(restore_backup, tmp_path / "backup", restored, secrets=secrets)
    recount = [sys.executable, str(REPO / "examples" / "recount.py"), str(restored / "journal")]
    said = json.loads(await asyncio.to_thread(subprocess.check_output, recount))
    assert (said["records"], said["wrong"]) == (found.totals.record_count, [])
    again = load_settings(restored, link__port="0")
    assert again.journal.kind == "segments"
    async with running(again) as gateway:
        assert gateway.plane.recovery.snapshot_position > 0
        shown = [await gateway.account(number) for number in range(1, 13)]
        assert sum(account["balance_minor"] for account in shown) == said["balance_minor"]
        assert 0 < said["fare_minor"] == 12 * 5000 - said["balance_minor"]
        gateway._tokens = itertools.count(200)
        _, token = await gateway.rider()
        assert (await (await gateway.gate(2)).tap(TapKind.CHECK_IN, token, 11)).position
    assert (await asyncio.to_thread(verify_configured, again)).is_sound


async def test_a_backup_of_a_trimmed_stream_is_refused_with_a_way_out(
    config: Config, options: ValkeyOptions, tmp_path: Path
) -> None:
    position = await asyncio.to_thread(snapshot_now, config)
    reader = ValkeyJournal.open_reader(options)
    await asyncio.to_thread(reader.trim, position)
    await asyncio.to_thread(reader.close)
    loaded = load_config(config.gateway.data_dir / "gateway.toml", env={})
    with pytest.raises(BackupError, match="was trimmed") as caught:
        await asyncio.to_thread(make_backup, loaded, tmp_path / "backup")
    assert "append-only" in caught.value.hint
