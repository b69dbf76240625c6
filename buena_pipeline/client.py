"""The vendor's API over HTTP: one request in, one verdict out, with retries. The only module that sends.

What an answer means is decided in ``wire``, when to try again in ``backoff``; here is only the doing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from hashlib import blake2b
from threading import TIMEOUT_MAX, BoundedSemaphore, Event
from types import TracebackType
from typing import Any, Final, Protocol

import httpx

from buena_pipeline.backoff import Patience
from buena_pipeline.errors import AuthenticationError, SettingsError, UnreachableError, VendorError
from buena_pipeline.lenient_json import as_object, as_text, decode, load
from buena_pipeline.settings import EnrichmentOptions, RateLimits, resolve_api_key, resolve_base_url
from buena_pipeline.unreached import why
from buena_pipeline.wire import (
    Answer,
    Halt,
    Lead,
    RateLimited,
    ServerFault,
    Unknown,
    Unreachable,
    Verdict,
    encode_request,
    interpret,
)

# A request that fails in one of these ways has not left: it can be sent again.
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    UnicodeError,  # a host name that has no IDNA form
)
_WORTH_ANOTHER_TRY: Final = (ServerFault, Unreachable, RateLimited)
_Passing = ServerFault | Unreachable | RateLimited
CALLED_OFF: Final = Unreachable("called off before it was sent")
"""What becomes of a request whose thread finds nobody who wants it any more."""

_CLOSED: Final = "This BuenaClient is closed; make a new one."
_NOTHING_CAME: Final = (httpx.HTTPError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Health:
    """What ``GET /health`` says: the API's state and version, and what the key may do."""

    status: str
    version: str
    permissions: tuple[str, ...]

    @property
    def may_enrich(self) -> bool:
        """Whether the key has the permission that enrichment needs."""
        return bool({"leads:enrich", "*"} & set(self.permissions))


class Flag(Protocol):
    """Something that can be set once, such as ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether it was set."""


