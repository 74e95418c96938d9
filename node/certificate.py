"""Says how long a certificate of ours is valid and whether it fits its use, by trying it.

Python reads no certificate but a peer's, so this one is shown to ourselves in memory.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Literal

from node.tls import NO_PASSPHRASE

Role = Literal["server", "client"]

_X509_NOT_YET_VALID = 9
_X509_EXPIRED = 10
_X509_PURPOSE = 26
_SOON_DAYS = 30
_DAY_S = 86_400
_MOST_FLIGHTS = 10


def certificate_warning(certificate: Path, key: Path, role: Role) -> str | None:
    """What a peer will find wrong with our certificate, or soon will; None when all is well.

    Parameters
    ----------
    certificate, key
        That can be loaded.
    """
    try:
        expires = _not_after(certificate, key, role)
    except ssl.SSLCertVerificationError as error:
        code = error.verify_code
        if code == _X509_EXPIRED:
            return "has expired"
        if code == _X509_NOT_YET_VALID:
            return "is not valid yet"
        if code == _X509_PURPOSE:
            return f"is not meant for a {role}"
        return f"will not be accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"can't be used: {error.reason}"
    days = int((expires - time.time()) // _DAY_S)
    return f"expires in {days} days" if days < _SOON_DAYS else None


def _not_after(certificate: Path, key: Path, role: Role) -> float:
    """When it expires, epoch seconds.

    Raises
    ------
    ssl.SSLError
        It is not accepted.
    """
    shows = {
        "server": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        "client": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }
    shows["client"].check_hostname = False
    shows["client"].verify_mode = ssl.CERT_NONE
    for context in shows.values():
        context.load_cert_chain(certificate, key, password=NO_PASSPHRASE)
    judge = shows["client" if role == "server" else "server"]
    judge.load_verify_locations(certificate)
    # Who signed it is the peer's matter: here it vouches for itself.
    judge.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    judge.verify_mode = ssl.CERT_REQUIRED
    seen = _shake_hands(shows["server"], shows["client"], role)
    return float(ssl.cert_time_to_seconds(str(seen["notAfter"])))


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, shown: Role) -> dict[str, object]:
    """What the one side sees of the other's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = {
        "client": client.wrap_bio(to_client, to_server),
        "server": server.wrap_bio(to_server, to_client, server_side=True),
    }
    left = set(sides)
    for _ in range(_MOST_FLIGHTS):
        for name in ("client", "server"):
            if name in left:
                try:
                    sides[name].do_handshake()
                except ssl.SSLWantReadError:
                    continue
                left.discard(name)
        if not left:
            break
    judge = sides["client" if shown == "server" else "server"]
    return dict(judge.getpeercert() or {})
