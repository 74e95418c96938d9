"""Serves the status page from a thread of its own."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.applications import Starlette

_STOP_S = 5.0


class StatusServer:
    """An HTTP server for one application.

    Parameters
    ----------
    port
        0 takes any free port; see :attr:`address`.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                # The node's own log is set up already, and requests tell nothing of interest.
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=int(_STOP_S),
                limit_concurrency=64,
            )
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        if self._socket is None:
            return self._host, self._port
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Listen and serve.

        Raises
        ------
        OSError
            The address is in use, or is not this machine's.
        """
        # Bound here and not in the thread, so that the caller sees the error.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="status-page", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests that run, then close; stopping twice is harmless."""
        if self._thread is not None:
            self._server.should_exit = True
            self._thread.join(2 * _STOP_S)
            self._thread = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
