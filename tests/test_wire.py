"""The wire format: what leaves, and what every possible answer means. No client, no network, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buena_pipeline.errors import AuthenticationError, PermissionDeniedError, VendorError
from buena_pipeline.schema import BLOCKS, LEAD_FIELDS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.wire import (
    MAX_LEADS,
    WIRE_NAMES,
    Answer,
    Halt,
    Item,
    OutOfCredits,
    RateLimited,
    Refused,
    ServerFault,
    Unknown,
    Unreachable,
    Verdict,
    encode_lead,
    encode_request,
    interpret,
    permission_denied,
    read_quota,
)

EXAMPLES = Path(__file__).parent / "contract" / "examples"
NOW = datetime(2024, 1, 20, 15, 30, tzinfo=UTC)
EMAIL = "jane.doe@acme.example"
NAMES = ("enriched", "failed")


def read(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> Verdict:
    """The verdict on an answer; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return interpret(status, headers or {}, raw, now=NOW)


def read_answer(body: object) -> Answer:
    """The verdict on a 200 that must be readable."""
    verdict = read(200, body)
    assert isinstance(verdict, Answer)
    return verdict


def answered(*enriched: object, **data: object) -> dict[str, Any]:
    """A 200's body with these entries in ``enriched``."""
    return {"success": True, "data": {"enriched": list(enriched), "failed": [], **data}}


def read_example(name: str, now: datetime = NOW) -> Verdict:
    """The verdict on one of the vendor's own examples; its status is part of the file's name."""
    return interpret(int(name.split("-")[1]), {}, (EXAMPLES / f"{name}.json").read_bytes(), now=now)


# --- the vendor's examples -------------------------------------------------------------------------------


def test_example_200() -> None:
    """The documented success: one found person, echoed, with the credits it took."""
    verdict = read_example("enrich-200")
    assert isinstance(verdict, Answer)
    (item,) = verdict.items
    assert item.found
    assert item.input == {"email": "john@techcorp.com", "firstName": "John", "lastName": "Doe"}
    assert json.loads(item.body)["enrichedData"]["companyInfo"]["founded"] == "2010"
    assert (verdict.credits_used, verdict.credits_remaining, verdict.rest) == (1, 99, None)


def test_example_200_keeps_the_item_byte_for_byte() -> None:
    """The body of an item is the vendor's own text, not our rewriting of it."""
    raw = (EXAMPLES / "enrich-200.json").read_text("utf-8")
    verdict = read_example("enrich-200")
    assert isinstance(verdict, Answer)
    assert f'"enriched":[{verdict.items[0].body}],"failed":[]' in raw


def test_example_400_with_an_index() -> None:
    """A refused lead is named by its index, with the vendor's reason."""
    assert read_example("error-400-index") == Refused(
        "Invalid lead data for enrichment",
        {0: "At least one identifier (email, LinkedIn URL, or name + company) is required"},
    )


def test_example_400_for_a_linkedin_url() -> None:
    """A refused LinkedIn URL is named by itself, without an index."""
    assert read_example("error-400-linkedin") == Refused(
        "Invalid LinkedIn profile URL format", profile_url="https://example.com/profile"
    )


def test_example_401() -> None:
    """A wrong key stops the run, and the message says where the key comes from."""
    verdict = read_example("error-401")
    assert isinstance(verdict, Halt)
    assert type(verdict.error) is AuthenticationError
    assert "BUENA_API_KEY" in str(verdict.error)


def test_example_402() -> None:
    """Out of credits: what is left and what it would have taken."""
    assert read_example("error-402") == OutOfCredits(remaining=0, required=5)


def test_example_403() -> None:
    """A key that may not enrich stops the run; the error names the permission."""
    verdict = read_example("error-403")
    assert isinstance(verdict, Halt)
    assert isinstance(verdict.error, PermissionDeniedError)
    assert (verdict.error.required, verdict.error.available) == ("leads:enrich", ("leads:read",))
    assert "leads:enrich" in str(verdict.error)
    assert "leads:read" in str(verdict.error)


def test_example_429_of_enrichments() -> None:
    """The wait the vendor asks for is kept apart from the hour at which the limit ends."""
    reset = datetime(2024, 1, 20, 16, 30, tzinfo=UTC)
    assert read_example("error-429-enrichment") == RateLimited(wait=60, resets_at=reset)


def test_example_429_of_requests() -> None:
    """A reset that has passed by our clock says nothing; the seconds still count."""
    assert read_example("error-429-requests") == RateLimited(wait=45, resets_at=None)
    before = datetime.fromtimestamp(1640995215, UTC)
    assert read_example("error-429-requests", now=before) == RateLimited(
        wait=45, resets_at=before + timedelta(seconds=30)
    )


