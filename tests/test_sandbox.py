"""The sandbox as a server: real connections, real faults, real books."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import buena_pipeline.errors
from buena_pipeline.errors import MissingExtraError, SettingsError
from buena_pipeline.sandbox import Fault, RateLimits, Sandbox

ROOT = Path(buena_pipeline.errors.__file__).parents[1]
JANE = {"email": "jane.doe@acme.com"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in which everybody is found and nothing is limited."""
    with Sandbox(limits=None, not_found=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client with the sandbox's address and key."""
    with httpx.Client(base_url=sandbox.url, headers={"x-api-key": sandbox.api_key}) as client:
        yield client


def enrich(client: httpx.Client, *leads: Any, **options: bool) -> httpx.Response:
    """Ask for leads."""
    return client.post("/enrich", json={"leads": list(leads), "enrichmentOptions": options})


def people(number: int) -> list[dict[str, str]]:
    """So many different leads."""
    return [{"email": f"person{index}@acme.com"} for index in range(number)]


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in another process that finds the same modules."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )


# --- starting and stopping -------------------------------------------------------------------------------


def test_starts_and_stops_fast() -> None:
    """A test may start a sandbox of its own without anybody noticing."""
    with Sandbox():
        pass  # the first one loads what the server imports
    began = time.perf_counter()
    with Sandbox():
        pass
    assert time.perf_counter() - began < 0.3


def test_leaves_no_thread_and_no_listener() -> None:
    """A stopped sandbox is gone: its thread has ended and its port refuses connections."""
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        url = sandbox.url
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_comes_back_under_the_same_address_with_the_same_books() -> None:
    """A vendor that was down is the same vendor when it is up again."""
    with Sandbox(not_found=0.0) as sandbox:
        url = sandbox.url
        httpx.post(f"{url}/enrich", json={"leads": [JANE]}, headers={"x-api-key": sandbox.api_key})
    with sandbox:
        assert sandbox.url == url
        assert sandbox.charges()["count"].to_list() == [1]


def test_stop_does_not_wait_for_a_late_answer(sandbox: Sandbox, client: httpx.Client) -> None:
    """Stopping cuts a request that is still waiting; what was charged stays charged."""
    sandbox.inject(Fault("latency", wait=60))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(enrich, client, JANE)
        while not sandbox.requests:
            time.sleep(0.001)
        sandbox.stop()
        with pytest.raises(httpx.TransportError):
            late.result(timeout=5)
    assert sandbox.credits_used == 1


def test_runs_inside_a_running_loop() -> None:
    """A notebook's own event loop is left alone, and can talk to the sandbox."""

    async def ask() -> int:
        with Sandbox() as sandbox:
            async with httpx.AsyncClient() as client:
                response = await client.get(f"{sandbox.url}/health", headers={"x-api-key": sandbox.api_key})
        return response.status_code

    assert asyncio.run(ask()) == 200


def test_serves_until_stopped() -> None:
    """``serve_forever`` blocks until another thread stops the sandbox."""
    sandbox = Sandbox()
    server = threading.Thread(target=sandbox.serve_forever)
    sandbox.start()
    server.start()
    assert server.is_alive()
    sandbox.stop()
    server.join(5)
    assert not server.is_alive()


def test_ctrl_c_ends_serving_quietly() -> None:
    """Ctrl+C in the process of ``serve_forever`` ends it without output and without an error."""
    script = (
        "import _thread, threading\n"
        "from buena_pipeline.sandbox import Sandbox\n"
        "threading.Timer(0.2, _thread.interrupt_main).start()\n"
        "Sandbox().serve_forever()\n"
    )
    done = run_python(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_taken_port_is_told() -> None:
    """Whoever asks for a port that is taken is told so, and what to do."""
    with Sandbox() as first:
        port = httpx.URL(first.url).port
        with pytest.raises(SettingsError, match="choose another, or 0"):
            Sandbox(port=port).start()


def test_two_starts_are_one_too_many(sandbox: Sandbox) -> None:
    """A running sandbox cannot be started again, and says so."""
    with pytest.raises(SettingsError, match="running already"):
        sandbox.start()


def test_no_url_before_the_start() -> None:
    """Without a fixed port there is no address before the start."""
    with pytest.raises(SettingsError, match="before it is started"):
        _ = Sandbox().url


@pytest.mark.parametrize(
    "arguments",
    [
        {"not_found": 1.5},
        {"credits": -1},
        {"credits_per_lead": -1},
        {"latency": -1},
        {"enrichments_per_hour": 0},
        {"enrichments_per_hour": 1.5},
        {"enrichments_per_hour": True},
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float]) -> None:
    """A share above one or a negative number is named at once."""
    with pytest.raises(SettingsError, match=next(iter(arguments))):
        Sandbox(**arguments)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvicorn the import fails with the command that installs it."""
    for name in [name for name in sys.modules if name.startswith("buena_pipeline.sandbox")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"buena-pipeline\[sandbox\]"):
        __import__("buena_pipeline.sandbox.server")


def test_key_follows_from_the_seed_and_stays_out_of_the_repr() -> None:
    """The key has the vendor's form, is the same for one seed, and is not shown."""
    sandbox = Sandbox(seed=7)
    assert sandbox.api_key == Sandbox(seed=7).api_key != Sandbox(seed=8).api_key
    assert sandbox.api_key.startswith("bna_")
    assert len(sandbox.api_key) == 68
    assert sandbox.api_key not in repr(sandbox)


# --- answers and charges ---------------------------------------------------------------------------------


def test_charges_who_was_found_and_nobody_else() -> None:
    """A lead in ``enriched`` costs, a lead in ``failed`` does not, and the books agree with the answer."""
    known = {"nobody@acme.com": None}
    with Sandbox(limits=None, not_found=0.0, credits=10, credits_per_lead=2, people=known) as sandbox:
        response = httpx.post(
            f"{sandbox.url}/enrich",
            json={"leads": [JANE, {"email": "nobody@acme.com"}]},
            headers={"x-api-key": sandbox.api_key},
        )
    data = response.json()["data"]
    assert data["failed"] == [{"input": {"email": "nobody@acme.com"}, "reason": "Person not found"}]
    assert (data["creditsUsed"], data["remainingCredits"]) == (2, 8)
    assert (sandbox.credits_used, sandbox.credits, sandbox.requests) == (2, 8, 1)
    assert sandbox.charges().select("lead", "count", "credits").rows() == [
        ("email:jane.doe@acme.com", 1, 2.0)
    ]


def test_results_never_come_in_the_order_of_the_request(client: httpx.Client) -> None:
    """Clients that match by position are found out: two or more results are always in another order."""
    for number in (2, 3, 50):
        leads = people(number)
        inputs = [item["input"] for item in enrich(client, *leads).json()["data"]["enriched"]]
        assert inputs != leads
        assert sorted(inputs, key=str) == sorted(leads, key=str)


def test_input_is_echoed_exactly_as_sent(client: httpx.Client) -> None:
    """Unknown fields, case, white space and odd characters of a lead come back untouched."""
    lead = {
        "email": " Jane.DOE+fair@Acme.com ",
        "crmId": 7,
        "score": 1.0,
        "note": "\ud800 ünï",
        "more": {"a": [None]},
    }
    response = client.post("/enrich", content=json.dumps({"leads": [lead]}))
    assert response.json()["data"]["enriched"][0]["input"] == lead


def test_only_the_blocks_asked_for_are_filled(client: httpx.Client) -> None:
    """A block that was not asked for is null or missing - both occur - and the rest always comes."""
    off = dict.fromkeys(("includePersonalInfo", "includeContactInfo"), False)
    items = enrich(client, *people(50), **off).json()["data"]["enriched"]
    hidden = [item["enrichedData"].get("phone", "missing") for item in items]
    assert set(hidden) == {None, "missing"}
    assert all(item["enrichedData"].get("firstName") is None for item in items)
    assert any(item["enrichedData"].get("companyInfo") for item in items)
    assert all(item["enrichedData"]["email"] == item["input"]["email"] for item in items)


def test_one_person_under_another_identifier_is_charged_as_one(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """The books see through identifiers: e-mail first and LinkedIn URL later is one person, charged twice."""
    items = enrich(client, *people(20)).json()["data"]["enriched"]
    first = next(item for item in items if item["enrichedData"].get("linkedinUrl"))
    again = enrich(client, {"linkedinUrl": first["enrichedData"]["linkedinUrl"]}).json()["data"]["enriched"][
        0
    ]
    assert again["enrichedData"] == first["enrichedData"]
    twice = sandbox.charges().filter(count=2)
    assert twice["lead"].to_list() == [f"email:{first['input']['email']}"]
    assert twice["repeated"].to_list() == [["personal", "company", "contact"]]


def test_missing_blocks_bought_later_are_no_repetition(sandbox: Sandbox, client: httpx.Client) -> None:
    """Buying the other blocks of a person later is charged, but nothing is charged twice."""
    enrich(client, JANE, includeContactInfo=False)
    flags = dict.fromkeys(("includePersonalInfo", "includeCompanyInfo"), False)
    enrich(client, JANE, **flags)
    (charge,) = sandbox.charges().to_dicts()
    assert charge["blocks"] == [["personal", "company"], ["contact"]]
    assert charge["repeated"] == []


def test_same_answers_in_another_process(sandbox: Sandbox, client: httpx.Client) -> None:
    """People follow from the seed and the e-mail address, not from the process that asks."""
    script = (
        "import httpx, sys\n"
        "from buena_pipeline.sandbox import Sandbox\n"
        "with Sandbox(limits=None, not_found=0.0) as sandbox:\n"
        "    leads = {'leads': [{'email': 'jane.doe@acme.com'}]}\n"
        "    key = {'x-api-key': sandbox.api_key}\n"
        "    answer = httpx.post(f'{sandbox.url}/enrich', json=leads, headers=key)\n"
        "    sys.stdout.write(answer.text)\n"
    )
    assert run_python(script).stdout == enrich(client, JANE).text


def test_many_concurrent_requests_are_counted_right(sandbox: Sandbox, client: httpx.Client) -> None:
    """64 callers at once: everyone is answered, and every lead is charged exactly once."""
    with ThreadPoolExecutor(64) as pool:
        batches = [people(64 * 5)[start : start + 5] for start in range(0, 64 * 5, 5)]
        statuses = Counter(pool.map(lambda leads: enrich(client, *leads).status_code, batches))
    assert statuses == {200: 64}
    assert sandbox.charges()["count"].to_list() == [1] * 320
    assert sandbox.credits == 100_000 - 320


def test_connections_are_kept_alive(sandbox: Sandbox) -> None:
    """A second request goes over the connection of the first."""
    address = httpx.URL(sandbox.url)
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=5)) as connection:
        used = []
        for _ in range(2):
            connection.request("GET", "/api/v2/health")
            assert connection.getresponse().read()
            used.append(connection.sock)
    assert used[0] is used[1] is not None


def test_latency_makes_every_answer_late() -> None:
    """An answer comes no earlier than the latency, and is charged before it comes."""
    with Sandbox(latency=0.05) as sandbox:
        began = time.perf_counter()
        httpx.get(f"{sandbox.url}/health", headers={"x-api-key": sandbox.api_key})
        assert time.perf_counter() - began >= 0.05


def test_credits_can_be_set(sandbox: Sandbox, client: httpx.Client) -> None:
    """Credits that run out and are bought again in the middle of a test."""
    sandbox.credits = 1
    assert enrich(client, *people(2)).status_code == 402
    assert sandbox.credits == 1
    sandbox.credits = 2
    assert enrich(client, *people(2)).status_code == 200
    assert sandbox.credits == 0


def test_leads_of_the_account_are_read_and_changed(client: httpx.Client) -> None:
    """A lead that was changed is listed as changed."""
    changed = client.put("/leads/lead_0007", json={"status": "converted", "title": "Astronaut"}).json()[
        "data"
    ]
    assert (changed["id"], changed["status"]) == ("lead_0007", "converted")
    listed = client.get("/leads", params={"title": "astronaut"}).json()["data"]
    assert listed["leads"] == [changed]
    assert listed["pagination"]["total"] == 1


def test_malformed_account_requests_are_refused(client: httpx.Client) -> None:
    """A parameter or a change that makes no sense is a 400 that says what is wrong."""
    listed = client.get("/leads", params={"limit": 0})
    changed = client.put("/leads/lead_0007", json={"title": 5})
    assert (listed.status_code, changed.status_code) == (400, 400)
    assert "limit" in listed.json()["message"]
    assert "title" in changed.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "/enrich", "leads:enrich"),
        ("GET", "/leads", "leads:read"),
        ("PUT", "/leads/x", "leads:write"),
    ],
)
def test_every_address_needs_its_permission(method: str, path: str, needed: str) -> None:
    """Without its permission an address is closed, and the answer names what is needed and what there is."""
    others = [name for name in ("leads:enrich", "leads:read", "leads:write") if name != needed]
    with Sandbox(permissions=others) as sandbox:
        response = httpx.request(method, sandbox.url + path, headers={"x-api-key": sandbox.api_key}, json={})
    told = response.json()["permissionHelp"]
    assert (response.status_code, told["required"], told["available"]) == (403, needed, others)


