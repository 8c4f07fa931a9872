"""A whole gateway in a simulated world: its own classes on a disk, clock, loop and network that a
seed controls, with every law checked after every step.

What is real: data plane, link server, sessions, engine, group commit, desk, recovery, journal,
snapshot files. What is not: the disk's medium, time, sockets, threads.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
import tempfile
import traceback
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NoReturn, cast

import gateway.clock
import gateway.engine.commit
import gateway.link.server
from benchmarks.crash_parts import Device, DeviceLink, Gone, MortalFiles, wires_of
from benchmarks.crash_recount import BrokenLawError, Recount, Told
from benchmarks.crash_tariffs import SimTariff, sim_tariffs
from benchmarks.crash_virtual import VirtualLoop, VirtualThread, VirtualTime, Wire
from fastpath._accounts_image import dump
from fastpath._journal import RecordView, iter_records, view_group
from fastpath.api import LimitBook, StoreHandle
from fastpath.limits import LimitProfile, LimitSpec
from fastpath.reference import LimitVersion, SpecBook
from fastpath.types import Op, Reason, Rule
from gateway.config import Config, load_config
from gateway.control.arguments import client_number
from gateway.control.desk import Desk
from gateway.control.frames import Reply, Request
from gateway.dataplane import DataPlane
from gateway.engine.commit import CommitPace
from gateway.engine.snapshotter import Follower, Schedule, Snapshotter
from gateway.errors import FareGatewayError, JournalBroken, JournalFull
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.keys import Secrets
from gateway.link.devices import DeviceEntry
from gateway.link.handshake import derive_device_key
from gateway.link.server import Connection
from gateway.observability.page import JOURNAL_POSITION, SLOT_COUNT, Page
from gateway.simulate.replay import ReferenceReplay
from tests.support.faultfs import ForgetfulDisk

DAY_US = 86_400_000_000
START_US = 20_500 * DAY_US + 8 * 3_600_000_000
SEGMENT_BYTES = 1536 << 10
GROUP_BYTES_MAX = 1_200_000
LARGEST_GROUPS = (1_528_000, 1_556_000, 1_563_000)
"""What the journal takes for the largest group: a segment is full after 40, 12 or 5 kB."""
SECRETS = Secrets(b"simulated master key of 32 bytes", b"simulated signing seed, 32 bytes")
DEVICE_COUNT = 3
ACCOUNT_COUNT = 4
TIMED = (gateway.clock, gateway.engine.commit, gateway.link.server)
CLIENT = "simulated operator"
LAYERS = {
    "transfers": Rule.TRANSFER,
    "caps": Rule.CAP,
    "tiers": Rule.PERIOD_TIER,
    "passes": Rule.PASS,
}
LAST_LOOK = 0.3
"""How often the snapshotter looks at the journal between the end of the gateway and a power cut."""


class ViolationError(Exception):
    """A promise was broken. The seed and the step say where."""


class SimPlane(DataPlane):
    """The data plane with small segments, and an end that does not end the simulator."""

    largest_group: ClassVar[int] = LARGEST_GROUPS[0]
    mistakes: ClassVar[list[str]] = []
    """What ended a process of this schedule and was no fault of the disk: told at its end, since
    a restart makes much of it good."""

    def journal_options(self) -> SegmentOptions:
        return SegmentOptions(SEGMENT_BYTES, self.largest_group, self.signing_key, background=False)

    def _broken(self, error: BaseException) -> NoReturn:
        """A disk that failed ends the process; if anything else did, it is a mistake."""
        if not isinstance(error, JournalBroken):
            self.mistakes.extend(traceback.format_exception(error, limit=-4))
        raise Gone from error


@dataclass(slots=True)
class Ground:
    """A real folder for what is not journal (snapshots, tariffs), and settings. One a process."""

    folder: Path
    configs: tuple[Config, ...]

    @classmethod
    def make(cls) -> Ground:
        memory = Path("/dev/shm")
        parent = memory if memory.is_dir() else None
        folder = Path(tempfile.mkdtemp(prefix="faregate-sim-", dir=parent))
        (folder / "gateway.toml").write_text(
            f"[engine]\ngroup_bytes_max = {GROUP_BYTES_MAX}\n[link]\nport = 0\n"
        )
        bounds: tuple[dict[str, str], ...] = ({}, {"link.queue_taps_max": "6"})
        configs = tuple(
            load_config(folder / "gateway.toml", env={}, flags=flags).config for flags in bounds
        )
        return cls(folder, configs)

    def clear(self) -> None:
        """Forget the snapshots and the tariffs of the schedule before."""
        kept = (self.configs[0].snapshots.dir, self.configs[0].gateway.data_dir / "tariffs")
        for folder in kept:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(slots=True)
class Command:
    """One command of the operator, sent again under its id until its outcome is known."""

    request: Request
    task: asyncio.Task[Reply] | None = None
    is_done: bool = False
    is_forged: bool = False
    """The same id with another body."""


@dataclass(slots=True)
class Tally:
    """What happened, to be reported; a schedule in which nothing happened proves nothing."""

    schedules: int = 0
    steps: int = 0
    acked: int = 0
    records: int = 0
    kills: int = 0
    power_cuts: int = 0
    in_flight_at_end: int = 0
    on_its_way_at_end: int = 0
    """Ends with a group between its beginning and the disk."""
    deaths_in_recovery: int = 0
    full: int = 0
    io_errors: int = 0
    snapshots: int = 0
    segments: int = 0
    layered: int = 0
    """Schedules with the town's tariff."""
    transfers: int = 0
    """Taps in which one acted; so of caps, tiers and passes."""
    caps: int = 0
    tiers: int = 0
    passes: int = 0

    def add(self, other: Tally) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note(self, record: RecordView) -> None:
        """Count what acted."""
        if record.op >= Op.ACCOUNT_OPEN or record.reason >= Reason.BUSY:
            return
        for name, rule in LAYERS.items():
            setattr(self, name, getattr(self, name) + bool(record.rules & rule))


