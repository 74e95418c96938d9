"""Listens for senders: C-ECHO, C-STORE and storage commitment (PS3.4 Annexes A, B and J)."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable

import pydicom.config
from pynetdicom import _config

from node.arrival.admission import Admission
from node.arrival.association import Association, Services
from node.arrival.commitment import CommitmentService
from node.arrival.connection import Connection
from node.arrival.doorkeeper import Doorkeeper
from node.arrival.header import Header
from node.arrival.intake import Intake, Record
from node.arrival.line import LineLimits
from node.arrival.meter import Meter, NoMeter
from node.arrival.negotiation import Negotiator
from node.arrival.ports import PLAIN, TLS, Ports, open_ports
from node.arrival.prescan import ScanLimits
from node.arrival.slots import Slots
from node.arrival.spool import Spool
from node.arrival.store_service import StoreService
from node.arrival.waiting_room import WaitingRoom
from node.audit import AuditTrail
from node.commitment_desk import CommitmentDesk
from node.config_listen import ListenSettings, ListenTlsSettings
from node.ledger.states import AnswerOutcome
from node.tls import ReloadingContext, TlsFiles, listen_files, server_context

_log = logging.getLogger(__name__)

_DRAIN_POLL_S = 0.02
_LATE_S = 1.0


class Listener:
    """Takes instances from senders until it is stopped.

    Parameters
    ----------
    record, is_own, patient_key, birth_key
        See :class:`~node.arrival.intake.Intake`.
    desk
        Takes what destinations answer about storage commitment.
    ports
        Already open, perhaps in other processes, too; by default they are opened at the start.
    slots
        Count for other processes, too; by default only for this listener.
    """

    def __init__(
        self,
        settings: ListenSettings,
        ae_title: str,
        spool: Spool,
        record: Record,
        is_own: Callable[[Header], bool],
        patient_key: Callable[[bytes, bytes], str],
        *,
        scan_limits: ScanLimits | None = None,
        meter: Meter | None = None,
        birth_key: Callable[[bytes, bytes, str], str] = lambda *_: "",
        desk: CommitmentDesk | None = None,
        ports: Ports | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._settings = settings
        self._meter: Meter = meter if meter is not None else NoMeter()
        intake = Intake(
            spool, record, is_own, patient_key, scan_limits, self._meter, birth_key=birth_key
        )
        self._services = Services(
            intake,
            StoreService(intake, self._meter),
            # Without a desk nothing was asked, so that every answer is one to nothing.
            CommitmentService(desk or CommitmentDesk(lambda _: AnswerOutcome.UNKNOWN), self._meter),
            Negotiator(settings.max_pdu_bytes),
            self._meter,
        )
        self._limits = LineLimits(
            settings.max_pdu_bytes, settings.pdu_deadline_s, settings.idle_timeout_s
        )
        self._ports = ports
        self._slots = slots if slots is not None else Slots(settings.max_associations)
        self._associations: set[Association] = set()
        self._lock = threading.Lock()
        self._rooms: list[WaitingRoom] = []
        self._addresses: dict[str, tuple[str, int]] = {}
        self._admission = Admission(settings, ae_title)
        self._audit = AuditTrail(self._meter)
        self._tls: ReloadingContext | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the plain listener; the port is the real one when 0 was asked for."""
        return self._address_of(PLAIN)

    @property
    def tls_address(self) -> tuple[str, int]:
        """Host and port of the TLS listener."""
        return self._address_of(TLS)

    def start(self) -> None:
        """Listen; connections are accepted when this returns.

        Raises
        ------
        ConfigurationError
            An address can't be listened on, or the TLS files can't be used.
        """
        _quieten_libraries()
        settings = self._settings
        if settings.tls.enabled:
            self._tls = ReloadingContext(
                listen_files(settings.tls), lambda files: _context(settings.tls, files), self._meter
            )
        for name, listening in (self._ports or open_ports(settings)).items():
            self._open(name, listening)

    def refresh_tls(self, *, force: bool = False) -> None:
        """Use new TLS files for further connections, if the files have changed.

        Parameters
        ----------
        force
            Load them even if they seem unchanged.
        """
        if self._tls is not None:
            self._tls.refresh(force=force)

    def _open(self, name: str, listening: socket.socket) -> None:
        settings = self._settings
        self._addresses[name] = address = listening.getsockname()[:2]
        room = WaitingRoom(
            listening,
            Doorkeeper(
                self._admission, self._audit, address[1], self._tls if name == TLS else None
            ),
            self._slots,
            self._enter,
            self._meter,
            association_deadline_s=settings.association_deadline_s,
            max_pending_per_address=settings.max_pending_per_address,
        )
        self._rooms.append(room)
        room.start()

    def _address_of(self, name: str) -> tuple[str, int]:
        if name not in self._addresses:
            raise RuntimeError("the listener was not started, or does not listen there")
        return self._addresses[name]

    def _close_rooms(self) -> None:
        while self._rooms:
            self._rooms.pop().close()

    def stop(self, drain_s: float = 10.0) -> None:
        """Accept nobody any more, let running C-STOREs end, then close every association.

        Parameters
        ----------
        drain_s
            After this time the running ones are cut off, too; their senders get no success.
        """
        self._close_rooms()
        deadline = time.monotonic() + drain_s
        while (associations := self._running()) and time.monotonic() < deadline:
            for assoc in associations:
                if not assoc.is_busy:
                    assoc.end()
            time.sleep(_DRAIN_POLL_S)
        for assoc in associations:
            assoc.end()
        for assoc in associations:
            assoc.join(_LATE_S)
            assoc.cut()
            assoc.join(_LATE_S)

    @property
    def association_count(self) -> int:
        """How many associations there are now."""
        return len(self._running())

    def _running(self) -> list[Association]:
        with self._lock:
            return list(self._associations)

    def _enter(self, connection: Connection, address: tuple[str, int], request: bytes) -> None:
        assoc: Association | None = None
        try:
            assoc = Association(connection, request, self._limits, self._services, self._ended)
            with self._lock:
                self._associations.add(assoc)
            assoc.start()
        except (OSError, RuntimeError) as error:  # The peer has gone, or no thread can be had.
            _log.warning("an association could not begin: %s", type(error).__name__)
            connection.close()
            if assoc is None:
                self._slots.give()
            else:
                self._ended(assoc)

    def _ended(self, assoc: Association) -> None:
        with self._lock:
            self._associations.discard(assoc)
        self._slots.give()


def _context(settings: ListenTlsSettings, files: TlsFiles) -> ssl.SSLContext:
    return server_context(files, require_client_certificate=settings.require_client_certificate)


def _quieten_libraries() -> None:
    """Keep patient data out of logs; these switches of the libraries are per process.

    pynetdicom logs messages and tracebacks with values, pydicom warns about bad values by
    repeating them. What matters is counted and logged here, without values.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
