"""Codestream headers: right on real encoders, a BadObjectError on anything else."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.decode.codestream import Codestream, check_rle, read_jpeg, read_jpeg2000
from node.errors import BadObjectError
from tests import build_instances as build

_GREY, _COLOUR = build.grey_frames()[0], build.colour_frames()[0]
_JPEG = build.encode_frame(_COLOUR, build.BASELINE)
_J2K = build.encode_frame(_COLOUR, build.J2K_LOSSLESS)


@pytest.mark.parametrize("syntax", [build.SV1, build.LS])
def test_lossless(syntax: str) -> None:
    found = read_jpeg(build.encode_frame(_GREY.astype(np.uint16) * 257, syntax))
    assert (found.rows, found.columns, found.samples, found.precision) == (40, 48, 1, 16)


def test_colour_of_a_codestream() -> None:
    assert read_jpeg(_JPEG) == Codestream(40, 48, 3, 8, "YBR")
    assert read_jpeg2000(_J2K) == Codestream(40, 48, 3, 8, "RGB")
    assert read_jpeg2000(build.encode_frame(_GREY, build.J2K_LOSSLESS)).colour == ""


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255), st.integers(0, 700))
def test_damage_never_escapes(noise: bytes, at: int, value: int, cut: int) -> None:
    for whole in (_JPEG, _J2K):
        damaged = bytearray(whole)
        damaged[at] = value
        for frame in (bytes(damaged)[:cut], bytes(damaged), whole[:4] + noise, noise):
            for read in (read_jpeg, read_jpeg2000, lambda data: check_rle(data, 1)):
                with contextlib.suppress(BadObjectError):
                    read(frame)
