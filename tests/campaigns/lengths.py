"""The two lengths of a campaign."""

from __future__ import annotations

import pytest

#: `make test` runs the short one, `make campaign` the long one; the fixture knows which it is.
both_lengths = pytest.mark.parametrize(
    "length",
    [
        pytest.param("short", marks=pytest.mark.timeout(900)),
        pytest.param("long", marks=[pytest.mark.campaign, pytest.mark.timeout(0)]),
    ],
)