# --- the table of answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 507, 599])
@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b'{"error":true}'])
def test_server_faults(status: int, body: bytes) -> None:
    """The vendor says that it did not work, in JSON or HTML or not at all."""
    assert read(status, body) == ServerFault(f"the vendor answered {status}")


@pytest.mark.parametrize("status", [408, 504, 524])
def test_gateway_timeouts_are_unknown(status: int) -> None:
    """A gateway that stopped waiting does not know whether the vendor went on and charged."""
    verdict = read(status, b"<html>")
    assert isinstance(verdict, Unknown)
    assert str(status) in verdict.reason


@pytest.mark.parametrize("status", [301, 302, 307, 404, 405, 410, 418])
def test_anything_else_is_a_wrong_address(status: int) -> None:
    """What no enrichment request should get stops the run with a hint at the base URL."""
    verdict = read(status, b"<html>")
    assert isinstance(verdict, Halt)
    assert type(verdict.error) is VendorError
    assert str(status) in str(verdict.error)
    assert "BUENA_BASE_URL" in str(verdict.error)


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_any_success_is_read(status: int) -> None:
    """Results that came with another success status are results; they were paid for."""
    verdict = read(status, answered({"input": {"email": EMAIL}}, creditsUsed=1))
    assert isinstance(verdict, Answer)
    assert verdict.credits_used == 1


@pytest.mark.parametrize("status", [202, 204])
def test_a_success_without_results_is_unknown(status: int) -> None:
    """The request was accepted, so nobody can promise that nothing was charged."""
    assert isinstance(read(status), Unknown)


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error":true}',
        b'{"code":"VALIDATION_ERROR"}',
        b'{"details":null}',
        b'{"details":{"errors":"x"}}',
        b'\xef\xbb\xbf{"error":true,"details":{"errors":[]}}',
    ],
)
def test_refusals_that_name_nobody(status: int, body: bytes) -> None:
    """Without indexes all that is known is that the request was refused: it has to be halved."""
    assert read(status, body) == Refused("the vendor refused the request")


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><head><title>413 Request Entity Too Large</title></head></html>",
        b"Bad Request",
        b"null",
        b"[]",
        b"{}",
        b'{"message":"Bad Request"}',
        b'{"error":"Bad Request","code":null}',
        b'{"code":413,"message":"Payload Too Large"}',
        b'{"error":true,"code":"VALIDATION_ERR',
    ],
)
def test_a_refusal_that_is_not_the_vendors_own_blames_no_lead(status: int, body: bytes) -> None:
    """A proxy that refuses in the vendor's place knows nothing of the leads: worth another try."""
    assert read(status, body) == ServerFault(f"the vendor answered {status} with a body that is not its own")


def test_refusal_with_several_indexes() -> None:
    """Every named lead keeps its own reason; one without a reason gets the request's."""
    errors = [{"index": 3, "message": "no identifier"}, {"index": 0}, {"index": 7, "message": None}]
    verdict = read(400, {"message": "refused", "details": {"errors": errors}})
    assert verdict == Refused("refused", {3: "no identifier", 0: "refused", 7: "refused"})


@pytest.mark.parametrize(
    "index", [None, "first", -1, 1.5, True, [], {}, "nan", 10**400], ids=lambda value: repr(value)[:8]
)
def test_refusal_with_an_index_that_is_none(index: object) -> None:
    """An index that cannot be one is left out rather than blamed on a lead."""
    assert read(400, {"message": "no", "details": {"errors": [{"index": index}, "text", None]}}) == Refused(
        "no"
    )


@pytest.mark.parametrize("index", [50, 10**20, 1e300], ids=str)
def test_refusal_with_an_index_beyond_every_request(index: object) -> None:
    """No request has a fifty-first lead, so nobody is named."""
    assert read(400, {"message": "no", "details": {"errors": [{"index": index}]}}) == Refused("no")


@pytest.mark.parametrize("index", [2, 2.0, "2"])
def test_refusal_with_an_index_of_another_type(index: object) -> None:
    """A number that came as text or as a float is still a number."""
    assert read(400, {"details": {"errors": [{"index": index, "message": "bad"}]}}) == Refused(
        "the vendor refused the request", {2: "bad"}
    )


