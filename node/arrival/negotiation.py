"""Answers an A-ASSOCIATE-RQ: which contexts are accepted, and with what (PS3.8 section 7.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from pydicom.uid import UID
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES, APPLICATION_CONTEXT_NAME
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    PresentationContext,
    StoragePresentationContexts,
    negotiate_as_acceptor,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from node.arrival.commitment import commitment_context
from node.arrival.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.arrival.prescan import DEFLATED
from node.arrival.violation import PduError

_STANDARD_ROOT = "1.2.840.10008."
_STANDARD_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
#: The one list has retired ultrasound classes, the other classes that are newer.
_STORAGE_CLASSES = frozenset(
    str(context.abstract_syntax)
    for context in (*StoragePresentationContexts, *AllStoragePresentationContexts)
)
_TRANSFER_SYNTAXES = frozenset(str(uid) for uid in ALL_TRANSFER_SYNTAXES) - DEFLATED
_PROTOCOL_VERSION = 0x0001
#: How many requests are remembered, and how long one may be: a bound for hostile ones.
_REMEMBERED, _REMEMBERED_BYTES = 32, 64 << 10
# PS3.8 table 9-21: result, source and reason.
_VERSION_NOT_SUPPORTED = (1, 2, 2)
_APPLICATION_CONTEXT_NOT_SUPPORTED = (1, 1, 2)


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """What may be sent under one context ID."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """An association that was accepted.

    Attributes
    ----------
    max_pdu_bytes
        What the peer takes; 0 when that is not limited.
    answer
        The A-ASSOCIATE-AC.
    """

    contexts: Mapping[int, AcceptedContext]
    calling_ae_title: str
    max_pdu_bytes: int
    answer: bytes


class RejectedError(Exception):
    """The association is rejected.

    Attributes
    ----------
    answer
        The A-ASSOCIATE-RJ.
    """

    def __init__(self, result: int, source: int, diagnostic: int) -> None:
        super().__init__("the association is rejected")
        primitive = A_ASSOCIATE()
        primitive.result = result
        primitive.result_source = source
        primitive.diagnostic = diagnostic
        self.answer: bytes = A_ASSOCIATE_RJ(primitive).encode()


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


def negotiate(request: bytes, max_pdu_bytes: int) -> Negotiated:
    """Accept an association, or not.

    Parameters
    ----------
    request
        A whole A-ASSOCIATE-RQ, from somebody who may send.
    max_pdu_bytes
        What we take.

    Raises
    ------
    RejectedError
        We speak another protocol.
    PduError
        The request is damaged.
    """
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(request)
        # Bits stand for versions; those that are not known mean nothing (PS3.8 table 9-11).
        if not pdu.protocol_version & _PROTOCOL_VERSION:
            raise RejectedError(*_VERSION_NOT_SUPPORTED)
        primitive = pdu.to_primitive()
        if primitive.application_context_name not in (None, UID(APPLICATION_CONTEXT_NAME)):
            raise RejectedError(*_APPLICATION_CONTEXT_NOT_SUPPORTED)
        return _accept(primitive, max_pdu_bytes)
    except RejectedError:
        raise
    except Exception as error:
        # The boundary to a peer's bytes: pynetdicom fails on garbage in ways that no list holds.
        raise PduError("a request for an association is damaged", "request") from error


class Negotiator:
    """Negotiates, and remembers what it answered: a machine asks for the same in every association.

    Reading 128 contexts and answering them takes some 10 ms, as long as an echo cine. Thread-safe.

    Parameters
    ----------
    max_pdu_bytes
        What we take.
    """

    def __init__(self, max_pdu_bytes: int) -> None:
        self._max_pdu_bytes = max_pdu_bytes
        self._remembered = lru_cache(_REMEMBERED)(partial(negotiate, max_pdu_bytes=max_pdu_bytes))

    def answer(self, request: bytes) -> Negotiated:
        """Accept an association, or not; see :func:`negotiate`."""
        if len(request) > _REMEMBERED_BYTES:
            return negotiate(request, self._max_pdu_bytes)
        return self._remembered(request)


def _accept(request: A_ASSOCIATE, max_pdu_bytes: int) -> Negotiated:
    proposed = request.presentation_context_definition_list
    roles = {
        item.sop_class_uid: (item.scu_role, item.scp_role)
        for item in request.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid is not None
    }
    contexts, role_items = negotiate_as_acceptor(proposed, _supported(proposed), roles)
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT_NAME)
    answer.calling_ae_title = request.calling_ae_title
    answer.called_ae_title = request.called_ae_title
    answer.result = 0x00
    answer.result_source = 0x01
    answer.presentation_context_definition_results_list = contexts
    answer.user_information = [*_own_information(max_pdu_bytes), *role_items]
    return Negotiated(
        contexts={
            int(each.context_id or 0): AcceptedContext(
                str(each.abstract_syntax), str(each.transfer_syntax[0])
            )
            for each in contexts
            if each.result == 0x00
        },
        calling_ae_title=request.calling_ae_title.strip(),
        max_pdu_bytes=request.maximum_length_received or 0,
        answer=A_ASSOCIATE_AC(answer).encode(),
    )


def _own_information(
    max_pdu_bytes: int,
) -> tuple[
    MaximumLengthNotification,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return length, implementation, version


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
