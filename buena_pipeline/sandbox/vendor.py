"""The vendor behind the sandbox: key and bytes go in, a reply comes out. Keeps the books, speaks no HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from buena_pipeline.sandbox import replies
from buena_pipeline.sandbox.account import Account
from buena_pipeline.sandbox.dice import Dice
from buena_pipeline.sandbox.directory import Directory, answer
from buena_pipeline.sandbox.faults import KINDS_AFTER, KINDS_BEFORE, Fault, Faults
from buena_pipeline.sandbox.intake import EnrichRequest, parse_enrich, parse_json
from buena_pipeline.sandbox.ledger import Ledger, RequestEntry
from buena_pipeline.sandbox.limits import Quota, RateLimiter
from buena_pipeline.sandbox.replies import Reply
from buena_pipeline.settings import RateLimits

ENRICH: Final = "leads:enrich"
READ: Final = "leads:read"
WRITE: Final = "leads:write"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an account of the vendor has.

    Args:
        api_key: the only key there is.
        permissions: what it may do; ``*`` for everything.
        credits_per_lead: what each lead in ``enriched`` costs; a lead in ``failed`` costs nothing.
        limits: requests the key may send in which time.
        seed: another seed, other people, results in another order.
        enrichments_per_hour: leads it may have enriched in an hour; None for no limit.
    """

    api_key: str
    permissions: tuple[str, ...]
    credits_per_lead: float
    limits: RateLimits
    seed: int
    enrichments_per_hour: int | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A reply, with what the request log says about it."""

    reply: Reply
    credits: float = 0
    fault: Fault | None = None


class Vendor:
    """Answers requests, charges for them and remembers both.

    Safe to use from several threads. ``latency`` faults and delays do not wait here: a reply says how late
    it is to be sent, so the books are right before the caller hears of it.

    Args:
        plan: what the account has.
        credits: the credits it has left.
        directory: who is known.
        now: the clock: a function that returns Unix time in seconds.
    """

    def __init__(self, plan: Plan, *, credits: float, directory: Directory, now: Callable[[], float]) -> None:  # noqa: A002
        self.credits = credits
        self._plan = plan
        self._directory = directory
        self._now = now
        self._faults = Faults()
        self._ledger = Ledger()
        self._limiter = RateLimiter(plan.limits, enrichments_per_hour=plan.enrichments_per_hour)
        self._lock = threading.RLock()

    def enrich(self, key: str | None, body: bytes) -> Reply:
        """Answer ``POST /enrich``.

        Args:
            key: the ``x-api-key`` header.
            body: the bytes of the request.
        """
        with self._lock:
            now = self._now()
            parsed = parse_enrich(body, now=now)
            request = parsed if isinstance(parsed, EnrichRequest) else EnrichRequest([], ())
            outcome = self._enrich(key, parsed, now)
            late = self._faults.take(("latency",), request.leads)
            self._ledger.note(
                RequestEntry(
                    number=self._ledger.request_count + 1,
                    status=None if outcome.reply.ending == "reset" else outcome.reply.status,
                    leads=len(request.leads),
                    blocks=request.blocks,
                    credits=outcome.credits,
                    fault=next((fault.kind for fault in (outcome.fault, late) if fault), None),
                )
            )
            return replace(outcome.reply, delay=late.wait if late else 0.0)

    def health(self, key: str | None) -> Reply:
        """Answer ``GET /health``, which no rate limit counts."""
        with self._lock:
            now = self._now()
            if key != self._plan.api_key:
                return replies.unauthorized(now=now)
            permissions = list(self._plan.permissions)
            return replies.json_reply(
                {
                    "version": replies.VERSION,
                    "status": "healthy",
                    "authentication": "api_key",
                    "user": {"id": "user_sandbox", "email": "sandbox@buena.example", "role": "user"},
                    "apiKey": {
                        "name": "Sandbox",
                        "permissions": permissions,
                        "usageCount": self._ledger.request_count,
                    },
                    "timestamp": replies.iso(int(now)),
                }
            )

    def list_leads(self, key: str | None, query: Mapping[str, str]) -> Reply:
        """Answer ``GET /leads``."""
        with self._lock:
            now = self._now()
            if refusal := self._barred(key, READ, now) or self._over_limit(now):
                return refusal
            quota = self._limiter.count(now=now)
            try:
                return replies.json_reply({"success": True, "data": self._account.page(query)}, quota=quota)
            except ValueError as error:
                return replies.invalid(str(error), now=now)

    def update_lead(self, key: str | None, lead_id: str, body: bytes) -> Reply:
        """Answer ``PUT /leads/{leadId}``."""
        with self._lock:
            now = self._now()
            if refusal := self._barred(key, WRITE, now) or self._over_limit(now):
                return refusal
            quota = self._limiter.count(now=now)
            try:
                lead = self._account.update(lead_id, parse_json(body), now=now)
            except ValueError as error:
                return replies.invalid(f"Invalid lead: {error}", now=now)
            if lead is None:
                return replies.not_found("Lead not found", now=now)
            return replies.json_reply({"success": True, "data": lead}, quota=quota)

    def no_such_address(self, status: int) -> Reply:
        """Answer a request for something the vendor does not have."""
        if status == 405:
            return replies.error_reply(405, "METHOD_NOT_ALLOWED", "Method not allowed", now=self._now())
        return replies.not_found("Not found", now=self._now())

    def inject(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._faults.inject(fault)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def charges(self) -> list[dict[str, Any]]:
        """See ``Ledger.charges``."""
        with self._lock:
            return self._ledger.charges()

    def request_log(self) -> list[dict[str, Any]]:
        """See ``Ledger.requests``."""
        with self._lock:
            return self._ledger.requests()

    @property
    def credits_used(self) -> float:
        """All credits charged."""
        with self._lock:
            return self._ledger.credits_used

    @property
    def request_count(self) -> int:
        """How many requests came to ``POST /enrich``."""
        with self._lock:
            return self._ledger.request_count

    @cached_property
    def _account(self) -> Account:
        """The account's leads, invented when they are first asked for."""
        return Account(seed=self._plan.seed)

    def _enrich(self, key: str | None, parsed: EnrichRequest | Reply, now: float) -> _Outcome:
        """Key, faults, limits, request, credits - in this order - and then the work."""
        if refusal := self._barred(key, ENRICH, now):
            return _Outcome(refusal)
        leads = [] if isinstance(parsed, Reply) else parsed.leads
        required = self._plan.credits_per_lead * len(leads)
        if fault := self._faults.take(KINDS_BEFORE, leads):
            return _Outcome(replies.instead_of_work(fault, leads, required, now=now), fault=fault)
        if refusal := self._over_limit(now):
            return _Outcome(refusal)
        quota = self._limiter.count(now=now)
        if isinstance(parsed, Reply):
            return _Outcome(parsed)
        if refusal := self._unpayable(required, now):
            return _Outcome(refusal)
        return self._work(parsed, quota, now)

    def _unpayable(self, required: float, now: float) -> Reply | None:
        """429 if the hour's enrichments are used up, 402 if the credits do not suffice, else None."""
        if used_up := self._limiter.enrichments_exceeded(now=now):
            return replies.too_many_enrichments(used_up, now=now)
        if required > self.credits:
            return replies.no_credits(self.credits, required, now=now)
        return None

    def _work(self, request: EnrichRequest, quota: Quota | None, now: float) -> _Outcome:
        """Find the people, charge for those found, and list the results in an order of their own."""
        fault = self._faults.take(KINDS_AFTER, request.leads)
        items = []
        used: float = 0
        for lead in request.leads:
            person = self._directory.find(lead)
            items.append(answer(person, lead, request.blocks))
            if person.profile is not None:
                self._ledger.charge(person.identity, lead, request.blocks, self._plan.credits_per_lead)
                used += self._plan.credits_per_lead
        self.credits -= used
        self._limiter.count_enrichments(len(items), now=now)
        items = self._after_fault(items, fault, request)
        body = {
            "success": True,
            "data": {
                "enriched": self._shuffled([item for item in items if "enrichedData" in item]),
                "failed": self._shuffled([item for item in items if "enrichedData" not in item]),
                "creditsUsed": used,
                "remainingCredits": self.credits,
            },
        }
        return _Outcome(replies.damaged(replies.json_reply(body, quota=quota), fault), used, fault)

    def _after_fault(
        self, items: list[dict[str, Any]], fault: Fault | None, request: EnrichRequest
    ) -> list[dict[str, Any]]:
        """The items with some dropped, or some added that nobody asked for."""
        if fault and fault.kind == "drop":
            at = fault.position(request.leads)
            dropped = range(fault.count) if at is None else [at]
            return [item for index, item in enumerate(items) if index not in dropped]
        if fault and fault.kind == "extra":
            strangers = [{"email": f"stranger{number}@nobody-asked.example"} for number in range(fault.count)]
            anybody = Directory(not_found=0.0, seed=self._plan.seed)
            return items + [answer(anybody.find(lead), lead, request.blocks) for lead in strangers]
        return items

    def _shuffled(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items in an order that is never the request's, because the vendor promises none."""
        return Dice(self._plan.seed, "order", self._ledger.request_count).shuffled(items)

    def _barred(self, key: str | None, permission: str, now: float) -> Reply | None:
        """401 or 403, or None if the key may do this."""
        if key != self._plan.api_key:
            return replies.unauthorized(now=now)
        if permission in self._plan.permissions or "*" in self._plan.permissions:
            return None
        return replies.forbidden(permission, self._plan.permissions, now=now)

    def _over_limit(self, now: float) -> Reply | None:
        """429, or None if a request may pass."""
        quota = self._limiter.exceeded(now=now)
        return replies.too_many_requests(quota, now=now) if quota else None
