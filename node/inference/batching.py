"""Puts requests that wait for the same task into one batch, and takes the result apart again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from node.inference.messages import Arrays, Request


class OutOfMemoryError(Exception):
    """The device had too little memory for a batch."""


def take_batch(waiting: list[Request], most_rows: int) -> list[Request]:
    """Remove from `waiting` the oldest request and all that can be computed with it.

    Parameters
    ----------
    waiting
        In the order of arrival; not empty.
    most_rows
        Rows in all. The oldest request is taken whatever its size; 0 takes it alone.
    """
    first = waiting[0]
    batch, rows = [first], first.rows
    for request in waiting[1:]:
        if request.key == first.key and rows + request.rows <= most_rows:
            batch.append(request)
            rows += request.rows
    taken = {request.id for request in batch}
    waiting[:] = [request for request in waiting if request.id not in taken]
    return batch


def join(batch: Sequence[Request]) -> Arrays:
    """Concatenate the requests' arrays along their rows."""
    if len(batch) == 1:
        return batch[0].arrays
    return {
        name: np.concatenate([request.arrays[name] for request in batch])
        for name in batch[0].arrays
    }


def split(outputs: Arrays, batch: Sequence[Request]) -> list[Arrays]:
    """Give each request its rows of the outputs."""
    ends = np.cumsum([request.rows for request in batch])
    return [
        {name: array[end - request.rows : end] for name, array in outputs.items()}
        for request, end in zip(batch, ends, strict=True)
    ]


def run_in_slices(
    compute: Callable[[Arrays], Arrays], arrays: Arrays, most_rows: int
) -> tuple[Arrays, int]:
    """Compute all rows, a limited number at a time, and fewer when memory does not suffice.

    Parameters
    ----------
    compute
        Raises OutOfMemoryError when it was too much.
    most_rows
        To begin with, at least 1.

    Returns
    -------
    The outputs of all rows, and the number of rows that fitted.

    Raises
    ------
    OutOfMemoryError
        One row alone does not fit.
    """
    rows = len(next(iter(arrays.values())))
    done: list[Arrays] = []
    start = 0
    while start < rows:
        part = {name: array[start : start + most_rows] for name, array in arrays.items()}
        try:
            done.append(compute(part))
        except OutOfMemoryError:
            tried = min(most_rows, rows - start)
            if tried == 1:
                raise
            most_rows = tried // 2
            continue
        start += most_rows
    return _stack(done), most_rows


def _stack(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
