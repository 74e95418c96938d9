"""Puts messages together of their fragments (PS3.7 section 6.3.1, PS3.8 Annex E)."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from node.arrival.command import Command, read_command
from node.arrival.incoming import IncomingDataset
from node.arrival.pdu_reader import Fragment
from node.arrival.violation import MessageError

_MAX_COMMAND_BYTES = 64 << 10


class Message(NamedTuple):
    """A whole request; who takes it must discard its dataset."""

    command: Command
    dataset: IncomingDataset | None


class MessageReader:
    """The message that is being received on an association.

    Parameters
    ----------
    context_ids
        The accepted presentation contexts.
    expect
        Says what becomes of a dataset when its command is complete; may raise `MessageError`.
    """

    def __init__(
        self, context_ids: Container[int], expect: Callable[[Command], IncomingDataset]
    ) -> None:
        self._context_ids = context_ids
        self._expect = expect
        self._command_set = bytearray()
        self._command: Command | None = None
        self._context_id: int | None = None
        self._dataset: IncomingDataset | None = None

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._context_id is not None

    def take(self, fragment: Fragment) -> Message | None:
        """Take the next fragment; the message that it completes.

        Raises
        ------
        MessageError
            It is not one that was due.
        """
        self._check_context(fragment.context_id)
        if self._dataset is not None:
            return self._take_data(fragment, self._dataset)
        if not fragment.is_command:
            raise MessageError("a dataset comes without a command", "order")
        if len(self._command_set) + len(fragment.data) > _MAX_COMMAND_BYTES:
            raise MessageError("a command is too long", "command")
        self._command_set += fragment.data
        if not fragment.is_last:
            return None
        self._command = command = read_command(fragment.context_id, self._command_set)
        if not command.has_dataset:
            return self._complete(command, None)
        self._dataset = self._expect(command)
        return None

    def discard(self) -> None:
        """Forget the message that is not complete."""
        if self._dataset is not None:
            self._dataset.discard()
            self._dataset = None

    def _check_context(self, context_id: int) -> None:
        if context_id not in self._context_ids:
            raise MessageError("a presentation context was not accepted", "context")
        if self._context_id is None:
            self._context_id = context_id
        elif self._context_id != context_id:
            raise MessageError("a message changes its presentation context", "context")

    def _take_data(self, fragment: Fragment, dataset: IncomingDataset) -> Message | None:
        if fragment.is_command or self._command is None:
            raise MessageError("a command comes amid a dataset", "order")
        dataset.write(fragment.data)
        return self._complete(self._command, dataset) if fragment.is_last else None

    def _complete(self, command: Command, dataset: IncomingDataset | None) -> Message:
        self._command_set = bytearray()
        self._command = self._context_id = self._dataset = None
        return Message(command, dataset)
