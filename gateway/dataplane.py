"""The data plane's process: one thread, one loop; engine, journal, validator link and control
socket put together.

Start: recover, load tariffs and devices, listen, freeze the garbage collector. Stop (SIGTERM):
refuse new connections, let what is decided become durable and be told, then end. It loads no HTTP
and asks no database while it serves; the registry is read once, at the start.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastpath.api import Book, CompiledTariff, Engine, LimitBook, denied_tokens
from fastpath.types import ENGINE_VERSION, STRUCT_VERSION
from gateway import clock
from gateway.config import Config, ControlConfig
from gateway.control.desk import Desk, PlaneCalls, limits_as_dict
from gateway.control.operations import Ceilings
from gateway.control.server import ControlServer
from gateway.engine.commit import CommitPace, GroupCommit
from gateway.engine.holds import HoldClock
from gateway.engine.recovery import Recovery, build_memory, recover
from gateway.errors import Fenced, JournalError, TariffError
from gateway.journal.layout import SegmentOptions
from gateway.journal.scan import Witness
from gateway.journal.segments import SegmentJournal
from gateway.journals import open_valkey
from gateway.keys import Secrets, check_private, load_secrets
from gateway.ledger.mark import find_mark
from gateway.limits.store import LimitStore
from gateway.link.codes import Algorithm
from gateway.link.denylist import Denylist
from gateway.link.devices import DeviceBook, DeviceEntry
from gateway.link.server import STRANGERS_SPARE, SWEEPS_PER_S, LinkServer, LinkSettings
from gateway.link.service import LinkState, LoadedTariff, signer, tariff_message
from gateway.observability import page as slots
from gateway.observability.page import DiskState, Page, PlaneState
from gateway.open_files import raise_limit
from gateway.readiness import EXIT_FENCED, EXIT_JOURNAL_BROKEN, tell_ready
from gateway.tariffs.store import TariffStore
from gateway.tuning import freeze_heap

if TYPE_CHECKING:
    from gateway.engine.standby import Followed
    from gateway.journal.files import FileOps
    from gateway.journal.port import Journal

log = logging.getLogger(__name__)

TICK_S = 1 / SWEEPS_PER_S
DRAIN_GRACE_S = 0.1
"""How long bytes already under way to us may take to arrive when draining."""
GOODBYE_S = 0.02
FILES_SPARE = 256
"""Open files beside connections: the journal's, the control socket's clients, a snapshot."""
PAST_RETENTION = "JOURNAL_PAST_RETENTION"
KEPT_VERSIONS = 7
WINDOW_HEAD = struct.Struct("<QQII")
"""The first fields of a BootWindow (fastpath/layout.h): device, boot, top_seq, acked_seq."""

MAC_NAMES = {"hmac-sha256": Algorithm.HMAC_SHA256, "blake2b": Algorithm.BLAKE2B}
PAGE_SLOTS = (
    *(slots.TAPS, slots.COMMANDS, slots.LATENCY, slots.LATENCY_SUM_US),
    *(slots.DUPLICATES, slots.FRAME_ERRORS),
)
DISK_STATES = {"ok": DiskState.OK, "warn": DiskState.WARN, "refuse_commands": DiskState.NO_COMMANDS}


class Trail(Protocol):
    """Where it is written down who changed the plane itself (gateway/registry/trail.py)."""

    def note(self, actor: str, action: str, subject: str, facts: Mapping[str, object]) -> None:
        """It was done; written down soon."""

    async def close(self) -> None:
        """Wait until it is written."""


class DataPlane:
    """Everything of one data plane. Made by `build`, run by `run`."""

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        page: Page,
        *,
        files: FileOps | None = None,
        followed: Followed | None = None,
        trail: Trail | None = None,
    ) -> None:
        """files: what the journal's disk is made of; None = the machine's own.
        followed: memory that a standby has kept up to date; None = recover.
        trail: None = who changed what is in the log only.
        """
        self.config = config
        self._trail = trail
        self._files = files
        self.page = page.slots
        self.signing_key = Ed25519PrivateKey.from_private_bytes(secrets.signing_seed)
        self.book = Book()
        limits = config.engine_limits()
        self.memory = followed.memory if followed is not None else build_memory(limits)
        self.devices = DeviceBook(secrets.master_key)
        self.store = TariffStore(config.gateway.data_dir / "tariffs")
        self.limits = LimitStore(config.limits_dir)
        self.recovery: Recovery = (
            followed.recovery
            if followed is not None
            else recover(self.memory, config.snapshots.dir, self._open_journal)
        )
        self.journal: Journal = self.recovery.journal
        self.engine = Engine(
            self.memory,
            self.book,
            limits,
            read_record=self._read_record,
            page=self.page,
            page_slots=PAGE_SLOTS,
            waiting_max=config.link.queue_taps_max,
            turn_max_us=int(config.link.turn_max_ms * 1000),
        )
        self.state = LinkState(
            denylist=Denylist(self.memory.denylist_version, denied_tokens(self.memory)),
            clock=clock.now_us,
            sign=signer(self.signing_key),
            acked_seq=lambda device, boot: self._window(device, boot)[3],
            next_seq=lambda device, boot: self._window(device, boot)[2] + 1,
        )
        self.link = LinkServer(
            _link_settings(config), self.engine, self.devices, self.state, self.page
        )
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self._disk_checked = 0.0
        self._disk_unknown = False
        self._tell_page()

    def _open_journal(self, from_position: int, witnesses: tuple[Witness, ...]) -> Journal:
        mark = find_mark(self.config.ledger_mark_path)
        if mark is not None:
            witnesses += (Witness("the ledger", mark.position, mark.chain_hash),)
        if self.config.journal.kind == "valkey":
            return open_valkey(self.config, witnesses=witnesses)
        journal = SegmentJournal.open(
            self.config.journal.dir,
            self.journal_options(),
            from_position=from_position,
            witnesses=witnesses,
            files=self._files,
        )
        cut = journal.recovery.cut
        if cut is not None:
            self.page[slots.RECOVERED_CUT_BYTES] = cut.size_bytes
            log.warning(
                "torn_tail_cut",
                extra={"file": cut.path, "offset": cut.offset, "bytes": cut.size_bytes},
            )
        return journal

    def journal_options(self) -> SegmentOptions:
        """Layout and key of the journal."""
        return SegmentOptions(
            segment_bytes=self.config.journal.segment_mib << 20,
            group_bytes_max=self.config.engine.group_bytes_max,
            signing_key=self.signing_key,
            reserve=self.config.journal.reserve_segments,
        )

    def _read_record(self, position: int) -> bytes:
        """A durable record for the engine; nothing when it is past retention."""
        try:
            return self.journal.read_record(position)
        except JournalError as error:
            if error.code == PAST_RETENTION:
                return b""
            raise

    def _window(self, device_id: int, boot: int) -> tuple[int, ...]:
        data = self.memory.window(device_id, boot)
        return WINDOW_HEAD.unpack_from(data) if data is not None else (device_id, boot, 0, 0)

    # --- tariffs and devices
    # --------------------------------------------------------------------------------

    def load_tariffs(self, compiled: list[tuple[int, CompiledTariff]]) -> None:
        """Put every kept version and the configured ones into the book."""
        for slot, tariff in compiled:
            self.store.put(slot, tariff)
        # The configured ones come last: they take the place of a kept one with the same valid_from.
        for slot, tariff in [*self._newest_kept(), *compiled]:
            self._put_tariff(slot, tariff)

    def _newest_kept(self) -> list[tuple[int, CompiledTariff]]:
        """What is kept from before: as many versions as a slot has places, less one."""
        kept: dict[int, dict[int, CompiledTariff]] = {}
        for slot, tariff in self.store.list():
            kept.setdefault(slot, {})[tariff.valid_from_us] = tariff
        return [
            (slot, versions[valid_from])
            for slot, versions in kept.items()
            for valid_from in sorted(versions)[-KEPT_VERSIONS:]
        ]

    def load_tariff(self, slot: int, digest: str) -> dict[str, Any]:
        """Take a tariff from the store into use (control command)."""
        tariff = self.store.get(slot, digest)
        self._put_tariff(slot, tariff)
        return {"slot": slot, "key": f"{tariff.key:016x}", "valid_from_us": tariff.valid_from_us}

    def _put_tariff(self, slot: int, tariff: CompiledTariff) -> None:
        try:
            self.book.put(slot, tariff)
        except ValueError as error:
            raise TariffError("TARIFF_INVALID", f"slot {slot}: {error}") from error
        signature = self.state.sign(tariff_message(slot, tariff.key, tariff.digest))
        self.state.tariffs[tariff.key] = LoadedTariff(
            slot, tariff.key, tariff.digest, tariff.blob, signature
        )
        self.link.tell_news()
        self._tell_tariffs()

    def _tell_tariffs(self) -> None:
        for slot in range(slots.TARIFF_SLOTS):
            current = self.book.find_at(slot, clock.now_us())
            key = current.key if current is not None else 0
            self.page[slots.TARIFF_KEYS + slot] = key - (1 << 64) if key >> 63 else key
            self.page[slots.TARIFF_VERSIONS + slot] = len(self.book.list_versions(slot))

    def use_limits(self, limits: LimitBook | None) -> None:
        """Use limits of identity tiers from the next group on; they are kept before."""
        if limits is not None:
            self.limits.put(limits)
        self.engine.set_limits(limits)
        self._tell_limits()

    def _tell_limits(self) -> None:
        """On the page, once they are in force: with the next group."""
        limits = self.book.limits
        key = limits.key if limits is not None else 0
        self.page[slots.LIMITS_KEY] = key - (1 << 64) if key >> 63 else key

    def load_limits(self, digest: str) -> dict[str, Any]:
        """Take limits from the store into use, "" = none (control command)."""
        limits = self.limits.get(digest) if digest else None
        self.use_limits(limits)
        log.info("limits_loaded", extra={"digest": digest or "none"})
        return {"limits": limits_as_dict(limits)}

    def load_devices(self, entries: list[DeviceEntry]) -> None:
        """Fill the device book."""
        for entry in entries:
            self.devices.put(entry)
        self.page[slots.DEVICES] = len(self.devices)

    # --- life

    def assemble(self) -> Desk:
        """Put commit, link and desk together; the desk answers the control socket.

        Precondition: a loop runs.
        """
        self.commit = GroupCommit(
            self.engine,
            self.journal,
            self.page,
            self._commit_pace(),
            on_output=self.link.send,
            on_left=self.link.leave,
            on_broken=self._broken,
        )
        self.link.commit = self.commit
        self.holds = HoldClock(
            self.engine,
            self.commit,
            clock.now_us,
            may_write=lambda: self.page[slots.DISK_STATE] < DiskState.NO_COMMANDS,
            horizon_us=self.config.engine_limits().op_horizon_us,
        )
        return Desk(
            self.engine,
            self.commit,
            self.link,
            self.devices,
            ceilings=_ceilings(self.config.control),
            plane=PlaneCalls(
                load_tariff=self.load_tariff,
                load_limits=self.load_limits,
                drain=self.stopping.set,
                on_hold=self.holds.note,
                on_change=self._note_change,
            ),
        )

    def _note_change(
        self, actor: str, action: str, subject: str, facts: Mapping[str, object]
    ) -> None:
        log.warning("plane_changed", extra={"actor": actor, "action": action, "subject": subject})
        if self._trail is not None:
            self._trail.note(actor, action, subject, facts)

    async def run(self, ready_fd: int) -> int:
        """Serve until told to stop; the exit status."""
        control = ControlServer(self.config.control.socket, self.assemble().handle)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        await control.start()
        port = await self.link.start()
        self.page[slots.STATE] = PlaneState.READY
        ticker = asyncio.create_task(self._tick())
        expiry = asyncio.create_task(self.holds.run())
        for task in (ticker, expiry):
            task.add_done_callback(self._task_ended)
        tell_ready(
            ready_fd,
            {"link": f"{self.config.link.host}:{port}", "control": str(self.config.control.socket)},
        )
        self.journal.announce(f"{self.config.link.host}:{port}")
        self.ready.set()
        log.info("serving", extra={"port": port, "records": self.recovery.records})
        await self.stopping.wait()
        expiry.cancel()
        await self._drain(control)
        ticker.cancel()
        return 0

    def _commit_pace(self) -> CommitPace:
        journal = self.config.journal
        # A network may take as long as it likes: never in the loop.
        mode = "always" if journal.kind == "valkey" else journal.commit_thread
        return CommitPace(journal.commit_thread_above_ms * 1000, mode)

    async def _drain(self, control: ControlServer) -> None:
        """Every tap that was read gets its answer; then connections end with a bye."""
        self.page[slots.STATE] = PlaneState.DRAINING
        self.link.stop_listening()
        await control.stop()
        await asyncio.sleep(DRAIN_GRACE_S)
        await self.commit.committed()
        self.link.say_goodbye()
        await asyncio.sleep(GOODBYE_S)
        self.commit.close()
        self.journal.close()
        if self._trail is not None:
            await self._trail.close()
        self.page[slots.STATE] = PlaneState.STOPPED
        log.info("stopped", extra={"position": self.page[slots.JOURNAL_POSITION]})

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Holds that nobody lets go are money that nobody can spend, and without time-outs and a
        heartbeat it only looks alive: start again instead.
        """
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)

    def _broken(self, error: BaseException) -> NoReturn:
        """The disk said something that only recovery can sort out, something happened that may not,
        or another gateway leads: end at once, tell nobody anything.
        """
        fenced = isinstance(error, Fenced)
        self.page[slots.STATE] = PlaneState.BROKEN
        if isinstance(error, JournalError):
            log.critical("fenced" if fenced else "journal_broken", extra={"detail": str(error)})
        else:
            log.critical("plane_broken", extra={"detail": str(error)}, exc_info=error)
        logging.shutdown()
        os._exit(EXIT_FENCED if fenced else EXIT_JOURNAL_BROKEN)

    async def _tick(self) -> None:
        """Ten times a second: time-outs and what the page shows."""
        page = self.page
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            late_us = int((time.monotonic() - began - TICK_S) * 1e6)
            page[slots.LOOP_US] = late_us
            page[slots.LOOP_MAX_US] = max(page[slots.LOOP_MAX_US], late_us)
            page[slots.HEARTBEAT_US] = clock.now_us()
            self.link.sweep(clock.monotonic_us())
            # Seldom, and a fleet that comes back makes it a pause of milliseconds.
            gc.collect(0)
            if began - self._disk_checked > 1:
                self._disk_checked = began
                self._second()

    def _second(self) -> None:
        """Once a second: what costs a system call or a walk."""
        page, memory = self.page, self.memory
        self._look_at_disk()
        page[slots.ACCOUNTS] = memory.account_count
        page[slots.MEDIA] = memory.medium_count
        page[slots.CELLS] = memory.cell_count
        page[slots.WINDOWS] = memory.window_count
        page[slots.OPERATIONS] = memory.operation_count
        page[slots.MEMORY_BYTES] = memory.bytes_used
        page[slots.DENYLIST_VERSION] = self.state.denylist.version
        self._tell_tariffs()
        self._tell_limits()
        self.engine.expire(clock.now_us())

    def _look_at_disk(self) -> None:
        """A disk that does not say how full it is counts as before; appends tell if it works."""
        page = self.page
        try:
            page[slots.DISK_STATE] = DISK_STATES[str(self.journal.disk_state())]
            room = os.statvfs(self.config.gateway.data_dir)
        except Fenced as error:
            self._broken(error)
        except OSError as error:
            if not self._disk_unknown:
                log.warning("disk_state_unknown", extra={"detail": str(error)})
            self._disk_unknown = True
            return
        self._disk_unknown = False
        page[slots.DISK_FREE_BYTES] = room.f_bavail * room.f_frsize
        page[slots.DISK_TOTAL_BYTES] = room.f_blocks * room.f_frsize

    def _tell_page(self) -> None:
        page, head = self.page, self.journal.head()
        page[slots.STARTED_US] = clock.now_us()
        page[slots.HEARTBEAT_US] = clock.now_us()
        page[slots.ENGINE_VERSION] = ENGINE_VERSION
        page[slots.STRUCT_VERSION] = STRUCT_VERSION
        page[slots.JOURNAL_POSITION] = head.position
        page[slots.DURABLE_SEQ] = head.next_seq - 1
        page[slots.RECOVERY_US] = self.recovery.duration_us
        page[slots.RECOVERED_RECORDS] = self.recovery.records
        self.engine.begin(
            self.journal.place(head.position),
            head.next_seq,
            denylist_version=self.memory.denylist_version,
        )


