"""Watches whom programs talk to: every socket and name that does not mean this machine is written down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

# loaded by every Python that a program starts
_WATCH = """
import os, sys
def watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments
    else:
        return
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost", "::1", "0.0.0.0") or str(host).startswith(("127.", "/", "\\0")):
        return
    with open(os.environ["STRANGERS"], "a") as told:
        told.write(f"{event} {host}\\n")
sys.addaudithook(watch)
"""


def watched(environment: Mapping[str, str], strangers: Path) -> dict[str, str]:
    """The environment for a program that is watched.

    Args:
        environment: of the program; the packages of this repository are added to what it can import.
        strangers: the file of what it asked for; not there as long as that is nothing.
    """
    watcher = strangers.with_name("watcher")
    watcher.mkdir(exist_ok=True)
    (watcher / "sitecustomize.py").write_text(_WATCH, encoding="utf-8")
    return {**environment, "STRANGERS": str(strangers), "PYTHONPATH": f"{watcher}{os.pathsep}{ROOT}"}
