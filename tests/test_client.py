"""The HTTP client against real servers on loopback: the sandbox, and one that says what a test scripts."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import polars as pl
import pytest

from buena_pipeline import Enricher, EnrichmentStore
from buena_pipeline.client import BuenaClient, Health
from buena_pipeline.errors import AuthenticationError, SettingsError, UnreachableError, VendorError
from buena_pipeline.sandbox import Fault, RateLimits, Sandbox
from buena_pipeline.settings import PRODUCTION_URL, EnrichmentOptions
from buena_pipeline.wire import (
    Answer,
    Halt,
    Lead,
    OutOfCredits,
    RateLimited,
    Refused,
    ServerFault,
    Unknown,
    Unreachable,
    Verdict,
    encode_request,
)
from tests.torture.breaking import StartsLate

KEY = "bna_" + "5ec4e7" * 10 + "beef"
OPTIONS = EnrichmentOptions()
JANE: Lead = {"email": "jane.doe@acme.example", "first_name": "Jane", "last_name": "Doe", "company": "Acme"}
PROFILE: Lead = {"linkedin_url": "https://linkedin.com/in/jane-doe"}
HEALTHY = b'{"status":"healthy","version":"2.0","apiKey":{"permissions":["leads:enrich"]}}'
EMPTY = b'{"success":true,"data":{"enriched":[],"failed":[],"creditsUsed":0}}'


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[Sandbox]:
    """One server for the whole module; everybody is found, nothing is limited."""
    with Sandbox(limits=None, not_found=0.0, credits=1_000_000) as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The module's sandbox, without the faults of the last test."""
    one_sandbox.clear_faults()
    yield one_sandbox
    one_sandbox.clear_faults()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[BuenaClient]:
    """A client of the sandbox that does not wait long between tries."""
    with BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01) as ready:
        yield ready


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What a scripted vendor answers; ``raw`` are the bytes themselves, after which it hangs up."""

    status: int = 200
    body: bytes = EMPTY
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class Vendor(ThreadingHTTPServer):
    """A vendor that answers as a function says, and counts the connections it accepted."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, answer: Callable[[Sent], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.connections = 0
        self.sent: list[Sent] = []

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}/api/v2"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count a connection."""
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the tests' business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Vendor

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        sent = Sent(self.command, self.path, headers, self.rfile.read(size))
        self.server.sent.append(sent)
        reply = self.server.answer(sent)
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_CONNECT = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def vendor(answer: Callable[[Sent], Reply] = lambda _: Reply()) -> Iterator[Vendor]:
    """A scripted vendor, while the block lasts."""
    with Vendor(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def closed_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def people(number: int, name: str = "person") -> list[Lead]:
    """So many different leads."""
    return [{"email": f"{name}{index}@acme.example"} for index in range(number)]


# --- a good request --------------------------------------------------------------------------------------


def test_enrich_brings_an_answer(client: BuenaClient) -> None:
    """A lead goes out in our names and comes back as an item with its echo and what it cost."""
    verdict = client.enrich([JANE], OPTIONS)
    assert isinstance(verdict, Answer)
    (item,) = verdict.items
    assert item.found
    assert item.input["email"] == JANE["email"]
    assert json.loads(item.body)["enrichedData"]["firstName"] == "Jane"
    assert verdict.credits_used == 1


def test_fifty_leads_in_one_request(client: BuenaClient, sandbox: Sandbox) -> None:
    """The vendor's largest batch is one request, and everybody in it is answered."""
    before = sandbox.requests
    verdict = client.enrich(people(50), OPTIONS)
    assert isinstance(verdict, Answer)
    assert {item.input["email"] for item in verdict.items} == {lead["email"] for lead in people(50)}
    assert sandbox.requests == before + 1


@pytest.mark.parametrize("number", [0, 51])
def test_a_request_of_the_wrong_size_is_not_sent(number: int, client: BuenaClient, sandbox: Sandbox) -> None:
    """No leads or too many is a mistake that the vendor never hears of."""
    before = sandbox.requests
    with pytest.raises(ValueError, match="1 to 50 leads"):
        client.enrich(people(number), OPTIONS)
    assert sandbox.requests == before


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_is_on_the_wire(slash: str) -> None:
    """One POST to the documented path with the key in x-api-key, and exactly the encoded body."""
    with vendor() as server, BuenaClient(KEY, server.url + slash) as client:
        client.enrich([JANE], OPTIONS)
        (sent,) = server.sent
    assert (sent.method, sent.path) == ("POST", "/api/v2/enrich")
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["content-type"] == sent.headers["accept"] == "application/json"
    assert sent.body == encode_request([JANE], OPTIONS)


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and address come from the environment where no argument gives them."""
    with vendor() as server:
        monkeypatch.setenv("BUENA_API_KEY", KEY)
        monkeypatch.setenv("BUENA_BASE_URL", server.url)
        with BuenaClient() as client:
            client.enrich([JANE], OPTIONS)
        assert server.sent[0].headers["x-api-key"] == KEY


def test_a_transport_of_ones_own() -> None:
    """What is given as transport carries every request."""
    seen: list[httpx.Request] = []

    def carry(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=EMPTY)

    with BuenaClient(KEY, transport=httpx.MockTransport(carry)) as client:
        assert client.enrich([JANE], OPTIONS) == Answer((), 0.0)
    assert [str(request.url) for request in seen] == [f"{PRODUCTION_URL}/enrich"]


# --- every fault has its verdict -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", times=None, status=500), ServerFault("the vendor answered 500")),
        (Fault("status", times=None, status=502), ServerFault("the vendor answered 502")),
        (Fault("status", times=None, status=503), ServerFault("the vendor answered 503")),
        *(
            (
                Fault("status", times=None, status=status),
                ServerFault(f"the vendor answered {status} with a body that is not its own"),
            )
            for status in (400, 413, 422)
        ),
        (Fault("no_credits", remaining=0), OutOfCredits(0, 1)),
        (Fault("no_credits", remaining=7), OutOfCredits(7, 1)),
        (Fault("invalid_request"), Refused("Invalid lead data for enrichment")),
        (
            Fault("invalid_linkedin_url"),
            Refused("Invalid LinkedIn profile URL format", profile_url=PROFILE["linkedin_url"]),
        ),
    ],
    ids=lambda value: f"{value.kind} {value.status}" if isinstance(value, Fault) else "",
)
def test_faults_that_charge_nothing(
    fault: Fault, expected: Verdict, client: BuenaClient, sandbox: Sandbox
) -> None:
    """What the vendor refuses comes back as the documented verdict, and cost nothing."""
    sandbox.inject(fault)
    before = sandbox.credits_used
    assert client.enrich([PROFILE], OPTIONS) == expected
    assert sandbox.credits_used == before


def test_invalid_lead_is_named_by_its_index(client: BuenaClient, sandbox: Sandbox) -> None:
    """A refused lead is known by its place in the request."""
    sandbox.inject(Fault("invalid_lead", index=2))
    verdict = client.enrich(people(5), OPTIONS)
    assert isinstance(verdict, Refused)
    assert list(verdict.leads) == [2]


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault("unauthorized"), "AuthenticationError"), (Fault("forbidden"), "PermissionDeniedError")],
    ids=["401", "403"],
)
def test_faults_that_stop_the_run(fault: Fault, error: str, client: BuenaClient, sandbox: Sandbox) -> None:
    """A key that is wrong or may not enrich is not tried twice."""
    sandbox.inject(fault)
    before = sandbox.requests
    verdict = client.enrich([JANE], OPTIONS)
    assert isinstance(verdict, Halt)
    assert type(verdict.error).__name__ == error
    assert sandbox.requests == before + 1


@pytest.mark.parametrize(
    ("kind", "why", "charged"),
    [
        ("reset_before", "connection broke", False),
        ("reset_after", "connection broke", True),
        ("truncate", "connection broke", True),
        ("cut_json", "not JSON", True),
        ("empty", "empty body", True),
        ("not_json", "not JSON", False),
        ("success_false", "without any results", False),
    ],
)
def test_a_lost_answer_is_unknown_and_never_sent_again(
    kind: str, why: str, charged: bool, client: BuenaClient, sandbox: Sandbox
) -> None:
    """Nobody can tell from outside whether it was charged, so one try is all there is."""
    sandbox.inject(Fault(kind))
    requests, spent = sandbox.requests, sandbox.credits_used
    verdict = client.enrich([JANE], OPTIONS)
    assert isinstance(verdict, Unknown)
    assert why in verdict.reason
    assert sandbox.requests == requests + 1
    assert sandbox.credits_used == spent + charged


def test_a_late_answer_is_unknown_and_never_sent_again(sandbox: Sandbox) -> None:
    """After the timeout the request may still be worked on, so it is not sent a second time."""
    sandbox.inject(Fault("latency", wait=30))
    requests, spent = sandbox.requests, sandbox.credits_used
    with BuenaClient(sandbox.api_key, sandbox.url, timeout=0.1) as client:
        assert client.enrich([JANE], OPTIONS) == Unknown("the vendor's answer did not come in time")
    assert (sandbox.requests, sandbox.credits_used) == (requests + 1, spent + 1)


@pytest.mark.parametrize(("kind", "items"), [("drop", 4), ("extra", 6)])
def test_an_answer_with_too_few_or_too_many(
    kind: str, items: int, client: BuenaClient, sandbox: Sandbox
) -> None:
    """Items are handed on as they came: fewer or more than were asked for is no error here."""
    sandbox.inject(Fault(kind))
    verdict = client.enrich(people(5, kind), OPTIONS)
    assert isinstance(verdict, Answer)
    assert len(verdict.items) == items


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Key and leads go to the configured address only; the run stops with a hint at it."""
    with (
        vendor() as elsewhere,
        vendor(lambda _: Reply(status, b"", {"location": f"{elsewhere.url}/enrich"})) as server,
        BuenaClient(KEY, server.url) as client,
    ):
        verdict = client.enrich([JANE], OPTIONS)
        assert elsewhere.sent == []
        assert len(server.sent) == 1
    assert isinstance(verdict, Halt)
    assert "BUENA_BASE_URL" in str(verdict.error)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(body=b"no gzip", headers={"content-encoding": "gzip"}), "unpacked"),
        (Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"), "connection broke"),
        (Reply(raw=b""), "connection broke"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"), "connection broke"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"), "connection broke"),
    ],
    ids=["bad gzip", "no HTTP", "nothing", "too short", "chunk missing"],
)
def test_answers_that_are_no_http(reply: Reply, why: str) -> None:
    """Whatever comes back over the connection is a verdict, not an exception."""
    with vendor(lambda _: reply) as server, BuenaClient(KEY, server.url) as client:
        verdict = client.enrich([JANE], OPTIONS)
        assert len(server.sent) == 1
    assert isinstance(verdict, Unknown)
    assert why in verdict.reason