def _ceilings(control: ControlConfig) -> Ceilings:
    return Ceilings(
        credit_max_minor=control.credit_max_minor,
        adjust_max_minor=control.adjust_max_minor,
        debit_max_minor=control.debit_max_minor,
        limit_max_minor=control.limit_max_minor,
    )


def fit_sessions(sessions_max: int) -> int:
    """So many sessions as there may be open files for, with what the server needs beside them.

    Without files the next segment of the journal could not be begun, nor a command be taken.
    """
    beside = STRANGERS_SPARE + FILES_SPARE
    room = max(raise_limit(sessions_max + beside) - beside, 1)
    if room < sessions_max:
        log.warning("sessions_limited", extra={"sessions_max": room, "configured": sessions_max})
    return min(room, sessions_max)


def _link_settings(config: Config) -> LinkSettings:
    link = config.link
    return LinkSettings(
        host=link.host,
        port=link.port,
        heartbeat_s=int(link.heartbeat_s),
        half_frame_timeout_s=link.half_frame_timeout_s,
        idle_timeout_s=link.idle_timeout_s,
        batch_max=link.batch_max,
        frame_max_bytes=link.frame_max_bytes,
        sessions_max=fit_sessions(link.sessions_max),
        mac=tuple(MAC_NAMES[name] for name in link.mac),
        tls=build_tls(config),
    )


