"""A sender's connection, plain or TLS, that never blocks whoever reads or writes it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """Who a peer has proved to be.

    Attributes
    ----------
    sha256
        Of the certificate in DER, lower case hex.
    common_name
        The subject's; empty when it has none, or several.
    """

    sha256: str
    common_name: str


class Connection:
    """A plain TCP connection.

    Parameters
    ----------
    sock
        Connected; belongs to this object from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        #: What to wait for when nothing can be done now: room to write, else something to read.
        self.waits_for_room = False

    @property
    def sock(self) -> socket.socket:
        """The socket, to wait on and to set options of."""
        return self._sock

    @property
    def certificate(self) -> PeerCertificate | None:
        """The verified certificate of the peer, None when it gave none."""
        return None

    def shake_hands(self) -> bool:
        """Go on with what comes before the first byte; False when it takes more.

        Raises
        ------
        ssl.SSLError
            The peer is refused, or refuses us.
        OSError
            The connection has ended.
        """
        return True

    def read_into(self, view: memoryview) -> int | None:
        """Read what is there.

        Returns
        -------
        int | None
            Zero when the connection is over, None when nothing is there now.

        Raises
        ------
        OSError
            The connection was broken off.
        """
        try:
            return self._sock.recv_into(view)
        except (BlockingIOError, InterruptedError):
            self.waits_for_room = False
            return None

    def write(self, data: memoryview | bytes) -> int:
        """Write what there is room for; zero when there is none now.

        Raises
        ------
        OSError
            The connection was broken off.
        """
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            self.waits_for_room = True
            return 0

    def hear_no_more(self) -> None:
        """Let whoever reads find the end, while writing goes on; from any thread."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RD)

    def cut(self) -> None:
        """End it at once; from any thread."""
        # Not the method of an SSLSocket: after that one, the socket would talk in the clear.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and give the descriptor back; closing twice is harmless."""
        self.cut()
        self._sock.close()


class TlsConnection(Connection):
    """A connection under TLS, server side.

    One thread at a time may use it, but for ``cut`` and ``hear_no_more``.

    Parameters
    ----------
    sock
        Connected; belongs to this object from now on, and is closed when the peer has gone.
    context
        Of :func:`node.tls.server_context`.

    Raises
    ------
    OSError
        The peer has gone already.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        secure = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(secure)
        self._secure = secure
        self._certificate: PeerCertificate | None = None

    @property
    def certificate(self) -> PeerCertificate | None:
        """The verified certificate of the peer, None when it gave none."""
        return self._certificate

    def shake_hands(self) -> bool:
        """Go on with the handshake; False when it takes more."""
        try:
            self._secure.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            self.waits_for_room = isinstance(error, ssl.SSLWantWriteError)
            return False
        self.waits_for_room = False
        self._certificate = _certificate_of(self._secure)
        return True

    def read_into(self, view: memoryview) -> int | None:
        """Read what is there; see :meth:`Connection.read_into`."""
        try:
            return self._secure.recv_into(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            self.waits_for_room = isinstance(error, ssl.SSLWantWriteError)
            return None

    def write(self, data: memoryview | bytes) -> int:
        """Write what there is room for; see :meth:`Connection.write`."""
        try:
            return self._secure.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            self.waits_for_room = isinstance(error, ssl.SSLWantWriteError)
            return 0

    def close(self) -> None:
        """Say goodbye, then end it; RFC 5246 section 7.2.1 wants the close_notify."""
        with contextlib.suppress(OSError, ValueError):
            self._secure.unwrap()  # Sends ours, and does not wait for the peer's.
        super().close()


def tls_failure(error: ssl.SSLError) -> str:
    """Name why a handshake failed, in a word that metrics and audit can have."""
    if isinstance(error, ssl.SSLCertVerificationError):
        expired = error.verify_code == _X509_EXPIRED
        return "tls_certificate_expired" if expired else "tls_certificate_unknown"
    reason = error.reason or ""
    if "_ALERT_" in reason:
        return "tls_peer_refuses"
    return _TLS_FAILURES.get(reason, "tls_other")


_X509_EXPIRED = 10
_TLS_FAILURES = {
    "HTTP_REQUEST": "tls_not_spoken",
    "HTTPS_PROXY_REQUEST": "tls_not_spoken",
    "WRONG_VERSION_NUMBER": "tls_not_spoken",
    "UNSUPPORTED_PROTOCOL": "tls_version",
    "VERSION_TOO_LOW": "tls_version",
    "NO_SHARED_CIPHER": "tls_cipher",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls_no_certificate",
}


def _certificate_of(secure: ssl.SSLSocket) -> PeerCertificate | None:
    der = secure.getpeercert(binary_form=True)
    if not der:
        return None
    # Pairs of name and value inside sets inside a sequence (RFC 5280 section 4.1.2.4).
    subject: object = (secure.getpeercert() or {}).get("subject", ())
    names = [
        pair[1]
        for rdn in (subject if isinstance(subject, tuple) else ())
        for pair in rdn
        if pair[0] == "commonName"
    ]
    return PeerCertificate(hashlib.sha256(der).hexdigest(), names[0] if len(names) == 1 else "")
