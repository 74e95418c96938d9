"""No row is given to a network twice, and what is remembered is what was said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from node.asked_once import AskedOnce
from node.findings.base import Arrays


class _Doubling:
    """Answers twice the rows, plus the length of the task's name."""

    def __init__(self) -> None:
        self.given: list[tuple[str, float]] = []

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        self.given += [(task, float(row[0])) for row in arrays["x"]]
        return {"y": 2 * arrays["x"] + len(task), "first": arrays["x"][:, 0]}


_CALLS = st.lists(
    st.tuples(st.sampled_from(["look", "explain"]), st.lists(st.integers(0, 5), min_size=1)),
    max_size=8,
)


@given(_CALLS)
def test_answers_are_those_of_the_network(calls: list[tuple[str, list[int]]]) -> None:
    plain, behind = _Doubling(), _Doubling()
    once = AskedOnce(behind)
    for task, values in calls:
        rows: Arrays = {"x": np.array(values, np.float64)[:, None] * np.ones(3)}
        said, wanted = once.run("net", task, rows), plain.run("net", task, rows)
        assert said.keys() == wanted.keys()
        for name in said:
            np.testing.assert_array_equal(said[name], wanted[name])
    # within one call rows may repeat, as a still's single frame may
    between = {(task, float(value)) for task, values in calls for value in values}
    assert set(behind.given) == between


def test_a_row_is_given_once() -> None:
    behind = _Doubling()
    once = AskedOnce(behind)
    for values in ([3.0], [1.0, 3.0, 2.0], [2.0, 1.0]):
        once.run("net", "explain", {"x": np.array(values)[:, None]})
    assert behind.given == [("explain", 3.0), ("explain", 1.0), ("explain", 2.0)]
    once.run("another", "explain", {"x": np.array([[3.0]])})
    assert len(behind.given) == 4
