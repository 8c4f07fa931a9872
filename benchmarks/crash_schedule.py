"""One seed, one life of the world: what happens next is drawn, what must hold is checked.

A failing seed reproduces exactly: `python -m benchmarks.crash --schedules 1 --seed SEED`.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.crash_flight import LAND
from benchmarks.crash_parts import Device, DeviceLink, Gone, as_upload, wires_of
from benchmarks.crash_world import (
    CLIENT,
    SEGMENT_BYTES,
    Command,
    Ground,
    SimPlane,
    Tally,
    ViolationError,
    World,
)
from fastpath.types import TapFlag, TapKind
from gateway.link.frames import Heartbeat, TapEvent
from tests.support.faultfs import Fault

HOUR_US = 3_600_000_000
STEPS = (60, 220)
UNKNOWN_STOP = 99
STRANGER = b"nobody's medium!"
MOVES_MONEY = ("credit", "debit", "adjust", "hold_place", "hold_capture", "refund")
CHARGES = ("debit", "hold_capture")
DAY_US = 24 * HOUR_US
SETTLE_TURNS = 4000


@dataclass(slots=True)
class Failure:
    """A broken promise, and how to see it again."""

    seed: int
    step: int
    detail: str
    is_violation: bool = True
    """A promise broken; else the gateway (or the simulator) fell over."""


class Schedule:
    """Draws what happens. `power_only`: every end is a power cut, and there are more of them."""

    def __init__(self, seed: int, ground: Ground, *, power_only: bool = False) -> None:
        ground.clear()
        self.world = World(seed, ground)
        self.rng = self.world.rng
        self.power_only = power_only
        self.days_ahead = 0
        self.step_no = 0
        self.trace: list[str] = []
        ends = 4 if power_only else 2
        self.choices: list[tuple[int, Callable[[], None]]] = [
            (30, self.deliver_up),
            (25, self.deliver_down),
            (40, self.turn),
            (20, self.write),
            (30, self.tap),
            (8, self.resend),
            (6, self.duplicate),
            (5, self.alone),
            (6, self.upload),
            (5, self.passage),
            (3, self.again),
            (2, self.forge),
            (2, self.heartbeat),
            (8, self.connect),
            (3, self.cut),
            (10, self.command),
            (14, self.wallet),
            (8, self.hold),
            (8, self.refund),
            (5 if self.world.tariff.pass_id else 0, self.ticket),
            (1, self.move_medium),
            (5, self.expire_holds),
            (6, self.issue),
            (2, self.forge_command),
            (10, self.pass_time),
            (2, self.clock_step),
            (2, self.reboot),
            (2, self.no_room),
            (1, self.io_error),
            (3, self.snapshot),
            (ends, self.kill),
            (ends, self.countdown),
        ]
        self.weights = [weight for weight, _ in self.choices]

    # --- running --------------------------------------------------------------------------------

    def run(self) -> Tally:
        """Raises: ViolationError."""
        world = self.world
        self.open_accounts()
        for number in range(self.rng.randint(*STEPS)):
            self.step_no = number
            if world.plane is None:
                world.start()
                self.come_back()
                continue
            self.step(self.rng.choices(self.choices, self.weights)[0][1])
        self.settle()
        world.check_image()
        if SimPlane.mistakes:
            raise RuntimeError("".join(SimPlane.mistakes))
        tally = world.tally
        tally.steps = self.step_no
        tally.acked = len(world.told.taps) + len(world.told.commands)
        tally.records = len(world.recount.records)
        tally.segments = world.recount.base // SEGMENT_BYTES + 1
        return tally

    def step(self, act: Callable[[], None]) -> None:
        """One thing happens; then the laws."""
        world = self.world
        self.trace.append(act.__name__)
        alive = world.attempt(act)
        world.collect()
        if alive and not world.files.dead:
            world.check_step()
        else:
            world.end_process(power=self.power_only or self.rng.random() < 0.5)

    def come_back(self) -> None:
        """After a start most devices are soon in session again."""
        world = self.world
        for device in world.devices:
            if world.plane is not None and self.rng.random() < 0.8:
                self.step(lambda device=device: world.connect(device))  # type: ignore[misc]
        for _ in range(3):
            if world.plane is not None:
                self.step(self.flush_up)
            if world.plane is not None:
                self.step(self.flush_down)

    def open_accounts(self) -> None:
        """The riders, two in three with limits; what they have is credited later, under faults."""
        world = self.world
        for number, token in enumerate(world.tokens, start=1):
            world.new_command("account_open", account_id=number)
            world.new_command("credit", account_id=number, amount_minor=2000)
            world.new_command("medium_link", account_id=number, token=token)
            if tier := self.rng.choice((0, 1, 2)):
                world.new_command("set_tier", account_id=number, tier=tier)
        self.settle()
        self.come_back()

    def settle(self) -> None:
        """Faults end, everybody gets an answer; then nothing may be missing."""
        world = self.world
        world.files.faults, world.files.countdown = [], None
        for _ in range(SETTLE_TURNS):
            if world.plane is None:
                world.start()
            elif not self.pump():
                break
        else:
            raise ViolationError("it does not come to rest")
        world.check_step()
        world.check_told()
        self.check_all_answered()

    def pump(self) -> bool:
        """Bring one thing forward; False = everything is at rest."""
        world = self.world
        moves: list[Callable[[], None]] = []
        if world.loop.has_work:
            moves.append(world.loop.step)
        elif world.thread.jobs or world.files.is_flying:
            moves.append(self.write)
        elif any(link.wire.up or link.wire.down for link in wires_of(world.devices)):
            moves += [self.flush_up, self.flush_down]
        elif any(command.task is None for command in world.commands):
            moves.append(self.issue_first)
        elif any(device.unanswered for device in world.devices):
            moves.append(self.ask_again)
        for move in moves:
            self.step(move)
            if world.plane is None:
                return True
        return bool(moves)

    def check_all_answered(self) -> None:
        world = self.world
        if world.commands or any(device.unanswered for device in world.devices):
            raise ViolationError("somebody is still without an answer")
        plane = world.plane
        if plane is not None and world.recount.next_seq != plane.journal.head().next_seq:
            raise ViolationError("the journal's head is not where its records end")

    # --- the network ----------------------------------------------------------------------------

    def links(self) -> list[DeviceLink]:
        return wires_of(self.world.devices)

    def deliver_up(self) -> None:
        if waiting := [link for link in self.links() if link.wire.up and not link.wire.paused]:
            link = self.rng.choice(waiting)
            link.wire.deliver_up(
                self.rng.choice((len(link.wire.up), len(link.wire.up), 1, 40, 200))
            )

    def deliver_down(self) -> None:
        if waiting := [link for link in self.links() if link.wire.down]:
            link = self.rng.choice(waiting)
            link.receive(self.rng.choice((len(link.wire.down), len(link.wire.down), 1, 200)))

    def flush_up(self) -> None:
        for link in self.links():
            link.wire.deliver_up(len(link.wire.up))
            if link.wire.closed:
                link.wire.up.clear()

    def flush_down(self) -> None:
        for link in self.links():
            link.receive(len(link.wire.down))
            if link.wire.closed:
                link.drop()

    def connect(self) -> None:
        device = self.rng.choice(self.world.devices)
        for link in list(device.links):
            if link.wire.closed and not link.wire.down:
                link.drop()
        if len(device.links) < 2:
            self.world.connect(device)

    def cut(self) -> None:
        if links := self.links():
            link = self.rng.choice(links)
            link.wire.cut()
            link.drop()

    # --- the process ----------------------------------------------------------------------------

    def turn(self) -> None:
        for _ in range(self.rng.choice((1, 1, 3, 20))):
            if self.world.loop.has_work:
                self.world.loop.step()

    def write(self) -> None:
        """What is on its way to the disk arrives."""
        world = self.world
        if world.thread.jobs:
            world.thread.step()
        elif world.files.is_flying:
            world.time.advance(max(0, world.files.land_at_us() - world.time.mono_us) + 1)

    def pass_time(self) -> None:
        self.world.time.advance(self.rng.choice((100, 5_000, 300_000, 20_000_000, 900_000_000)))
        if self.world.plane is not None:
            self.world.plane.link.sweep(self.world.time.mono_us)

    def clock_step(self) -> None:
        back = self.rng.random() < 0.5 or self.days_ahead >= 3
        self.days_ahead += not back
        self.world.time.wall_us += -HOUR_US if back else 24 * HOUR_US

    def kill(self) -> None:
        raise Gone

    def countdown(self) -> None:
        """It ends in the middle of a later operation of the disk, or of the next recovery."""
        if self.rng.random() < 0.4:
            self.world.next_countdown = self.rng.randint(0, 8)
            raise Gone
        self.world.files.countdown = self.rng.randint(0, 12)

    def no_room(self) -> None:
        self.world.tally.full += 1
        short = self.rng.choice((None, 0, 100, 300))
        number = errno.ENOSPC if short is None else 0
        times = self.rng.randint(1, 3)
        for operation in ("pwrite", "pwrite_synced", LAND):  # who has no room has none for either
            self.world.files.faults.append(Fault(operation, number, times=times, short=short))

    def io_error(self) -> None:
        self.world.tally.io_errors += 1
        append = "pwrite" if self.world.files.pwrite_synced is None else "pwrite_synced"
        if self.world.files.offers_flights:
            append = self.rng.choice((LAND, LAND, append))
        operation = self.rng.choice((append, append, "fdatasync"))
        self.world.files.faults.append(Fault(operation, errno.EIO, times=1))

    def snapshot(self) -> None:
        self.world.snapshot()

    # --- validators -----------------------------------------------------------------------------

    def device(self) -> Device:
        return self.rng.choice(self.world.devices)

    def ready_links(self, device: Device) -> list[DeviceLink]:
        return [link for link in device.links if link.ready and not link.wire.closed]

    def new_event(self, device: Device, flags: int = 0) -> TapEvent:
        rng, tariff = self.rng, self.world.tariff
        return device.new_tap(
            self.world.time,
            kind=rng.choice((TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.FLAT)),
            token=rng.choice([*self.world.tokens, *self.world.tokens, STRANGER]),
            stop=rng.choice((*tariff.stops, *tariff.stops, UNKNOWN_STOP)),
            line=rng.choice(tariff.lines),
            distance_m=rng.choice(tariff.distances_m),
            flags=flags,
        )

    def tap(self) -> None:
        device = self.device()
        if links := self.ready_links(device):
            link = self.rng.choice(links)
            for _ in range(self.rng.choice((1, 2, 4, 10))):
                link.tap(self.new_event(device))

    def resend(self) -> None:
        device = self.device()
        links = self.ready_links(device)
        if links and device.unanswered:
            event = self.rng.choice(list(device.unanswered.values()))
            self.rng.choice(links).tap(event)

    def duplicate(self) -> None:
        device = self.device()
        links = self.ready_links(device)
        if len(links) > 1:
            event = self.new_event(device)
            for link in links:
                link.tap(event)

    def alone(self) -> None:
        """Without a link the device decides by itself."""
        device = self.device()
        opened = self.rng.random() < 0.7
        flags = TapFlag.OFFLINE | (TapFlag.DEVICE_OPENED if opened else 0)
        for _ in range(self.rng.randint(1, 4)):
            self.new_event(device, int(flags))

    def upload(self) -> None:
        """What is unanswered goes up out of order, marked with what the device did."""
        device = self.device()
        links = self.ready_links(device)
        taps = [one for one in device.unanswered.values() if isinstance(one, TapEvent)]
        if not links or not taps:
            return
        batch = []
        for event in self.rng.sample(taps, min(len(taps), self.rng.randint(1, 12))):
            decided = event.flags & TapFlag.OFFLINE
            kept = event if decided else as_upload(event, opened=self.rng.random() < 0.6)
            device.unanswered[event.boot, event.seq] = kept
            batch.append(kept)
        self.rng.choice(links).batch(batch)

    def passage(self) -> None:
        device = self.device()
        links = self.ready_links(device)
        if links and device.answered:
            original = self.rng.choice(list(device.answered))
            self.rng.choice(links).tap(device.new_passage(self.world.time, original))

    def again(self) -> None:
        """A tap that was answered long ago is sent once more; the device may have lost its mind
        about what it did meanwhile."""
        device = self.device()
        links = self.ready_links(device)
        if links and device.answered:
            event = self.rng.choice(list(device.answered))
            if self.rng.random() < 0.4:
                event = as_upload(event, opened=self.rng.random() < 0.5)
            self.rng.choice(links).tap(event)

    def forge(self) -> None:
        """The same number with other facts."""
        device = self.device()
        links = self.ready_links(device)
        if links and device.answered:
            event = self.rng.choice(list(device.answered))
            self.rng.choice(links).tap(replace(event, stop=event.stop + 1))

    def heartbeat(self) -> None:
        if links := self.ready_links(self.device()):
            link = links[0]
            link.send(Heartbeat(link.counter(), self.world.time.wall_us, 0, 1))

    def reboot(self) -> None:
        device = self.device()
        device.reboot(device.boot + 1000)
        for link in list(device.links):
            link.drop()

    def ask_again(self) -> None:
        """At the end: whoever has no answer asks until there is one."""
        for device in self.world.devices:
            if not device.unanswered:
                continue
            for link in [link for link in device.links if link.wire.closed]:
                link.drop()
            links = self.ready_links(device)
            if not links:
                if not device.links:
                    self.world.connect(device)
                continue
            for event in list(device.unanswered.values())[:4]:
                links[0].tap(event)

    # --- the operator ---------------------------------------------------------------------------

    def command(self) -> None:
        rng, world = self.rng, self.world
        account = rng.randint(1, len(world.tokens))
        token = rng.choice(world.tokens)
        op, args = rng.choice(
            (
                ("credit", {"account_id": account, "amount_minor": rng.randint(1, 3000)}),
                ("credit", {"account_id": account, "amount_minor": 700, "purse": "subsidy"}),
                ("debit", {"account_id": account, "amount_minor": rng.randint(1, 3000)}),
                ("freeze", {"account_id": account, "what": rng.choice(("debit", "both"))}),
                ("unfreeze", {"account_id": account, "what": "both"}),
                ("set_credit_limit", {"account_id": account, "amount_minor": rng.choice((0, 900))}),
                (
                    "adjust",
                    {
                        "account_id": account,
                        "amount_minor": rng.randint(-500, 500),
                        "expected_version": rng.randint(1, 40),
                    },
                ),
                ("medium_state", {"token": token, "state": rng.choice(("lost", "denylisted"))}),
                ("medium_state", {"token": token, "state": "active"}),
                ("account_open", {"account_id": account}),
            )
        )
        world.issue(world.new_command(op, **args))

    def wallet(self) -> None:
        """Purses, holds, refunds, plans: few keys and ends that come soon, so that they meet."""
        rng, world = self.rng, self.world
        key, amount = rng.choice((2, 3)), rng.choice((1, 50, 200, 700))
        soon = world.time.wall_us + rng.choice((1_000_000, 600_000_000, DAY_US))
        for_what = rng.choice(("transit", "meal", "none"))
        op, args = rng.choice(
            (
                ("purse_open", {"key": key, "purposes": key, "priority": 9}),
                ("purse_open", {"key": 4, "purposes": 3, "expires_us": soon}),
                ("purse_close", {"key": key}),
                ("purse_sweep", {"key": 4}),
                ("credit", {"purse": key, "amount_minor": amount}),
                ("credit", {"purse": 4, "amount_minor": amount}),
                ("debit", {"amount_minor": amount, "purpose": for_what}),
                ("debit", {"amount_minor": 50, "purpose": for_what}),
                ("hold_place", {"key": key, "amount_minor": amount, "expires_us": soon}),
                ("hold_place", {"key": 9, "amount_minor": amount, "expires_us": soon}),
                ("plan_open", {"key": key, "amount_minor": amount, "instalments": 3}),
                ("plan_repay", {"key": key, "amount_minor": amount}),
                ("credit_state", {"late": rng.random() < 0.5}),
                ("set_tier", {"tier": rng.choice((0, 1, 1, 2, 2))}),
                ("write_off", {"amount_minor": amount, "expected_version": rng.randint(1, 40)}),
            )
        )
        account = rng.randint(1, len(world.tokens))
        world.issue(world.new_command(op, account_id=account, **args))

    def hold(self) -> None:
        """Something about a hold that was placed, and may have ended since."""
        rng, world = self.rng, self.world
        placed = [one for one in world.acked_commands if one.op == "hold_place"]
        if not placed:
            return
        hold = rng.choice(placed[-4:]).args
        later = world.time.wall_us + DAY_US
        op, args = rng.choice(
            (
                ("hold_capture", {"amount_minor": rng.choice((1, 50, hold["amount_minor"]))}),
                ("hold_capture", {"amount_minor": 1, "final": True}),
                ("hold_release", {}),
                ("hold_expire", {}),
                ("hold_extend", {"expires_us": later}),
            )
        )
        named = {"account_id": hold["account_id"], "key": hold["key"]}
        world.issue(world.new_command(op, **named, **args))

    def ticket(self) -> None:
        """Passes and concessions: what a tariff with layers keeps in cells of the account."""
        rng, world = self.rng, self.world
        named = {"account_id": rng.randint(1, len(world.tokens)), "pass_id": world.tariff.pass_id}
        until = {"from_us": 0, "until_us": world.time.wall_us + DAY_US}
        op, args = rng.choice(
            (
                ("pass_add", named | {"amount_minor": rng.choice((0, 300)), "rides": 2}),
                ("pass_add", named | {"amount_minor": 100, "rides": 10}),
                ("pass_remove", named | {"amount_minor": rng.choice((0, 100))}),
                (
                    "concession_set",
                    until | {"account_id": named["account_id"], "rider_category": 1},
                ),
            )
        )
        world.issue(world.new_command(op, **args))

    def refund(self) -> None:
        """Of something that was charged, more than once if need be."""
        rng, world = self.rng, self.world
        charges = [one for one in world.acked_commands if one.op in CHARGES]
        if not charges:
            return
        charge = rng.choice(charges[-6:])
        named = {"client": CLIENT, "id": charge.id.hex()}
        args = {"account_id": charge.args["account_id"], "charge": named}
        world.issue(world.new_command("refund", amount_minor=rng.choice((1, 200, 700)), **args))

    def move_medium(self) -> None:
        world, account = self.world, self.rng.randint(1, len(self.world.tokens))
        token = self.rng.choice(world.tokens)
        world.issue(world.new_command("medium_move", account_id=account, token=token))

    def expire_holds(self) -> None:
        """The clock of the holds looks what is due."""
        plane = self.world.plane
        if plane is not None:
            self.world.expiries.append(self.world.loop.create_task(plane.holds.turn()))

    def issue(self) -> None:
        """Ask again for what has no outcome."""
        if waiting := [one for one in self.world.commands if one.task is None]:
            self.world.issue(self.rng.choice(waiting))

    def issue_first(self) -> None:
        self.world.issue(next(one for one in self.world.commands if one.task is None))

    def forge_command(self) -> None:
        """A used id with another body."""
        used = [one for one in self.world.acked_commands if one.op in MOVES_MONEY]
        if used:
            request = self.rng.choice(used)
            args = request.args | {"amount_minor": request.args["amount_minor"] + 1}
            forged = Command(replace(request, args=args), is_forged=True)
            self.world.commands.append(forged)
            self.world.issue(forged)


def run_schedule(seed: int, ground: Ground, *, power_only: bool = False) -> Tally | Failure:
    """One schedule; a failure is a value, with its seed."""
    schedule = Schedule(seed, ground, power_only=power_only)
    try:
        return schedule.run()
    except ViolationError as error:
        return Failure(seed, schedule.step_no, str(error))
    except Exception:  # noqa: BLE001 - whatever the gateway lets out is a finding
        detail = traceback.format_exc(limit=-6)
        return Failure(seed, schedule.step_no, detail, is_violation=False)
