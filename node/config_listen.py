"""The settings of the doors: where the node listens, and who may send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from node.config_values import MIB, AETitle, Host, Network, Port, Seconds, Section, Sha256, TomlPath

_CORES_FOR_DOORS = 4
_MOST_AUTO_DOORS = 4
_MOST_DOORS = 32


def _processes(value: object) -> object:
    # Before the types are looked at, so that a wrong value is told once and not for each type.
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if value != "auto" and not (is_count and value in range(1, _MOST_DOORS + 1)):
        raise ValueError(f"auto, or 1 to {_MOST_DOORS}")
    return value


Processes = Annotated[Literal["auto"] | int, BeforeValidator(_processes)]


class ListenTlsSettings(Section):
    """How instances come in over TLS."""

    enabled: bool = False
    port: Port = 2762
    certificate: TomlPath = Path("tls/node.crt")
    key: TomlPath = Path("tls/node.key")
    ca: TomlPath = Path("tls/senders-ca.crt")
    require_client_certificate: bool = True
    bound_certificates_only: bool = True


class SenderSettings(Section):
    """One AE title that may send, from where, and with which certificate."""

    ae_title: AETitle
    addresses: Annotated[tuple[Network, ...], Field(strict=False)] = ()
    certificate_sha256: Annotated[tuple[Sha256, ...], Field(strict=False)] = ()
    certificate_common_names: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @property
    def names_certificate(self) -> bool:
        """Whether only certain certificates may speak for it."""
        return bool(self.certificate_sha256 or self.certificate_common_names)


class ListenSettings(Section):
    """How instances come in."""

    host: Host = "127.0.0.1"
    plain: bool = True
    port: Port = 11112
    processes: Processes = "auto"
    max_pdu_bytes: int = Field(default=131072, ge=4096, le=1_048_576)
    max_associations: int = Field(default=25, ge=1, le=1000)
    max_pending_per_address: int = Field(default=8, ge=1, le=1000)
    pdu_deadline_s: Seconds = 30.0
    association_deadline_s: Seconds = 5.0
    idle_timeout_s: Seconds = 60.0
    burst_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 5.0
    max_object_mb: int = Field(default=4096, ge=1, le=1_000_000)
    require_called_ae_title: bool = False
    calling_ae_titles: Annotated[tuple[AETitle, ...], Field(strict=False)] = ()
    sender: Annotated[tuple[SenderSettings, ...], Field(strict=False)] = ()
    tls: ListenTlsSettings = ListenTlsSettings()

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are listened on, by their keys."""
        ports = {"listen.port": self.port} if self.plain else {}
        return ports | ({"listen.tls.port": self.tls.port} if self.tls.enabled else {})

    @property
    def door_count(self) -> int:
        """How many processes listen; 1 is the control process itself."""
        if self.processes != "auto":
            return self.processes
        cores = len(os.sched_getaffinity(0))
        # Below, a second process would only take turns with the first and with computing.
        return 1 if cores < _CORES_FOR_DOORS else min(_MOST_AUTO_DOORS, cores // 2)

    @property
    def max_object_bytes(self) -> int:
        """The largest instance that is taken."""
        return self.max_object_mb * MIB


def check_senders(listen: ListenSettings, problems: list[str]) -> None:
    """Name what contradicts itself, or would let nobody send."""
    if not listen.ports:
        problems.append("listen: plain and tls.enabled are both false, so that nobody could send")
    twice = {each.ae_title.strip() for each in listen.sender}
    problems += [
        f"listen.calling_ae_titles: {title} has a [[listen.sender]] already; "
        "here it could send without what that one asks for"
        for title in listen.calling_ae_titles
        if title.strip() in twice
    ]
    is_named = any(each.names_certificate for each in listen.sender)
    tls = listen.tls
    if is_named and not tls.enabled:
        problems.append("listen.sender: a certificate is named, but listen.tls.enabled is false")
    if (
        tls.enabled
        and tls.require_client_certificate
        and tls.bound_certificates_only
        and not is_named
    ):
        problems.append(
            "listen.tls.bound_certificates_only: no [[listen.sender]] names a certificate, so that "
            "nobody could send; name them, or write false to trust every certificate of the CA"
        )
