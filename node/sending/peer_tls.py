"""TLS towards a destination: its context, and why a handshake failed."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from node.tls import ReloadingContext


class PeerTls:
    """What TLS is spoken with to one destination.

    Parameters
    ----------
    server_name
        The name or address that the destination's certificate must have.
    """

    def __init__(self, context: ReloadingContext, server_name: str) -> None:
        self._context = context
        self._server_name = server_name
        #: Why the last handshake failed; empty when it did not.
        self.failure = ""

    def begin(self) -> tuple[ssl.SSLContext, str]:
        """Look for new files; the context and the name for the next connection."""
        self.failure = ""
        self._context.refresh()
        context = self._context.current
        context.sslsocket_class = _noting_socket(self._note)
        return context, self._server_name

    def _note(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self.failure = f"the destination's certificate is not valid: {error.verify_message}"
        else:
            self.failure = f"the TLS handshake failed: {error.reason or type(error).__name__}"


def _noting_socket(note: Callable[[ssl.SSLError], None]) -> type[ssl.SSLSocket]:
    """A socket that tells why its handshake failed, of which pynetdicom says nothing."""

    class NotingSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except ssl.SSLError as error:
                note(error)
                raise

    return NotingSocket
