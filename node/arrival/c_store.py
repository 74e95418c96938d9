"""Listens for senders: C-ECHO, C-STORE and storage commitment (PS3.4 Annexes A, B and J)."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable

import pydicom.config
from pydicom.uid import UID
from pynetdicom import _config, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE, SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    PresentationContext,
    StoragePresentationContexts,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AddressInformation

from node.arrival.admission import Admission
from node.arrival.commitment import CommitmentService, commitment_context
from node.arrival.connection import Connection
from node.arrival.doorkeeper import Doorkeeper
from node.arrival.guard import StoreAssociation
from node.arrival.guarded_socket import GuardLimits
from node.arrival.header import Header
from node.arrival.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.arrival.incoming import IncomingDataset
from node.arrival.intake import Intake, Record, StoreStatus
from node.arrival.meter import Meter, NoMeter
from node.arrival.prescan import DEFLATED, ScanLimits
from node.arrival.spool import Spool
from node.arrival.waiting_room import Slots, WaitingRoom
from node.audit import AuditTrail
from node.commitment import PUSH_MODEL
from node.commitment_desk import CommitmentDesk
from node.config_listen import ListenSettings, ListenTlsSettings
from node.errors import ConfigurationError
from node.ledger_states import AnswerOutcome
from node.tls import ReloadingContext, TlsFiles, listen_files, server_context

_log = logging.getLogger(__name__)

_STORAGE_SERVICE = UID("1.2.840.10008.4.2")
_STANDARD_ROOT = "1.2.840.10008."
_STANDARD_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
#: The one list has retired ultrasound classes, the other classes that are newer.
_STORAGE_CLASSES = frozenset(
    str(context.abstract_syntax)
    for context in (*StoragePresentationContexts, *AllStoragePresentationContexts)
)
_TRANSFER_SYNTAXES = frozenset(str(uid) for uid in ALL_TRANSFER_SYNTAXES) - DEFLATED
_DRAIN_POLL_S = 0.02
_PLAIN, _TLS = "plain", "tls"


def is_storage_class(uid: str) -> bool:
    """Tell whether instances of a SOP class are taken.

    All standard storage classes are, and private and unknown ones: some senders repeat a whole
    study when one instance of it is refused.
    """
    if uid in _STORAGE_CLASSES or not uid.startswith(_STANDARD_ROOT):
        return True
    # Queries have UIDs among the storage classes; of the others the retired ones are named.
    name = UID(uid).name
    return uid.startswith(_STANDARD_STORAGE_ROOT) and (name == uid or "Storage" in name)


class Listener:
    """Takes instances from senders until it is stopped.

    Parameters
    ----------
    record, is_own, patient_key
        See :class:`~node.arrival.intake.Intake`.
    desk
        Takes what destinations answer about storage commitment.
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
        desk: CommitmentDesk | None = None,
    ) -> None:
        self._settings = settings
        self._meter: Meter = meter if meter is not None else NoMeter()
        self._intake = Intake(spool, record, is_own, patient_key, scan_limits, self._meter)
        # Without a desk nothing was asked, so that every answer is one to nothing.
        self._commitment = CommitmentService(
            desk or CommitmentDesk(lambda _: AnswerOutcome.UNKNOWN), self._meter
        )
        self._limits = GuardLimits(settings.max_pdu_bytes, settings.pdu_deadline_s)
        self._slots = Slots(settings.max_associations)
        self._associations: set[StoreAssociation] = set()
        self._lock = threading.Lock()
        self._rooms: list[WaitingRoom] = []
        self._addresses: dict[str, tuple[str, int]] = {}
        self._admission = Admission(settings, ae_title)
        self._audit = AuditTrail(self._meter)
        self._tls: ReloadingContext | None = None
        self._ae = self._application_entity(ae_title)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the plain listener; the port is the real one when 0 was asked for."""
        return self._address_of(_PLAIN)

    @property
    def tls_address(self) -> tuple[str, int]:
        """Host and port of the TLS listener."""
        return self._address_of(_TLS)

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
        try:
            if settings.plain:
                self._open(_PLAIN, settings.port, None)
            if settings.tls.enabled:
                self._open(_TLS, settings.tls.port, self._tls)
        except ConfigurationError:
            self._close_rooms()
            raise

    def refresh_tls(self, *, force: bool = False) -> None:
        """Use new TLS files for further connections, if the files have changed.

        Parameters
        ----------
        force
            Load them even if they seem unchanged.
        """
        if self._tls is not None:
            self._tls.refresh(force=force)

    def _open(self, name: str, port: int, tls: ReloadingContext | None) -> None:
        settings = self._settings
        try:
            listening = _listen(settings.host, port)
        except OSError as error:
            raise ConfigurationError(
                [f"listen: can't listen on {settings.host}:{port}: {error.strerror}"]
            ) from error
        self._addresses[name] = address = listening.getsockname()[:2]
        room = WaitingRoom(
            listening,
            Doorkeeper(self._admission, self._audit, address[1], tls),
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
        while associations := self._running():
            is_late = time.monotonic() > deadline
            for assoc in associations:
                if is_late or not assoc.is_busy:
                    assoc.abort(block=False)
            if is_late:
                break
            time.sleep(_DRAIN_POLL_S)
        for assoc in self._running():
            assoc.join(timeout=1.0)
            assoc.cut()

    @property
    def association_count(self) -> int:
        """How many associations there are now."""
        return len(self._running())

    def _running(self) -> list[StoreAssociation]:
        with self._lock:
            return list(self._associations)

    def _application_entity(self, ae_title: str) -> ApplicationEntity:
        settings = self._settings
        ae = ApplicationEntity(ae_title)
        ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = settings.max_pdu_bytes
        # The slots of the waiting room are the limit; the library would count idle threads, too.
        ae.maximum_associations = 2 * settings.max_associations + 16
        ae.acse_timeout = settings.association_deadline_s
        ae.dimse_timeout = settings.idle_timeout_s
        ae.network_timeout = settings.idle_timeout_s
        return ae

    def _enter(self, connection: Connection, address: tuple[str, int], request: bytes) -> None:
        try:
            self._begin(connection, address, request)
        except (OSError, RuntimeError) as error:  # The peer has gone, or no thread can be had.
            _log.warning("an association could not begin: %s", type(error).__name__)
            self._slots.give()
            connection.close()

    def _begin(self, connection: Connection, address: tuple[str, int], request: bytes) -> None:
        assoc = StoreAssociation(
            self._ae,
            connection,
            request,
            self._limits,
            self._intake,
            self._meter,
            on_end=lambda: self._ended(assoc),
        )
        acceptor = assoc.acceptor
        acceptor.maximum_length = self._ae.maximum_pdu_size
        acceptor.ae_title = self._ae.ae_title
        acceptor.address_info = AddressInformation(*connection.sock.getsockname()[:2])
        acceptor.implementation_class_uid = self._ae.implementation_class_uid
        acceptor.implementation_version_name = self._ae.implementation_version_name
        assoc.requestor.address_info = AddressInformation(*address)
        assoc.bind(evt.EVT_REQUESTED, self._on_requested)
        assoc.bind(evt.EVT_SOP_COMMON, _on_sop_common)
        assoc.bind(evt.EVT_C_STORE, self._on_c_store)
        assoc.bind(evt.EVT_N_ACTION, self._commitment.on_action)
        assoc.bind(evt.EVT_N_EVENT_REPORT, self._commitment.on_event_report)
        assoc.bind(evt.EVT_ACCEPTED, self._on_accepted)
        assoc.bind(evt.EVT_REJECTED, self._on_rejected)
        with self._lock:
            self._associations.add(assoc)
        try:
            assoc.start()
        except RuntimeError:
            with self._lock:
                self._associations.discard(assoc)
            assoc.dismiss()
            raise

    def _ended(self, assoc: StoreAssociation) -> None:
        with self._lock:
            self._associations.discard(assoc)
        self._slots.give()

    def _on_requested(self, event: evt.Event) -> None:
        primitive = event.assoc.requestor.primitive
        if isinstance(primitive, A_ASSOCIATE):
            event.assoc.acceptor.supported_contexts = _supported(
                primitive.presentation_context_definition_list
            )

    def _on_accepted(self, event: evt.Event) -> None:
        self._meter.count("associations_total", result="accepted")

    def _on_rejected(self, event: evt.Event) -> None:
        self._meter.count("associations_total", result="rejected")

    def _on_c_store(self, event: evt.Event) -> int:
        began = time.monotonic()
        incoming = getattr(event.request, "DataSet", None)
        if not isinstance(incoming, IncomingDataset) or incoming.request is None:
            return StoreStatus.CANNOT_UNDERSTAND
        request, part = incoming.request, incoming.take_part()
        size_bytes = 0
        if part is None:
            status = incoming.refusal or StoreStatus.CANNOT_UNDERSTAND
        else:
            size_bytes = part.size_bytes
            status = self._intake.take(part, request)
        sender = request.calling_ae_title
        self._meter.count("store_requests_total", ae=sender, status=f"0x{status:04X}")
        self._meter.count("store_bytes_total", size_bytes, ae=sender)
        self._meter.observe("store_duration_seconds", time.monotonic() - began)
        if status is not StoreStatus.SUCCESS:
            _log.warning("an instance was refused: %s", status.name)
        return int(status)


def _supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """Make the contexts that fit a request; a sender's first transfer syntax is its favourite."""
    syntaxes: dict[str, list[UID]] = {}
    for context in proposed:
        uid = str(context.abstract_syntax)
        if uid == Verification or is_storage_class(uid):
            known = syntaxes.setdefault(uid, [])
            for syntax in context.transfer_syntax:
                if syntax in _TRANSFER_SYNTAXES and syntax not in known:
                    known.append(syntax)
    supported = []
    for uid, known in syntaxes.items():
        if known:
            context = PresentationContext()
            context.abstract_syntax = UID(uid)
            context.transfer_syntax = [*known]
            supported.append(context)
    return [*supported, commitment_context()]


def _on_sop_common(event: evt.Event) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Say that all accepted classes but two belong to the storage service.

    The library knows no service for private and unknown classes. Its own switch for them,
    UNRESTRICTED_STORAGE_SERVICE, would accept every transfer syntax, too.
    """
    items: dict[UID, SOPClassCommonExtendedNegotiation] = {}
    for context in event.assoc.acceptor.supported_contexts:
        uid = context.abstract_syntax
        if uid is not None and uid not in (Verification, PUSH_MODEL):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid = uid
            item.service_class_uid = _STORAGE_SERVICE
            items[uid] = item
    return items


def _context(settings: ListenTlsSettings, files: TlsFiles) -> ssl.SSLContext:
    return server_context(files, require_client_certificate=settings.require_client_certificate)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _quieten_libraries() -> None:
    """Keep patient data out of logs; these switches of the libraries are per process.

    pynetdicom logs messages and tracebacks with values, pydicom warns about bad values by
    repeating them. What matters is counted and logged here, without values.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
