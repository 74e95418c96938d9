"""Decides who may ask for an association: titles, address and certificate; nothing is read here."""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from node.arrival.connection import PeerCertificate
from node.config_listen import ListenSettings, SenderSettings

# PS3.8 section 9.3.2: header, version, reserved, called, calling, 32 reserved bytes.
_TITLES = struct.Struct(">6x2x2x16s16s32x")
#: A request that ends before its titles is none.
SHORTEST_REQUEST_BYTES = _TITLES.size
# PS3.5 section 6.2, VR AE: the default repertoire without backslash and control characters.
_TITLE = re.compile(rb"[ -\[\]-~]{16}")


class Refusal(enum.Enum):
    """Why an association is rejected, with result, source and reason of PS3.8 section 9.3.4."""

    #: The called title is not valid, or not ours.
    CALLED_AE_TITLE = ("called_ae_title", 1, 1, 7)
    #: The calling title is not valid, or nobody's that may send.
    CALLING_AE_TITLE = ("calling_ae_title", 1, 1, 3)
    #: The calling title belongs to other addresses.
    ADDRESS = ("address", 1, 1, 3)
    #: The calling title needs another certificate, or the certificate another title.
    CERTIFICATE = ("certificate", 1, 1, 3)
    #: As many associations as the node has at a time.
    LOCAL_LIMIT = ("local_limit", 2, 3, 2)

    def __init__(self, reason: str, *answer: int) -> None:
        self.reason = reason
        self.pdu = struct.pack(">BxIxBBB", 0x03, 4, *answer)


@dataclass(frozen=True, slots=True)
class Titles:
    """What an A-ASSOCIATE-RQ says of both sides, 16 bytes each."""

    called: bytes
    calling: bytes

    @classmethod
    def of(cls, request: bytes) -> Titles:
        """Read them from the whole PDU, which has ``SHORTEST_REQUEST_BYTES`` at least."""
        return cls(*_TITLES.unpack_from(request))


@dataclass(frozen=True, slots=True)
class _Sender:
    networks: tuple[IPv4Network | IPv6Network, ...]
    certificate_sha256: frozenset[str]
    common_names: frozenset[str]

    @classmethod
    def of(cls, settings: SenderSettings) -> _Sender:
        return cls(
            tuple(ip_network(each) for each in settings.addresses),
            frozenset(settings.certificate_sha256),
            frozenset(settings.certificate_common_names),
        )

    @property
    def is_bound(self) -> bool:
        """Whether only certain certificates may speak for it."""
        return bool(self.certificate_sha256 or self.common_names)

    def has_address(self, host: str) -> bool:
        """Whether it may send from an address."""
        if not self.networks:
            return True
        address = ip_address(host)
        # A socket for IPv6 shows callers of IPv4 this way.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.networks)

    def owns(self, certificate: PeerCertificate) -> bool:
        """Whether a certificate is one of its own."""
        return certificate.sha256 in self.certificate_sha256 or (
            bool(certificate.common_name) and certificate.common_name in self.common_names
        )


class Admission:
    """Who may send, from the settings.

    Parameters
    ----------
    ae_title
        Our own.
    """

    def __init__(self, settings: ListenSettings, ae_title: str) -> None:
        self._called = ae_title.strip().encode() if settings.require_called_ae_title else None
        self._senders: dict[bytes, list[_Sender]] = {
            title.strip().encode(): [_Sender((), frozenset(), frozenset())]
            for title in settings.calling_ae_titles
        }
        for sender in settings.sender:
            named = self._senders.setdefault(sender.ae_title.strip().encode(), [])
            named.append(_Sender.of(sender))
        self._bound = [each for named in self._senders.values() for each in named if each.is_bound]
        self._bound_only = settings.tls.bound_certificates_only

    def judge(
        self, titles: Titles, host: str, certificate: PeerCertificate | None
    ) -> Refusal | None:
        """Say why a caller is refused; None when it may send.

        Parameters
        ----------
        host
            The peer's IP address.
        certificate
            What it has proved over TLS, None for a plain connection or an unknown client.
        """
        if not _is_title(titles.called) or self._called not in (None, titles.called.strip()):
            return Refusal.CALLED_AE_TITLE
        if not _is_title(titles.calling):
            return Refusal.CALLING_AE_TITLE
        senders: Sequence[_Sender] = ()
        if self._senders:
            senders = self._senders.get(titles.calling.strip(), ())
            if not senders:
                return Refusal.CALLING_AE_TITLE
            senders = [each for each in senders if each.has_address(host)]
            if not senders:
                return Refusal.ADDRESS
        if not self._may_speak(senders, certificate):
            return Refusal.CERTIFICATE
        return None

    def _may_speak(self, senders: Sequence[_Sender], certificate: PeerCertificate | None) -> bool:
        if certificate is None:
            return not senders or any(not each.is_bound for each in senders)
        if any(each.owns(certificate) for each in senders):
            return True
        # From here on nobody vouches for this certificate under this title.
        if self._bound_only or any(each.owns(certificate) for each in self._bound):
            return False
        return not senders or any(not each.is_bound for each in senders)


def _is_title(title: bytes) -> bool:
    return bool(_TITLE.fullmatch(title) and title.strip())
