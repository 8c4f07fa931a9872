"""Checks of streams: whole, resumable from any page, never complete when something went wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from adapters.contract import Adapter, Capability, Page
from adapters.errors import ALL_ERRORS, AdapterError
from adapters.testing.bench import PATIENCE_S, Bench
from adapters.testing.kit import NotApplicable, check, expect
from adapters.testing.remote import Trouble

RECORDS = 7


def _kind(bench: Bench, adapter: Adapter[Any]) -> str:
    if Capability.STREAM not in adapter.info.capabilities:
        raise NotApplicable("it has no stream")
    expect(bench.stream_kind, "STREAM is claimed, but the bench names no kind")
    return bench.stream_kind


async def _read(
    adapter: Adapter[Any], kind: str, cursor: str, *, full: bool = False
) -> tuple[list[Page], AdapterError | None]:
    """All pages that came, and what ended them."""
    pages: list[Page] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for page in adapter.stream(kind, cursor, full=full):
                pages.append(page)
    except AdapterError as error:
        expect(type(error) in ALL_ERRORS, f"{type(error).__name__} is not of the closed set")
        return pages, error
    return pages, None


def _records(pages: list[Page]) -> list[Any]:
    return [dict(record) for page in pages for record in page.records]


@check
async def a_stream_is_read_to_its_end(bench: Bench) -> None:
    """Every record once, only the last page complete, also when there is nothing."""
    async with bench.opened() as adapter:
        kind = _kind(bench, adapter)
        nothing, error = await _read(adapter, kind, "")
        expect(error is None and nothing[-1].complete, "an empty stream does not end")
        bench.add_records(RECORDS)
        pages, error = await _read(adapter, kind, "")
        expect(error is None, f"{error!r}")
    expect([page.complete for page in pages] == [False] * (len(pages) - 1) + [True], "complete")
    found = _records(pages)
    expect(len(found) == RECORDS, f"{len(found)} of {RECORDS} records")
    distinct = {repr(sorted(record.items())) for record in found}
    expect(len(distinct) == RECORDS, "a record came twice")


@check
async def a_stream_goes_on_from_any_page(bench: Bench) -> None:
    """Behind a page's cursor are exactly the records behind that page, also new ones; `full`
    begins at the beginning whatever the cursor says.
    """
    async with bench.opened() as adapter:
        kind = _kind(bench, adapter)
        bench.add_records(RECORDS)
        pages, _ = await _read(adapter, kind, "")
        whole, seen = _records(pages), 0
        for page in pages:
            seen += len(page.records)
            rest, _ = await _read(adapter, kind, page.next_cursor)
            expect(_records(rest) == whole[seen:], f"behind {seen} records")
        bench.add_records(2)
        rest, _ = await _read(adapter, kind, pages[-1].next_cursor)
        expect(len(_records(rest)) == 2, "new records are not found behind the last cursor")
        again, _ = await _read(adapter, kind, pages[-1].next_cursor, full=True)
        expect(len(_records(again)) == RECORDS + 2, "full does not begin at the beginning")


@check
async def a_stream_that_breaks_is_never_complete(bench: Bench) -> None:
    """Whatever goes wrong at any request: an error of the closed set, and no last page."""
    async with bench.opened() as adapter:
        kind = _kind(bench, adapter)
        bench.add_records(RECORDS)
        for trouble in (
            Trouble.NEVER,
            Trouble.HALF,
            Trouble.GARBAGE,
            Trouble.ERROR_AFTER,
            Trouble.TOO_MANY,
            Trouble.UNAVAILABLE,
            Trouble.UNAUTHORIZED,
        ):
            bench.remote.on_read.append(trouble)
            pages, error = await _read(adapter, kind, "")
            expect(error is not None, f"{trouble}: no error")
            expect(not any(page.complete for page in pages), f"{trouble}: complete")
            bench.remote.on_read.clear()
        pages, error = await _read(adapter, kind, "")
        expect(error is None and len(_records(pages)) == RECORDS, "afterwards it does not work")
