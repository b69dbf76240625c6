"""A vendor on a loopback port: a uvicorn server in a thread, with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Final

import uvicorn
from starlette.types import Scope

from buena_pipeline.errors import SettingsError
from buena_pipeline.sandbox.app import build_app
from buena_pipeline.sandbox.vendor import Vendor

HOST: Final = "127.0.0.1"

_KEEP_ALIVE_SECONDS: Final = 75
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # linger for no time: closing sends RST instead of FIN


class LoopbackServer(uvicorn.Server):
    """A uvicorn server that lives in a thread, is stopped from another, and does not linger."""

    def __init__(self, vendor: Vendor, latency: float) -> None:
        app = build_app(vendor, latency=latency, hang_up=self._hang_up)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def run_in_thread(self, listener: socket.socket) -> None:
        """Serve until stopped; the target of the thread."""
        try:
            asyncio.run(self.serve([listener]))
        finally:
            self.ready.set()

    def stop(self) -> None:
        """Ask the server, from any thread, to end."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell the thread that waits."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait for the end without looking at the clock."""
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End at once: a vendor that is gone does not finish its sentences."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()
        for listener in sockets or ():
            listener.close()

    def _hang_up(self, scope: Scope, reset: bool) -> None:  # noqa: FBT001 - called by position
        """End the connection that a request came on."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == scope["client"]:
                if reset:
                    sock = connection.transport.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    connection.transport.abort()
                else:
                    connection.transport.close()


def listen(port: int) -> socket.socket:
    """A listening socket, so that a port that is taken is told to whoever starts the sandbox."""
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it each answer may take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise SettingsError(
            f"The sandbox cannot listen on port {port} ({error}): choose another, or 0 for any."
        ) from None
    return listener
