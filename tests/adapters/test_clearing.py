"""The exchange from day to day: every fare in one file, every file with a code, nothing lost."""

from __future__ import annotations

import base64
import datetime
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.contract import Capability, Command, Outcome, Status
from adapters.errors import Misconfigured, Refusal, Rejected
from adapters.testing.remote import Trouble
from adapters.transit.clearing.adapter import ClearingAdapter
from adapters.transit.clearing.bench import ClearingBench
from adapters.transit.clearing.exchange import FolderExchange, digest_of
from adapters.transit.clearing.lines import Kind, Label, read_file, write_file
from adapters.transit.clearing.settings import ClearingSettings
from adapters.transit.clearing.simulator import HOUSE, US, ClearingHouse, ClearingRemote
from gateway.db import Database
from gateway.delivery.clearing.book import ClearingBook
from gateway.delivery.clearing.days import BusinessDays
from gateway.delivery.clearing.denials import Denials
from gateway.delivery.clearing.incoming import Incoming
from gateway.delivery.clearing.job import ClearingJob
from gateway.delivery.clearing.outgoing import Outgoing, on_sent
from gateway.delivery.kinds import Configured
from gateway.delivery.outbox import Outbox
from gateway.delivery.relay import Relay, RelaySettings
from gateway.errors import CommandError, DeliveryError, Uncertain
from tests.support.fares import Fares, MediaEngine
from tests.support.registry import Clock

DAY = datetime.date(2026, 11, 28)
NEXT = datetime.date(2026, 11, 29)
DAYS = BusinessDays.build("Asia/Shanghai", "04:00")
NOON_US = DAYS.start_us(DAY) + 8 * 3600 * 1_000_000
MORNING_US = DAYS.end_us(DAY) + 3600 * 1_000_000
TOKENS = [f"{number:032x}" for number in range(1, 6)]


class Exchange:
    """Our side of a clearing house, and the house."""

    def __init__(self, database: Database, folder: Path, charset: str = "UTF8") -> None:
        self.database = database
        self.settings = ClearingSettings(sender=US, receiver=HOUSE, folder=folder, charset=charset)
        self.fares = Fares()
        self.engine = MediaEngine(*TOKENS[:3])
        self.house = ClearingHouse(charset=charset)
        self.outgoing = Outgoing("cc", self.settings, database, folder)
        self.incoming = Incoming(
            "cc", self.settings, database, Denials("cc", DAYS, self.engine, database)
        )
        self.book = ClearingBook("cc", database)
        self.folder = folder

    def make(self, now_us: int = MORNING_US) -> list[str]:
        return [one.name for one in self.outgoing.make_due(self.fares, now_us)]

    def give(self, *names: str) -> None:
        for name in names:
            assert self.house.take(name, (self.folder / name).read_bytes()) == ""

    def bring(self, name: str, data: bytes, now_us: int = MORNING_US) -> str:
        """One file comes and is dealt with; its code."""
        record = {"name": name, "content": base64.b64encode(data).decode()}
        with self.database.transaction() as connection:
            (stored,) = self.incoming.store(connection, [record], now_us)
        if str(stored.code) == "duplicate":
            return "duplicate"
        codes = {one.name: str(one.code) for one in self.incoming.process(now_us)}
        return codes[name]

    def bring_all(self, now_us: int = MORNING_US) -> list[str]:
        found, self.house.outbox = self.house.outbox, []
        return [self.bring(name, data, now_us) for name, data in found]

    def row_states(self) -> dict[str, int]:
        return {state: one["rows"] for state, one in self.book.totals().items()}

    def code_of(self, name: str) -> list[tuple[str, str]]:
        return [(f["state"], f["code"]) for f in self.book.list_files() if f["name"] == name]


@pytest.fixture(params=["UTF8", "GB18030"])
def charset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exchange(database: Database, tmp_path: Path) -> Exchange:
    return Exchange(database, tmp_path / "files")