class _TryAgain(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(type(verdict).__name__)
        self.verdict = verdict


class BuenaClient:
    """The vendor's API, over one pool of kept-alive connections and a bounded pool of threads.

    Synchronous, so that it works inside Jupyter's running event loop. Thread-safe. Close it, or use it as
    a context manager.

    Args:
        api_key: default ``BUENA_API_KEY``; never shown in a repr, a log or an error.
        base_url: default ``BUENA_BASE_URL``, else the vendor's production API.
        transport: an ``httpx`` transport to send through, such as a proxy of your own.
        concurrency: requests in flight at most.
        timeout: seconds to wait for the next part of an answer; after it the outcome is unknown.
        attempts: failures in a row (5xx, no connection) after which a request is given up.
        backoff: seconds to wait after the first failure; doubles with each, with jitter, up to 10.
        limits: requests the account may make a minute, an hour and a day, as far as the vendor's headers do
            not say otherwise; None for no limits, such as in a sandbox. Kept by the runs that use the
            client, over all processes that share their store.

    Raises:
        SettingsError: if there is no API key, or a setting is malformed.

    Example:
        >>> BuenaClient(api_key="bna_secret", base_url="https://staging-api.buena.ai/api/v2")
        BuenaClient(base_url='https://staging-api.buena.ai/api/v2', concurrency=8)

    Rests on ``POST /enrich`` and ``GET /health``; the key goes into the header ``x-api-key``.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        *,
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 3,
        backoff: float = 0.5,
        limits: RateLimits | None = RateLimits(),  # noqa: B008 - a frozen value
    ) -> None:
        _require_settings(concurrency, attempts, timeout, backoff)
        if not isinstance(limits, RateLimits | None):
            raise SettingsError(
                "limits takes RateLimits, such as RateLimits(minute=60), or None for no limits; "
                f"not {type(limits).__name__}."
            )
        if transport is not None and not hasattr(transport, "handle_request"):
            raise SettingsError(
                "transport takes one of httpx, such as httpx.HTTPTransport(proxy=...); "
                f"not {type(transport).__name__}."
            )
        self.base_url = resolve_base_url(base_url)
        self.concurrency = concurrency
        self.limits = limits
        key = resolve_api_key(api_key)
        self.account = account_name(self.base_url, key)
        # each part of an answer may take the whole timeout, so twice that much is allowed for all of it
        self.longest = attempts * (2 * timeout + 10.0) + 30.0
        self._attempts = attempts
        self._closing = Event()
        self._patient = True
        self._backoff = backoff
        self._line = partial(
            httpx.Client,
            base_url=self.base_url,
            headers={"x-api-key": key, "accept": "application/json"},
            transport=transport,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            verify=httpx.create_ssl_context(),
            limits=httpx.Limits(max_keepalive_connections=1),  # a transport of the user's own has its limits
        )
        self._http = self._line()
        # a pool looks at all its connections twice a request: where it is ours to say, each is on its own
        self._lines = [self._http] if transport is None else [self._http] * concurrency
        self._idle = deque(self._lines)
        # callers wait here: where they wait inside of httpcore, it now and then breaks a connection in use
        self._connections = BoundedSemaphore(concurrency)
        self._timeout = min(timeout, TIMEOUT_MAX)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="buena")

    def __repr__(self) -> str:
        return f"BuenaClient(base_url={self.base_url!r}, concurrency={self.concurrency})"

    def __enter__(self) -> BuenaClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the requests in flight, then closes the connections."""
        self._closing.set()
        self._threads.shutdown(wait=self._patient, cancel_futures=True)
        for line in self._lines:
            line.close()

    def lose_patience(self) -> None:
        """From now on ``close`` waits for nobody: threads end by themselves, with their answers."""
        self._patient = False

    def submit(
        self,
        leads: Sequence[Lead],
        options: EnrichmentOptions,
        *,
        max_wait: float = 300.0,
        called_off: Flag | None = None,
        leaves: Callable[[], object] | None = None,
    ) -> Future[Verdict]:
        """Like ``enrich``, on a thread of the client's own; returns at once."""
        self._require_open()
        try:
            return self._threads.submit(
                self.enrich, leads, options, max_wait=max_wait, called_off=called_off, leaves=leaves
            )
        except RuntimeError:  # closed by another thread just now
            raise SettingsError(_CLOSED) from None

    def enrich(
        self,
        leads: Sequence[Lead],
        options: EnrichmentOptions,
        *,
        max_wait: float = 300.0,
        called_off: Flag | None = None,
        leaves: Callable[[], object] | None = None,
    ) -> Verdict:
        """Sends one request, again where that is harmless, and says what came of it.

        Server faults and refused connections are tried again with growing waits, rate limits after the
        wait they ask for. A request whose answer got lost is never sent again.

        Args:
            leads: 1 to 50 leads in our names (``schema.LEAD_FIELDS``).
            options: the blocks to ask for.
            max_wait: seconds of rate-limit waits to bear, added up.
            called_off: once set, nothing is sent any more, neither for the first time nor again.
            leaves: called just before the request is sent for the first time; if it raises, nothing is.

        Returns:
            One of the verdicts of ``wire``. What the network does is a verdict, never an exception.

        Raises:
            ValueError: for no leads or more than 50.
            SettingsError: if the client is closed.
        """
        self._require_open()
        body = encode_request(leads, options)
        if self._is_off(called_off):
            return CALLED_OFF
        if leaves is not None:
            leaves()
        verdict = self._send(body)
        if not isinstance(verdict, _WORTH_ANOTHER_TRY):
            return verdict
        return self._try_again(body, verdict, max_wait=max_wait, called_off=called_off)

    def health(self) -> Health:
        """Whether the API is up, the key is known, and what it may do.

        Raises:
            UnreachableError: if nobody answers.
            AuthenticationError: if the key is not known.
            VendorError: if the answer is none of the vendor's.

        Rests on ``GET /health``; costs nothing.
        """
        self._require_open()
        try:
            response = self._http.get("health")
        except _NOTHING_CAME as error:
            raise UnreachableError(
                f"Nobody answers at {self.base_url}: {why(error)}. "
                "Check BUENA_BASE_URL, your network and your proxy. Nothing was sent."
            ) from None
        if response.status_code == 401:
            raise AuthenticationError(
                f"The API at {self.base_url} does not know the key (401): check BUENA_API_KEY; "
                "keys expire and can be deactivated in the vendor's settings."
            )
        answer = as_object(load(decode(response.content)))
        status = as_text(answer.get("status"))
        if not response.is_success or status is None:
            raise VendorError(
                f"{self.base_url}/health answered {response.status_code} with something that is not the "
                "vendor's health report: is the base URL right (BUENA_BASE_URL)?"
            )
        permissions = as_object(answer.get("apiKey")).get("permissions")
        return Health(
            status=status,
            version=as_text(answer.get("version")) or "unknown",
            permissions=tuple(str(name) for name in permissions) if isinstance(permissions, list) else (),
        )

    def _require_open(self) -> None:
        if self._http.is_closed:
            raise SettingsError(_CLOSED)

    def _is_off(self, called_off: Flag | None) -> bool:
        return self._closing.is_set() or (called_off is not None and called_off.is_set())

    def _try_again(
        self, body: bytes, failed: _Passing, *, max_wait: float, called_off: Flag | None
    ) -> Verdict:
        """Sends again what has failed, as long as there is patience for that."""
        import tenacity

        patience = Patience(self._attempts, max_wait)
        growing = tenacity.wait_exponential(self._backoff, max=10.0) + tenacity.wait_random(0, self._backoff)
        borne: bool | float = False

        def bears(error: BaseException) -> bool:
            nonlocal borne
            wanted = called_off is None or not called_off.is_set()
            borne = wanted and isinstance(error, _TryAgain) and patience.bears(error.verdict)
            return borne is not False

        try:
            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception(bears),
                wait=lambda state: growing(state) if borne is True else borne,
                reraise=True,
            ):
                with attempt:
                    first = attempt.retry_state.attempt_number == 1
                    # whoever waited for a rate limit may find nobody left to read the answer
                    if not first and self._is_off(called_off):
                        return CALLED_OFF
                    return _or_again(failed if first else self._send(body))
        except _TryAgain as last:
            return last.verdict
        raise AssertionError  # pragma: no cover - the loop returns or raises

    @cached_property
    def _prepared(self) -> tuple[httpx.URL, list[tuple[bytes, bytes]], dict[str, Any]]:
        """What all requests for enrichment have in common: URL, headers and timeouts."""
        first = self._http.build_request("POST", "enrich", headers={"content-type": "application/json"})
        headers = [(name, value) for name, value in first.headers.raw if name.lower() != b"content-length"]
        return first.url, headers, dict(first.extensions)

    def _idle_line(self) -> httpx.Client:
        """The connection that was used last, which is least likely to have been closed meanwhile."""
        try:
            return self._idle.pop()
        except IndexError:
            self._lines.append(line := self._line())
            return line

    def _request(self, body: bytes, line: httpx.Client) -> httpx.Request:
        """What ``httpx.Client.post`` would send; what is the same every time is worked out once."""
        url, headers, extensions = self._prepared
        return httpx.Request(
            "POST",
            url,
            headers=headers,
            content=body,
            cookies=line.cookies,  # answers may have set some
            extensions=extensions,
        )

    def _send(self, body: bytes) -> Verdict:  # noqa: PLR0911 - one return a way to fail
        """Sends once; whatever the network does becomes a verdict."""
        if not self._connections.acquire(timeout=self._timeout):
            return Unreachable(f"no connection to {self.base_url} (all are in use)")
        line = self._idle_line()
        began = time.monotonic()
        try:
            response = line.send(self._request(body, line))
        except _NOT_SENT as error:
            return Unreachable(f"no connection to {self.base_url}: {why(error)}")
        except httpx.TimeoutException:
            return Unknown("the vendor's answer did not come in time")
        except httpx.DecodingError:
            return Unknown("the vendor's answer could not be unpacked")
        except httpx.TransportError as error:
            return Unknown(f"the connection broke before the answer was complete ({type(error).__name__})")
        except OSError as error:  # a transport of the user's own
            return Unknown(f"the transport broke off ({type(error).__name__})")
        except httpx.HTTPError as error:
            return Halt(
                VendorError(f"The request could not be made ({type(error).__name__}); nothing was charged.")
            )
        finally:
            self._idle.append(line)
            self._connections.release()
        took = time.monotonic() - began
        verdict = interpret(response.status_code, response.headers, response.content, now=datetime.now(UTC))
        return replace(verdict, seconds=took) if isinstance(verdict, Answer) else verdict


def _require_settings(concurrency: object, attempts: object, timeout: object, backoff: object) -> None:
    """Refuses numbers that make no sense, before a request meets them."""
    for name, value in (("concurrency", concurrency), ("attempts", attempts)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingsError(f"{name} of BuenaClient takes a whole number from 1 on, not {value!r:.40}.")
    for name, value, above in (("timeout", timeout, "above 0"), ("backoff", backoff, "from 0 on")):
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        if not usable or not (value > 0 if name == "timeout" else value >= 0):  # type: ignore[operator]
            raise SettingsError(f"{name} of BuenaClient takes seconds {above}, not {value!r:.40}.")


def _or_again(verdict: Verdict) -> Verdict:
    """The verdict; raised, if it may be worth another try."""
    if isinstance(verdict, _WORTH_ANOTHER_TRY):
        raise _TryAgain(verdict)
    return verdict


def account_name(base_url: str, key: str) -> str:
    """What tells accounts apart in the ledger: a hash of the API and the key.

    Args:
        base_url: where the API is.
        key: the API key.
    """
    return blake2b(f"{base_url} {key}".encode(), digest_size=6).hexdigest()
