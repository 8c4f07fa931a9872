"""Shipped adapters pass the kit, and the kit finds adapters that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import (
    NOT_FOUND,
    Capability,
    Command,
    Meta,
    Money,
    NotFound,
    Outcome,
    Page,
    Status,
)
from adapters.errors import AdapterError, Refusal, Rejected, Unavailable, Uncertain
from adapters.funding.bank.adapter import BankAdapter
from adapters.funding.bank.bench import BankBench
from adapters.funding.bank.settings import BankSettings
from adapters.testing.conformance import Conformance
from adapters.testing.kit import CHECKS, load_checks, run_check
from adapters.transit.clearing.adapter import ClearingAdapter
from adapters.transit.clearing.bench import ClearingBench
from adapters.transit.clearing.settings import ClearingSettings

load_checks()


class TestBank(Conformance):
    """The bank against its simulator."""

    bench = BankBench


class TestClearing(Conformance):
    """The clearing house against its simulator, over HTTP."""

    bench = ClearingBench


def bench_of(kind: type[BankAdapter]) -> Callable[[], BankBench]:
    """The bank's bench with another adapter in it."""

    class MutantBench(BankBench):
        def make_adapter(self) -> BankAdapter:
            return kind(BankSettings.model_validate(self.good_settings()))

    return MutantBench


