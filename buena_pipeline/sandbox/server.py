"""``Sandbox``: what a user starts, asks and stops. The server itself runs in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final

import polars as pl

from buena_pipeline.errors import MissingExtraError, SettingsError
from buena_pipeline.sandbox.dice import digest
from buena_pipeline.sandbox.directory import Directory
from buena_pipeline.sandbox.faults import Fault
from buena_pipeline.sandbox.vendor import Plan, Vendor
from buena_pipeline.settings import RateLimits

try:
    from buena_pipeline.sandbox.app import BASE_PATH
    from buena_pipeline.sandbox.loopback import HOST, LoopbackServer, listen
except ImportError as error:
    raise MissingExtraError.for_extra("The sandbox", "sandbox") from error

_START_SECONDS: Final = 10.0

CHARGES: Final = pl.Schema(
    {
        "lead": pl.String(),
        "count": pl.Int64(),
        "blocks": pl.List(pl.List(pl.String)),
        "repeated": pl.List(pl.String),
        "credits": pl.Float64(),
    }
)
"""The columns of ``Sandbox.charges()``."""


class Sandbox:
    """A local server that speaks the vendor's contract, and counts what it charges.

    It keeps the books as the vendor would: every lead in ``enriched`` costs ``credits_per_lead``, a lead in
    ``failed`` costs nothing. The people are invented, and follow from the seed and the e-mail address, the
    LinkedIn profile or the name and company; whom it answered once, it knows under every identifier of the
    answer. Results never come in the order of the request.

    Args:
        port: where to listen on 127.0.0.1; 0 for any free port.
        api_key: the key it takes; by default one that follows from the seed.
        permissions: what the key may do; ``*`` for everything.
        credits: how many credits there are.
        credits_per_lead: what a lead that was found costs.
        limits: requests the key may send in which time, or None for no limit.
        enrichments_per_hour: leads the key may have enriched in an hour, as some plans have it, beside those
            limits.
        not_found: share of people nobody is found for, from 0 to 1.
        seed: another seed, other people.
        latency: seconds by which every answer is late. It is charged at once.
        now: the clock of limits and timestamps: a function that returns Unix time in seconds.
        people: fixed people by e-mail address or LinkedIn slug: an ``enrichedData``, or a whole item with
            ``enrichedData``, ``confidence`` and ``sources``; None for somebody who is not found.
        quirks: whether some answers break the published schema, as real ones do: a number for ``founded``
            or ``experience``.

    Raises:
        SettingsError: if an argument cannot be used.
        MissingExtraError: on import, if Starlette or uvicorn is not installed.

    Example:
        >>> import httpx
        >>> with Sandbox(not_found=0.0) as sandbox:
        ...     answer = httpx.post(
        ...         f"{sandbox.url}/enrich",
        ...         headers={"x-api-key": sandbox.api_key},
        ...         json={"leads": [{"email": "jane.doe@acme.com"}]},
        ...     )
        >>> answer.json()["data"]["enriched"][0]["enrichedData"]["firstName"]
        'Jane'
        >>> sandbox.charges().select("lead", "count").rows()
        [('email:jane.doe@acme.com', 1)]
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str | None = None,
        permissions: Iterable[str] = ("leads:read", "leads:write", "leads:enrich"),
        credits: float = 100_000,  # noqa: A002
        credits_per_lead: float = 1,
        limits: RateLimits | None = RateLimits(),  # noqa: B008 - a frozen value
        enrichments_per_hour: int | None = None,
        not_found: float = 0.08,
        seed: int = 0,
        latency: float = 0.0,
        now: Callable[[], float] = time.time,
        people: Mapping[str, Mapping[str, Any] | None] | None = None,
        quirks: bool = True,
    ) -> None:
        if not 0 <= not_found <= 1:
            raise SettingsError("Sandbox(not_found=...) takes a share from 0 to 1.")
        for name, value in (
            ("credits", credits),
            ("credits_per_lead", credits_per_lead),
            ("latency", latency),
        ):
            if value < 0:
                raise SettingsError(f"Sandbox({name}=...) cannot be negative.")
        per_hour: object = enrichments_per_hour
        if per_hour is not None and (
            isinstance(per_hour, bool) or not isinstance(per_hour, int) or per_hour < 1
        ):
            raise SettingsError("Sandbox(enrichments_per_hour=...) takes a whole number from 1 on, or None.")
        if not isinstance(limits, RateLimits | None):
            raise SettingsError(
                "Sandbox(limits=...) takes RateLimits, such as RateLimits(minute=60), or None for no limits."
            )
        self._port = port
        self._latency = latency
        self._api_key = api_key or f"bna_{digest(seed, 'api key', size=32)}"
        no_limits = RateLimits(minute=None, hour=None, day=None)
        plan = Plan(
            self._api_key,
            tuple(permissions),
            credits_per_lead,
            limits or no_limits,
            seed,
            enrichments_per_hour=enrichments_per_hour,
        )
        directory = Directory(not_found=not_found, seed=seed, quirks=quirks, people=people)
        self._vendor = Vendor(plan, credits=credits, directory=directory, now=now)
        self._server: LoopbackServer | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self.url}" if self._server else "stopped"
        return f"<Sandbox {state}>"

    @property
    def url(self) -> str:
        """The base URL; it stays the same when the sandbox is stopped and started again."""
        if not self._port:
            raise SettingsError("The sandbox has no URL before it is started: use it in a with statement.")
        return f"http://{HOST}:{self._port}{BASE_PATH}"

    @property
    def api_key(self) -> str:
        """The key it takes."""
        return self._api_key

    @property
    def requests(self) -> int:
        """How many requests came to ``POST /enrich``, refused ones included."""
        return self._vendor.request_count

    @property
    def credits(self) -> float:
        """The credits that are left; can be set."""
        return self._vendor.credits

    @credits.setter  # noqa: A003 - the property above, not the builtin
    def credits(self, left: float) -> None:
        self._vendor.credits = left

    @property
    def credits_used(self) -> float:
        """All credits charged so far."""
        return self._vendor.credits_used

    def charges(self) -> pl.DataFrame:
        """What each person was charged.

        Returns:
            One row per person charged, in the order of the first charge: ``lead`` (the canonical identity),
            ``count`` (how often), ``blocks`` (of each time), ``repeated`` (the blocks charged more than once:
            empty unless somebody paid twice) and ``credits``.
        """
        charged = self._vendor.charges()
        return pl.DataFrame({name: [charge[name] for charge in charged] for name in CHARGES}, schema=CHARGES)

    def request_log(self) -> list[dict[str, Any]]:
        """Every ``POST /enrich``: number, status (None for a reset), leads, blocks, credits, fault."""
        return self._vendor.request_log()

    def inject(self, fault: Fault) -> None:
        """Switch a fault on, behind those that are on already."""
        self._vendor.inject(fault)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._vendor.clear_faults()

    def start(self) -> Sandbox:
        """Listen; returns when requests are answered. Books and people of an earlier run are kept.

        Raises:
            SettingsError: if it runs already, or the port is taken.
        """
        if self._server is not None:
            raise SettingsError("The sandbox is running already.")
        listener = listen(self._port)
        self._port = listener.getsockname()[1]
        server = LoopbackServer(self._vendor, self._latency)
        self._thread = threading.Thread(
            target=server.run_in_thread, args=(listener,), name="sandbox", daemon=True
        )
        self._thread.start()
        if not server.ready.wait(_START_SECONDS) or not server.started:
            listener.close()
            raise SettingsError("The sandbox did not start: its server thread ended early.")
        self._server = server
        return self

    def stop(self) -> None:
        """Stop listening and cut every connection; does nothing if it is not running."""
        with self._lock:  # two threads may want to stop it, such as one that serves for ever and its owner
            server, thread = self._server, self._thread
            self._server = self._thread = None
        if server is not None and thread is not None:
            server.stop()
            thread.join()

    def serve_forever(self) -> None:
        """Start unless it is running, block until Ctrl+C or ``stop()`` from another thread, then stop."""
        if self._server is None:
            self.start()
        thread = self._thread
        try:
            while thread is not None and thread.is_alive():
                thread.join(0.5)  # an endless join would not let Ctrl+C through on Windows
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()
