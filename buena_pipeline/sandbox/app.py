"""The vendor's addresses: turns HTTP into calls of ``Vendor`` and its replies into HTTP, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from buena_pipeline.errors import SettingsError
from buena_pipeline.sandbox.faults import Fault
from buena_pipeline.sandbox.intake import parse_json
from buena_pipeline.sandbox.replies import Reply
from buena_pipeline.sandbox.vendor import Vendor

BASE_PATH = "/api/v2"

HangUp = Callable[[Scope, bool], None]
"""Ends the connection that a request came on; True resets it, False sends first what is on its way."""


class WireResponse(Response):
    """A reply on the wire: late, cut short, or a reset in its place.

    Args:
        reply: what to send.
        latency: seconds by which every answer is late.
        hang_up: how to end the connection.
    """

    def __init__(self, reply: Reply, *, latency: float, hang_up: HangUp) -> None:
        status = reply.status or 200
        super().__init__(reply.body, status, dict(reply.headers), reply.media_type)
        self._delay = latency + reply.delay
        self._ending = reply.ending
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply in its way."""
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._ending == "whole":
            await super().__call__(scope, receive, send)
            return
        if self._ending == "truncated":
            # The content length is that of the whole body, so the caller can tell that half is missing.
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            half = bytes(self.body[: len(self.body) // 2])
            await send({"type": "http.response.body", "body": half, "more_body": True})
        self._hang_up(scope, self._ending == "reset")
        while (await receive())["type"] != "http.disconnect":
            pass


def build_app(vendor: Vendor, *, latency: float, hang_up: HangUp) -> Starlette:
    """The web application of a sandbox.

    Args:
        vendor: who answers.
        latency: seconds by which every answer of the vendor is late.
        hang_up: how to end the connection a request came on.
    """

    def wire(reply: Reply) -> Response:
        return WireResponse(reply, latency=latency, hang_up=hang_up)

    def key_of(request: Request) -> str | None:
        return request.headers.get("x-api-key")

    async def enrich(request: Request) -> Response:
        return wire(vendor.enrich(key_of(request), await request.body()))

    async def health(request: Request) -> Response:
        return wire(vendor.health(key_of(request)))

    async def list_leads(request: Request) -> Response:
        return wire(vendor.list_leads(key_of(request), request.query_params))

    async def update_lead(request: Request) -> Response:
        lead_id = request.path_params["lead_id"]
        return wire(vendor.update_lead(key_of(request), lead_id, await request.body()))

    async def unknown(_: Request, error: Exception) -> Response:
        return wire(vendor.no_such_address(error.status_code if isinstance(error, HTTPException) else 404))

    app = Starlette(
        routes=[
            Route(f"{BASE_PATH}/enrich", enrich, methods=["POST"]),
            Route(f"{BASE_PATH}/health", health),
            Route(f"{BASE_PATH}/leads", list_leads),
            Route(f"{BASE_PATH}/leads/{{lead_id}}", update_lead, methods=["PUT"]),
            *_control_routes(vendor),
        ],
        exception_handlers={HTTPException: unknown},
    )
    app.router.redirect_slashes = False
    return app


def _control_routes(vendor: Vendor) -> list[Route]:
    """What is the sandbox's own: the books, and the switch of the faults. Needs no key."""

    async def charges(_: Request) -> Response:
        used, count = vendor.credits_used, vendor.request_count
        return JSONResponse({"charges": vendor.charges(), "credits_used": used, "requests": count})

    async def requests(_: Request) -> Response:
        return JSONResponse(vendor.request_log())

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            vendor.clear_faults()
            return Response(status_code=204)
        try:
            sent: Any = parse_json(await request.body())
            injected = [Fault.from_json(values) for values in (sent if isinstance(sent, list) else [sent])]
        except (SettingsError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        for fault in injected:
            vendor.inject(fault)
        return JSONResponse({"injected": len(injected)}, 201)

    return [
        Route("/sandbox/charges", charges),
        Route("/sandbox/requests", requests),
        Route("/sandbox/faults", faults, methods=["POST", "DELETE"]),
    ]
