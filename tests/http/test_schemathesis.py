"""The whole document, with a key that may everything: no 500, nothing undocumented."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.http.town import Town

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def _try_operation(operation: Any, url: str, token: str, examples: int) -> None:
    """So many generated requests of one operation, right and wrong ones. Blocking."""
    headers = {"Authorization": f"Bearer {token}"}

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_strategy(operation))
    def one(case: Any) -> None:
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    one()


def _strategy(operation: Any) -> Any:
    right = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    return right | wrong


def _try_all(url: str, token: str, examples: int) -> int:
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    found = [one.ok() for one in schema.get_all_operations()]
    for operation in found:
        _try_operation(operation, url, token, examples)
    return len(found)


async def _prepare(town: Town) -> None:
    for _ in range(3):
        await town.city.account(10_000)
    await asyncio.to_thread(town.project)


@pytest.mark.timeout(300)
async def test_no_500_and_no_undocumented_answer(town: Town) -> None:
    await _prepare(town)
    assert await asyncio.to_thread(_try_all, town.url, town.city.token, 8) > 20


@pytest.mark.slow
@pytest.mark.timeout(3000)
async def test_the_same_at_length(town: Town) -> None:
    await _prepare(town)
    assert await asyncio.to_thread(_try_all, town.url, town.city.token, 300) > 20
