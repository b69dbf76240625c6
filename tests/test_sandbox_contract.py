"""The sandbox against the vendor's published contract: requests, answers and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from buena_pipeline.sandbox import RateLimits, Sandbox

CONTRACT = Path(__file__).parent / "contract"
EXAMPLES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CONTRACT.glob("examples/*.json")
}
EXAMPLE_TIME = 1_705_764_600.0  # 2024-01-20T15:30:00Z, the timestamp of every example

CONFORMS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
MODERATE = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
    ],
)


def contract(mode: str) -> Any:
    """The contract as a source of requests that keep to it (positive) or break it (negative)."""
    config = {"generation": {"mode": mode}, "phases": {"coverage": {"unexpected-methods": []}}}
    return schemathesis.openapi.from_path(
        CONTRACT / "openapi.yaml", config=schemathesis.Config.from_dict(config)
    )


allowed = contract("positive")
forbidden = contract("negative").include(operation_id="enrichLeads")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without rate limits, whose answers keep to the published schema."""
    with Sandbox(limits=None, credits=10**9, quirks=False) as sandbox:
        yield sandbox


@allowed.parametrize()
@MODERATE
def test_keeps_to_the_contract(case: schemathesis.Case, sandbox: Sandbox) -> None:
    """Whatever request the contract allows, the answer is one the contract describes."""
    case.call_and_validate(base_url=sandbox.url, headers={"x-api-key": sandbox.api_key}, checks=CONFORMS)


@forbidden.parametrize()
@MODERATE
def test_refuses_what_the_contract_forbids(case: schemathesis.Case, sandbox: Sandbox) -> None:
    """A malformed enrichment request is refused, in the way the contract describes."""
    checks = [*CONFORMS, negative_data_rejection]
    case.call_and_validate(base_url=sandbox.url, headers={"x-api-key": sandbox.api_key}, checks=checks)


def post(sandbox: Sandbox, leads: list[dict[str, str]], *, key: str | None = None) -> httpx.Response:
    """Ask for leads with all four blocks."""
    body = {"leads": leads, "enrichmentOptions": {"includeSocialProfiles": True}}
    return httpx.post(f"{sandbox.url}/enrich", json=body, headers={"x-api-key": key or sandbox.api_key})


def shape(body: Any) -> Any:
    """The keys of a body at every depth, and the types of its values."""
    if isinstance(body, dict):
        return {key: shape(value) for key, value in body.items()}
    if isinstance(body, list):
        return [shape(value) for value in body]
    return type(body)


def test_every_example_is_at_hand() -> None:
    """The examples of the contract are there, so that no test below passes for want of one."""
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_match_the_schema(name: str) -> None:
    """Each published example is valid under the published schema: the two do not contradict each other."""
    status = int(name.split("-")[1])
    request = httpx.Request("POST", "https://api.buena.ai/api/v2/enrich")
    response = httpx.Response(status, json=EXAMPLES[name], request=request)
    response.elapsed = timedelta()  # what the validation wants to know of a response that travelled
    allowed["/enrich"]["POST"].validate_response(response)


EXACT = {
    "enrich-200": (
        {"people": {"john@techcorp.com": EXAMPLES["enrich-200"]["data"]["enriched"][0]}, "credits": 100},
        [{"email": "john@techcorp.com", "firstName": "John", "lastName": "Doe"}],
    ),
    "error-400-index": ({}, [{}]),
    "error-400-linkedin": ({}, [{"linkedinUrl": "https://example.com/profile"}]),
    "error-402": ({"credits": 0}, [{"email": f"lead{number}@acme.com"} for number in range(5)]),
    "error-403": ({"permissions": ["leads:read"]}, [{"email": "jane@acme.com"}]),
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_answers_exactly_the_example(name: str) -> None:
    """What the vendor publishes as an answer is what the sandbox answers, value for value."""
    arguments, leads = EXACT[name]
    with Sandbox(now=lambda: EXAMPLE_TIME, **arguments) as sandbox:
        response = post(sandbox, leads)
    assert (response.status_code, response.json()) == (int(name.split("-")[1]), EXAMPLES[name])


def test_wrong_key_is_answered_exactly_as_the_example() -> None:
    """A key the vendor does not know gets the published 401."""
    with Sandbox(now=lambda: EXAMPLE_TIME) as sandbox:
        response = post(sandbox, [{"email": "jane@acme.com"}], key="bna_wrong")
    assert (response.status_code, response.json()) == (401, EXAMPLES["error-401"])


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("error-429-requests", {"limits": RateLimits(minute=1)}),
        ("error-429-enrichment", {"enrichments_per_hour": 1}),
    ],
)
def test_rate_limit_has_the_form_of_the_example(name: str, limits: dict[str, Any]) -> None:
    """A used-up limit is told in the keys and types of the published 429."""
    with Sandbox(now=lambda: EXAMPLE_TIME, **limits) as sandbox:
        post(sandbox, [{"email": "jane@acme.com"}])
        response = post(sandbox, [{"email": "jane@acme.com"}])
    assert (response.status_code, shape(response.json())) == (429, shape(EXAMPLES[name]))
