"""Every request and every answer of the document has an example, and each fits its schema."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from gateway.http.catalogue import all_endpoints
from gateway.http.docs_page import render_page
from gateway.http.example_values import MEANT, OF_SHAPES
from gateway.http.examples import example_of
from gateway.http.openapi import build_document
from gateway.schema_check import check
from gateway.shapes import Shapes, from_json
from tests.http.town import Town


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document(all_endpoints(), Shapes())


def _faults(document: dict[str, Any], name: str, value: Any) -> list[str]:
    """By our own checker, and by one that knows all of JSON Schema."""
    own = check(value, {"$ref": f"/{name}"}, document["components"]["schemas"])
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    other = jsonschema_rs.Draft202012Validator(schema).iter_errors(value)
    return [str(one) for one in own] + [one.message for one in other]


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    examples = document["components"]["examples"]
    assert len(examples) > 80
    for name, example in examples.items():
        assert _faults(document, name, example["value"]) == [], name
    problem = document["components"]["schemas"]["Problem"]
    (said,) = problem["examples"]
    assert _faults(document, "Problem", said) == []


def test_the_checkers_see_what_does_not_fit(document: dict[str, Any]) -> None:
    wrong = document["components"]["examples"]["PaymentOrder"]["value"] | {"purpose": 99}
    assert len(_faults(document, "PaymentOrder", wrong)) == 2


def test_every_body_and_every_answer_has_one(document: dict[str, Any]) -> None:
    for endpoint in all_endpoints():
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        contents = []
        if endpoint.body is not None:
            contents += operation["requestBody"]["content"].values()
            assert from_json(endpoint.body, _example(document, contents[0]))
        if endpoint.answer is not None:
            contents.append(
                operation["responses"][str(endpoint.status)]["content"]["application/json"]
            )
        for content in contents:
            assert _example(document, content) is not None, endpoint.path


def _example(document: dict[str, Any], content: dict[str, Any]) -> Any:
    (ref,) = content["examples"].values()
    return document["components"]["examples"][ref["$ref"].rpartition("/")[2]]["value"]


def test_no_value_is_of_a_field_that_is_not_there(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(MEANT) <= {field for one in schemas.values() for field in one["properties"]}
    for shape, own in OF_SHAPES.items():
        assert set(own) <= set(schemas[shape]["properties"]), shape


def test_a_field_nobody_knows_a_value_of_is_named() -> None:
    named = {"Odd": {"type": "object", "properties": {"oddity": {"type": "string"}}}}
    with pytest.raises(LookupError, match=r"Odd\.oddity"):
        example_of("Odd", named)


def test_the_page_shows_them(document: dict[str, Any]) -> None:
    page = render_page(document)
    assert "<summary>Request: an example</summary>" in page
    assert '"reference": "transfer-77"' in page


async def test_a_request_as_the_document_shows_it_is_carried_out(
    town: Town, document: dict[str, Any]
) -> None:
    examples = {name: one["value"] for name, one in document["components"]["examples"].items()}
    account = (await town.city.ok("POST", "/v1/accounts", examples["OpenAccount"]))["account_id"]
    path, mine = f"/v1/accounts/{account}", {"merchant_id": 0}
    await town.city.ok("POST", f"{path}/credits", examples["CreditOrder"])
    paid = await town.city.ok("POST", f"{path}/payments", examples["PaymentOrder"] | mine)
    refund = examples["RefundOrder"] | {"charge_id": paid["operation_id"]}
    given = await town.city.ok("POST", f"{path}/refunds", refund)
    assert given["refunded_minor"] == examples["Refund"]["refunded_minor"]
    await town.city.ok("POST", f"{path}/media", examples["LinkMedium"])
    await town.city.ok("POST", f"{path}/budgets", examples["PutBudget"])
    await town.city.ok("POST", f"{path}/top-up-rules", examples["AddTopupRule"])
    await town.city.ok("POST", f"{path}/media/state", examples["SetMediumState"])
    await town.city.ok("POST", f"{path}/freezes", examples["PlaceFreeze"])