def settled(exchange: Exchange, *fares: int) -> str:
    """A day with fares, its file at the house."""
    for number, fare in enumerate(fares):
        exchange.fares.post(NOON_US + number, TOKENS[number % 3], fare)
    (name,) = exchange.make()
    exchange.give(name)
    return name


# --- out ------------------------------------------------------------------------------------------


def test_a_day_that_is_over_becomes_a_file(
    database: Database, tmp_path: Path, charset: str
) -> None:
    exchange = Exchange(database, tmp_path / "files", charset)
    exchange.fares.post(NOON_US, TOKENS[0], 500)
    exchange.fares.post(NOON_US + 5, TOKENS[1], -500)
    exchange.fares.post(NOON_US + 9, TOKENS[1], 300)
    (before,) = exchange.make(NOON_US + 20)
    assert "_20261127_000001_" in before, "the first run begins with yesterday"
    assert exchange.make(NOON_US + 30) == [], "not before it is over"
    (name,) = exchange.make()
    assert name == "CITYGW_CITYCC_TAPS_20261128_000002_00.txt"
    content = read_file(name, (tmp_path / "files" / name).read_bytes())
    assert ([row[2] for row in content.rows], content.total_minor) == (["1", "2", "3"], 300)
    assert exchange.make() == []
    assert Outbox(database).count("cc") == {"waiting": 2}


def test_a_ledger_that_lags_is_waited_for(exchange: Exchange) -> None:
    exchange.fares.post(NOON_US, TOKENS[0], 500)
    exchange.fares.complete_us = DAYS.end_us(DAY) - 1
    assert exchange.make() == []
    with pytest.raises(DeliveryError) as refused:
        exchange.outgoing.make_day(exchange.fares, DAY, MORNING_US)
    assert refused.value.code == "CLEARING_NOT_READY"
    exchange.fares.complete_us = DAYS.end_us(DAY)
    assert len(exchange.make()) == 1


def test_what_comes_late_is_in_a_later_file_and_never_in_two(exchange: Exchange) -> None:
    exchange.fares.post(NOON_US, TOKENS[0], 500)
    exchange.make()
    exchange.fares.post(MORNING_US, TOKENS[0], 700)
    day_us = 86_400_000_000
    (name,) = exchange.make(MORNING_US + day_us)
    content = read_file(name, (exchange.folder / name).read_bytes())
    assert (content.label.day, [row[2] for row in content.rows]) == (NEXT, ["2"])
    assert exchange.book.totals() == {"sent": {"rows": 2, "total_minor": 1200}}


def test_days_that_were_missed_are_made_up_for_in_order(exchange: Exchange) -> None:
    day_us = 86_400_000_000
    exchange.make()
    exchange.fares.post(MORNING_US + 2 * day_us, TOKENS[0], 5)
    names = exchange.make(MORNING_US + 4 * day_us)
    assert [read_file(n, (exchange.folder / n).read_bytes()).label.day.day for n in names] == [
        29,
        30,
        1,
        2,
    ]
    assert [one["row_count"] for one in exchange.book.list_files()] == [0, 0, 0, 1, 0]