def test_linkedin_refusal_that_names_no_url() -> None:
    """INVALID_LINKEDIN_URL without the URL is a refusal like one without indexes."""
    assert read(400, {"code": "INVALID_LINKEDIN_URL", "message": "bad URL"}) == Refused("bad URL")


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"remaining": 3, "required": 50}, OutOfCredits(3, 50)),
        ({"remaining": "3", "required": "50"}, OutOfCredits(3, 50)),
        ({"remaining": 0.5}, OutOfCredits(0.5)),
        ({"remaining": -4, "required": None}, OutOfCredits(0)),
        ({"remaining": "none"}, OutOfCredits(0)),
        ({}, OutOfCredits(0)),
        (None, OutOfCredits(0)),
    ],
)
def test_out_of_credits(details: object, expected: OutOfCredits) -> None:
    """Figures may come as text, be missing, or make no sense; without them nothing is left."""
    assert read(402, {"error": True, "details": details}) == expected


@pytest.mark.parametrize("required", [0, -3, "-0.5"])
def test_out_of_credits_for_a_price_that_is_none(required: object) -> None:
    """Nothing was bought for want of credits, so it took some; a figure that denies it is not told."""
    assert read(402, {"details": {"remaining": 5, "required": required}}) == OutOfCredits(5)


def test_out_of_credits_without_a_body() -> None:
    """A 402 is a 402 even if a gateway ate its body."""
    assert read(402, b"<html>Payment required</html>") == OutOfCredits(0)


def test_permission_denied_without_help() -> None:
    """A 403 that names nothing still gives a whole sentence and empty facts."""
    for body in (
        {},
        {"permissionHelp": None},
        {"permissionHelp": {"required": 5, "available": "leads:read"}},
    ):
        error = permission_denied(body)
        assert error.available == ()
        assert "None" not in str(error)
        assert "Nothing was charged." in str(error)


# --- how long a 429 asks to wait -------------------------------------------------------------------------


IN_30 = NOW + timedelta(seconds=30)
UNIX_30 = int(IN_30.timestamp())


@pytest.mark.parametrize(
    ("body", "headers", "wait", "resets_at"),
    [
        pytest.param({"retryAfter": 45}, {}, 45, None, id="retryAfter"),
        pytest.param({"retryAfter": 0.25}, {}, 0.25, None, id="retryAfter, a fraction"),
        pytest.param({"retryAfter": "45"}, {}, 45, None, id="retryAfter as text"),
        pytest.param({"retryAfter": -5}, {}, 0, None, id="retryAfter, negative"),
        pytest.param({"retryAfter": 0}, {"retry-after": "9"}, 0, None, id="retryAfter 0 is an answer"),
        pytest.param({}, {"retry-after": "45"}, 45, None, id="Retry-After in seconds"),
        pytest.param({}, {"retry-after": " 45 "}, 45, None, id="Retry-After with spaces"),
        pytest.param(
            {}, {"retry-after": format_datetime(IN_30, usegmt=True)}, 30, IN_30, id="Retry-After as a date"
        ),
        pytest.param(
            {}, {"retry-after": "Sat, 20 Jan 2024 16:30:30 +0100"}, 30, IN_30, id="a date with an offset"
        ),
        pytest.param(
            {}, {"retry-after": "Sat, 20 Jan 2024 15:30:30 -0000"}, 30, IN_30, id="a date without a zone"
        ),
        pytest.param({"rateLimitInfo": {"reset": UNIX_30}}, {}, 30, IN_30, id="rateLimitInfo.reset"),
        pytest.param({"rateLimitInfo": {"reset": str(UNIX_30)}}, {}, 30, IN_30, id="reset as text"),
        pytest.param({}, {"x-ratelimit-reset": str(UNIX_30)}, 30, IN_30, id="X-RateLimit-Reset"),
        pytest.param(
            {"details": {"resetTime": "2024-01-20T15:30:30Z"}}, {}, 30, IN_30, id="details.resetTime"
        ),
        pytest.param(
            {"details": {"resetTime": "2024-01-20T15:30:30"}}, {}, 30, IN_30, id="resetTime without a zone"
        ),
        pytest.param(
            {"details": {"resetTime": "2024-01-20T17:00:30+01:30"}}, {}, 30, IN_30, id="resetTime, an offset"
        ),
        pytest.param({}, {}, None, None, id="nothing told"),
        pytest.param(
            {"retryAfter": None, "rateLimitInfo": None, "details": None}, {}, None, None, id="all null"
        ),
        pytest.param({"retryAfter": "soon"}, {"retry-after": "later"}, None, None, id="no numbers"),
        pytest.param({"retryAfter": True}, {}, None, None, id="a boolean is no number"),
        pytest.param({"retryAfter": 5}, {"retry-after": "45"}, 5, None, id="the body before the header"),
        pytest.param(
            {"retryAfter": 5, "details": {"resetTime": "2024-01-20T15:30:30Z"}},
            {},
            5,
            IN_30,
            id="wait and reset",
        ),
    ],
)
def test_how_a_429_tells_its_wait(
    body: object, headers: dict[str, str], wait: float | None, resets_at: datetime | None
) -> None:
    """Seconds or a point in time, in the body or a header: each of the vendor's ways is understood."""
    assert read(429, body, headers) == RateLimited(wait, resets_at)


