"""The shared page: slots, buckets, and readers that survive their writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EnvironmentFault
from gateway.observability import page
from gateway.observability.page import Histogram, Page, PageReader, bucket_floor_us, bucket_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "page"


def test_what_is_written_is_read(path: Path) -> None:
    writer = Page.create(path)
    writer.slots[page.TAPS + 2 * page.REASONS + 40] = 7
    writer.slots[page.TARIFF_KEYS + 1] = -1
    view = PageReader(path).read()
    assert view is not None
    assert view[page.TAPS + 2 * page.REASONS + 40] == 7
    assert view.tariff_key(1) == (1 << 64) - 1
    assert view[page.PID] == os.getpid()
    assert view.writer_lives()
    writer.close()


def test_the_page_is_private(path: Path) -> None:
    Page.create(path).close()
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_reader_follows_a_new_writer(path: Path) -> None:
    reader = PageReader(path)
    first = Page.create(path)
    first.slots[page.COMMITS] = 5
    old = reader.read()
    second = Page.create(path)
    second.slots[page.COMMITS] = 1
    first.slots[page.COMMITS] = 6  # a stuck predecessor writes where nobody looks any more
    new = reader.read()
    assert old is not None
    assert new is not None
    assert (old[page.COMMITS], new[page.COMMITS]) == (5, 1)
    first.close()
    second.close()


def test_a_dead_writer_leaves_its_numbers(path: Path) -> None:
    code = (
        "from pathlib import Path; import os, sys\n"
        "from gateway.observability import page\n"
        "p = page.Page.create(Path(sys.argv[1])); p.slots[page.COMMITS] = 9; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
    view = PageReader(path).read()
    assert view is not None
    assert view[page.COMMITS] == 9
    assert not view.writer_lives()


@pytest.mark.parametrize("content", [b"", b"FGPAGE01", bytes(page.SLOT_COUNT * 8), b"x" * 100_000])
def test_what_is_no_page_is_none(path: Path, content: bytes) -> None:
    assert PageReader(path).read() is None
    path.parent.mkdir()
    path.write_bytes(content)
    assert PageReader(path).read() is None


def test_a_folder_that_cannot_be_made_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="status page"):
        Page.create(tmp_path / "run" / "page")


def test_no_two_slots_overlap() -> None:
    single = [
        value
        for name, value in vars(page).items()
        if name.isupper()
        and isinstance(value, int)
        and name not in _NOT_SLOTS
        and name not in _RUNS
    ]
    runs = [
        slot
        for name, size in _RUNS.items()
        for slot in range(getattr(page, name), getattr(page, name) + size)
    ]
    assert len(set(single + runs)) == len(single) + len(runs)
    assert max(single + runs) < page.SLOT_COUNT


_NOT_SLOTS = {
    "MAGIC", "SLOT_BYTES", "SLOT_COUNT", "TARIFF_SLOTS", "TAP_KINDS", "REASONS",
    "FRAME_ERROR_KINDS", "BUCKETS",
}  # fmt: skip
_RUNS = {
    "TARIFF_KEYS": page.TARIFF_SLOTS,
    "TARIFF_VERSIONS": page.TARIFF_SLOTS,
    "TAPS": page.TAP_KINDS * page.REASONS,
    "FRAME_ERRORS": page.FRAME_ERROR_KINDS,
    "COMMANDS": page.REASONS,
    "LATENCY": page.BUCKETS,
    "COMMIT": page.BUCKETS,
}


@given(st.integers(0, 1 << 40))
def test_a_duration_lies_in_its_bucket(us: int) -> None:
    bucket = bucket_of(us)
    assert bucket_floor_us(bucket) <= us
    assert us < bucket_floor_us(bucket + 1) or bucket == page.BUCKETS - 1


@given(st.integers(4, 1 << 24))
def test_a_bucket_is_at_most_a_quarter_wide(us: int) -> None:
    bucket = bucket_of(us)
    floor = bucket_floor_us(bucket)
    assert bucket_floor_us(bucket + 1) - floor <= floor / 4 + 1


@given(
    st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 1.0])
)
def test_a_quantile_is_not_below_the_true_one_nor_far_above(
    durations: list[int], part: float
) -> None:
    counts = [0] * page.BUCKETS
    for us in durations:
        counts[bucket_of(us)] += 1
    histogram = Histogram(tuple(counts), sum(durations))
    ordered = sorted(durations)
    index = max(0, -(-int(part * 1000) * len(ordered) // 1000) - 1)
    true = ordered[index]
    assert true < histogram.quantile_us(part) <= true * 1.25 + 2


def test_an_empty_histogram() -> None:
    assert Histogram((0,) * page.BUCKETS, 0).quantile_us(0.99) == 0