def test_a_large_day_has_several_files(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.clearing.outgoing.ROWS_MAX", 4)
    for number in range(10):
        exchange.fares.post(NOON_US + number, TOKENS[0], 1)
    names = exchange.make()
    sizes = [len(read_file(n, (exchange.folder / n).read_bytes()).rows) for n in names]
    assert sizes == [4, 4, 2]
    assert exchange.make() == []


def test_a_crash_before_the_commit_makes_the_same_file_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.fares.post(NOON_US, TOKENS[0], 500)
    with monkeypatch.context() as patched:

        def crash(*_: object) -> None:
            raise ZeroDivisionError

        patched.setattr("gateway.delivery.clearing.outgoing.put", crash)
        with pytest.raises(ZeroDivisionError):
            exchange.make()
    (left,) = [path for path in exchange.folder.iterdir() if path.is_file()]
    before = left.read_bytes()
    (name,) = exchange.make()
    assert (name, (exchange.folder / name).read_bytes()) == (left.name, before)
    assert exchange.row_states() == {"sent": 1}


def test_rows_given_back_while_a_file_is_made_are_in_it(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.unknown.add(TOKENS[1])
    exchange.house.settle(name)
    exchange.bring_all()
    from gateway.delivery.clearing import outgoing

    write, calls = outgoing._write, []

    def slow(path: Path, data: bytes) -> Path:
        calls.append(path.name)
        if len(calls) == 1:
            exchange.book.retry(["2"], MORNING_US)
        return write(path, data)

    monkeypatch.setattr(outgoing, "_write", slow)
    (again,) = exchange.make(MORNING_US + 86_400_000_000)
    assert calls == [again, again]
    content = read_file(again, (exchange.folder / again).read_bytes())
    assert [row[2] for row in content.rows] == ["2"]
    assert exchange.row_states() == {"accepted": 1, "sent": 1}


@pytest.mark.parametrize("day", [NEXT, DAY, DAY - datetime.timedelta(days=1)])
def test_a_day_is_closed_once_and_in_its_time(exchange: Exchange, day: datetime.date) -> None:
    exchange.make()
    with pytest.raises(DeliveryError) as refused:
        exchange.outgoing.make_day(exchange.fares, day, MORNING_US)
    assert refused.value.code == "CLEARING_DAY"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Shanghai", DAY, 24),
        ("Europe/London", datetime.date(2026, 3, 28), 23),
        ("Europe/London", datetime.date(2026, 10, 24), 25),
        ("America/New_York", datetime.date(2026, 3, 7), 23),
        ("America/New_York", datetime.date(2026, 10, 31), 25),
    ],
)
def test_business_days_when_clocks_change(zone: str, day: datetime.date, hours: int) -> None:
    days = BusinessDays.build(zone, "04:00")
    start_us, end_us = days.start_us(day), days.end_us(day)
    assert (end_us - start_us) == hours * 3600 * 1_000_000
    assert (days.day_of(start_us), days.day_of(end_us - 1)) == (day, day)
    assert days.day_of(start_us - 1) == day - datetime.timedelta(days=1)


# --- settlements ----------------------------------------------------------------------------------


def test_a_settlement_says_what_became_of_each_row(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200, 300)
    exchange.house.unknown.add(TOKENS[1])
    exchange.house.settle(name)
    assert exchange.bring_all() == ["accepted"]
    assert exchange.book.totals() == {
        "accepted": {"rows": 2, "total_minor": 800},
        "rejected": {"rows": 1, "total_minor": 200},
    }
    (row,) = exchange.book.list_rows("rejected")
    assert (row["row_id"], row["reason"], row["name"]) == ("2", "unknown_medium", name)
    assert exchange.code_of(name) == [("settled", "")]


