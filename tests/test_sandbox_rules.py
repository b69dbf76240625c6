"""The rules of the sandbox without a server: requests, limits, faults, refusals and the account."""

from __future__ import annotations

import json
import math
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline.errors import SettingsError
from buena_pipeline.sandbox import Fault, RateLimits
from buena_pipeline.sandbox.account import Account
from buena_pipeline.sandbox.directory import Directory
from buena_pipeline.sandbox.faults import KINDS, KINDS_AFTER, KINDS_BEFORE, TELLS, Faults
from buena_pipeline.sandbox.intake import EnrichRequest, parse_enrich
from buena_pipeline.sandbox.limits import RateLimiter
from buena_pipeline.sandbox.replies import Reply, instead_of_work
from buena_pipeline.sandbox.vendor import Plan, Vendor

NOW = 1_705_764_600.0
JANE = {"email": "jane@acme.com"}
MODERATE = settings(max_examples=100, deadline=None)


def parse(leads: Any, options: Any = None) -> EnrichRequest | Reply:
    """Parse a request with these leads."""
    body = {"leads": leads} | ({} if options is None else {"enrichmentOptions": options})
    return parse_enrich(json.dumps(body).encode(), now=NOW)


def body_of(reply: object) -> dict[str, Any]:
    """The JSON body of a refusal."""
    assert isinstance(reply, Reply)
    assert reply.status == 400
    return dict(json.loads(reply.body))


# --- requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"leads": null}',
        b'{"leads": [NaN]}',
        b"[" * 100_000,
        b"\xff",
        b'{"leads": []}',
    ],
)
def test_a_request_that_makes_no_sense_is_refused_as_a_whole(body: bytes) -> None:
    """Malformed JSON, no leads or none at all: a 400 that names no lead."""
    errors = body_of(parse_enrich(body, now=NOW))["details"]["errors"]
    assert all("index" not in error for error in errors)


def test_fifty_leads_are_the_most() -> None:
    """Fifty pass, fifty-one are refused without naming one."""
    assert isinstance(parse([JANE] * 50), EnrichRequest)
    assert "index" not in body_of(parse([JANE] * 51))["details"]["errors"][0]


@pytest.mark.parametrize(
    "lead",
    [
        {},
        {"email": ""},
        {"email": "n/a"},
        {"firstName": "Jane", "lastName": "Doe"},
        {"email": 7},
        {"email": None},
        "jane@acme.com",
        {"email": "jane@acme.com", "company": ["Acme"]},
    ],
)
def test_bad_leads_are_named_by_index(lead: object) -> None:
    """Every lead that cannot be enriched is named, and only those."""
    body = body_of(parse([JANE, lead, JANE, lead]))
    assert body["code"] == "VALIDATION_ERROR"
    assert [error["index"] for error in body["details"]["errors"]] == [1, 3]


def test_a_bad_linkedin_url_is_named_after_the_bad_leads() -> None:
    """A URL that is no profile is an error of its own, told once no lead lacks an identifier."""
    bad = {"email": "jane@acme.com", "linkedinUrl": "https://linkedin.com/company/acme"}
    assert body_of(parse([bad, {}]))["code"] == "VALIDATION_ERROR"
    body = body_of(parse([JANE, bad]))
    assert (body["code"], body["details"]["providedUrl"]) == ("INVALID_LINKEDIN_URL", bad["linkedinUrl"])


@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        (None, ("personal", "company", "contact")),
        ({}, ("personal", "company", "contact")),
        ({"includeSocialProfiles": True, "includePersonalInfo": False}, ("company", "social", "contact")),
        ({"somethingNew": 1}, ("personal", "company", "contact")),
    ],
)
def test_options_choose_blocks(options: Any, blocks: tuple[str, ...]) -> None:
    """The four flags choose blocks and have the vendor's defaults; unknown ones are ignored."""
    request = parse([JANE], options)
    assert isinstance(request, EnrichRequest)
    assert request.blocks == blocks


@pytest.mark.parametrize("options", [[], "all", {"includeCompanyInfo": "yes"}, {"includeContactInfo": None}])
def test_wrong_options_are_refused(options: Any) -> None:
    """Options that are no object of booleans are refused."""
    assert body_of(parse([JANE], options))["code"] == "VALIDATION_ERROR"


