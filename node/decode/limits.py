"""What one decoding may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that a decoder process puts on itself.

    Attributes
    ----------
    memory_bytes
        Address space beyond what the loaded libraries take.
    cpu_s
        Processor time for one instance.
    decoded_bytes
        Size of the decoded arrays, checked before anything is decoded.
    """

    memory_bytes: int
    cpu_s: float
    decoded_bytes: int