def test_a_transport_that_refuses_the_request() -> None:
    """An error that is none of the connection's stops the run in our own terms, after one try."""
    tries: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.TooManyRedirects(f"{KEY} {JANE['email']}")

    with BuenaClient(KEY, transport=httpx.MockTransport(refuse)) as client:
        verdict = client.enrich([JANE], OPTIONS)
    assert isinstance(verdict, Halt)
    assert "TooManyRedirects" in str(verdict.error)
    assert KEY not in str(verdict.error)
    assert str(JANE["email"]) not in str(verdict.error)
    assert len(tries) == 1


# --- trying again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_faults_are_tried_again(status: int, client: BuenaClient, sandbox: Sandbox) -> None:
    """Two failures, then success: the person is charged once."""
    lead: Lead = {"email": f"retried{status}@acme.example"}
    sandbox.inject(Fault("status", status=status, times=2))
    before = sandbox.requests
    assert isinstance(client.enrich([lead], OPTIONS), Answer)
    assert sandbox.requests == before + 3
    charges = sandbox.charges()
    assert charges.filter(charges["lead"] == f"email:{lead['email']}")["count"].to_list() == [1]


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_failures_in_a_row_give_up(attempts: int, sandbox: Sandbox) -> None:
    """As many tries as attempts, then the last failure is the verdict."""
    sandbox.inject(Fault("status", status=503, times=None))
    before = sandbox.requests
    with BuenaClient(sandbox.api_key, sandbox.url, attempts=attempts, backoff=0.001) as client:
        assert client.enrich([JANE], OPTIONS) == ServerFault("the vendor answered 503")
    assert sandbox.requests == before + attempts