# --- limits ----------------------------------------------------------------------------------------------


def test_rate_limit_refuses_and_opens_again() -> None:
    """The request after the last one is refused, told how long to wait, and let through after that."""
    clock = [120.0]
    with (
        Sandbox(now=lambda: clock[0], limits=RateLimits(minute=2)) as sandbox,
        httpx.Client(base_url=sandbox.url, headers={"x-api-key": sandbox.api_key}) as client,
    ):
        first, _, refused = (enrich(client, JANE) for _ in range(3))
        headers = {
            name: first.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset", "window")
        }
        assert headers == {"limit": "2", "remaining": "1", "reset": "180", "window": "minute"}
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "60"
        assert sandbox.credits_used == 2
        clock[0] += refused.json()["retryAfter"]
        assert enrich(client, JANE).status_code == 200


# --- faults ----------------------------------------------------------------------------------------------


def test_reset_before_any_charge(sandbox: Sandbox, client: httpx.Client) -> None:
    """The connection is reset, nothing was charged, and the next request goes through."""
    sandbox.inject(Fault("reset_before"))
    with pytest.raises(httpx.ReadError):
        enrich(client, JANE)
    assert sandbox.credits_used == 0
    assert enrich(client, JANE).status_code == 200


def test_reset_after_the_charge(sandbox: Sandbox, client: httpx.Client) -> None:
    """The connection is reset although the lead was charged: the caller cannot know."""
    sandbox.inject(Fault("reset_after"))
    with pytest.raises(httpx.ReadError):
        enrich(client, JANE)
    assert sandbox.credits_used == 1
    (entry,) = sandbox.request_log()
    assert (entry["status"], entry["fault"]) == (None, "reset_after")


