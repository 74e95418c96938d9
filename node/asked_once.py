"""Networks as one instance's findings see them: no row is forwarded twice.

A finding that looks for the salient frame and later draws all of them, or two findings that ask the
same of a network, share what was computed.
"""

from __future__ import annotations

import hashlib

import numpy as np

from node.findings.base import Arrays, Networks


class AskedOnce:
    """Remembers, row by row, what networks answered; made for one instance and dropped with it.

    Rows of a task are independent of each other, or are always asked for together.

    Parameters
    ----------
    networks
        Where networks run.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._answers: dict[bytes, Arrays] = {}

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        """Run a task for the rows that it was not yet given.

        Raises
        ------
        HostDiedError
            The host died while it worked on it.
        """
        keys = _keys(network, task, arrays)
        new = [row for row, key in enumerate(keys) if key not in self._answers]
        if new:
            asked = {name: array[new] for name, array in arrays.items()}
            answer = self._networks.run(network, task, asked)
            for at, row in enumerate(new):
                self._answers[keys[row]] = {name: array[at] for name, array in answer.items()}
        rows = [self._answers[key] for key in keys]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _keys(network: str, task: str, arrays: Arrays) -> list[bytes]:
    asked = f"{network}/{task}".encode()
    keys = []
    for row in range(len(next(iter(arrays.values())))):
        digest = hashlib.blake2b(asked, digest_size=16)
        for name in sorted(arrays):
            digest.update(arrays[name][row].tobytes())
        keys.append(digest.digest())
    return keys