class SaysUnavailableInDoubt(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Uncertain as error:
            raise Unavailable("safe to send again") from error


class SaysDoneInDoubt(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Uncertain:
            return Outcome(Status.DONE, "o-1", raw_digest="0" * 64)


class NewKeyEachTime(BankAdapter):
    count = 0

    async def execute(self, command: Command) -> Outcome:
        self.count += 1
        answer = Command(
            f"{command.key}-{self.count}", command.capability, command.subject, command.money
        )
        return await super().execute(answer)


class QuestionsAlwaysFindNothing(BankAdapter):
    async def query(self, key: str) -> Outcome | NotFound:
        return NOT_FOUND


class TakesErrorsForNotFound(BankAdapter):
    async def query(self, key: str) -> Outcome | NotFound:
        try:
            return await super().query(key)
        except AdapterError:
            return NOT_FOUND


class QuestionsExecute(BankAdapter):
    async def query(self, key: str) -> Outcome | NotFound:
        return await self.execute(Command(key, Capability.REFUND, "DE-77-1", Money(1250, 156)))


class BelievesAnyAnswer(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Uncertain as error:
            if "another reference" in error.detail:
                return Outcome(Status.DONE, "o-1", raw_digest="0" * 64)
            raise


class LosesRetryAfter(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Exception as error:
            error.retry_after_s = None  # type: ignore[attr-defined]
            raise


class RetriesByItself(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        for number in range(3):
            try:
                key = command.key if number == 0 else f"{command.key}#{number}"
                return await super().execute(
                    Command(key, command.capability, command.subject, command.money)
                )
            except Uncertain:
                continue
        raise Uncertain("three times")


class ForeignErrors(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Rejected as error:
            raise ValueError("closed") from error


class OtherWordsForNo(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Rejected:
            raise Rejected(Refusal.OTHER) from None


class SwallowsCancellation(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)
            raise


class LeavesATask(BankAdapter):
    async def open(self, context: Any) -> None:
        await super().open(context)
        self.task = asyncio.create_task(asyncio.sleep(3600))


class LeavesItsSession(BankAdapter):
    async def close(self) -> None:
        self.kept = self._peer


class CheckWrites(BankAdapter):
    async def check(self) -> Any:
        await self.execute(Command("check", Capability.REFUND, "x", Money(1, 156)))
        return await super().check()


class CheckRaises(BankAdapter):
    async def check(self) -> Any:
        result = await super().check()
        if result.status != "ok":
            raise Unavailable(result.detail)
        return result


class LogsNames(BankAdapter):
    async def open(self, context: Any) -> None:
        await super().open(context)
        self.log = context.log

    async def execute(self, command: Command) -> Outcome:
        self.log("sending", {"to": command.subject})
        return await super().execute(command)


class TellsNamesInErrors(BankAdapter):
    async def execute(self, command: Command) -> Outcome:
        try:
            return await super().execute(command)
        except Uncertain as error:
            raise Uncertain(f"{error.detail} for {command.subject}") from error


class UndoesUnderTheSameKey(BankAdapter):
    async def compensate(self, command: Command, outcome: Outcome) -> Outcome:
        return await self._order(
            "/v1/recalls", command.key, {"reference": command.key, "recalls": command.key}
        )


class BelievesForgedMessages(BankAdapter):
    def parse(self, raw: bytes, meta: Meta) -> Any:
        return super().parse(raw, Meta(meta.source, meta.received_us, by_hand=True))


class EventsDependOnArrival(BankAdapter):
    def parse(self, raw: bytes, meta: Meta) -> Any:
        events = super().parse(raw, meta)
        return [
            type(one)(f"{one.message_id}-{meta.received_us}", one.kind, "", 0, one.aggregate)
            for one in events
        ]


class OneAnswerForAll(BankAdapter):
    def ack(self, result: Any, raw: bytes) -> bytes:
        return b"ok"


class HealthAsks(BankAdapter):
    def health(self) -> Any:
        found = super().health()
        return type(found)(found.is_open, 0, found.last_error)


MUTANTS: dict[type[BankAdapter], tuple[str, ...]] = {
    SaysUnavailableInDoubt: ("dropped_after_the_commit", "answered_too_late", "garbage"),
    SaysDoneInDoubt: ("never_answered", "dropped_before_the_commit", "garbage"),
    NewKeyEachTime: ("the_same_key_again", "query_says_the_same"),
    QuestionsAlwaysFindNothing: ("query_says_the_same", "dropped_after_the_commit"),
    TakesErrorsForNotFound: ("trouble_while_asking",),
    QuestionsExecute: ("query_of_an_unknown_key",),
    BelievesAnyAnswer: ("an_answer_about_something_else",),
    LosesRetryAfter: ("too_many_requests", "unavailable"),
    RetriesByItself: ("dropped_after_the_commit", "never_answered"),
    ForeignErrors: ("a_refusal",),
    OtherWordsForNo: ("a_refusal",),
    SwallowsCancellation: ("cancelled_while_it_waits",),
    LeavesATask: ("nothing_is_left_behind",),
    LeavesItsSession: ("nothing_is_left_behind", "health_asks_nobody"),
    CheckWrites: ("check_finds_the_peer",),
    CheckRaises: ("check_tells_bad_credentials", "check_tells_that_nobody_is_there"),
    LogsNames: ("personal_words_stay_out_of_logs_and_errors",),
    TellsNamesInErrors: ("personal_words_stay_out_of_logs_and_errors",),
    UndoesUnderTheSameKey: ("compensate",),
    BelievesForgedMessages: ("forged_messages_are_refused",),
    EventsDependOnArrival: ("told_twice_and_later_it_is_the_same_event",),
    OneAnswerForAll: ("every_message_gets_an_answer",),
    HealthAsks: ("health_asks_nobody",),
}
"""An adapter that is wrong in one way, and the checks that have to find it."""


class StreamsOnlyOnePage(ClearingAdapter):
    async def stream(self, kind: str, cursor: str, *, full: bool) -> Any:
        async for page in super().stream(kind, cursor, full=full):
            yield type(page)(page.records, page.next_cursor, complete=True)
            return


class StreamsForgetTheCursor(ClearingAdapter):
    async def stream(self, kind: str, cursor: str, *, full: bool) -> Any:
        async for page in super().stream(kind, "", full=full):
            yield page


class StreamsEndEarlyWithoutAWord(ClearingAdapter):
    async def stream(self, kind: str, cursor: str, *, full: bool) -> Any:
        try:
            async for page in super().stream(kind, cursor, full=full):
                yield page
        except AdapterError:
            yield Page((), cursor, complete=True)


class StreamsIgnoreFull(ClearingAdapter):
    async def stream(self, kind: str, cursor: str, *, full: bool) -> Any:
        async for page in super().stream(kind, cursor, full=False):
            yield page


STREAM_MUTANTS = {
    StreamsOnlyOnePage: "a_stream_is_read_to_its_end",
    StreamsForgetTheCursor: "a_stream_goes_on_from_any_page",
    StreamsEndEarlyWithoutAWord: "a_stream_that_breaks_is_never_complete",
    StreamsIgnoreFull: "a_stream_goes_on_from_any_page",
}


@pytest.mark.parametrize("kind", STREAM_MUTANTS)
def test_the_kit_finds_bad_streams(kind: type[ClearingAdapter]) -> None:
    class MutantBench(ClearingBench):
        def make_adapter(self) -> ClearingAdapter:
            return kind(ClearingSettings.model_validate(self.good_settings()))

    result = asyncio.run(run_check(STREAM_MUTANTS[kind], MutantBench))
    assert result.verdict == "failed"


def test_the_page_says_how_many_mutants_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
    assert f"to {len(MUTANTS) + len(STREAM_MUTANTS)} adapters that are wrong" in page


CASES = [(kind, name) for kind, names in MUTANTS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda one: getattr(one, "__name__", one))
@pytest.mark.filterwarnings("ignore")
def test_the_kit_finds_it(
    kind: type[BankAdapter], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.testing.checks_life.PATIENCE_S", 0.5)
    monkeypatch.setattr("adapters.testing.bench.PATIENCE_S", 0.5)
    result = asyncio.run(run_check(name, bench_of(kind)))
    assert result.verdict == "failed", f"{kind.__name__} passes {name}"


def test_the_checks_have_a_text_for_people() -> None:
    assert len(CHECKS) >= 40
    assert all(check.__doc__ for check in CHECKS.values())