def test_the_same_file_again_changes_nothing(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.settle(name)
    (answer,) = exchange.house.outbox
    assert [exchange.bring(*answer) for _ in range(3)] == ["accepted", "duplicate", "duplicate"]
    assert exchange.row_states() == {"accepted": 2}


def test_a_corrected_settlement_replaces_the_first(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.unknown.add(TOKENS[0])
    exchange.house.settle(name)
    first = exchange.house.outbox[-1]
    exchange.bring_all()
    exchange.house.outbox.append(first)
    exchange.house.unknown = {TOKENS[1]}
    exchange.house.correct(name)
    codes = exchange.bring_all()
    assert codes == ["duplicate", "accepted"]
    assert [row["row_id"] for row in exchange.book.list_rows("rejected")] == ["2"]
    assert [one["state"] for one in exchange.book.list_files()] == [
        "settled",
        "superseded",
        "applied",
    ]


def test_an_old_revision_after_a_new_one_is_outdated(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.unknown.add(TOKENS[0])
    exchange.house.settle(name)
    exchange.house.unknown.clear()
    exchange.house.correct(name)
    first, second = exchange.house.outbox
    assert [exchange.bring(*second), exchange.bring(*first)] == ["accepted", "outdated"]
    assert exchange.row_states() == {"accepted": 2}


def test_rejected_rows_go_into_the_next_file_under_the_same_id(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.unknown.add(TOKENS[1])
    exchange.house.settle(name)
    exchange.bring_all()
    with pytest.raises(DeliveryError) as refused:
        exchange.book.retry(["2", "1"], MORNING_US)
    assert refused.value.code == "CLEARING_ROW"
    assert exchange.row_states() == {"accepted": 1, "rejected": 1}
    told: list[object] = []
    exchange.book.retry(["2"], MORNING_US, lambda _connection, *said: told.append(said))
    assert told == [("clearing.retry", "clearing:cc", {"rows": ["2"]})]
    exchange.house.unknown.clear()
    (again,) = exchange.make(MORNING_US + 86_400_000_000)
    exchange.give(again)
    exchange.house.settle(again)
    assert exchange.bring_all(MORNING_US + 86_400_000_000) == ["accepted"]
    assert exchange.book.totals() == {"accepted": {"rows": 2, "total_minor": 700}}
    assert exchange.house.paid == {"1": 500, "2": 200}


def test_a_correction_does_not_touch_rows_that_are_in_a_later_file(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    exchange.house.unknown.add(TOKENS[1])
    exchange.house.settle(name)
    exchange.bring_all()
    exchange.book.retry(["2"], MORNING_US)
    exchange.make(MORNING_US + 86_400_000_000)
    exchange.house.settle(name, pay=False)
    exchange.house.outbox.clear()
    label = Label(HOUSE, US, Kind.SETTLE, DAY, 1, 1)
    rejected = [("R", "2", "2", "99", "200")]
    raw = exchange.house.answer(label, name, {"1": 500}, rejected)
    assert exchange.bring(label.name, raw) == "accepted"
    assert exchange.row_states() == {"accepted": 1, "sent": 1}


Change = Callable[[Exchange, str, bytes], tuple[str, bytes]]


def answered(change: Callable[[Exchange, str], bytes]) -> Change:
    return lambda exchange, name, _raw: (label_of(1).name, change(exchange, name))


def label_of(sequence: int, **changes: object) -> Label:
    return replace(Label(HOUSE, US, Kind.SETTLE, DAY, sequence), **changes)


def renamed(**changes: object) -> Change:
    """The same answer under another label, whole in itself."""

    def change(exchange: Exchange, _name: str, raw: bytes) -> tuple[str, bytes]:
        content = read_file(label_of(1).name, raw)
        label = replace(content.label, **changes)
        return label.name, write_file(replace(content, label=label), "UTF8")

    return change


FAULTS: dict[str, Change] = {
    "cut": lambda _e, _n, raw: (label_of(1).name, raw[:-30]),
    "wrong_digest": lambda _e, _n, raw: (label_of(1).name, raw[:-2] + b"0\n"),
    "bad_name": lambda _e, _n, raw: ("settlement.txt", raw),
    "bad_head": lambda _e, _n, raw: (label_of(2).name, raw),
    "other_day": renamed(day=NEXT + datetime.timedelta(days=1)),
    "other_party": renamed(receiver="OTHERGW"),
    "other_currency": answered(
        lambda e, n: ClearingHouse(currency=840).answer(label_of(1), n, {}, [])
    ),
    "unknown_file": answered(
        lambda e, n: e.house.answer(label_of(1), n.replace("000001", "000009"), {}, [])
    ),
    "totals_differ": answered(lambda e, n: e.house.answer(label_of(1), n, {"1": 500}, [])),
    "unknown_row": answered(
        lambda e, n: e.house.answer(label_of(1), n, {"1": 500}, [("R", "2", "77", "01", "200")])
    ),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_faulty_settlement_changes_nothing_and_is_kept(exchange: Exchange, code: str) -> None:
    name = settled(exchange, 500, 200)
    raw = exchange.house.settle(name)
    bad_name, bad = FAULTS[code](exchange, name, raw)
    assert exchange.bring(bad_name, bad) == code
    assert exchange.row_states() == {"sent": 2}
    assert exchange.code_of(bad_name) == [("refused", code)]
    assert exchange.book.find_content(bad_name) == [("refused", bad)]
    assert exchange.bring(label_of(1).name, raw) == "accepted", "the right one still comes through"
    assert exchange.row_states() == {"accepted": 2}


def test_a_row_with_another_amount_is_no_row_of_ours(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    rejected = [("R", "2", "2", "04", "199")]
    raw = exchange.house.answer(label_of(1), name, {"1": 501}, rejected)
    assert exchange.bring(label_of(1).name, raw) == "unknown_row"


def test_other_bytes_under_an_applied_name_are_a_conflict(exchange: Exchange) -> None:
    name = settled(exchange, 500, 200)
    raw = exchange.house.settle(name)
    exchange.bring(label_of(1).name, raw)
    other = exchange.house.answer(
        label_of(1), name, {}, [("R", "1", "1", "99", "500"), ("R", "2", "2", "99", "200")]
    )
    assert exchange.bring(label_of(1).name, other) == "conflict"
    assert exchange.row_states() == {"accepted": 2}
    assert len(exchange.book.find_content(label_of(1).name)) == 2


@pytest.mark.parametrize(("days", "code"), [(28, "accepted"), (29, "other_day")])
def test_a_settlement_may_come_so_late(exchange: Exchange, days: int, code: str) -> None:
    name = settled(exchange, 500)
    raw = exchange.house.settle(name)
    late_us = MORNING_US + (days - 1) * 86_400_000_000
    assert exchange.bring(label_of(1).name, raw, late_us) == code


# --- deny lists -----------------------------------------------------------------------------------


def test_a_deny_list_becomes_the_state_of_media_once(exchange: Exchange) -> None:
    exchange.house.deny(DAY, add=(TOKENS[0], TOKENS[1], TOKENS[4]))
    assert exchange.bring_all() == ["accepted"]
    states = [exchange.engine.media[bytes.fromhex(one)] for one in TOKENS[:3]]
    assert states == ["denylisted", "denylisted", "active"]
    assert TOKENS[4] not in {one.hex() for one in exchange.engine.media}
    exchange.house.deny(NEXT, drop=(TOKENS[0], TOKENS[2]))
    assert exchange.bring_all() == ["accepted"]
    states = [exchange.engine.media[bytes.fromhex(one)] for one in TOKENS[:3]]
    assert states == ["active", "denylisted", "active"]
    assert len(exchange.engine.sent) == 3


@pytest.mark.parametrize("after_s", [0, 3600, 4 * 3600])
def test_a_list_of_today_acts_from_the_beginning_of_the_day(
    exchange: Exchange, after_s: int
) -> None:
    """While it is still yesterday in UTC: the ids of its operations are not from the future."""
    exchange.engine.now_us = DAYS.start_us(DAY) + after_s * 1_000_000
    exchange.house.deny(DAY, add=TOKENS[:1])
    assert exchange.bring_all(exchange.engine.now_us) == ["accepted"]
    assert exchange.engine.media[bytes.fromhex(TOKENS[0])] == "denylisted"


def test_a_list_waits_for_an_engine_whose_clock_is_behind(exchange: Exchange) -> None:
    exchange.engine.now_us = DAYS.start_us(DAY) - 3600 * 1_000_000
    exchange.house.deny(DAY, add=TOKENS[:1])
    ((name, data),) = exchange.house.outbox
    with pytest.raises(CommandError):
        exchange.bring(name, data)
    assert exchange.code_of(name) == [("received", "")]
    exchange.engine.now_us = MORNING_US
    exchange.incoming.process(MORNING_US)
    assert exchange.engine.media[bytes.fromhex(TOKENS[0])] == "denylisted"


def test_what_an_owner_reported_stays_lost(exchange: Exchange) -> None:
    token = bytes.fromhex(TOKENS[0])
    exchange.engine.media[token] = "lost"
    exchange.house.deny(DAY, add=TOKENS[:1])
    exchange.house.deny(DAY, drop=TOKENS[:1])
    assert exchange.bring_all() == ["accepted", "accepted"]
    assert exchange.engine.media[token] == "lost"
    assert exchange.engine.sent == []


def test_what_we_denied_ourselves_is_not_lifted_by_them(exchange: Exchange) -> None:
    token = bytes.fromhex(TOKENS[0])
    exchange.engine.media[token] = "denylisted"
    exchange.house.deny(DAY, add=TOKENS[:1])
    exchange.house.deny(DAY, drop=TOKENS[:1])
    exchange.bring_all()
    assert exchange.engine.media[token] == "denylisted"


def test_lists_wait_for_the_one_before(exchange: Exchange) -> None:
    for number in range(3):
        exchange.house.deny(DAY, **({"drop": TOKENS[:1]} if number % 2 else {"add": TOKENS[:1]}))
    first, second, third = exchange.house.outbox
    assert exchange.bring(*first) == "accepted"
    assert exchange.bring(*third) == "gap"
    assert exchange.code_of(third[0]) == [("waiting", "gap")]
    assert exchange.bring(*second) == "accepted"
    assert exchange.code_of(third[0]) == [("applied", "accepted")]
    assert exchange.engine.media[bytes.fromhex(TOKENS[0])] == "denylisted"
    assert exchange.bring(first[0], first[1]) == "duplicate"


@pytest.mark.parametrize("trouble", ["down", "lost", "busy"])
def test_a_gateway_out_of_reach_leaves_the_list_open(exchange: Exchange, trouble: str) -> None:
    exchange.house.deny(DAY, add=TOKENS[:2])
    ((name, data),) = exchange.house.outbox
    exchange.engine.trouble.extend(["", trouble] if trouble == "lost" else [trouble])
    with pytest.raises((CommandError, Uncertain)):
        exchange.bring(name, data)
    assert exchange.code_of(name) == [("received", "")]
    exchange.incoming.process(MORNING_US)
    assert exchange.code_of(name) == [("applied", "accepted")]
    assert set(exchange.engine.media.values()) == {"denylisted", "active"}
    exchange.house.deny(DAY, drop=TOKENS[:2])
    exchange.bring(*exchange.house.outbox[-1])
    assert set(exchange.engine.media.values()) == {"active"}


# --- many days ------------------------------------------------------------------------------------


def test_any_exchange_of_a_month_loses_nothing(exchange: Exchange) -> None:
    rng = random.Random(11)
    day_us = 86_400_000_000
    waiting: list[tuple[str, bytes]] = []
    now_us = NOON_US
    codes: Counter[str] = Counter()
    for _ in range(20):
        for _ in range(rng.randint(0, 12)):
            exchange.fares.post(
                now_us + rng.randint(0, day_us // 3), rng.choice(TOKENS), rng.randint(-50, 900)
            )
        exchange.fares.rows.sort(key=lambda one: int(one[1].row_id))
        now_us += day_us
        exchange.house.unknown = set(rng.sample(TOKENS, rng.randint(0, 2)))
        for name in exchange.make(now_us):
            exchange.give(name)
            exchange.house.settle(name)
        waiting += exchange.house.outbox
        exchange.house.outbox = []
        rng.shuffle(waiting)
        for name, data in waiting[: rng.randint(0, 4)]:
            if rng.random() < 0.3:
                codes[exchange.bring(name, data[: rng.randint(1, len(data) - 1)], now_us)] += 1
            codes[exchange.bring(name, data, now_us)] += 1
            if rng.random() < 0.3:
                codes[exchange.bring(name, data, now_us)] += 1
        rejected = [row["row_id"] for row in exchange.book.list_rows("rejected")]
        exchange.book.retry(rejected[: rng.randint(0, 3)], now_us)
        total = sum(one["total_minor"] for one in exchange.book.totals().values())
        made = [row for at, row in exchange.fares.rows if at < DAYS.start_us(DAYS.day_of(now_us))]
        assert total == sum(row.fare_minor for row in made)
    for name, data in waiting:
        exchange.bring(name, data, now_us)
    assert codes["accepted"] > 5
    assert codes["duplicate"] > 0
    assert codes["cut"] > 0
    by_row = {row["row_id"]: row["amount_minor"] for row in exchange.book.list_rows("accepted")}
    assert by_row == {row: paid for row, paid in exchange.house.paid.items() if row in by_row}
    states = exchange.row_states()
    assert sum(states.values()) == len(made)


# --- over HTTP and a folder -----------------------------------------------------------------------


async def test_a_whole_turn_over_http(database: Database, tmp_path: Path, clock: Clock) -> None:
    house = ClearingHouse()
    house.unknown.add(TOKENS[1])
    remote = ClearingRemote(house)
    clock.us = MORNING_US
    bench = ClearingBench()
    bench.remote = remote
    await remote.start()
    fares, engine = Fares(), MediaEngine(*TOKENS)
    for number in range(6):
        fares.post(NOON_US + number, TOKENS[number % 3], 100 + number)
    try:
        async with bench.opened() as adapter:
            one = Configured("cc", "clearing", adapter)
            config = SimpleNamespace(gateway=SimpleNamespace(data_dir=tmp_path))
            tools = SimpleNamespace(
                config=config, registry=database, commands=engine, now_us=clock.now_us
            )
            job = ClearingJob(one, tools, fares)
            relay = Relay(
                "cc",
                adapter,
                Outbox(database),
                clock.now_us,
                on_outcome=on_sent,
                settings=RelaySettings(deadline_s=3.0),
                monotonic=clock.monotonic,
            )
            remote.on_write.append(Trouble.DROP_AFTER)
            await turn(job, relay, clock, fares)
            (name,) = house.taken
            house.settle(name)
            house.deny(DAY, add=TOKENS[:1])
            await turn(job, relay, clock, fares)
            await turn(job, relay, clock, fares)
    finally:
        await remote.stop()
        bench.dispose()
    book = ClearingBook("cc", database)
    assert {state: one["rows"] for state, one in book.totals().items()} == {
        "accepted": 4,
        "rejected": 2,
    }
    assert sum(remote.effects.values()) == 1
    assert engine.media[bytes.fromhex(TOKENS[0])] == "denylisted"
    assert job.report() == {"made": 1, "codes": {"accepted": 2}}


async def turn(job: ClearingJob, relay: Relay, clock: Clock, fares: Fares) -> None:
    """One turn of the job and of the relay, as the worker does them side by side."""
    job._made += len(job._outgoing.make_due(fares, clock.us))
    for _ in range(4):
        await relay.work()
        clock.forward(10.0)
    await job._fetch()
    job._note(job._incoming.process(clock.us))


async def test_a_house_that_refuses_the_file_gives_its_rows_back(exchange: Exchange) -> None:
    settled(exchange, 500, 200)
    outbox = Outbox(exchange.database)
    (letter,) = outbox.claim("cc", 1, MORNING_US)
    refused = Outcome(Status.REJECTED, refusal=Refusal.NOT_ELIGIBLE, detail="closed today")
    outbox.finish(letter, refused, MORNING_US, on_sent)
    assert exchange.row_states() == {"open": 2}
    assert exchange.book.list_files()[0]["state"] == "refused"
    (again,) = exchange.make(MORNING_US + 86_400_000_000)
    assert len(read_file(again, (exchange.folder / again).read_bytes()).rows) == 2
    assert exchange.row_states() == {"sent": 2}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    for name in ("in", "out"):
        (tmp_path / "shared" / name).mkdir(parents=True)
    return tmp_path / "shared"


class TestFolder:
    """The folder as a place of exchange."""

    @pytest.fixture
    def folder(self, shared: Path) -> FolderExchange:
        made = FolderExchange(shared)
        made.settle_s = 0.0
        return made

    async def test_a_file_is_put_once(self, folder: FolderExchange, shared: Path) -> None:
        first = await folder.put("x:a.txt", "a.txt", b"one")
        assert await folder.put("x:a.txt", "a.txt", b"one") == first
        assert await folder.find("x:a.txt") == first
        assert await folder.find("x:b.txt") is None
        assert [path.name for path in (shared / "in").iterdir()] == ["a.txt"]
        with pytest.raises(Rejected):
            await folder.put("x:a.txt", "a.txt", b"two")
        assert (shared / "in" / "a.txt").read_bytes() == b"one"

    async def test_their_files_are_listed_in_the_order_they_came(
        self, folder: FolderExchange, shared: Path
    ) -> None:
        for name in ("c", "a", "b"):
            (shared / "out" / name).write_text(name)
        (shared / "out" / ".half").write_text("")
        listed = await folder.list_after("")
        assert [one.name for one in listed] == ["c", "a", "b"]
        assert [one.name for one in await folder.list_after(listed[0].cursor)] == ["a", "b"]
        assert await folder.get("a") == b"a"

    async def test_a_replaced_file_is_listed_again(
        self, folder: FolderExchange, shared: Path
    ) -> None:
        (shared / "out" / "a").write_text("1")
        (one,) = await folder.list_after("")
        other = shared / "out" / ".new"
        other.write_text("2")
        other.rename(shared / "out" / "a")
        (again,) = await folder.list_after(one.cursor)
        assert again.name == "a"

    async def test_the_youngest_are_left_for_the_next_look(self, shared: Path) -> None:
        (shared / "out" / "a").write_text("1")
        assert await FolderExchange(shared).list_after("") == []

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        folder = FolderExchange(tmp_path / "nowhere")
        assert (await folder.check()).status.value == "misconfigured"
        with pytest.raises(Misconfigured):
            await folder.put("x:a", "a", b"")
        with pytest.raises(Misconfigured):
            await folder.list_after("")

    async def test_a_file_that_is_too_long_holds_up_no_other(
        self, shared: Path, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adapters.transit.clearing.exchange.FILE_MAX", 100)
        monkeypatch.setattr(FolderExchange, "settle_s", 0.0)
        (shared / "out" / "a.txt").write_bytes(b"x" * 101)
        (shared / "out" / "b.txt").write_bytes(b"x" * 100)
        adapter = ClearingAdapter(ClearingSettings(sender=US, receiver=HOUSE, folder=shared))
        pages = [page async for page in adapter.stream("files", "", full=False)]
        with exchange.database.transaction() as connection:
            found = exchange.incoming.store(connection, pages[0].records, MORNING_US)
        assert {one.name: str(one.code) for one in found} == {
            "a.txt": "too_long",
            "b.txt": "accepted",
        }
        exchange.incoming.process(MORNING_US)
        assert exchange.code_of("a.txt") == [("refused", "too_long")]
        assert exchange.code_of("b.txt") == [("refused", "bad_name")]

    async def test_the_adapter_over_a_folder(self, shared: Path, tmp_path: Path) -> None:
        adapter = ClearingAdapter(ClearingSettings(sender=US, receiver=HOUSE, folder=shared))
        await adapter.open(SimpleNamespace())
        path = tmp_path / "x.txt"
        path.write_bytes(b"fares")
        facts = {"name": "x.txt", "path": str(path), "digest": digest_of(b"fares")}
        command = Command("t:x.txt", Capability.SEND_FILE, facts=facts)
        adapter.validate(command)
        assert (await adapter.execute(command)).status is Status.DONE
        assert (await adapter.query("t:x.txt")).status is Status.DONE
        await adapter.close()
