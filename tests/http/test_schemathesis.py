"""The whole document, asked by the city, a hospital and a rider about things that are there and
things that are not: no 500, nothing undocumented, nothing without a login.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.http.catalogue import all_endpoints
from gateway.http.endpoint import path_names
from tests.http.things import LOGIN_PASSWORD, make_things
from tests.http.town import Caller, Town

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
]


@dataclass(frozen=True)
class Asker:
    """Who asks, about what: names of path parameters and body members with what there is."""

    name: str
    token: str
    there: Mapping[str, Any]

    def point_at(self, case: Any) -> None:
        """Let a request that is right name things that are there."""
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                place.update({name: self.there[name] for name in place if name in self.there})


def _try_operation(operation: Any, url: str, askers: list[Asker], examples: int) -> None:
    """So many generated requests of one operation, right and wrong ones. Blocking."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_strategy(operation), st.sampled_from(askers))
    def one(case: Any, asker: Asker) -> None:
        asker.point_at(case)
        headers = {"Authorization": f"Bearer {asker.token}"}
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    one()


def _strategy(operation: Any) -> Any:
    right = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    return right | wrong


def _try_all(url: str, askers: list[Asker], examples: int) -> int:
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    found = [one.ok() for one in schema.get_all_operations()]
    # Sessions last: the rider's ends there.
    for operation in sorted(found, key=lambda one: one.path.startswith("/v1/sessions")):
        _try_operation(operation, url, askers, examples)
    return len(found)


async def _prepare(town: Town) -> list[Asker]:
    """The city twice, once about things that are not there."""
    own = await make_things(town, "city", town.city)
    ward = await make_things(town, "hospital", town.hospital)
    person = (await town.city.ok("POST", "/v1/persons", {"name": "王小明"}))["person_id"]
    await town.city.ok("PUT", f"/v1/persons/{person}/accounts/{own.names['account_id']}")
    rider = await _rider(town, person)
    there = {"charge_id": own.charge, "token": own.token, **own.names}
    return [
        Asker("city", town.city.token, there),
        Asker("stranger", town.city.token, {}),
        Asker("hospital", town.hospital.token, ward.names | {"charge_id": ward.charge}),
        Asker("rider", rider.token, there | {"person_id": person}),
    ]


async def _rider(town: Town, person_id: str) -> Caller:
    login = {"login": "rider@example.cn", "password": LOGIN_PASSWORD}
    await town.city.ok("PUT", f"/v1/persons/{person_id}/login", login)
    signed = await town.anybody.ok("POST", "/v1/sessions", login, key=None)
    return Caller(town, signed["token"])


@pytest.mark.timeout(300)
async def test_no_500_and_no_undocumented_answer(town: Town) -> None:
    askers = await _prepare(town)
    tried = await asyncio.to_thread(_try_all, town.url, askers, 8)
    assert tried == len(list(all_endpoints()))


@pytest.mark.slow
@pytest.mark.timeout(3000)
async def test_the_same_at_length(town: Town) -> None:
    askers = await _prepare(town)
    tried = await asyncio.to_thread(_try_all, town.url, askers, 300)
    assert tried == len(list(all_endpoints()))


async def test_without_a_login_and_with_a_wrong_one_nothing_is_answered(town: Town) -> None:
    things = await make_things(town, "city", town.city)
    wrong = Caller(town, f"{town.city.token[:-1]}x")
    for endpoint in all_endpoints():
        if endpoint.public:
            continue
        names = dict.fromkeys(path_names(endpoint.path), "1") | things.names
        path = endpoint.path.format(**names)
        for caller, code in ((town.anybody, "AUTH_MISSING"), (wrong, "AUTH_INVALID")):
            said = await caller(endpoint.method, path)
            assert (said.status, said.code) == (401, code), (endpoint.method, path, said)