def test_a_reset_is_a_reset(sandbox: Sandbox) -> None:
    """The peer gets RST, not an orderly end of the connection."""
    sandbox.inject(Fault("reset_before"))
    address = httpx.URL(sandbox.url)
    head = f"POST /api/v2/enrich HTTP/1.1\r\nHost: sandbox\r\nx-api-key: {sandbox.api_key}\r\n"
    with socket.create_connection((address.host, address.port), timeout=5) as connection:
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_truncated_body_is_a_protocol_error(sandbox: Sandbox, client: httpx.Client) -> None:
    """Half a body under the content length of the whole one."""
    sandbox.inject(Fault("truncate"))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        enrich(client, JANE)
    assert sandbox.credits_used == 1
    assert enrich(client, JANE).status_code == 200


@pytest.mark.parametrize(
    ("kind", "charged", "body"),
    [
        ("cut_json", 1, b'{"success":true,"data":'),
        ("empty", 1, b""),
        ("success_false", 0, b'{"success":false}'),
        ("not_json", 0, b"<!doctype html>"),
    ],
)
def test_a_good_status_with_a_bad_body(
    sandbox: Sandbox, client: httpx.Client, kind: str, charged: int, body: bytes
) -> None:
    """Each kind of useless 200 has its body and its charge."""
    sandbox.inject(Fault(kind))
    response = enrich(client, JANE)
    assert response.status_code == 200
    assert response.content.startswith(body)
    assert (response.content == body) == (kind in {"empty", "success_false"})
    assert sandbox.credits_used == charged


