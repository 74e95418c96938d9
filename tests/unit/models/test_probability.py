"""How probabilities are said: never as certainty."""

from __future__ import annotations

import pytest

from models.probability import Platt, percent_value, percent_words


@pytest.mark.parametrize(
    ("probability", "words", "value"),
    [
        (0.0, "< 1 %", 0.1),
        (0.0099, "< 1 %", 1.0),
        (0.01, "1 %", 1.0),
        (0.9746, "97 %", 97.5),
        (0.99, "99 %", 99.0),
        (0.9999, "> 99 %", 99.9),
        (1.0, "> 99 %", 99.9),
    ],
)
def test_no_probability_is_said_as_certainty(probability: float, words: str, value: float) -> None:
    assert percent_words(probability) == words
    assert percent_value(probability) == value


def test_platt_keeps_the_ends_apart() -> None:
    calibration = Platt(2.0, 0.0)
    assert calibration.of_probability(0.5) == pytest.approx(0.5)
    assert calibration.of_probability(0.0) < 0.001 < 0.999 < calibration.of_probability(1.0)