# --- limits ----------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 200), max_size=60), st.integers(1, 5), st.integers(5, 12))
@MODERATE
def test_no_window_ever_lets_more_through(waits: list[float], minute: int, hour: int) -> None:
    """Whatever the rhythm of a caller, no window of the clock sees more requests than it allows."""
    limiter = RateLimiter(RateLimits(minute=minute, hour=hour))
    passed: list[float] = []
    now = 0.0
    for wait in waits:
        now += wait
        if limiter.exceeded(now=now) is None:
            limiter.count(now=now)
            passed.append(now)
    for limit, seconds in ((minute, 60), (hour, 3_600)):
        windows = [moment // seconds for moment in passed]
        assert all(windows.count(window) <= limit for window in windows)


@given(st.floats(0, 2e9))
@MODERATE
def test_who_waits_as_told_is_let_through(now: float) -> None:
    """After the told seconds the window is open again."""
    limiter = RateLimiter(RateLimits(minute=1, hour=None, day=None))
    limiter.count(now=now)
    quota = limiter.exceeded(now=now)
    assert quota is not None
    assert 1 <= quota.wait(now) <= 60
    assert limiter.exceeded(now=now + quota.wait(now)) is None


def test_the_longest_used_up_window_is_told() -> None:
    """If minute and hour are both used up, waiting for the minute would not help."""
    limiter = RateLimiter(RateLimits(minute=1, hour=1))
    limiter.count(now=0.0)
    quota = limiter.exceeded(now=0.0)
    assert quota is not None
    assert (quota.window, quota.reset) == ("hour", 3_600)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "60"])
def test_impossible_limits_are_refused(value: Any) -> None:
    """A limit is a whole number from one on, or None."""
    with pytest.raises(SettingsError, match="minute"):
        RateLimits(minute=value)


# --- faults ----------------------------------------------------------------------------------------------


def test_times_and_after_are_counted_by_the_requests_concerned() -> None:
    """A fault about one lead sees only requests with that lead."""
    faults = Faults()
    faults.inject(Fault("drop", times=2, after=1, lead="Jane@Acme.com"))
    hits = [
        faults.take(KINDS_AFTER, leads) is not None for leads in ([JANE], [{}], [JANE], [{}], [JANE], [JANE])
    ]
    assert hits == [False, False, True, False, True, False]


def test_faults_take_turns() -> None:
    """Where two are due the first one hits, and the second hits the next request."""
    faults = Faults()
    faults.inject(Fault("status"))
    faults.inject(Fault("not_json"))
    hits = [faults.take(KINDS_BEFORE, [JANE]) for _ in range(3)]
    assert [hit.kind if hit else None for hit in hits] == ["status", "not_json", None]


@pytest.mark.parametrize("identifier", ["jane@acme.com", "jane-doe", "https://www.linkedin.com/in/Jane-Doe/"])
def test_a_lead_is_recognised_by_address_url_or_slug(identifier: str) -> None:
    """A fault finds its lead under each of the lead's strong identifiers."""
    lead = {"email": "Jane@acme.com", "linkedinUrl": "https://linkedin.com/in/jane-doe"}
    fault = Fault("invalid_lead", lead=identifier)
    assert fault.position([{}, {"email": "john@acme.com"}, lead]) == 2
    assert not fault.concerns([{"email": "john@acme.com"}])


@pytest.mark.parametrize("kind", KINDS_BEFORE)
def test_every_fault_before_the_work_has_an_answer(kind: str) -> None:
    """No kind is announced without being there."""
    reply = instead_of_work(Fault(kind), [JANE], 1, now=NOW)
    assert reply.ending == "reset" or reply.status >= 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("status", status=500), 500, "INTERNAL_SERVER_ERROR"),
        (Fault("status", status=503), 503, "SERVICE_UNAVAILABLE"),
        (Fault("no_credits", remaining=3), 402, "ENRICHMENT_CREDITS_EXHAUSTED"),
        (Fault("unauthorized"), 401, "UNAUTHORIZED"),
        (Fault("forbidden"), 403, "PERMISSION_DENIED"),
        (Fault("invalid_lead", index=4), 400, "VALIDATION_ERROR"),
        (Fault("invalid_request"), 400, "VALIDATION_ERROR"),
        (Fault("invalid_linkedin_url"), 400, "INVALID_LINKEDIN_URL"),
    ],
)
def test_refusing_faults_answer_like_the_vendor(fault: Fault, status: int, code: str) -> None:
    """An injected refusal has the status, the code and the details of a real one."""
    reply = instead_of_work(fault, [JANE, {"linkedinUrl": "https://x.com"}], 5, now=NOW)
    body = json.loads(reply.body)
    assert (reply.status, body["code"]) == (status, code)
    expected = {
        "no_credits": {"remaining": 3, "required": 5, "upgradeUrl": "https://app.buena.ai/billing"},
        "invalid_linkedin_url": {
            "providedUrl": "https://x.com",
            "expectedFormat": "https://linkedin.com/in/username",
        },
    }
    if fault.kind in expected:
        assert body["details"] == expected[fault.kind]
    if fault.kind == "invalid_lead":
        assert [error["index"] for error in body["details"]["errors"]] == [4]


