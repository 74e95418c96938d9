"""Batches are fair, complete and taken apart as they were put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.inference.batching import OutOfMemoryError, join, run_in_slices, split, take_batch
from node.inference.messages import Arrays, Request


def request(number: int, rows: int, task: str = "predict", width: int = 2) -> Request:
    x = np.full((rows, width), number, np.float32)
    return Request(number, "tiny", task, {"x": x})


def test_the_oldest_task_goes_first_and_takes_its_like_along() -> None:
    waiting = [
        request(1, 2),
        request(2, 1, "explain"),
        request(3, 3),
        request(4, 1, width=3),
        request(5, 9),
        request(6, 1),
    ]
    assert [each.id for each in take_batch(waiting, 8)] == [1, 3, 6]
    assert [each.id for each in waiting] == [2, 4, 5]


def test_a_request_larger_than_a_batch_goes_alone() -> None:
    waiting = [request(1, 20), request(2, 1)]
    assert [each.id for each in take_batch(waiting, 8)] == [1]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from("ab")), min_size=1, max_size=12),
    st.integers(0, 10),
)
def test_every_request_is_served_once_with_its_own_rows(
    calls: list[tuple[int, str]], most_rows: int
) -> None:
    waiting = [request(number, rows, task) for number, (rows, task) in enumerate(calls)]
    served: list[int] = []
    while waiting:
        batch = take_batch(waiting, most_rows)
        assert len(batch) == 1 or sum(each.rows for each in batch) <= most_rows
        for each, output in zip(batch, split(join(batch), batch), strict=True):
            assert np.array_equal(output["x"], each.arrays["x"])
            served.append(each.id)
    assert sorted(served) == list(range(len(calls)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_slices_give_all_rows_in_order(rows: int, most_rows: int, fits: int) -> None:
    sizes: list[int] = []

    def compute(arrays: Arrays) -> Arrays:
        if len(arrays["x"]) > fits:
            raise OutOfMemoryError
        sizes.append(len(arrays["x"]))
        return {"y": arrays["x"] * 2}

    outputs, fitted = run_in_slices(compute, {"x": np.arange(rows)}, most_rows)
    assert np.array_equal(outputs["y"], 2 * np.arange(rows))
    assert max(sizes) <= min(fits, most_rows)
    assert fitted <= most_rows


def test_one_row_that_does_not_fit_is_an_error() -> None:
    def compute(arrays: Arrays) -> Arrays:
        raise OutOfMemoryError

    with pytest.raises(OutOfMemoryError):
        run_in_slices(compute, {"x": np.arange(5)}, 4)
