"""The sockets that senders connect to."""

from __future__ import annotations

import socket

from node.config_listen import ListenSettings
from node.errors import ConfigurationError

PLAIN, TLS = "plain", "tls"
_BACKLOG = 128

Ports = dict[str, socket.socket]


def open_ports(settings: ListenSettings) -> Ports:
    """Bind and listen, on all ports or none.

    Raises
    ------
    ConfigurationError
        An address can't be listened on.
    """
    wanted = {PLAIN: settings.port} if settings.plain else {}
    wanted |= {TLS: settings.tls.port} if settings.tls.enabled else {}
    ports: Ports = {}
    for name, port in wanted.items():
        try:
            ports[name] = _listen(settings.host, port)
        except OSError as error:
            close_ports(ports)
            raise ConfigurationError(
                [f"listen: can't listen on {settings.host}:{port}: {error.strerror}"]
            ) from error
    return ports


def close_ports(ports: Ports) -> None:
    """Close them in this process; closing twice is harmless."""
    for each in ports.values():
        each.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
