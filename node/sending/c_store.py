"""Sends objects to a PACS by C-STORE and tells what came of each."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.presentation import PresentationContext, build_context

from node.ledger.records import StoredObject
from node.sending.association import Line, Peer
from node.sending.outcome import SendOutcome, SendState, outcome_of_status, permanent
from node.sending.peer_tls import PeerTls
from node.sending.transcode import CaptureSyntax, syntaxes_for, transcode

SrSopClass = Literal["comprehensive_3d", "comprehensive"]

_MEDIUM_PRIORITY = 0


def sop_class_as_sent(sop_class: UID, sr_sop_class: SrSopClass) -> UID:
    """The SOP class by which a destination gets an object that is stored as another."""
    if sop_class == Comprehensive3DSRStorage and sr_sop_class == "comprehensive":
        return ComprehensiveSRStorage
    return sop_class


class CStoreSender:
    """Stores objects at one peer; the association stays open from object to object.

    Parameters
    ----------
    peer
        The destination.
    ae_title
        Our own.
    tls
        None for a plain connection.
    sr_sop_class
        ``comprehensive`` sends Comprehensive 3D SR as Comprehensive SR, for a PACS that does not
        know the former; ours have no 3D coordinates, so that only the SOP class differs.
    capture_transfer_syntax
        The destination's wish; another one is taken where the peer does not accept it.
    """

    def __init__(
        self,
        peer: Peer,
        ae_title: str,
        *,
        tls: PeerTls | None = None,
        sr_sop_class: SrSopClass = "comprehensive_3d",
        capture_transfer_syntax: CaptureSyntax = "jpeg",
    ) -> None:
        self._sr_sop_class = sr_sop_class
        self._preferred = capture_transfer_syntax
        self._line = Line(peer, ae_title, tls=tls)
        # All that a node makes is proposed at once, so that one association serves a study.
        self._proposed: set[tuple[UID, UID]] = set()
        self._propose(self._sop_class(Comprehensive3DSRStorage), ExplicitVRLittleEndian)
        self._propose(MultiFrameTrueColorSecondaryCaptureImageStorage, JPEGBaseline8Bit)

    def send(self, stored: StoredObject, path: Path) -> SendOutcome:
        """Send one Part 10 object; `stored` is not looked at, the bytes say what they are."""
        del stored
        try:
            outgoing = _Outgoing.read(path)
        except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
            return permanent(f"the stored object can't be read: {type(error).__name__}")
        fresh = not self._line.is_held
        outcome = self._send_once(outgoing)
        if outcome.state is SendState.TRANSIENT and not (self._line.is_held or fresh):
            # The peer had closed a kept association; the same UID and bytes again are harmless.
            outcome = self._send_once(outgoing)
        return outcome

    def close(self) -> None:
        """Release the association, if there is one."""
        self._line.close()

    def _send_once(self, outgoing: _Outgoing) -> SendOutcome:
        sop_class = self._sop_class(outgoing.sop_class_uid)
        self._propose(sop_class, outgoing.transfer_syntax_uid)
        # One transfer syntax per context: the choice is ours, not the peer's.
        assoc = self._line.open([build_context(*each) for each in sorted(self._proposed)])
        if isinstance(assoc, SendOutcome):
            return assoc
        context = self._choose(assoc, sop_class, outgoing.transfer_syntax_uid)
        if context is None or context.context_id is None:
            return permanent(_nothing_accepted(sop_class))
        try:
            data = outgoing.encode(sop_class, context.transfer_syntax[0])
        except (ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
            return permanent(f"the stored object can't be transcoded: {type(error).__name__}")
        request = C_STORE()
        request.MessageID = self._line.next_message_id()
        request.Priority = _MEDIUM_PRIORITY
        request.AffectedSOPClassUID = sop_class
        request.AffectedSOPInstanceUID = outgoing.sop_instance_uid
        request.DataSet = BytesIO(data)
        response = self._line.exchange(assoc, context.context_id, request, C_STORE)
        if isinstance(response, SendOutcome):
            return response
        return outcome_of_status(int(response.Status or 0))

    def _sop_class(self, sop_class: UID) -> UID:
        return sop_class_as_sent(sop_class, self._sr_sop_class)

    def _propose(self, sop_class: UID, stored: UID) -> None:
        wanted = {(sop_class, syntax) for syntax in syntaxes_for(stored, self._preferred)}
        if not wanted <= self._proposed:
            self._proposed |= wanted
            self.close()

    def _choose(
        self, assoc: Association, sop_class: UID, stored: UID
    ) -> PresentationContext | None:
        accepted = {
            context.transfer_syntax[0]: context
            for context in assoc.accepted_contexts
            if context.abstract_syntax == sop_class
        }
        for syntax in syntaxes_for(stored, self._preferred):
            if syntax in accepted:
                return accepted[syntax]
        return None


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A stored object: what its file meta information says, and where its data set begins."""

    path: Path
    offset_bytes: int
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID

    @classmethod
    def read(cls, path: Path) -> _Outgoing:
        meta, offset = split_dataset(path)
        return cls(
            path,
            offset,
            UID(meta.MediaStorageSOPClassUID),
            UID(meta.MediaStorageSOPInstanceUID),
            UID(meta.TransferSyntaxUID),
        )

    def encode(self, sop_class: UID, syntax: UID) -> bytes:
        """Encode the data set; the stored bytes themselves where nothing is to change."""
        if sop_class == self.sop_class_uid and syntax == self.transfer_syntax_uid:
            with self.path.open("rb") as blob:
                blob.seek(self.offset_bytes)
                return blob.read()
        ds = dcmread(self.path)
        ds.SOPClassUID = sop_class
        transcode(ds, syntax)
        encoded = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian)
        if encoded is None:
            raise ValueError("the data set can't be encoded")
        return encoded


def _nothing_accepted(sop_class: UID) -> str:
    hint = (
        '; its setting sr_sop_class = "comprehensive" may help'
        if sop_class == Comprehensive3DSRStorage
        else ""
    )
    return f"the destination accepts no presentation context for {sop_class.name}{hint}"
