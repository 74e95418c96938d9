"""Every error the node raises on purpose.

The class docstring is the default message. The tree::

    CardionodeError
    ├── ConfigurationError          the settings file is wrong; carries every problem
    ├── DataDirInUseError           another node has this data directory
    ├── LedgerError                 the ledger can't be used: damaged, or newer than this node
    ├── PermanentError              the same input will fail again
    │   ├── BadObjectError          the object breaks the standard or our limits → quarantined
    │   ├── NotApplicableError      a finding does not apply to this input
    │   ├── NotAnalysableError      a finding applies but can't be made from this input
    │   ├── InvalidResultError      a result of ours failed its own validation
    │   └── RefusedError            the destination refused for good
    └── TransientError              a later attempt may succeed
        ├── StorageFullError        the disk is below its reserve
        ├── StorageFailedError      the disk, or the system's table of files, failed
        ├── DecoderDiedError        a decoder child was killed, ran out of memory or of time
        ├── DoorDiedError            a listener process died before it listened
        ├── HostDiedError           the inference host died while it worked for us
        ├── LeaseLostError          another worker took the job over
        └── UnreachableError        the destination could not be reached or broke off
"""

from __future__ import annotations

import errno
from typing import Self


class CardionodeError(Exception):
    """cardionode failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (self.__doc__ or "").strip())


class ConfigurationError(CardionodeError):
    """The settings are not valid."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataDirInUseError(CardionodeError):
    """Another node is running on this data directory."""


class LedgerError(CardionodeError):
    """The ledger can't be used."""


class PermanentError(CardionodeError):
    """The same input would fail again."""


class BadObjectError(PermanentError):
    """The object breaks the DICOM standard or a limit of this node."""


class NotApplicableError(PermanentError):
    """The finding does not apply to this input."""


class NotAnalysableError(PermanentError):
    """The finding applies, but can't be made from this input."""


class InvalidResultError(PermanentError):
    """A result failed its own validation."""


class RefusedError(PermanentError):
    """The destination refused the object for good."""


class TransientError(CardionodeError):
    """A later attempt may succeed."""


class StorageFullError(TransientError):
    """The disk is below its reserve."""


class StorageFailedError(TransientError):
    """The disk could not be read or written."""

    @classmethod
    def of(cls, error: OSError) -> Self:
        """Name the system's error by its code: its text may hold a path."""
        code = errno.errorcode.get(error.errno or 0, "no code")
        return cls(f"The disk could not be read or written ({code}).")


class DecoderDiedError(TransientError):
    """The decoder child died or ran out of time."""


class DoorDiedError(TransientError):
    """A listener process died."""


class HostDiedError(TransientError):
    """The inference host died."""


class LeaseLostError(TransientError):
    """Another worker took the job over."""


class LedgerReadError(TransientError):
    """The ledger could not be read."""


class LedgerWriteError(TransientError):
    """The change could not be written to the ledger; nothing of it counts."""


class UnreachableError(TransientError):
    """The destination could not be reached."""
