"""What is wrong, or soon will be, with the TLS files that the settings name."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from node.certificate import Role, certificate_warning
from node.config import CStoreDestination, Settings
from node.errors import ConfigurationError
from node.tls import TlsFiles, client_context, destination_files, listen_files, server_context


def tls_problems(settings: Settings) -> list[str]:
    """Every reason for which TLS can't be spoken."""
    problems: list[str] = []
    for role, files in _endpoints(settings):
        try:
            if role == "server":
                server_context(files, require_client_certificate=True)
            else:
                client_context(files, check_server_name=True)
        except ConfigurationError as error:
            problems += error.problems
    return problems


def tls_warnings(settings: Settings) -> list[str]:
    """What a site should mend, though TLS can be spoken; for settings without problems."""
    warnings = []
    for role, files in _endpoints(settings):
        if files.certificate is None or files.key is None:
            continue
        if warning := certificate_warning(files.certificate, files.key, role):
            warnings.append(f"{files.section}.certificate: {files.certificate} {warning}")
        if files.key.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            warnings.append(
                f"{files.section}.key: {files.key} can be read by every user of this machine, "
                "or written by others; chmod 600 it"
            )
    if settings.listen.tls.enabled and not settings.listen.tls.require_client_certificate:
        warnings.append(
            "listen.tls.require_client_certificate: false encrypts, but lets anyone connect"
        )
    return warnings


def _endpoints(settings: Settings) -> Iterator[tuple[Role, TlsFiles]]:
    if settings.listen.tls.enabled:
        yield "server", listen_files(settings.listen.tls)
    for destination in settings.destination:
        if isinstance(destination, CStoreDestination) and destination.tls.enabled:
            yield "client", destination_files(destination)