PAST = NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {"retry-after": format_datetime(PAST, usegmt=True)}),
        ({"rateLimitInfo": {"reset": int(PAST.timestamp())}}, {}),
        ({"rateLimitInfo": {"reset": 45}}, {}),
        ({}, {"x-ratelimit-reset": "0"}),
        ({"details": {"resetTime": PAST.isoformat()}}, {}),
        ({"details": {"resetTime": NOW.isoformat()}}, {}),
    ],
)
def test_a_moment_that_has_passed_tells_nothing(body: object, headers: dict[str, str]) -> None:
    """A clock that runs behind ours must not turn a limit into permission to ask at once."""
    assert read(429, body, headers) == RateLimited(None, None)


def test_a_past_moment_does_not_hide_a_future_one() -> None:
    """Of several moments those to come count, the latest as the end of the limit."""
    body = {"rateLimitInfo": {"reset": 1}, "details": {"resetTime": IN_30.isoformat()}}
    assert read(429, body) == RateLimited(30, IN_30)
    later = {"rateLimitInfo": {"reset": UNIX_30}, "details": {"resetTime": "2024-01-20T15:31:00Z"}}
    assert read(429, later) == RateLimited(30, NOW + timedelta(minutes=1))


def test_a_past_reset_in_the_body_does_not_hide_the_header() -> None:
    """The header counts where the body's own reset has passed."""
    headers = {"x-ratelimit-reset": str(UNIX_30)}
    assert read(429, {"rateLimitInfo": {"reset": 1}}, headers) == RateLimited(30, IN_30)


@pytest.mark.parametrize(
    "body",
    [{"details": {"resetTime": UNIX_30}}, {"rateLimitInfo": {"reset": "2024-01-20T15:30:30Z"}}],
    ids=["resetTime as a number", "reset as text"],
)
def test_a_reset_in_the_other_notation(body: object) -> None:
    """Unix time where ISO text is documented, and the other way round, are both understood."""
    assert read(429, body) == RateLimited(30, IN_30)


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "1 Jan 2024 1:2:99999999999999999999",
        "1 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_a_date_beyond_all_calendars(header: str) -> None:
    """A date with an absurd number tells nothing, like any other text that is no date."""
    assert read(429, b"", {"retry-after": header}) == RateLimited(None, None)


NONSENSE = [
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00",
    str((NOW + timedelta(days=367)).timestamp()),
    (NOW - timedelta(days=367)).isoformat(),
    "253402300799",
    "-62135596800",
    "1e300",
]


@pytest.mark.parametrize("moment", NONSENSE)
def test_a_moment_nobody_can_mean_tells_nothing(moment: str) -> None:
    """Neither in a 429 nor in the headers of a good answer: no file could give it back."""
    body = {"rateLimitInfo": {"reset": moment}, "details": {"resetTime": moment}}
    assert read(429, body, {"x-ratelimit-reset": moment}) == RateLimited(None, None)
    quota = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "9", "x-ratelimit-reset": moment}
    assert read_quota(quota, now=NOW) is None


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0001 00:00:00 +1400"])
def test_a_date_nobody_can_mean_tells_nothing(date: str) -> None:
    """As an HTTP date, too."""
    assert read(429, b"", {"retry-after": date}) == RateLimited(None, None)


def test_a_reset_in_milliseconds() -> None:
    """As many programs write Unix time."""
    assert read(429, {"rateLimitInfo": {"reset": UNIX_30 * 1_000}}) == RateLimited(30, IN_30)
    headers = {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "9",
        "x-ratelimit-reset": f"{UNIX_30}000",
        "x-ratelimit-window": "minute",
    }
    quota = read_quota(headers, now=NOW)
    assert quota is not None
    assert quota.resets_at == IN_30


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {"retry-after": "31536000"}),
        ({"retryAfter": 1e300}, {}),
        ({"details": {"resetTime": (NOW + 30 * DAY).isoformat()}}, {}),
        ({}, {"retry-after": format_datetime(NOW + 2 * DAY, usegmt=True)}),
    ],
)
def test_no_wait_is_longer_than_the_longest_window(body: object, headers: dict[str, str]) -> None:
    """A vendor that says a year is asked again after a day."""
    verdict = read(429, body, headers)
    assert isinstance(verdict, RateLimited)
    assert verdict.wait == DAY.total_seconds()
    assert verdict.resets_at in (None, NOW + DAY)