class World:
    """Everything of one schedule."""

    def __init__(self, seed: int, ground: Ground) -> None:
        self.rng = random.Random(seed)
        self.ground = ground
        self.config = self.rng.choice(ground.configs)
        self.thread_mode = "always" if seed % 4 == 3 else self.rng.choice(("never", "always"))
        SimPlane.mistakes.clear()
        SimPlane.largest_group = self.rng.choice(LARGEST_GROUPS)
        self.tariff = self.rng.choice(sim_tariffs())
        self.time = VirtualTime(START_US + self.rng.randrange(60 * DAY_US))
        self.disk = ForgetfulDisk()
        self.files = MortalFiles(self.disk, self.rng, offers=seed % 4)
        self.tally = Tally(schedules=1, layered=int(self.tariff.spec.layers is not None))
        self.told = Told()
        self.sound: set[bytes] = set()
        self.recount = self._new_recount()
        self.replayed_seq = 0
        self.reference = ReferenceReplay(_spec_book(self.tariff))
        self.commands: list[Command] = []
        self.acked_commands: list[Request] = []
        self.expiries: list[asyncio.Task[float]] = []
        """Turns of the clock of the holds that have not ended."""
        self.devices = [
            Device(number, derive_device_key(SECRETS.master_key, number, 1), boot=100 + number)
            for number in range(1, DEVICE_COUNT + 1)
        ]
        self.tokens = [bytes([65 + number]) * 16 for number in range(ACCOUNT_COUNT)]
        self._ids = 0
        self.next_countdown: int | None = None
        """After how many changes of the disk the next life ends."""
        self.plane: SimPlane | None = None
        self.desk: Desk
        self.loop: VirtualLoop
        self.thread: VirtualThread
        self.snapshotter: Snapshotter | None = None
        self.page = memoryview(bytearray(8 * SLOT_COUNT)).cast("q")

    # --- life and death -------------------------------------------------------------------------

    def attempt(self, act: Callable[[], object]) -> bool:
        """Do something that may be the end of the process; whether it lives on."""
        try:
            with ExitStack() as stack:
                stack.enter_context(self.time.in_place_of_time(*TIMED))
                if self.plane is not None:
                    stack.enter_context(self.loop.running())
                act()
        except (Gone, JournalBroken):
            self.files.dead = True
        return not self.files.dead

    def start(self) -> None:
        """Recover and serve; may die on the way, or find no room."""
        self.plane = None
        self.snapshotter = None
        self.loop, self.thread = VirtualLoop(self.time), VirtualThread()
        self.files.loop = self.loop
        try:
            alive = self.attempt(self._build)
        except JournalFull:
            alive = False
        if not alive:
            self.plane = None
            self.tally.deaths_in_recovery += 1
            self.end_process(power=self.rng.random() < 0.5)
            return
        self.check_restart()

    def _build(self) -> None:
        self.page = memoryview(bytearray(8 * SLOT_COUNT)).cast("q")
        page = cast(Page, SimpleNamespace(slots=self.page))
        plane = SimPlane(self.config, SECRETS, page, files=self.files)
        plane.load_tariffs([(1, self.tariff.compiled)])
        plane.use_limits(_LIMITS)
        plane.load_devices([DeviceEntry(d.device_id, 1, 0, (1,), True) for d in self.devices])
        with self.loop.running():
            self.desk = plane.assemble()
        plane.commit.pace = CommitPace(2000, self.thread_mode)
        plane.commit._thread.shutdown()
        plane.commit._thread = self.thread  # type: ignore[assignment]
        self.plane = plane

    def end_process(self, *, power: bool) -> None:
        """SIGKILL, or the power of the whole machine."""
        waiting = sum(bool(device.unanswered) for device in self.devices)
        self.tally.in_flight_at_end += bool(waiting)
        self.tally.on_its_way_at_end += self.files.is_flying
        self.files.dead, self.files.sync_failed, self.files.faults = False, False, []
        self.files.countdown = None
        self.files.end_process(power=power)
        if self.rng.random() < LAST_LOOK:
            self.snapshot()  # it outlives the gateway, and reads what the page cache still holds
        if power:
            self.tally.power_cuts += 1
            self.disk.cut_power(self.rng)
        else:
            self.tally.kills += 1
            self.disk.end_processes()
        for link in wires_of(self.devices):
            if self.rng.random() < 0.6:
                link.receive(len(link.wire.down))  # what was sent before the end still arrives
            link.drop()
        for command in self.commands:
            command.task = None
        self.expiries.clear()
        self.files.countdown, self.next_countdown = self.next_countdown, None
        self.loop.discard()
        if self.plane is not None:
            self.plane.engine.abandon()  # its waiting sessions would keep the dead gateway alive
        self.plane = None

    # --- hands ----------------------------------------------------------------------------------

    def connect(self, device: Device) -> None:
        """A new connection of a device."""
        if self.plane is not None:
            wire = Wire(self.loop, Connection(self.plane.link))
            DeviceLink(device, wire, self.rng, self.told)

    def new_command(self, op: str, **args: Any) -> Command:
        """A command with an id of its own, not yet sent."""
        self._ids += 1
        stamp = (self.time.wall_us // 1000) << 16 | 0x7000
        op_id = stamp.to_bytes(8) + (1 << 63 | self._ids).to_bytes(8)
        command = Command(Request(op, op_id, CLIENT, args))
        self.commands.append(command)
        return command

    def issue(self, command: Command) -> None:
        """Send it (again)."""
        if command.task is None and self.plane is not None:
            command.task = self.loop.create_task(self.desk.handle(command.request, "uid:0"))

    def collect(self) -> None:
        """See which commands have an outcome."""
        for command in self.commands:
            if command.task is not None and command.task.done():
                self._outcome(command, command.task)
        self.commands = [command for command in self.commands if not command.is_done]
        for task in [one for one in self.expiries if one.done()]:
            self.expiries.remove(task)
            error = task.exception()
            if isinstance(error, Gone):
                self.files.dead = True
            elif error is not None:
                raise ViolationError(f"holds do not expire: {error!r}") from error

    def _outcome(self, command: Command, task: asyncio.Task[Reply]) -> None:
        command.task = None
        error = task.exception()
        if isinstance(error, Gone):
            self.files.dead = True
        elif isinstance(error, FareGatewayError):
            return  # not done: it is sent again
        elif error is not None:
            raise ViolationError(f"{command.request.op} failed with {error!r}") from error
        else:
            self._reply(command, task.result())

    def _reply(self, command: Command, reply: Reply) -> None:
        request, result = command.request, reply.result
        command.is_done = True
        if command.is_forged and reply.ok:
            raise ViolationError(f"another body under a used id was carried out: {request}")
        if result["position"]:
            key = (client_number(CLIENT), *_halves(request.id))
            said = (Op[result["op"].upper()], reply.reason, *_money(result))
            self.told.command(key, result["position"], said)
            self.acked_commands.append(request)

    def snapshot(self) -> None:
        """The snapshotter looks at the journal, and writes a snapshot; a disk that fails ends its
        process, not the gateway's."""
        try:
            self._snapshot()
        except OSError:
            self.snapshotter = None

    def _snapshot(self) -> None:
        durable = self.page[JOURNAL_POSITION]
        if durable == 0:
            return
        snapshots = self.config.snapshots.dir
        options = SegmentOptions(SEGMENT_BYTES, SimPlane.largest_group)
        journal = SegmentJournal.open(
            self.config.journal.dir, options, read_only=True, files=self.files
        )
        if self.snapshotter is None:
            follower = Follower.start(StoreHandle(), snapshots)
            self.snapshotter = Snapshotter(follower, snapshots, Schedule(every_us=1))
        self.snapshotter.follower.follow(journal, until=durable)
        self.snapshotter.write()
        journal.close()
        self.tally.snapshots += 1

    # --- laws -----------------------------------------------------------------------------------

    def _new_recount(self) -> Recount:
        return Recount(self._load, sound=self.sound)

    def _load(self, base: int) -> bytes | bytearray | None:
        path = self.config.journal.dir / segment_name(base)
        folder = self.disk.folders.get(path.parent)
        node = folder.live.get(path.name) if folder is not None else None
        return None if node is None else node.live

    def check_step(self) -> None:
        """After every step: what is durable obeys the laws and the reference, what was told is
        there, what is in memory is what the journal adds up to."""
        plane = self.plane
        for link in wires_of(self.devices):
            if link.errors:
                raise ViolationError(f"device {link.device.device_id}: {link.errors}")
        if plane is None or plane.journal.head().next_seq == self.recount.next_seq:
            return
        self._advance(self.recount)
        if not plane.engine.waiting and not plane.engine.is_writing:
            self._check_live(plane)

    def _advance(self, recount: Recount) -> None:
        try:
            recount.advance()
            recount.check_totals()
        except BrokenLawError as error:
            raise ViolationError(str(error)) from error
        if recount.doubled:
            raise ViolationError(f"taken twice: {recount.doubled}")

    def _check_live(self, plane: SimPlane) -> None:
        for data in plane.memory.iter_accounts():
            account_id, version, stored, subsidy = (
                int.from_bytes(data[at : at + 8], "little", signed=True) for at in (0, 8, 16, 24)
            )
            line = self.recount.money.get(account_id)
            if line is None or (line.version, line.stored, line.subsidy) != (
                version,
                stored,
                subsidy,
            ):
                raise ViolationError(f"account {account_id} is {stored}+{subsidy}, not {line}")

    def check_restart(self) -> None:
        """After recovery: nothing that was durable before is gone, nothing told is missing, and
        memory is what a replay of the whole journal gives, byte for byte."""
        before, self.recount = self.recount, self._new_recount()
        self._advance(self.recount)
        kept = before.records.items() <= self.recount.records.items()
        self.check_told()
        if not kept:
            raise ViolationError("a durable record is gone")
        if self.rng.random() < 0.5:  # it is the dearest check, and made again at the end
            self.check_image()

    def check_told(self) -> None:
        """Everything clients were told, against the journal."""
        verdict = self.told.compare(self.recount)
        if not verdict.ok:
            raise ViolationError(
                f"lost {verdict.lost}, doubled {verdict.doubled}, altered {verdict.altered}"
            )

    def check_image(self) -> None:
        """Live memory = replay of the journal. Precondition: nothing is open."""
        plane = self.plane
        if plane is None:
            return
        replayed = StoreHandle()
        for group in plane.journal.read(0):
            replayed.apply_group(group)
            view = view_group(group)
            if view.first_seq + view.record_count > self.replayed_seq + 1:
                for record in iter_records(group):
                    self._check_decision(record)
        if image(plane.memory) != image(replayed):
            raise ViolationError("memory is not what the journal replays to")

    def _check_decision(self, record: RecordView) -> None:
        if record.seq <= self.replayed_seq:
            return
        self.replayed_seq = record.seq
        self.tally.note(record)
        wrong = self.reference.apply(record)
        if wrong:
            raise ViolationError(f"record {record.seq}, not what the reference decides: {wrong}")


IMAGE_HEAD = struct.Struct("<8s7Q")
WINDOW_BYTES = 1056
SEEN = slice(32, 544)
"""The bits of a boot window that say which numbers were seen; an answer of 8 bytes for each."""


def image(memory: StoreHandle) -> list[bytes]:
    """Memory as a snapshot would hold it, entry by entry; what has no order is sorted."""
    parts: list[bytes] = []
    dump(memory, lambda data: parts.append(bytes(data)))
    data = b"".join(parts)
    _, _, slots_, _, cells, media, windows, operations = IMAGE_HEAD.unpack_from(data)
    at = IMAGE_HEAD.size
    fixed = at + 256 * slots_ + 64 * cells
    found = [data[:fixed], *_entries(data, fixed, 32, media)]
    at = fixed + 32 * media
    kept = []
    for _ in range(windows):
        seen = int.from_bytes(data[at:][SEEN], "little").bit_count()
        kept.append(data[at : at + WINDOW_BYTES + 8 * seen])
        at += len(kept[-1])
    return [*found, *sorted(kept), *_entries(data, at, 32, operations)]


def _entries(data: bytes, at: int, size: int, count: int) -> list[bytes]:
    return sorted(data[at + n * size : at + (n + 1) * size] for n in range(count))


def _halves(operation_id: bytes) -> tuple[int, int]:
    return int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:])


def _money(result: dict[str, Any]) -> tuple[int, int]:
    return result["amount_minor"], result["balance_minor"]


_LIMITS = LimitBook.build(
    LimitSpec(
        limits_id="simulated",
        version="1",
        currency=156,
        first_day=20_000,
        start_us=array("q", [day * DAY_US for day in range(20_000, 21_501)]),
        month=array("I", [24_297 + place // 30 for place in range(1500)]),
        profiles=(
            LimitProfile(1, 0, payment_minor=650, day_minor=1500, balance_minor=8000),
            LimitProfile(2, 0, day_minor=700, month_minor=4000, lifetime_minor=9000),
        ),
    )
)
"""Tier 0, in which accounts begin, has none."""


def _spec_book(tariff: SimTariff) -> SpecBook:
    book = SpecBook()
    book.put(1, tariff.compiled.key, tariff.spec)
    book.limits = LimitVersion(_LIMITS.key, _LIMITS.spec())
    return book