@pytest.mark.parametrize("status", [400, 413, 502])
def test_a_proxy_speaks_html(status: int) -> None:
    """What comes from a proxy before the vendor knows nothing of the vendor's JSON."""
    reply = instead_of_work(Fault("status", status=status), [JANE], 1, now=NOW)
    assert (reply.status, reply.media_type.split(";")[0]) == (status, "text/html")
    assert str(status).encode() in reply.body


def test_a_proxy_may_say_nothing_at_all() -> None:
    """A status and an empty body."""
    reply = instead_of_work(Fault("status", status=422), [JANE], 1, now=NOW)
    assert (reply.status, reply.body) == (422, b"")


@given(st.floats(0, 4_000), st.sampled_from(TELLS))
@MODERATE
def test_a_wait_is_told_in_exactly_one_way_and_never_too_short(wait: float, tell: str) -> None:
    """Each way to tell the wait stands alone, and who waits that long has waited long enough."""
    reply = instead_of_work(Fault("rate_limited", wait=wait, tell=tell), [JANE], 1, now=NOW)
    body = json.loads(reply.body)
    header = reply.headers.get("Retry-After", "")
    told = {
        "body": body.get("retryAfter"),
        "header": int(header) if header.isdigit() else None,
        "date": parsedate_to_datetime(header).timestamp() - NOW if "GMT" in header else None,
        "reset": body["rateLimitInfo"]["reset"] - NOW if "rateLimitInfo" in body else None,
        "reset_time": datetime.fromisoformat(body["details"]["resetTime"]).timestamp() - NOW
        if "details" in body
        else None,
    }
    given_ways = {way: seconds for way, seconds in told.items() if seconds is not None}
    assert set(given_ways) == {tell} - {"nothing"}
    assert all(wait - 0.001 <= seconds <= math.ceil(wait) + 0.001 for seconds in given_ways.values())


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "earthquake"},
        {"kind": "status", "status": 418},
        {"kind": "rate_limited", "tell": "loudly"},
        {"kind": "latency", "wait": -1},
        {"kind": "latency", "wait": math.nan},
        {"kind": "empty", "times": 0},
        {"kind": "empty", "after": "later"},
        {"kind": "empty", "lead": 7},
    ],
)
def test_impossible_faults_are_refused(arguments: dict[str, Any]) -> None:
    """What the sandbox does not know is named, with what it knows."""
    with pytest.raises(SettingsError, match=list(arguments)[-1]):
        Fault(**arguments)


def test_every_kind_is_documented() -> None:
    """The table in the docstring names every kind."""
    assert all(f"``{kind}``" in (Fault.__doc__ or "") for kind in KINDS)


# --- the order of refusals -------------------------------------------------------------------------------


def vendor(**changes: Any) -> Vendor:
    """A vendor with a simple plan."""
    plan: dict[str, Any] = {
        "api_key": "key",
        "permissions": ("leads:enrich",),
        "credits_per_lead": 1,
        "limits": RateLimits(minute=None),
        "seed": 0,
    }
    left = changes.pop("credits", 100)
    return Vendor(Plan(**plan | changes), credits=left, directory=Directory(not_found=0.0), now=lambda: NOW)


def ask(vendor: Vendor, *leads: Any, key: str | None = "key") -> int:
    """The status of a request for these leads."""
    return vendor.enrich(key, json.dumps({"leads": leads}).encode()).status


def test_the_key_comes_before_everything() -> None:
    """Without the key nothing is told, not even that the request makes no sense."""
    assert ask(vendor(), key=None) == 401
    assert ask(vendor(permissions=())) == 403
    assert ask(vendor(permissions=("*",)), JANE) == 200


def test_a_refused_request_costs_nothing_but_a_request() -> None:
    """Refused requests count as requests of the rate limit, unless the limit itself refuses them."""
    limited = vendor(limits=RateLimits(minute=2), credits=0)
    assert [ask(limited, {}), ask(limited, JANE), ask(limited, JANE)] == [400, 402, 429]
    assert limited.credits == 0
    assert limited.charges() == []


def test_402_asks_for_the_credits_of_the_whole_request() -> None:
    """A request is refused as a whole if its credits do not suffice for all its leads."""
    poor = vendor(credits=3, credits_per_lead=2)
    assert [ask(poor, JANE, {"email": "john@acme.com"}), ask(poor, JANE)] == [402, 200]
    assert poor.credits == 1


def test_enrichments_an_hour_let_a_request_through_while_any_are_left() -> None:
    """A batch larger than what is left passes once, the next one waits for the hour."""
    limited = vendor(enrichments_per_hour=2)
    john = {"email": "john@acme.com"}
    assert [ask(limited, JANE), ask(limited, JANE, john), ask(limited, JANE)] == [200, 200, 429]


