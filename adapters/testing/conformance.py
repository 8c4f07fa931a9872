"""The kit as a pytest class: subclass it, name the bench, and every check is a test.

class TestMine(Conformance):
    bench = MyBench
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from adapters.testing.bench import Bench
from adapters.testing.kit import CHECKS, load_checks, run_check

load_checks()


class Conformance:
    """One test a check, each with a bench and a loop of its own."""

    bench: Callable[[], Bench]

    @pytest.mark.parametrize("name", list(CHECKS))
    def test_conformance(self, name: str) -> None:
        result = asyncio.run(run_check(name, type(self).bench))
        if result.verdict == "skipped":
            pytest.skip(result.why)
        if result.verdict == "failed":
            pytest.fail(f"{name}: {result.why}", pytrace=False)
