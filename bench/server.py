"""A vendor fast enough to measure clients against: ``POST /enrich`` for a fraction of a millisecond of CPU.

``python -m bench.server --latency 0.2`` prints its address and its key, and serves until its standard input
ends. Whom it charges is counted by the number that stands in the address and the profile of every invented
lead, so the count (``GET /charges``) rests on nobody's idea of who is who. Nothing is validated that a client
which is measured cannot get wrong: for everything else there is the sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import sys
from typing import Any, Final

import msgspec

from bench import words

KEY: Final = "bna_" + "0b" * 32
BASE: Final = "/api/v2"
CREDITS: Final = 1_000_000_000

_VARIANTS: Final = 97  # of what is the same for many people; a prime, so that it goes with nothing else
_NUMBER: Final = re.compile(r"(\d+)(?:\+[^@]*)?@|-(\d+)/?$")


class Lead(msgspec.Struct, omit_defaults=True):
    """A lead as it is sent, and echoed."""

    email: str | None = None
    linkedinUrl: str | None = None  # noqa: N815 - the vendor's name
    firstName: str | None = None  # noqa: N815
    lastName: str | None = None  # noqa: N815
    company: str | None = None


class Asked(msgspec.Struct):
    """The body of a request, as far as it is read."""

    leads: list[Lead]


class Vendor:
    """Answers and counts.

    Attributes:
        requests: requests that were answered.
        charges: how often each person was charged.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.charges: dict[str, int] = {}
        self._credits = CREDITS
        self._decode = msgspec.json.Decoder(Asked).decode
        self._encode = msgspec.json.Encoder().encode
        self._profiles = [_profile(number) for number in range(_VARIANTS)]

    def enrich(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a request; charges one credit for each lead of it."""
        try:
            leads = self._decode(body).leads
        except msgspec.MsgspecError:
            return 400, _refusal("VALIDATION_ERROR", "Request body is not valid")
        if not 1 <= len(leads) <= 50:
            return 400, _refusal("VALIDATION_ERROR", "A request takes 1 to 50 leads")
        items = b",".join([self._item(lead) for lead in leads])
        self.requests += 1
        self._credits -= len(leads)
        return (
            200,
            b'{"success":true,"data":{"enriched":[%b],"failed":[],"creditsUsed":%d,"remainingCredits":%d}}'
            % (
                items,
                len(leads),
                self._credits,
            ),
        )

    def tally(self) -> dict[str, int]:
        """What was charged so far, and how often whom at most."""
        return {
            "requests": self.requests,
            "leads": CREDITS - self._credits,
            "people": len(self.charges),
            "most": max(self.charges.values(), default=0),
        }

    def forget(self) -> None:
        """Begins to count anew."""
        self.requests, self._credits = 0, CREDITS
        self.charges.clear()

    def _item(self, lead: Lead) -> bytes:
        found = _NUMBER.search(lead.email or "") or _NUMBER.search(lead.linkedinUrl or "")
        if found is not None:
            person = found[1] or found[2]
            number = int(person)
        else:
            person = f"{lead.firstName}|{lead.lastName}|{lead.company}"
            number = sum(person.encode())
        self.charges[person] = self.charges.get(person, 0) + 1
        first, last = lead.firstName or "Robin", lead.lastName or "Doe"
        company = lead.company or "Alder Works"
        url = lead.linkedinUrl or f"https://linkedin.com/in/{number}-robin-{number}"
        return (
            b'{"input":%b,"enrichedData":{"firstName":%b,"lastName":%b,"email":%b,%b,"phone":"+1-555-%07d",'
            % (
                self._encode(lead),
                self._encode(first),
                self._encode(last),
                self._encode(lead.email),
                b'"alternativeEmails":["p%d@post.example"]' % number
                if number % 3 == 0
                else b'"alternativeEmails":null',
                number,
            )
            + b'"linkedinUrl":%b,"company":%b,"companyInfo":{"name":%b,%b'
            % (
                self._encode(url),
                self._encode(company),
                self._encode(company),
                self._profiles[number % _VARIANTS],
            )
        )


class Connection(asyncio.Protocol):
    """One kept-alive connection: requests in, answers out after the latency."""

    def __init__(self, vendor: Vendor, latency: float) -> None:
        self._vendor = vendor
        self._latency = latency
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].decode("ascii", "replace")
        latency = 0.0
        if (method, path) == (b"POST", f"{BASE}/enrich"):
            latency = self._latency
            if f"x-api-key: {KEY}".encode() not in head.lower():
                status, content = 401, _refusal("UNAUTHORIZED", "Invalid API key")
            else:
                status, content = self._vendor.enrich(body)
        elif path == f"{BASE}/health":
            health = {"status": "healthy", "version": "2.0", "apiKey": {"permissions": ["leads:enrich"]}}
            status, content = 200, json.dumps(health).encode()
        elif path == "/charges":
            status, content = 200, json.dumps(self._vendor.tally()).encode()
        elif (method, path) == (b"POST", "/forget"):
            self._vendor.forget()
            status, content = 200, b"{}"
        else:
            status, content = 404, _refusal("NOT_FOUND", "There is nothing here")
        answer = (
            b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % (status, len(content))
            + content
        )
        if latency:
            asyncio.get_running_loop().call_later(latency, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _profile(number: int) -> bytes:
    """The end of an item, from the website of the company on: what is the same for many people."""
    industry, place = _of(words.INDUSTRIES, number), _of(words.LOCATIONS, number)
    title, years = _of(words.TITLES, number), number % 30
    bio = " ".join(_of(words.BIO, number + nth * 3) for nth in range(4))
    skills = list(dict.fromkeys(_of(words.SKILLS, number * 7 + nth * 3) for nth in range(7)))
    company = {
        "website": f"https://{_of(words.COMPANY_FIRST, number).lower()}-{number}.example",
        "industry": industry,
        "size": _of(words.SIZES, number),
        "description": _of(words.ABOUT, number),
        "founded": str(1950 + number % 72),
        "headquarters": place,
    }
    person = {
        "title": title,
        "location": place,
        "experience": f"{years} years",
        "skills": skills,
        "bio": f"{title} based in {place}. {bio}",
        "socialProfiles": None,
    }
    rest = {"confidence": 0.5 + number % 50 / 100, "sources": [_of(words.SOURCES, number), "linkedin"]}
    ends = [json.dumps(part, ensure_ascii=False)[1:-1] for part in (company, person, rest)]
    return "{}}},{}}},{}}}".format(*ends).encode()


def _of(pool: tuple[str, ...], number: int) -> str:
    return pool[number % len(pool)]


def _refusal(code: str, message: str) -> bytes:
    return json.dumps({"error": True, "code": code, "message": message, "version": "2.0"}).encode()


async def serve(latency: float) -> None:
    """Serves on a free loopback port until standard input ends; prints address and key first."""
    vendor = Vendor()
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = await loop.create_server(lambda: Connection(vendor, latency), sock=listener, backlog=1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]} {KEY}", flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Reads the command line, and serves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency", type=float, default=0.0, help="seconds by which each answer is late")
    asked = parser.parse_args()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.run(serve(asked.latency))
        return
    asyncio.run(serve(asked.latency))


if __name__ == "__main__":
    main()