@given(st.floats() | st.integers() | st.text() | st.datetimes().map(str), st.text(max_size=40))
def test_a_wait_is_never_negative_and_never_longer_than_a_day(value: object, header: str) -> None:
    """Whatever stands where a wait should be, what comes out can be slept for or is None."""
    body = {"retryAfter": value, "rateLimitInfo": {"reset": value}, "details": {"resetTime": value}}
    verdict = read(429, body, {"retry-after": header, "x-ratelimit-reset": header})
    assert isinstance(verdict, RateLimited)
    assert verdict.wait is None or 0 <= verdict.wait <= DAY.total_seconds()
    assert verdict.resets_at is None or NOW < verdict.resets_at <= NOW + DAY


# --- reading 200 tolerantly ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (b"<!doctype html><title>Sign in</title>", "not JSON"),
        (b'{"success":true,"data":{"enriched":[{"input":{"em', "not JSON"),
        (b'{"success":false}', "without any results"),
        (b'{"success":true,"data":null}', "without any results"),
        (b'{"success":true,"data":[]}', "without any results"),
        (b'{"success":true,"data":{"enriched":null,"failed":null}}', "without any results"),
        (b'{"success":true,"data":{"enriched":{},"failed":"none"}}', "without any results"),
    ],
)
def test_a_200_that_cannot_be_read_is_unknown(body: bytes, why: str) -> None:
    """The leads may have been charged, so the outcome is unknown, and the text is kept as evidence."""
    verdict = read(200, body)
    assert isinstance(verdict, Unknown)
    assert why in verdict.reason
    assert verdict.body == (body.decode() if body.strip() else None)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data":{}}', b'{"data":{"creditsUsed":1}}'])
def test_json_without_results_is_not_called_broken(body: bytes) -> None:
    """The reason is true: the body is JSON, there are only no results in it."""
    verdict = read(200, body)
    assert isinstance(verdict, Unknown)
    assert "without any results" in verdict.reason


@pytest.mark.parametrize("size", range(1, 60, 7))
def test_a_cut_body_is_unknown(size: int) -> None:
    """However much of an answer came, half of it is no answer: items in it might be cut as well."""
    whole = (EXAMPLES / "enrich-200.json").read_bytes()
    assert isinstance(read(200, whole[: -size * 10]), Unknown)


def test_success_false_with_empty_lists_is_unknown() -> None:
    """The vendor takes back what it says: nobody can promise that nothing was charged."""
    body = json.dumps({**answered(), "success": False})
    verdict = read(200, body.encode())
    assert verdict == Unknown("the vendor answered 200 without success", body=body)


def test_success_false_does_not_hide_results() -> None:
    """Items that came are kept whatever the envelope says of itself: they were paid for."""
    body = answered({"input": {"email": EMAIL}}) | {"success": False}
    assert [item.input for item in read_answer(body).items] == [{"email": EMAIL}]


@pytest.mark.parametrize("missing", NAMES)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_one_list_is_enough(missing: str, how: str) -> None:
    """A list that is missing or null is an empty one, as long as the other came."""
    data: dict[str, Any] = {name: [{"input": {"email": name}}] for name in NAMES}
    data = {name: value for name, value in data.items() if name != missing} | (
        {missing: None} if how == "null" else {}
    )
    (item,) = read_answer({"success": True, "data": data}).items
    assert item.found == (missing == "failed")


def test_empty_lists_are_an_answer() -> None:
    """An answer about nobody is an answer: the vendor was asked and said nothing."""
    assert read_answer(answered()) == Answer(())


def test_failed_items_keep_their_reason() -> None:
    """Who was not found comes with the vendor's reason, or None where it gives none."""
    failed = [
        {"input": {}, "reason": " No match "},
        {"input": {}},
        {"input": {}, "reason": None},
        {"reason": ""},
    ]
    verdict = read_answer({"data": {"failed": failed}})
    assert [(item.found, item.reason) for item in verdict.items] == [
        (False, "No match"),
        (False, None),
        (False, None),
        (False, None),
    ]


def test_a_number_where_text_is_documented() -> None:
    """A reason given as a code is a reason."""
    assert read_answer({"data": {"failed": [{"input": {}, "reason": 404}]}}).items[0].reason == "404"
    assert read(400, {"error": True, "message": 17}) == Refused("17")


