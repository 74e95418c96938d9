"""Makes TLS contexts after BCP 195 of files that may change while the node runs.

PS3.15 Annex B.12: TLS 1.2 and 1.3 only, with the cipher suites that RFC 9325 section 4.2
recommends, and both sides known by their certificates.
"""

from __future__ import annotations

import errno
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from node.config import CStoreDestination
from node.config_listen import ListenTlsSettings
from node.errors import ConfigurationError

_log = logging.getLogger(__name__)

#: For TLS 1.2; those of 1.3 are all good, and OpenSSL's own.
SUITES = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
#: OpenSSL would ask on the terminal for the passphrase of a key; an empty one fails instead.
NO_PASSPHRASE = b""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of one TLS endpoint.

    Attributes
    ----------
    section
        What the settings call it, for messages: ``listen.tls``.
    certificate, key
        Ours; None for a client that has none.
    ca
        Who vouches for the peers.
    """

    section: str
    certificate: Path | None
    key: Path | None
    ca: Path

    @property
    def by_key(self) -> dict[str, Path]:
        """The files under their keys in the settings."""
        named = {"certificate": self.certificate, "key": self.key, "ca": self.ca}
        return {key: path for key, path in named.items() if path is not None}

    def state(self) -> tuple[tuple[int, ...], ...]:
        """Something that differs when a file was changed, came or went."""
        return tuple(_state(path) for path in self.by_key.values())


def listen_files(settings: ListenTlsSettings) -> TlsFiles:
    """The files of the TLS listener."""
    return TlsFiles("listen.tls", settings.certificate, settings.key, settings.ca)


def destination_files(destination: CStoreDestination) -> TlsFiles:
    """The files of a destination that is reached over TLS."""
    tls = destination.tls
    return TlsFiles(f"destination[{destination.name}].tls", tls.certificate, tls.key, tls.ca)


class Counts(Protocol):
    """Takes the counts of what was loaded."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""


class AcceptedSocket(ssl.SSLSocket):
    """One that gives its descriptor back at once when the peer has gone before TLS begins.

    ``wrap_socket`` takes a socket without a peer for one that is yet to be connected, and where a
    reset has arrived it leaves the descriptor to the garbage collector.
    """

    def getpeername(self) -> Any:
        """Who is there.

        Raises
        ------
        ConnectionResetError
            Nobody is any more; the socket is closed.
        """
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, "the peer has gone") from error


def server_context(files: TlsFiles, *, require_client_certificate: bool) -> ssl.SSLContext:
    """A context for accepting connections.

    Raises
    ------
    ConfigurationError
        With every problem of the files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = AcceptedSocket
    _harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # A resumed session would be admitted on a certificate that is not looked at again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
    _load(context, files)
    return context


def client_context(files: TlsFiles, *, check_server_name: bool) -> ssl.SSLContext:
    """A context for connecting to a destination, whose certificate is always verified.

    Raises
    ------
    ConfigurationError
        With every problem of the files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = check_server_name
    _load(context, files)
    return context


class ReloadingContext:
    """A context that follows its files; a bad file changes nothing but the log. Thread-safe.

    Parameters
    ----------
    make
        Makes a context of the files as they are now.
    meter
        Counts ``tls_reloads_total``.

    Raises
    ------
    ConfigurationError
        The files can't be used, and there is no older context.
    """

    def __init__(
        self,
        files: TlsFiles,
        make: Callable[[TlsFiles], ssl.SSLContext],
        meter: Counts | None = None,
    ) -> None:
        self._files = files
        self._make = make
        self._meter = meter
        self._lock = threading.Lock()
        self._seen = files.state()
        self._current = make(files)

    @property
    def current(self) -> ssl.SSLContext:
        """The context of the last files that could be used."""
        return self._current

    def refresh(self, *, force: bool = False) -> None:
        """Load the files if they have changed since they were last looked at.

        Parameters
        ----------
        force
            Load them also when they seem unchanged.
        """
        with self._lock:
            # Taken before: what changes while the files are read is seen the next time.
            state = self._files.state()
            if state == self._seen and not force:
                return
            self._seen = state
            try:
                self._current = self._make(self._files)
            except ConfigurationError as error:
                self._count("failed")
                _log.error(
                    "the TLS files of %s can't be used; the old ones stay",
                    self._files.section,
                    extra={"action": "tls_reload", "result": "failed", "reason": str(error)},
                )
                return
            self._count("loaded")
            _log.info(
                "the TLS files of %s were loaded again",
                self._files.section,
                extra={"action": "tls_reload", "result": "loaded"},
            )

    def _count(self, result: str) -> None:
        if self._meter is not None:
            self._meter.count("tls_reloads_total", section=self._files.section, result=result)


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(SUITES))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    unreadable = [
        f"{files.section}.{key}: {path} can't be read: {reason}"
        for key, path in files.by_key.items()
        if (reason := _unreadable(path))
    ]
    if unreadable:
        raise ConfigurationError(unreadable)
    problems = []
    try:
        context.load_verify_locations(files.ca)
    except (ssl.SSLError, OSError):
        problems.append(f"{files.section}.ca: {files.ca} holds no certificates in PEM form")
    if files.certificate is not None and files.key is not None:
        problem = _load_own(context, files.certificate, files.key)
        if problem:
            problems.append(f"{files.section}.{problem}")
    if problems:
        raise ConfigurationError(problems)


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> str:
    try:
        # The same file twice finds no key, but tells whether the certificate can be read.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except (ssl.SSLError, OSError):
        return f"certificate: {certificate} holds no certificate in PEM form"
    try:
        context.load_cert_chain(certificate, key, password=NO_PASSPHRASE)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"key: {key} does not fit the certificate {certificate}"
        if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
            return f"certificate: {certificate} is too weak: {error.reason}"
        return f"key: {key} holds no private key in PEM form, or one with a passphrase"
    except OSError as error:
        return f"key: {key} can't be read: {error.strerror}"
    return ""


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        return error.strerror
    return None


def _state(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
