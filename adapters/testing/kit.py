"""The conformance kit: every check an adapter passes, as coroutines that need no test runner.

`run_check` makes a new bench for each, so that checks cannot lean on each other. A check raises
AssertionError (or anything else) when the adapter is wrong, NotApplicable when it says that it has
no such thing. adapters/testing/conformance.py is its face for pytest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module

from adapters.contract import NotFound, Outcome, Status
from adapters.errors import ALL_ERRORS, AdapterError, Refusal, Rejected, Uncertain
from adapters.testing.bench import PATIENCE_S, Bench

Check = Callable[[Bench], Awaitable[None]]
CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order of their files."""


class NotApplicable(Exception):
    """This adapter does not claim to do that."""


def check(function: Check) -> Check:
    """Enter a check under its name."""
    CHECKS[function.__name__] = function
    return function


def expect(holds: object, why: str) -> None:
    """As `assert`, but also under -O."""
    if not holds:
        raise AssertionError(why)


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found: `passed`, `failed` or `skipped`, and why."""

    name: str
    verdict: str
    why: str = ""


async def run_check(name: str, make: Callable[[], Bench]) -> Result:
    """One check on a bench of its own; every error is a failure."""
    bench = make()
    await bench.remote.start()
    try:
        async with asyncio.timeout(6 * PATIENCE_S):
            await CHECKS[name](bench)
    except NotApplicable as said:
        return Result(name, "skipped", str(said))
    except Exception as error:  # noqa: BLE001 - whatever an adapter raises is a finding
        return Result(name, "failed", f"{type(error).__name__}: {error}")
    finally:
        await bench.remote.stop()
        bench.dispose()
    return Result(name, "passed")


async def run_all(make: Callable[[], Bench]) -> list[Result]:
    """Every check, one after the other."""
    load_checks()
    return [await run_check(name, make) for name in CHECKS]


def load_checks() -> None:
    """Import the files with the checks."""
    for name in ("money", "trouble", "life", "stream", "inbound"):
        import_module(f"adapters.testing.checks_{name}")


# --- what checks share ----------------------------------------------------------------------------


async def told(call: Awaitable[Outcome]) -> Outcome | AdapterError:
    """An outcome or an error of the closed set, within the patience; anything else is a bug."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await call
    except TimeoutError as error:
        raise AssertionError("it hangs: its own timeouts have to end a call") from error
    except AdapterError as error:
        expect(type(error) in ALL_ERRORS, f"{type(error).__name__} is not of the closed set")
        return error


async def asked(call: Awaitable[Outcome | NotFound]) -> Outcome | NotFound | AdapterError:
    """As `told`, for a question."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await call
    except TimeoutError as error:
        raise AssertionError("it hangs: its own timeouts have to end a question") from error
    except AdapterError as error:
        expect(type(error) in ALL_ERRORS, f"{type(error).__name__} is not of the closed set")
        return error


def is_unknown(result: object) -> bool:
    """Whether a call's result says that nobody knows."""
    if isinstance(result, Outcome):
        return result.status is Status.UNCERTAIN
    return isinstance(result, Uncertain)


def refusal_of(result: object) -> Refusal | None:
    """Why a call was refused; None = it was not."""
    if isinstance(result, Rejected):
        return result.refusal
    if isinstance(result, Outcome) and result.status is Status.REJECTED:
        return result.refusal
    return None


def done(result: object) -> Outcome:
    """The outcome of something that must be done."""
    expect(isinstance(result, Outcome), f"no outcome, but {result!r}")
    if not isinstance(result, Outcome):
        raise AssertionError
    expect(result.status is Status.DONE, f"not done, but {result.status}: {result.detail}")
    return result
