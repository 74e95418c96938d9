"""Receives visitors at one port: what they speak, who may enter, and what is noted if not."""

from __future__ import annotations

import socket
import ssl

from node.arrival.admission import Admission, Refusal, Titles
from node.arrival.connection import Connection, TlsConnection, tls_failure
from node.audit import AuditTrail
from node.tls import ReloadingContext


class Doorkeeper:
    """Stands at a port.

    Parameters
    ----------
    port
        The one it stands at, for the audit trail.
    tls
        What TLS is spoken with; None for a plain port.
    """

    def __init__(
        self,
        admission: Admission,
        audit: AuditTrail,
        port: int,
        tls: ReloadingContext | None = None,
    ) -> None:
        self._admission = admission
        self._audit = audit
        self._port = port
        self._tls = tls

    def receive(self, sock: socket.socket) -> Connection:
        """Make a connection of an accepted socket.

        Raises
        ------
        OSError
            The peer has gone already.
        """
        if self._tls is None:
            return Connection(sock)
        return TlsConnection(sock, self._tls.current)

    def refusal(self, request: bytes, host: str, connection: Connection) -> Refusal | None:
        """Say why an A-ASSOCIATE-RQ is refused; None when its sender may enter."""
        titles = Titles.of(request)
        refusal = self._admission.judge(titles, host, connection.certificate)
        if refusal is not None:
            self._note(refusal, titles, host, connection)
        return refusal

    def no_slot(self, request: bytes, host: str, connection: Connection) -> Refusal:
        """Note that a sender came when the node was full."""
        self._note(Refusal.LOCAL_LIMIT, Titles.of(request), host, connection)
        return Refusal.LOCAL_LIMIT

    def tls_failed(self, error: ssl.SSLError, host: str) -> None:
        """Note that a handshake failed."""
        self._audit.refused(tls_failure(error), host, self._port)

    def _note(self, refusal: Refusal, titles: Titles, host: str, connection: Connection) -> None:
        certificate = connection.certificate
        self._audit.refused(
            refusal.reason,
            host,
            self._port,
            calling=titles.calling,
            called=titles.called,
            certificate=certificate.sha256 if certificate is not None else None,
            is_security=refusal is not Refusal.LOCAL_LIMIT,
        )