@pytest.mark.parametrize(
    "entry", [None, 5, "text", [], {}, {"input": None}, {"input": "jane"}, {"input": []}]
)
def test_entries_without_a_readable_input(entry: object) -> None:
    """Whatever an entry looks like it is kept as it came, for somebody to look at."""
    (item,) = read_answer(answered(entry)).items
    assert item.found
    assert item.input == {}
    assert json.loads(item.body) == entry


@pytest.mark.parametrize(
    ("used", "remaining", "expected"),
    [
        (1, 99, (1, 99)),
        ("1.5", "98.5", (1.5, 98.5)),
        (None, None, (None, None)),
        ("many", True, (None, None)),
        ([1], {"credits": 1}, (None, None)),
        (0, 0, (0, 0)),
        (10**400, "inf", (None, None)),
    ],
)
def test_credits_as_text_or_missing(used: object, remaining: object, expected: tuple[object, object]) -> None:
    """Credits may come as text; what is no finite number is not told."""
    verdict = read_answer(answered({"input": {}}, creditsUsed=used, remainingCredits=remaining))
    assert (verdict.credits_used, verdict.credits_remaining) == expected


def test_credits_used_are_never_negative() -> None:
    """A refund is no use of credits; it must not enlarge anybody's budget. What remains may be a debt."""
    verdict = read_answer(answered(creditsUsed=-5, remainingCredits=-5))
    assert (verdict.credits_used, verdict.credits_remaining) == (None, -5)


def test_credits_that_are_absent() -> None:
    """Without the fields nothing is told, which is not the same as zero."""
    verdict = read_answer(answered())
    assert (verdict.credits_used, verdict.credits_remaining) == (None, None)


def test_unknown_fields_are_kept_in_rest() -> None:
    """Envelope fields nobody knows are kept raw, those of data under a name of their own."""
    body = b'{"success":true,"jobId":7.10,"data":{"enriched":[],"warnings":["slow" ],"creditsUsed":1}}'
    verdict = read_answer(body)
    assert verdict.rest is not None
    assert json.loads(verdict.rest) == {"jobId": "7.10", "data.warnings": '["slow" ]'}


def test_a_byte_order_mark_is_no_obstacle() -> None:
    """A body with a UTF-8 byte order mark reads like one without."""
    body = (EXAMPLES / "enrich-200.json").read_bytes()
    marked = read_answer(b"\xef\xbb\xbf" + body)
    assert [item.input for item in marked.items] == [item.input for item in read_answer(body).items]
    assert (marked.credits_used, marked.credits_remaining) == (1, 99)
    assert read(402, b'\xef\xbb\xbf{"details":{"remaining":3}}') == OutOfCredits(3)


def test_a_byte_order_mark_changes_no_item() -> None:
    """The mark belongs to the body, not to the items: their text stays as it came."""
    raw = b'{"input": {"email":"a@b.example"},  "confidence": 0.10}'
    (item,) = read_answer(b'\xef\xbb\xbf{"data":{"enriched":[%s]}}' % raw).items
    assert item.body == raw.decode()


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_json_does_not_have(value: bytes) -> None:
    """A vendor that writes NaN was paid all the same: nothing of its answer is lost."""
    body = b'{"data":{"enriched":[{"input":{"email":"a@b.example"},"confidence":%s}],"creditsUsed":%s}}'
    verdict = read_answer(body % (value, value))
    (item,) = verdict.items
    assert item.input == {"email": "a@b.example"}
    assert repr(json.loads(item.body)["confidence"]) == repr(float(value))
    assert verdict.credits_used is None


def test_bytes_that_are_no_utf8() -> None:
    """Bytes that are no UTF-8 cost a character, not the answer."""
    body = b'{"data":{"enriched":[{"input":{"email":"a@b.example","firstName":"Jos\xe9"}}]}}'
    (item,) = read_answer(body).items
    assert item.input == {"email": "a@b.example", "firstName": "Jos\ufffd"}


@pytest.mark.parametrize("broken", ['"\\ud83d"', "NaN", "-Infinity", '"\\udc00\\ud83d"'])
def test_a_broken_value_leaves_the_other_items_alone(broken: str) -> None:
    """One value outside of JSON's rules keeps neither its item nor those beside it from being read."""
    texts = [f'{{"input":{{"email":"{name}"}},  "x":{broken}, "y":[0.10]}}' for name in ("a", "b")]
    texts[1] = texts[1].replace(broken, "1E5")
    verdict = read_answer(f'{{"data":{{"enriched":[{" , ".join(texts)}],"creditsUsed":2}}}}'.encode())
    assert [item.input for item in verdict.items] == [{"email": "a"}, {"email": "b"}]
    assert [item.body for item in verdict.items] == texts
    assert verdict.credits_used == 2