def test_cut_json_is_no_json(sandbox: Sandbox, client: httpx.Client) -> None:
    """The cut body is whole for HTTP and broken for JSON."""
    sandbox.inject(Fault("cut_json"))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        enrich(client, JANE).json()


def test_dropped_leads_are_charged_and_in_neither_list(sandbox: Sandbox, client: httpx.Client) -> None:
    """The dropped lead is missing from the answer, not from the bill."""
    leads = people(3)
    sandbox.inject(Fault("drop", lead=leads[1]["email"]))
    data = enrich(client, *leads).json()["data"]
    assert sorted(item["input"]["email"] for item in data["enriched"]) == [
        leads[0]["email"],
        leads[2]["email"],
    ]
    assert (data["failed"], data["creditsUsed"]) == ([], 3)


def test_extra_items_are_of_people_nobody_asked_for(sandbox: Sandbox, client: httpx.Client) -> None:
    """Strangers are in the answer, not on the bill, and unknown afterwards."""
    sandbox.inject(Fault("extra", count=2))
    data = enrich(client, JANE).json()["data"]
    assert len(data["enriched"]) == 3
    assert data["creditsUsed"] == 1
    assert sandbox.charges()["lead"].to_list() == ["email:jane.doe@acme.com"]


def test_latency_fault_charges_before_the_caller_gives_up(sandbox: Sandbox, client: httpx.Client) -> None:
    """A caller that times out has been charged, and the books say so at once."""
    sandbox.inject(Fault("latency", wait=30))
    with pytest.raises(httpx.ReadTimeout):
        client.post("/enrich", json={"leads": [JANE]}, timeout=0.1)
    assert sandbox.credits_used == 1


