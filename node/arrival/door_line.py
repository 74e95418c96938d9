"""The channel between the control process and a door: messages over a pair of sockets.

A message is a list that begins with what it is. It is written as JSON, not pickled: what comes from
a process that strangers talk to must not be able to name code.
"""

from __future__ import annotations

import json
import socket
import struct
from threading import Lock
from typing import Any

Message = list[Any]

_LENGTH = struct.Struct(">I")
_READ_BYTES = 1 << 18
#: For how long an order waits for another sender that is amid a message.
_PATIENCE_S = 1.0


class DoorLine:
    """One end of it; many threads may say something, one hears.

    Parameters
    ----------
    sock
        Belongs to this object from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = Lock()
        self._received = bytearray()

    def say(self, *messages: Message) -> None:
        """Send messages together.

        Raises
        ------
        OSError
            The other end has gone.
        """
        data = b"".join(_encode(each) for each in messages)
        with self._lock:
            self._sock.sendall(data)

    def order(self, message: Message) -> bool:
        """Send a short message, or none if the other end does not read; never wait for long."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            return False
        try:
            # The system takes a short message whole or not at all.
            self._sock.send(_encode(message), socket.MSG_DONTWAIT)
        except OSError:
            return False
        finally:
            self._lock.release()
        return True

    def hear(self) -> list[Message]:
        """Wait for messages and take all that are there; none when the other end has gone."""
        while True:
            if messages := self._whole():
                return messages
            try:
                data = self._sock.recv(_READ_BYTES)
            except OSError:
                return []
            if not data:
                return []
            self._received += data

    def close(self) -> None:
        """Close this end."""
        self._sock.close()

    def _whole(self) -> list[Message]:
        messages = []
        at = 0
        while at + _LENGTH.size <= len(self._received):
            (length,) = _LENGTH.unpack_from(self._received, at)
            end = at + _LENGTH.size + length
            if end > len(self._received):
                break
            messages.append(json.loads(self._received[at + _LENGTH.size : end]))
            at = end
        del self._received[:at]
        return messages


def _encode(message: Message) -> bytes:
    # In ASCII, so that half a surrogate pair from a header gets across, too.
    data = json.dumps(message, separators=(",", ":")).encode("ascii")
    return _LENGTH.pack(len(data)) + data
