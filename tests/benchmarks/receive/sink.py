"""Acknowledges everything and keeps nothing: what the senders can send at all.

The kernel throws datasets away (MSG_TRUNC), so that hardly any of the time is the receiver's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import typer

from tests.dicom_wire import ASSOCIATE_AC, P_DATA, RELEASE_RP, element, p_data, pdu

_MAX_PDU_BYTES = 131072
_HEAD_BYTES = 6
_RELEASE_RQ = 5
_IS_COMMAND, _IS_LAST = 1, 2
# The context items' order: id, reserved, result, reserved, then one transfer syntax.
_CONTEXT_AC, _TRANSFER_SYNTAX, _CONTEXT_RQ = 0x21, 0x40, 0x20


class Sink:
    """One association, to its end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waste = bytearray(_MAX_PDU_BYTES)

    def run(self) -> None:
        """Answer until the sender releases the association or is gone."""
        command = b""
        while head := self._read(_HEAD_BYTES):
            kind, length = struct.unpack(">BxI", head)
            if kind == P_DATA:
                command = self._take(length, command)
                continue
            body = self._read(length)
            if kind == _RELEASE_RQ:
                self._sock.sendall(pdu(RELEASE_RP, bytes(4)))
            else:
                self._sock.sendall(_accept(body))

    def _take(self, length: int, command: bytes) -> bytes:
        """Read one P-DATA-TF (PS3.8 Section 9.3.5); answer after the last part of a dataset."""
        while length:
            size, context, control = struct.unpack(">IBB", self._read(6))
            length -= 4 + size
            if control & _IS_COMMAND:
                command = self._read(size - 2)
            else:
                self._discard(size - 2)
                if control & _IS_LAST:
                    self._sock.sendall(_success(context, command))
        return command

    def _read(self, count: int) -> bytes:
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return self._sock.recv(count, socket.MSG_WAITALL)

    def _discard(self, count: int) -> None:
        while count:
            count -= self._sock.recv_into(self._waste, count, socket.MSG_TRUNC)


def _accept(request: bytes) -> bytes:
    """Accept every context with its first transfer syntax (PS3.8 Section 9.3.3)."""
    items = b""
    for kind, body in _items(request[68:]):
        if kind == _CONTEXT_RQ:
            syntax = next(value for item, value in _items(body[4:]) if item == _TRANSFER_SYNTAX)
            items += _item(_CONTEXT_AC, body[:1] + bytes(3) + _item(_TRANSFER_SYNTAX, syntax))
        elif kind != 0x50:
            items += _item(kind, body)
    user = _item(0x51, struct.pack(">I", _MAX_PDU_BYTES)) + _item(0x52, b"2.25.1")
    return pdu(ASSOCIATE_AC, request[:68] + items + _item(0x50, user))


def _success(context: int, command: bytes) -> bytes:
    """A C-STORE-RSP (PS3.7 Section 9.3.1.2) to a request."""
    asked = dict(_elements(command))
    body = b"".join(
        (
            element(0x0000, 0x0002, asked[0x0002]),
            element(0x0000, 0x0100, struct.pack("<H", 0x8001)),
            element(0x0000, 0x0120, asked[0x0110]),
            element(0x0000, 0x0800, struct.pack("<H", 0x0101)),
            element(0x0000, 0x0900, struct.pack("<H", 0x0000)),
            element(0x0000, 0x1000, asked[0x1000]),
        )
    )
    length = element(0x0000, 0x0000, struct.pack("<I", len(body)))
    return p_data(context, _IS_COMMAND | _IS_LAST, length + body)


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(command):
        number, length = struct.unpack_from("<2xHI", command, at)
        yield number, command[at + 8 : at + 8 + length]
        at += 8 + length


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _reap() -> None:
    """Take the time of associations that have ended into account; ignored, it would be lost."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(folder: Path, port: int) -> None:
    """Listen until killed; the folder stays empty."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening:
        while True:
            sock, _ = listening.accept()
            _reap()
            if os.fork() == 0:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Sink(sock).run()
                os._exit(0)
            sock.close()


if __name__ == "__main__":
    typer.run(main)
