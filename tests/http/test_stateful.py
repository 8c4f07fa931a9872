"""The document's links followed by schemathesis: what one request made, others are about. Whatever
the order: no 500, nothing undocumented, nothing there that was removed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.specs.openapi.checks import use_after_free

from gateway.clock import now_us
from gateway.http.catalogue import all_endpoints
from gateway.http.openapi import build_document
from gateway.shapes import Shapes
from tests.http.test_schemathesis import CHECKS
from tests.http.things import MINUTE_US, make_things
from tests.http.town import Town

STATEFUL = [*CHECKS[:-1], use_after_free]
"""All but `ignored_auth`, which asks everything twice again: it is tried without state."""
ONLY_LINKS = {
    "generation": {"mode": "positive", "with-security-parameters": False},
    "phases": {"stateful": {"inference": {"algorithms": []}}},
}
"""What is wrong is asked for without state; and only the links that the document has."""
PLACES = "/v1/(accounts|persons|webhooks|keys)"
HEADERS = {"Idempotency-Key": lambda: secrets.token_hex(8), "If-Match": lambda: "*"}
"""Of requests that are to be carried out."""
SCENARIOS, STEPS = 20, 12
SMALL_MINOR = 500


def follow_links(url: str, token: str, there: dict[str, Any], scenarios: int) -> Counter[str]:
    """Run scenarios; how often each operation that was led to succeeded. Blocking.

    Args: there: names of body members with what there is.
    """
    config = SchemathesisConfig.from_dict(ONLY_LINKS)
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json", config=config)
    schema = schema.include(path_regex=PLACES).exclude(method="GET", path_regex="/v1/[a-z]+$")
    succeeded: Counter[str] = Counter()

    class Rider(schema.as_state_machine()):  # type: ignore[misc]
        """Requests that are right are about things that are there, and small enough to be done."""

        charge_id: str | None = None

        def before_call(self, case: Any) -> None:
            case.headers.update(
                {name: new() for name, new in HEADERS.items() if name in case.headers}
            )
            body = case.body
            if not isinstance(body, dict):
                return
            body.update({name: there[name] for name in body if name in there})
            if "amount_minor" in body:
                body["amount_minor"] = 1 + abs(body["amount_minor"]) % SMALL_MINOR
            if "charge_id" in body and self.charge_id:
                body["charge_id"] = self.charge_id

        def get_call_kwargs(self, _case: Any) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {token}"}, "base_url": url}

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if response.status_code >= 300:
                return
            name = case.operation.definition.raw["operationId"]
            if name == "post_accounts_account_id_payments":
                self.charge_id = response.json()["operation_id"]
            succeeded[name] += bool(case.path_parameters)

        def validate_response(self, response: Any, case: Any, *_: Any, **kwargs: Any) -> None:
            case.validate_response(
                response, checks=STATEFUL, transport_kwargs=kwargs, recorder=self.recorder
            )

    machine: type[APIStateMachine] = Rider
    machine.run(
        settings=settings(
            max_examples=scenarios,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    return succeeded


async def _follow(town: Town, scenarios: int) -> Counter[str]:
    things = await make_things(town, "city", town.city)
    names = ("merchant_id", "tenant_id", "purpose")
    there = {name: things.names[name] for name in names}
    there |= {"url": "https://example.org/hook", "source": "salary"}
    there |= {"expires_us": now_us() + 60 * MINUTE_US}
    return await asyncio.to_thread(follow_links, town.url, town.city.token, there, scenarios)


@pytest.mark.timeout(300)
async def test_links_lead_to_no_500_and_to_nothing_undocumented(town: Town) -> None:
    succeeded = await _follow(town, SCENARIOS)
    assert len(+succeeded) >= 8, succeeded


@pytest.mark.slow
@pytest.mark.timeout(3000)
async def test_the_same_at_length(town: Town) -> None:
    assert len(+await _follow(town, 500)) > 30


def test_links_name_operations_and_all_their_parameters() -> None:
    document = build_document(all_endpoints(), Shapes())
    links = {}
    for endpoint in all_endpoints():
        responses = document["paths"][endpoint.path][endpoint.method.lower()]["responses"]
        links[endpoint.name] = responses[str(endpoint.status)].get("links", {})
    opened = links["post_accounts"]
    assert opened["get_accounts_account_id"]["parameters"] == {
        "account_id": "$response.body#/account_id"
    }
    assert links["post_accounts_account_id_holds"][
        "post_accounts_account_id_holds_hold_id_capture"
    ]["parameters"] == {
        "account_id": "$request.path.account_id",
        "hold_id": "$response.body#/hold_id",
    }
    assert links["post_keys"]["delete_keys_credential_id"]["parameters"] == {
        "credential_id": "$response.body#/key/credential_id"
    }
    assert links["post_accounts_account_id_payments"] == {}
    assert set().union(*links.values()) <= set(links)
