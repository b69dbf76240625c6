"""The script everybody writes: pandas, requests, and a SQLite file with one JSON body per lead."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import requests

_DISPLAYED = re.compile(r"<([^<>]+)>")
_PROFILE = re.compile(r"linkedin\.com/in/([^/?#]+)", re.IGNORECASE)
_WIRE = {
    "email": "email",
    "linkedin_url": "linkedinUrl",
    "first_name": "firstName",
    "last_name": "lastName",
    "company": "company",
}
_PERSON = (
    *(
        "firstName",
        "lastName",
        "email",
        "alternativeEmails",
        "phone",
        "linkedinUrl",
        "company",
        "title",
        "location",
    ),
    *("experience", "skills", "bio"),
)
_COMPANY = ("name", "website", "industry", "size", "description", "founded", "headquarters")


def lead_key(lead: Mapping[str, Any]) -> str | None:
    """What the cache calls a lead: the address, else the profile, else name and company."""
    if email := lead.get("email"):
        text = email.strip().lower()
        if displayed := _DISPLAYED.search(text):
            text = displayed[1]
        local, _, domain = text.removeprefix("mailto:").partition("@")
        local = local.partition("+")[0]
        if domain == "gmail.com":
            local = local.replace(".", "")
        return f"{local}@{domain}"
    if (url := lead.get("linkedin_url")) and (profile := _PROFILE.search(url)):
        return profile[1].lower()
    names = [lead.get(field) or "" for field in ("first_name", "last_name", "company")]
    return "|".join(name.strip().lower() for name in names) if all(names) else None


def open_cache(path: str) -> sqlite3.Connection:
    """The file, with its one table."""
    connection = sqlite3.connect(path)
    connection.execute("create table if not exists cache (key text primary key, body text)")
    return connection


def enrich(leads: pd.DataFrame, cache: sqlite3.Connection, *, url: str = "", key: str = "") -> pd.DataFrame:
    """The table with what the vendor knows, bought where the cache has nothing."""
    rows = [{field: row[field] for field in _WIRE if isinstance(row[field], str)} for row in _rows(leads)]
    keys = [lead_key(row) for row in rows]
    bodies: list[str | None] = []
    missing: dict[str, dict[str, str]] = {}
    for name, row in zip(keys, rows, strict=True):
        bodies.append(_body(cache, name))
        if name is not None and bodies[-1] is None:
            missing.setdefault(name, row)
    buy(missing, cache, url=url, key=key)
    if missing:
        bodies = [
            _body(cache, name) if body is None else body for name, body in zip(keys, bodies, strict=True)
        ]
    records = [flat(json.loads(body)) if body else {} for body in bodies]
    return pd.concat([leads, pd.DataFrame(records, index=leads.index)], axis=1)


def buy(missing: Mapping[str, Mapping[str, str]], cache: sqlite3.Connection, *, url: str, key: str) -> None:
    """Fifty leads a request, one request after the other, each answer into the cache."""
    names = list(missing)
    with requests.Session() as session:
        session.headers["x-api-key"] = key
        for start in range(0, len(names), 50):
            batch = names[start : start + 50]
            sent = [{_WIRE[field]: value for field, value in missing[name].items()} for name in batch]
            answer = session.post(f"{url}/enrich", json={"leads": sent}, timeout=60)
            answer.raise_for_status()
            by_input = {
                json.dumps(item["input"], sort_keys=True): json.dumps(item)
                for item in answer.json()["data"]["enriched"]
            }
            found = [
                (name, by_input[echo])
                for name, lead in zip(batch, sent, strict=True)
                if (echo := json.dumps(lead, sort_keys=True)) in by_input
            ]
            cache.executemany("insert or replace into cache values (?, ?)", found)
            cache.commit()


def flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """One item of an answer as columns."""
    data = item["enrichedData"]
    company = data.get("companyInfo") or {}
    return {
        **{f"buena_{field}": data.get(field) for field in _PERSON},
        **{f"buena_company_{field}": company.get(field) for field in _COMPANY},
        "buena_confidence": item.get("confidence"),
        "buena_sources": item.get("sources"),
    }


def _body(cache: sqlite3.Connection, name: str | None) -> str | None:
    found = cache.execute("select body from cache where key = ?", (name,)).fetchone()
    return found[0] if found else None


def _rows(leads: pd.DataFrame) -> Iterator[dict[str, Any]]:
    yield from leads[list(_WIRE)].to_dict("records")