def test_texts_can_be_stored() -> None:
    """Reasons and echoed inputs go into tables, so they hold nothing that UTF-8 cannot."""
    failed = b'{"data":{"failed":[{"input":{"email":"\\ud83d@b.example"},"reason":"half \\ud83d"}]}}'
    (item,) = read_answer(failed).items
    refused = read(400, b'{"message":"\\ud83d","details":{"errors":[{"index":0,"message":"\\udc00"}]}}')
    assert isinstance(refused, Refused)
    for text in (item.reason, *item.input.values(), refused.message, refused.leads[0]):
        assert str(text).encode("utf-8")


# --- properties ------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["input", "email", "reason", "enrichedData", "confidence"]) | st.text(max_size=6),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
"""Any JSON value."""

FIELD = st.sampled_from(
    [
        "success", "data", "enriched", "failed", "creditsUsed", "remainingCredits", "error", "code",
        "message", "details", "errors", "index", "retryAfter", "rateLimitInfo", "reset", "resetTime",
        "permissionHelp", "required", "available", "remaining", "providedUrl", "input", "reason",
    ]
)  # fmt: skip
"""Names the vendor uses, so that random answers reach into every corner."""

LIKELY = st.recursive(
    JSON | st.floats() | st.just("INVALID_LINKEDIN_URL"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD, inner, max_size=6),
    max_leaves=12,
)
"""Values in the vendor's vocabulary, and with numbers that JSON does not have."""

BODIES = st.binary() | LIKELY.map(lambda value: json.dumps(value).encode())