def test_three_attempts_are_the_default(sandbox: Sandbox) -> None:
    """Without an argument three failures in a row give up."""
    sandbox.inject(Fault("status", status=500, times=None))
    before = sandbox.requests
    with BuenaClient(sandbox.api_key, sandbox.url, backoff=0.001) as client:
        client.enrich([JANE], OPTIONS)
    assert sandbox.requests == before + 3


def test_a_refused_connection_is_tried_again() -> None:
    """A vendor that is just coming up gets the request as soon as it listens."""
    with Sandbox(not_found=0.0) as sandbox:
        pass  # started once, so that its address is known
    transport = StartsLate(sandbox, at=2)
    try:
        with BuenaClient(sandbox.api_key, sandbox.url, transport, backoff=0.01) as client:
            assert isinstance(client.enrich([JANE], OPTIONS), Answer)
        assert (transport.tries, sandbox.requests) == (2, 1)
    finally:
        sandbox.stop()


def test_nobody_listens(closed_port: int) -> None:
    """An address where nobody answers is Unreachable, and the reason names it."""
    with BuenaClient(KEY, f"http://127.0.0.1:{closed_port}", backoff=0.001) as client:
        verdict = client.enrich([JANE], OPTIONS)
    assert isinstance(verdict, Unreachable)
    assert f"127.0.0.1:{closed_port}" in verdict.reason