def test_faults_end_when_cleared(sandbox: Sandbox, client: httpx.Client) -> None:
    """A fault without an end lasts until the faults are cleared."""
    sandbox.inject(Fault("status", status=503, times=None))
    assert [enrich(client, JANE).status_code for _ in range(3)] == [503, 503, 503]
    sandbox.clear_faults()
    assert enrich(client, JANE).status_code == 200


# --- what another process sees ---------------------------------------------------------------------------


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client for the sandbox's own addresses, without a key."""
    with httpx.Client(base_url=sandbox.url.removesuffix("/api/v2") + "/sandbox") as client:
        yield client


def test_books_are_readable_from_outside(client: httpx.Client, control: httpx.Client) -> None:
    """Charges and requests are there as JSON, without a key."""
    enrich(client, JANE)
    assert control.get("/charges").json() == {
        "charges": [
            {
                "lead": "email:jane.doe@acme.com",
                "input": JANE,
                "count": 1,
                "blocks": [["personal", "company", "contact"]],
                "repeated": [],
                "credits": 1,
            }
        ],
        "credits_used": 1,
        "requests": 1,
    }
    blocks = ["personal", "company", "contact"]
    assert control.get("/requests").json() == [
        {"number": 1, "status": 200, "leads": 1, "blocks": blocks, "credits": 1, "fault": None}
    ]


def test_faults_are_switched_from_outside(client: httpx.Client, control: httpx.Client) -> None:
    """Faults are switched on one by one or as a list, and off all at once."""
    assert control.post("/faults", json={"kind": "status", "times": None}).status_code == 201
    assert control.post("/faults", json=[{"kind": "empty"}, {"kind": "drop"}]).json() == {"injected": 2}
    assert enrich(client, JANE).status_code == 500
    assert control.delete("/faults").status_code == 204
    assert enrich(client, JANE).status_code == 200


@pytest.mark.parametrize(
    "body", ["no json", "[1]", "{}", '{"kind": "earthquake"}', '{"kind": "empty", "wat": 1}']
)
def test_unknown_faults_are_refused(control: httpx.Client, body: str) -> None:
    """A fault the sandbox does not know is refused with a reason."""
    response = control.post("/faults", content=body)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/enrich", 405)])
def test_unknown_addresses_get_the_vendors_error(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    """What the vendor does not have is refused in the vendor's form."""
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]) == (status, True)