@given(
    status=st.integers(100, 599) | st.sampled_from([200, 400, 401, 402, 403, 429, 503]),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset", "x-else"]), st.text()),
    body=BODIES,
)
@example(status=200, headers={}, body=b"\xff\xfe{\x00}\x00")
@example(status=400, headers={}, body=b'{"details":{"errors":[{"index":1e999},{"index":"\xd9\xa3"}]}}')
@example(status=429, headers={"retry-after": "\x00"}, body=b'{"retryAfter":1e999}')
@example(status=403, headers={}, body=b'{"permissionHelp":{"available":[null,{"a":1}]}}')
def test_interpret_never_raises(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever comes over the wire is one of the verdicts, and can be shown."""
    verdict = interpret(status, headers, body, now=NOW)
    assert isinstance(verdict, Verdict)
    assert repr(verdict)


@pytest.mark.parametrize("status", [200, 400, 402, 403, 429])
@pytest.mark.parametrize(
    "nested",
    [
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"data":{"enriched":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}}",
        b'{"data":{"enriched":[{"input":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}}",
    ],
    ids=["lists", "objects", "an item of lists", "an input of objects"],
)
def test_a_body_of_a_hundred_thousand_brackets(status: int, nested: bytes) -> None:
    """Nesting beyond what a parser can follow makes an unreadable answer, not an exception."""
    assert isinstance(read(status, nested), Verdict)


@pytest.mark.parametrize(
    "body",
    [b"{[1]: 2}", b"{{}: 2}", b"{null: 2}", b"{1: NaN}", b"{NaN: 1}"],
)
def test_names_that_are_no_text(body: bytes) -> None:
    """An object whose names are no text is no JSON at all, so the answer cannot be read."""
    verdict = read(200, body)
    assert isinstance(verdict, Unknown)
    assert "not JSON" in verdict.reason


@given(
    entries=st.lists(JSON, max_size=6),
    indent=st.none() | st.integers(0, 2),
    ascii_only=st.booleans(),
    name=st.sampled_from(NAMES),
)
def test_the_text_of_an_item_survives_byte_for_byte(
    entries: list[object], indent: int | None, ascii_only: bool, name: str
) -> None:
    """Whatever valid JSON an item is, its text comes through unchanged: spaces, escapes and digits."""
    texts = [json.dumps(entry, indent=indent, ensure_ascii=ascii_only) for entry in entries]
    body = f'{{"success": true, "data": {{ "{name}" : [ {" , ".join(texts)} ], "creditsUsed": 1 }} }}'
    verdict = read_answer(body.encode())
    assert [item.body for item in verdict.items] == texts
    assert {item.found for item in verdict.items} <= {name == "enriched"}
    assert verdict.credits_used == 1


@pytest.mark.parametrize(
    "text", ["0.10", "1E5", "123456789012345678901234567890", "1e400", r'"\u00e9\/"', '{"a":1,"a":2}', "-0"]
)
def test_notations_survive(text: str) -> None:
    """Trailing zeros, exponents, huge numbers, escapes and repeated names are kept as they were written."""
    (item,) = read_answer(f'{{"data":{{"enriched":[{{"input":{{}},"x":{text}}}]}}}}'.encode()).items
    assert item.body == f'{{"input":{{}},"x":{text}}}'


# --- what leaves -----------------------------------------------------------------------------------------

FILLED = st.text(min_size=1, max_size=20)
LEAD = st.fixed_dictionaries({}, optional={name: st.none() | st.just("") | FILLED for name in LEAD_FIELDS})


@given(
    leads=st.lists(LEAD, min_size=1, max_size=MAX_LEADS), blocks=st.sets(st.sampled_from(BLOCKS), min_size=1)
)
def test_a_request_holds_the_leads_and_nothing_empty(
    leads: list[dict[str, str | None]], blocks: set[str]
) -> None:
    """Every lead in its place, only filled fields, only the vendor's names, all four flags."""
    sent = json.loads(encode_request(leads, EnrichmentOptions.of(blocks)))
    assert sent["leads"] == [
        {WIRE_NAMES[name]: value for name, value in lead.items() if value} for lead in leads
    ]
    assert set(sent) == {"leads", "enrichmentOptions"}
    flags = sent["enrichmentOptions"]
    assert len(flags) == 4
    assert {name for name, on in flags.items() if on} == {
        {
            "personal": "includePersonalInfo",
            "company": "includeCompanyInfo",
            "social": "includeSocialProfiles",
            "contact": "includeContactInfo",
        }[block]
        for block in blocks
    }


@pytest.mark.parametrize("number", [0, 51, 500])
def test_a_request_of_the_wrong_size(number: int) -> None:
    """No leads, or more than the vendor takes, is a mistake of the caller."""
    with pytest.raises(ValueError, match=f"1 to 50 leads, not {number}"):
        encode_request([{"email": EMAIL}] * number, EnrichmentOptions())


def test_wire_names_are_the_prose_ones() -> None:
    """camelCase, as the vendor's prose has it; its machine-readable spec with snake_case is wrong."""
    assert tuple(WIRE_NAMES) == LEAD_FIELDS
    lead = dict.fromkeys(LEAD_FIELDS, "x")
    assert set(encode_lead(lead)) == {"email", "linkedinUrl", "firstName", "lastName", "company"}


def test_fields_of_the_table_stay_at_home() -> None:
    """Only what identifies is sent: a person id or a phone number in the lead never leaves."""
    assert encode_lead({"email": EMAIL, "person_id": "p1", "phone": "+1"}) == {"email": EMAIL}


# --- what is shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, answered({"input": {"email": EMAIL}, "enrichedData": {"email": EMAIL}}, note=EMAIL)),
        (200, {"data": {"failed": [{"input": {"email": EMAIL}, "reason": f"no {EMAIL}"}]}}),
        (200, f"<html>{EMAIL}</html>".encode()),
        (200, {"message": EMAIL}),
        (400, {"message": EMAIL, "details": {"errors": [{"index": 0, "message": EMAIL}]}}),
        (400, {"code": "INVALID_LINKEDIN_URL", "message": EMAIL, "details": {"providedUrl": EMAIL}}),
        (401, {"message": EMAIL}),
        (402, {"message": EMAIL, "details": {"remaining": 1, "lead": EMAIL}}),
        (403, {"message": EMAIL}),
        (404, {"message": EMAIL}),
        (429, {"message": EMAIL, "retryAfter": 1}),
        (500, {"message": EMAIL}),
        (504, {"message": EMAIL}),
    ],
)
def test_no_verdict_shows_a_person(status: int, body: object) -> None:
    """A verdict in a log or a traceback tells nothing about a lead."""
    verdict = read(status, body)
    shown = f"{verdict!r} {verdict} {getattr(verdict, 'error', '')} "
    assert EMAIL not in shown
    if isinstance(verdict, Answer):
        assert all(EMAIL not in repr(item) for item in verdict.items)


@pytest.mark.parametrize(
    "verdict",
    [
        Item(found=True, input={"email": EMAIL}, body=EMAIL, reason=EMAIL),
        Answer((Item(found=True, input={"email": EMAIL}, body=EMAIL),), 1, 2, rest=EMAIL),
        Refused(EMAIL, {0: EMAIL}, profile_url=EMAIL),
        Unknown("lost", body=EMAIL),
        Unreachable("no connection"),
    ],
    ids=lambda verdict: type(verdict).__name__,
)
def test_every_field_with_a_person_in_it_is_hidden(verdict: object) -> None:
    """Each field that can hold personal data is left out of the repr."""
    assert EMAIL not in repr(verdict)