def test_a_proxy_that_refuses_the_tunnel() -> None:
    """Nothing reached the vendor, so the leads are not stuck with an unknown outcome."""
    with vendor(lambda _: Reply(407, b"")) as proxy:
        transport = httpx.HTTPTransport(proxy=f"http://127.0.0.1:{proxy.server_port}")
        with BuenaClient(KEY, "https://vendor.example", transport, backoff=0.001) as client:
            verdict = client.enrich([JANE], OPTIONS)
        assert {sent.method for sent in proxy.sent} == {"CONNECT"}
    assert isinstance(verdict, Unreachable)


@pytest.mark.parametrize("host", ["xn--", f"{'a' * 64}.example"])
def test_a_name_that_cannot_be_looked_up(host: str) -> None:
    """A host name that breaks the rules of names reaches nobody, like one that is not known."""
    with BuenaClient(KEY, f"http://{host}", backoff=0.001) as client:
        verdict = client.enrich([JANE], OPTIONS)
        with pytest.raises(UnreachableError, match=host):
            client.health()
    assert isinstance(verdict, Unreachable)
    assert host in verdict.reason


# --- rate limits -----------------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_for(client: BuenaClient, sandbox: Sandbox) -> None:
    """The wait the vendor asks for is kept, then the request goes out again."""
    sandbox.inject(Fault("rate_limited", wait=0.15))
    before, began = sandbox.requests, time.monotonic()
    assert isinstance(client.enrich([JANE], OPTIONS), Answer)
    assert time.monotonic() - began >= 0.15
    assert sandbox.requests == before + 2


