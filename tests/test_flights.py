"""Requests on their way: answers are taken together, as long as nobody has to wait for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest

from buena_pipeline import BuenaClient, flights
from buena_pipeline.entries import Request
from buena_pipeline.flights import Flights
from buena_pipeline.interrupt import Stop
from buena_pipeline.plan import Batch
from buena_pipeline.schema import LEAD_FIELDS

PEOPLE = {"person_id": pl.String, **dict.fromkeys(LEAD_FIELDS, pl.String)}


class Vendor:
    """One that answers each request when it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Semaphore(0)

    def handle(self, _: httpx.Request) -> httpx.Response:
        """Answers as soon as it may."""
        assert self.may_answer.acquire(timeout=30)
        return httpx.Response(200, json={"data": {"enriched": [], "creditsUsed": 0}})


@pytest.fixture
def vendor() -> Vendor:
    """A vendor that answers nobody yet."""
    return Vendor()


@pytest.fixture
def client(vendor: Vendor) -> Iterator[BuenaClient]:
    """A client with one connection to that vendor."""
    transport = httpx.MockTransport(vendor.handle)
    with BuenaClient("key", "http://vendor.example", transport, concurrency=1) as ready:
        yield ready
        vendor.may_answer.release(4)


@pytest.fixture
def flying(client: BuenaClient, monkeypatch: pytest.MonkeyPatch) -> Flights:
    """Four requests over one connection, which take their answers together within half a minute."""
    monkeypatch.setattr(flights, "_GROUP", 30.0)
    on_their_way = Flights(client, Stop(), lease=timedelta(hours=1))
    for number in range(4):
        lead = pl.DataFrame([{"person_id": "p", "email": f"p{number}@acme.example"}], schema=PEOPLE)
        row = {"request_id": str(number), "happened_at": datetime.now(UTC), "credits_reserved": 1.0}
        on_their_way.send(Request(Batch(("company",), lead), row))
    return on_their_way


def test_requests_of_a_client_that_is_closed_land_without_a_verdict(
    flying: Flights, vendor: Vendor, client: BuenaClient
) -> None:
    """Nobody waits for them for ever."""
    vendor.may_answer.release()
    client.close()
    landed = []
    while flying:
        flying.wait(lambda: 0.0)
        landed += [verdict for _, verdict in flying.landed()]
    assert len(landed) == 4
    assert None in landed


def test_requests_that_a_thread_took_while_the_client_was_closing_land_likewise(
    flying: Flights, vendor: Vendor, client: BuenaClient
) -> None:
    """Between the word and the cancelling: they were not sent, and are not taken for an outage."""
    client._closing.set()
    vendor.may_answer.release()
    landed = []
    while flying:
        flying.wait(lambda: 0.0)
        landed += [verdict for _, verdict in flying.landed()]
    assert [verdict is None for verdict in landed] == [False, True, True, True]


@pytest.mark.parametrize(("spare", "landed"), [(0, 3), (1, 2), (2, 1), (3, 1)])
def test_answers_wait_for_others_while_enough_requests_are_ahead(
    spare: int, landed: int, flying: Flights, vendor: Vendor
) -> None:
    """One request is under way; the next turn begins when no more than the spare ones are left behind it."""
    vendor.may_answer.release()
    if landed > 1:
        threading.Timer(0.05, vendor.may_answer.release, [landed - 1]).start()
    began = time.monotonic()
    flying.wait(lambda: 0.0, spare=spare)
    assert time.monotonic() - began < 20
    assert len(list(flying.landed())) == landed
    assert len(flying) == 4 - landed
