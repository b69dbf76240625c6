"""The way of the vendor's own example: one request of fifty leads, a second of sleep, and the next one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import requests


def enrich_all(leads: Sequence[dict[str, str]], *, url: str, key: str) -> list[dict[str, Any]]:
    """What the vendor knows of the leads; nothing is kept, nobody is recognised."""
    enriched: list[dict[str, Any]] = []
    for start in range(0, len(leads), 50):
        answer = requests.post(
            f"{url}/enrich",
            json={"leads": leads[start : start + 50]},
            headers={"x-api-key": key},
            timeout=60,
        )
        enriched += answer.json()["data"]["enriched"]
        if start + 50 < len(leads):
            time.sleep(1)
    return enriched