def build_tls(config: Config) -> ssl.SSLContext | None:
    """What validators are spoken to with, None = plain TCP.

    Raises: ConfigError: others may read the key. OSError: it is none.
    """
    link = config.link
    if link.tls_cert_file is None or link.tls_key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    check_private(link.tls_key_file)
    context.load_cert_chain(link.tls_cert_file, link.tls_key_file)
    if link.tls_client_ca_file is not None:
        context.load_verify_locations(link.tls_client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def freeze() -> None:
    """No collection in the middle of a tap: what is alive now stays, the young are looked at once a
    second.
    """
    freeze_heap()
    gc.disable()


Follow = Callable[[threading.Event], "Followed | None"]
"""Keeps memory up to date until it is time to lead; None = told to stop."""


@dataclass(frozen=True, slots=True)
class Loads:
    """What is compiled before a data plane begins: tariffs with their slots, limits or None."""

    tariffs: list[tuple[int, CompiledTariff]]
    limits: LimitBook | None = None


def serve(
    config: Config,
    page: Page,
    ready_fd: int,
    *,
    loads: Loads,
    list_devices: Callable[[], list[DeviceEntry]],
    trail: Trail | None = None,
    follow: Follow | None = None,
) -> int:
    """Run a data plane to its end; the exit status. With `follow` as a standby at first."""

    async def run() -> int:
        secrets = load_secrets(config)
        followed = None
        if follow is not None:
            tell_ready(ready_fd, {"standby": config.valkey.name})
            followed = await _follow(follow)
            if followed is None:
                return 0
        plane = DataPlane(config, secrets, page, followed=followed, trail=trail)
        plane.load_tariffs(loads.tariffs)
        plane.use_limits(loads.limits)
        plane.load_devices(list_devices())
        freeze()
        return await plane.run(ready_fd)

    return uvloop.run(run())


async def _follow(follow: Follow) -> Followed | None:
    """In a thread: the loop takes signals."""
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await asyncio.to_thread(follow, stop)