@pytest.mark.parametrize("tell", ["body", "header", "date", "reset", "reset_time"])
def test_every_way_to_tell_a_wait(tell: str, client: BuenaClient, sandbox: Sandbox) -> None:
    """Wherever the vendor writes the wait it is read; one that is too long is not begun."""
    sandbox.inject(Fault("rate_limited", wait=90, tell=tell))
    before, began = sandbox.requests, time.monotonic()
    verdict = client.enrich([JANE], OPTIONS, max_wait=60)
    assert time.monotonic() - began < 5
    assert isinstance(verdict, RateLimited)
    assert verdict.wait is not None
    assert 85 < verdict.wait < 92
    assert (verdict.resets_at is not None) == (tell in {"date", "reset", "reset_time"})
    assert sandbox.requests == before + 1


@pytest.mark.parametrize("reset", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_reset_that_no_calendar_holds_stops_no_run(reset: str, store: EnrichmentStore) -> None:
    """Neither the one that hears of it nor the next one, which reads what the store remembers."""
    told = {"limit": "60", "remaining": "59", "reset": reset, "window": "minute"}
    headers = {f"X-RateLimit-{name}": value for name, value in told.items()}
    with vendor(lambda _: Reply(headers=headers)) as server, BuenaClient(KEY, server.url) as client:
        for name in ("jane", "omar"):
            Enricher(client, store).run(pl.DataFrame({"email": [f"{name}@acme.example"]}))
        assert len(server.sent) == 2


def test_a_year_of_waiting_is_a_day(store: EnrichmentStore) -> None:
    """Else one bad header would shut the account out for a year, in every run of the store."""
    answer = Reply(429, b"{}", {"retry-after": "31536000"})
    with vendor(lambda _: answer) as server, BuenaClient(KEY, server.url) as client:
        report = Enricher(client, store, max_wait=0).run(pl.DataFrame({"email": [JANE["email"]]})).report
    assert report.deferred == 1
    assert report.resume_at is not None
    wait = report.resume_at - datetime.now(UTC)
    assert timedelta(hours=23) < wait <= timedelta(days=1)


def test_a_wait_that_is_not_told(client: BuenaClient, sandbox: Sandbox) -> None:
    """Without a figure a minute would be waited, which is more than was allowed here."""
    sandbox.inject(Fault("rate_limited", tell="nothing"))
    assert client.enrich([JANE], OPTIONS, max_wait=59) == RateLimited(None)


def test_waits_add_up_to_max_wait(client: BuenaClient, sandbox: Sandbox) -> None:
    """The vendor may ask for patience again and again, but not for more than max_wait altogether."""
    sandbox.inject(Fault("rate_limited", wait=0.1, times=None))
    before = sandbox.requests
    assert client.enrich([JANE], OPTIONS, max_wait=0.25) == RateLimited(0.1)
    assert sandbox.requests == before + 3


def test_the_vendors_own_limit() -> None:
    """A window that is used up is reported with its end, so that a run can say when to resume."""
    clock = 1_700_000_000.0
    with (
        Sandbox(limits=RateLimits(minute=1), not_found=0.0, now=lambda: clock) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
    ):
        assert isinstance(client.enrich([JANE], OPTIONS), Answer)
        verdict = client.enrich([JANE], OPTIONS, max_wait=0)
    assert verdict == RateLimited(40)  # the sandbox's minute ends 40 seconds later, by its clock long ago


# --- connections and threads -----------------------------------------------------------------------------


def test_connections_are_kept() -> None:
    """Requests one after the other go over one connection, also after an error answer."""
    statuses = iter([200, 402, 503, 200, 400, 200])
    with (
        vendor(lambda _: Reply(next(statuses), b'{"error":true,"data":{"enriched":[]}}')) as server,
        BuenaClient(KEY, server.url, backoff=0.001) as client,
    ):
        for _ in range(5):
            client.enrich([JANE], OPTIONS)
        assert (len(server.sent), server.connections) == (6, 1)


def test_concurrency_is_used_and_bounded() -> None:
    """Exactly as many requests are in flight as allowed, over as many connections."""
    together = threading.Barrier(3, timeout=10)
    lock, flying, most = threading.Lock(), 0, 0

    def answer(_: Sent) -> Reply:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        together.wait()  # breaks unless three are here at once
        with lock:
            flying -= 1
        return Reply()

    with vendor(answer) as server, BuenaClient(KEY, server.url, concurrency=3) as client:
        verdicts = [future.result() for future in [client.submit([JANE], OPTIONS) for _ in range(9)]]
        assert (len(server.sent), server.connections) == (9, 3)
    assert all(isinstance(verdict, Answer) for verdict in verdicts)
    assert most == 3


def test_submit_returns_at_once() -> None:
    """The caller goes on while the vendor thinks."""
    release = threading.Event()

    def answer(_: Sent) -> Reply:
        release.wait(10)
        return Reply()

    with vendor(answer) as server, BuenaClient(KEY, server.url) as client:
        future = client.submit([JANE], OPTIONS, max_wait=1)
        assert not future.done()
        release.set()
        assert future.result(timeout=10) == Answer((), 0.0)


def test_submit_hands_on_mistakes() -> None:
    """A mistake of the caller comes out of the future as it would out of enrich."""
    with vendor() as server, BuenaClient(KEY, server.url) as client:
        with pytest.raises(ValueError, match="1 to 50"):
            client.submit([], OPTIONS).result(timeout=10)
        assert server.sent == []


def test_one_client_for_many_threads(client: BuenaClient) -> None:
    """Threads of the caller's own, more than the pool has connections, each get their own answer."""
    with ThreadPoolExecutor(16) as pool:
        leads = people(48, "threaded")
        verdicts = list(pool.map(lambda lead: client.enrich([lead], OPTIONS), leads))
    for lead, verdict in zip(leads, verdicts, strict=True):
        assert isinstance(verdict, Answer)
        assert verdict.items[0].input["email"] == lead["email"]


def test_a_caller_for_whom_no_connection_is_free_has_sent_nothing() -> None:
    """Who waits for one does so for as long as for an answer; its people are free to be bought."""
    arrived, release = threading.Event(), threading.Event()

    def handle(_: httpx.Request) -> httpx.Response:
        arrived.set()
        assert release.wait(30)
        return httpx.Response(503)

    transport = httpx.MockTransport(handle)
    with BuenaClient(
        KEY, "http://vendor.example", transport, concurrency=1, timeout=0.05, attempts=1
    ) as client:
        first = client.submit([JANE], OPTIONS)
        assert arrived.wait(30)
        verdict = client.enrich([JANE], OPTIONS)
        release.set()
        assert isinstance(first.result(), ServerFault)
    assert verdict == Unreachable("no connection to http://vendor.example (all are in use)")


def test_inside_a_running_event_loop(client: BuenaClient) -> None:
    """A notebook cell or an async application can call it as it is, or on a thread."""

    async def cell() -> list[Verdict]:
        here = client.enrich([JANE], OPTIONS)
        return [
            here,
            *await asyncio.gather(*(asyncio.to_thread(client.enrich, [JANE], OPTIONS) for _ in "ab")),
        ]

    assert [type(verdict) for verdict in asyncio.run(cell())] == [Answer] * 3


def test_what_is_called_off_while_it_waits_for_a_connection_is_not_sent() -> None:
    """It comes back as never sent, so its people are free to be bought; what is under way is not touched."""
    arrived, release, called_off = threading.Event(), threading.Event(), threading.Event()

    def answer(_: Sent) -> Reply:
        arrived.set()
        release.wait(30)
        return Reply()

    with vendor(answer) as server, BuenaClient(KEY, server.url, concurrency=1) as client:
        under_way = client.submit([JANE], OPTIONS, called_off=called_off)
        waiting = client.submit([JANE], OPTIONS, called_off=called_off)
        assert arrived.wait(30)
        called_off.set()
        release.set()
        assert under_way.result(timeout=30) == Answer((), 0.0)
        assert waiting.result(timeout=30) == Unreachable("called off before it was sent")
        assert len(server.sent) == 1


def test_close_waits_for_what_is_in_flight() -> None:
    """A request that was sent is paid for, so its answer is taken before the connections close."""
    arrived, release = threading.Event(), threading.Event()

    def answer(_: Sent) -> Reply:
        arrived.set()
        release.wait(10)
        return Reply()

    with vendor(answer) as server:
        with BuenaClient(KEY, server.url, concurrency=1) as client:
            future = client.submit([JANE], OPTIONS)
            waiting = client.submit([JANE], OPTIONS)
            arrived.wait(10)
            threading.Timer(0.05, release.set).start()
        assert future.result(timeout=0) == Answer((), 0.0)
        assert waiting.cancelled()  # not sent, so nothing is lost
        assert len(server.sent) == 1
    client.close()  # once more does no harm


# --- secrets ---------------------------------------------------------------------------------------------


def test_repr_shows_the_address_and_no_key() -> None:
    """What a notebook prints tells where requests go, never with which key."""
    with BuenaClient(KEY, "https://staging-api.buena.ai/api/v2/", concurrency=4) as client:
        assert repr(client) == "BuenaClient(base_url='https://staging-api.buena.ai/api/v2', concurrency=4)"
        assert str(client) == repr(client)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(401, b"{}"),
        Reply(403, b"{}"),
        Reply(404, b"<html>"),
        Reply(200, b"<html>"),
        Reply(503, b""),
        Reply(429, b'{"retryAfter":0.01}'),
        Reply(raw=b"garbage\r\n\r\n"),
    ],
    ids=lambda reply: f"{reply.status} {reply.raw or ''}".strip(),
)
def test_neither_key_nor_person_in_logs_and_verdicts(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """However talkative the logging of the libraries below is, key and lead are in none of it."""
    caplog.set_level(logging.DEBUG)
    with vendor(lambda _: reply) as server, BuenaClient(KEY, server.url, backoff=0.001) as client:
        verdict = client.enrich([JANE], OPTIONS, max_wait=0.1)
        try:
            said = repr(client.health())
        except VendorError as error:
            said = "".join(traceback.format_exception(error))
    shown = [repr(verdict), str(verdict), str(getattr(verdict, "error", "")), said]
    for secret in (KEY, str(JANE["email"])):
        assert all(secret not in text for text in shown)
        assert all(secret not in f"{record.getMessage()} {vars(record)}" for record in caplog.records)


def test_a_key_that_no_header_carries_is_not_shown() -> None:
    """A key with a line break is refused before httpx could complain with it in the message."""
    with pytest.raises(SettingsError) as caught:
        BuenaClient(f"{KEY}\r\nx-evil: 1")
    assert KEY not in "".join(traceback.format_exception(caught.value))


# --- health ----------------------------------------------------------------------------------------------


def test_health(client: BuenaClient, sandbox: Sandbox) -> None:
    """State, version and permissions, at no cost and without a request to enrich."""
    requests, spent = sandbox.requests, sandbox.credits_used
    health = client.health()
    assert health == Health("healthy", "2.0", ("leads:read", "leads:write", "leads:enrich"))
    assert health.may_enrich
    assert (sandbox.requests, sandbox.credits_used) == (requests, spent)


@pytest.mark.parametrize(
    ("permissions", "may"), [((), False), (("leads:read",), False), (("leads:enrich",), True), (("*",), True)]
)
def test_health_says_whether_the_key_may_enrich(permissions: tuple[str, ...], may: bool) -> None:
    """The permission itself, or the star of a legacy key."""
    assert Health("healthy", "2.0", permissions).may_enrich is may


def test_health_of_a_wrong_key(sandbox: Sandbox) -> None:
    """A key that is not known is an error of its own, which names the address but not the key."""
    with (
        BuenaClient(KEY, sandbox.url) as client,
        pytest.raises(AuthenticationError, match="BUENA_API_KEY") as caught,
    ):
        client.health()
    assert sandbox.url in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_client_that_is_being_closed_takes_nothing_more() -> None:
    """Another thread has ended the pool of threads, but not yet the connections."""
    with BuenaClient(KEY, "http://vendor.example") as client:
        client._threads.shutdown()
        with pytest.raises(SettingsError, match="closed"):
            client.submit([JANE], OPTIONS)


def test_health_where_nobody_listens(closed_port: int) -> None:
    """An address where nobody answers is named, and the network's own error is no part of the traceback."""
    url = f"http://127.0.0.1:{closed_port}"
    with BuenaClient(KEY, url) as client, pytest.raises(UnreachableError, match=url) as caught:
        client.health()
    assert caught.value.__suppress_context__


def test_health_that_does_not_come() -> None:
    """A server that accepts and says nothing is as good as none."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with (
            BuenaClient(KEY, url, timeout=0.05) as client,
            pytest.raises(UnreachableError, match="no answer came in time"),
        ):
            client.health()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Sign in</html>", {"content-type": "text/html"}),
        Reply(200, b""),
        Reply(200, b"[1, 2]"),
        Reply(200, b'"ok"'),
        Reply(200, b"null"),
        Reply(200, b"\xff\xfe\x00"),
        Reply(302, b"", {"location": "/login"}),
        Reply(404, b"{}"),
        Reply(500, b"{}"),
        Reply(200, b"[" * 100_000),
        Reply(200, b'{"hello":"world"}'),
        Reply(200, b'[["status","ok"]]'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:17]!r}",
)
def test_health_of_somebody_else(reply: Reply) -> None:
    """An answer that is none of the vendor's is told apart from a vendor that is down."""
    with (
        vendor(lambda _: reply) as server,
        BuenaClient(KEY, server.url) as client,
        pytest.raises(VendorError, match="BUENA_BASE_URL") as caught,
    ):
        client.health()
    assert type(caught.value) is VendorError


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HEALTHY, Health("healthy", "2.0", ("leads:enrich",))),
        (b'{"status":"degraded","version":2.0}', Health("degraded", "2.0", ())),
        (b'{"status":"healthy","apiKey":{"permissions":null},"new":1}', Health("healthy", "unknown", ())),
        (b'{"status":"healthy","apiKey":"bna","version":"2.1"}', Health("healthy", "2.1", ())),
        (b'{"status":"healthy","version":null}', Health("healthy", "unknown", ())),
    ],
)
def test_health_is_read_tolerantly(body: bytes, expected: Health) -> None:
    """Unknown fields are ignored, missing and null ones are unknown."""
    with vendor(lambda _: Reply(200, body)) as server, BuenaClient(KEY, server.url) as client:
        assert client.health() == expected


# --- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [{"concurrency": 0}, {"attempts": 0}, {"timeout": 0}, {"timeout": -1}, {"backoff": -0.1}],
    ids=str,
)
def test_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    """What cannot work is refused when the client is made, not when money is at stake."""
    with pytest.raises(SettingsError, match=rf"{next(iter(arguments))} of BuenaClient takes"):
        BuenaClient(KEY, **arguments)


def test_no_key() -> None:
    """Without a key there is no client."""
    with pytest.raises(SettingsError, match="BUENA_API_KEY"):
        BuenaClient()


@pytest.mark.parametrize(
    "url",
    [
        "http://host:abc",
        "http://a\x00b",
        "http://a..b",
    ],
)
def test_an_impossible_address(url: str) -> None:
    """An address that no request can go to is refused in our own terms when the client is made."""
    with pytest.raises(SettingsError, match="base URL"):
        BuenaClient(KEY, url).close()