def test_faults_meet_only_requests_with_the_key() -> None:
    """A request without the key uses no fault up."""
    faulty = vendor()
    faulty.inject(Fault("status"))
    assert [ask(faulty, JANE, key="wrong"), ask(faulty, JANE), ask(faulty, JANE)] == [401, 500, 200]


def test_faults_on_the_way_back_meet_only_good_answers() -> None:
    """A refused request uses no fault up that would strike after the charge."""
    faulty = vendor()
    faulty.inject(Fault("empty"))
    assert ask(faulty, {}) == 400
    assert faulty.enrich("key", json.dumps({"leads": [JANE]}).encode()).body == b""


# --- the account -----------------------------------------------------------------------------------------


@pytest.fixture
def account() -> Account:
    """The sandbox's account."""
    return Account()


def listed(account: Account, **query: str) -> list[dict[str, Any]]:
    """The leads of the first hundred that a query finds."""
    return list(account.page({"limit": "100", **query})["leads"])


def test_pages_cover_the_account_without_overlap(account: Account) -> None:
    """Page after page gives every lead once."""
    pages = [account.page({"page": str(number), "limit": "50"}) for number in (1, 2, 3, 4)]
    seen = [lead["id"] for page in pages for lead in page["leads"]]
    assert len(seen) == len(set(seen)) == 120
    steps = [(page["pagination"]["hasPrevPage"], page["pagination"]["hasNextPage"]) for page in pages]
    assert steps == [(False, True), (True, True), (True, False), (True, False)]


def test_filters_keep_what_they_say(account: Account) -> None:
    """Each filter is right about every lead it keeps, and keeps some but not all."""
    middle = "2024-02-01T00:00:00Z"
    tests = {
        "status": ("cold", lambda lead: lead["status"] == "cold"),
        "source": ("import", lambda lead: lead["source"] == "import"),
        "company": ("LABS", lambda lead: "Labs" in lead["company"]),
        "title": ("sales", lambda lead: "Sales" in (lead["title"] or "")),
        "search": ("ju", lambda lead: "ju" in str(lead).lower()),
        "createdAfter": (middle, lambda lead: lead["createdAt"] > middle),
        "createdBefore": (middle, lambda lead: lead["createdAt"] < middle),
        "lastContactedAfter": (middle, lambda lead: lead["lastContactedAt"] > middle),
    }
    for name, (value, holds) in tests.items():
        found = listed(account, **{name: value})
        assert 0 < len(found) < 120, name
        assert all(holds(lead) for lead in found), name


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("field", ["createdAt", "company", "lastContactedAt"])
def test_sorting_puts_unknown_values_last(account: Account, field: str, order: str) -> None:
    """Both directions sort, and a lead without the value stands at the end."""
    leads = [
        lead
        for page in "12"
        for lead in account.page({"page": page, "limit": "60", "sortBy": field, "sortOrder": order})["leads"]
    ]
    values = [lead[field] for lead in leads]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=order == "desc")
    assert values == known + [None] * (len(values) - len(known))


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"limit": "101"},
        {"page": "x"},
        {"status": "hot"},
        {"search": "x"},
        {"createdAfter": "soon"},
    ],
)
def test_wrong_parameters_are_refused_by_name(account: Account, query: dict[str, str]) -> None:
    """A parameter the contract does not allow is named."""
    with pytest.raises(ValueError, match=next(iter(query))):
        account.page(query)


def test_an_update_changes_what_was_sent(account: Account) -> None:
    """Only the fields sent change, unknown ones are ignored, and the change is there afterwards."""
    before = next(lead for lead in listed(account) if lead["id"] == "lead_0100")
    after = account.update("lead_0100", {"title": "CEO", "customFields": {"a": 1}, "id": "other"}, now=NOW)
    expected = before | {"title": "CEO", "customFields": {"a": 1}, "updatedAt": "2024-01-20T15:30:00Z"}
    assert after == expected
    assert expected in listed(account)


@pytest.mark.parametrize("changes", [[], {"title": 5}, {"tags": "vip"}, {"tags": [1]}, {"customFields": []}])
def test_an_update_of_the_wrong_type_changes_nothing(account: Account, changes: Any) -> None:
    """A value of the wrong type refuses the whole change."""
    before = listed(account)
    with pytest.raises(ValueError, match=r"type|object"):
        account.update("lead_0100", changes, now=NOW)
    assert listed(account) == before


def test_an_unknown_lead_is_told_from_a_bad_change(account: Account) -> None:
    """There is nothing to change about a lead that is not there."""
    assert account.update("nobody", {"title": "CEO"}, now=NOW) is None
