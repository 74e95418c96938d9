"""Slots that several processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from node.arrival.slots import Board, SharedSlots, Slots


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.make(2)
    yield board
    os.close(board.fd)


def test_a_board_is_seen_through_its_descriptor(board: Board) -> None:
    board.write(1, 3, 2)
    other = Board(board.fd, 2)
    assert other.associations == 3
    assert [other.load(row) for row in range(2)] == [0, 5]
    assert other.least_load() == 0


def test_the_limit_is_for_all(board: Board) -> None:
    first, second = (SharedSlots(3, board, row) for row in range(2))
    assert [first.take(), first.take(), second.take()] == [True] * 3
    assert not first.take()
    assert not second.take()
    assert board.associations == 3
    first.give()
    assert second.take()


def test_what_a_dead_process_held_is_free_again(board: Board) -> None:
    first, second = (SharedSlots(1, board, row) for row in range(2))
    assert first.take()
    assert not second.take()
    board.write(0, 0, 0)
    assert second.take()


def test_who_has_more_to_do_leaves_callers_to_the_other(board: Board) -> None:
    first, second = (SharedSlots(9, board, row) for row in range(2))
    assert first.deference_s() == 0.0
    first.came()
    assert first.deference_s() > 0.0
    assert second.deference_s() == 0.0
    first.went()
    assert first.take()
    assert first.deference_s() > 0.0
    second.came()
    assert first.deference_s() == 0.0


def test_a_process_alone_defers_to_nobody() -> None:
    slots = Slots(1)
    slots.came()
    assert slots.take()
    assert slots.deference_s() == 0.0
