"""Routing: a kind for what findings can use, a reason for everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.arrival.routing import Routes, no_taker, route
from node.facts import InstanceFacts
from tests.build_instances import BASELINE, CR, DX, ECG, US, US_MULTI

_CLIP = InstanceFacts(
    sop_class_uid=US_MULTI,
    transfer_syntax_uid=BASELINE,
    modality="US",
    frames=30,
    rows=480,
    columns=640,
    has_pixels=True,
    frame_times_known=True,
)
_STILL = replace(_CLIP, sop_class_uid=US, frames=1, frame_times_known=False)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (_CLIP, "clip"),
        (_STILL, "still"),
        (replace(_CLIP, exam="EPICARDIAL"), "clip"),
        (replace(_CLIP, exam="SOMETHING NEW"), "clip"),
        (replace(_CLIP, body_part="HEART"), "clip"),
        (replace(_STILL, sop_class_uid=DX, body_part="CHEST"), "radiograph"),
        (replace(_STILL, sop_class_uid=CR, body_part="THORAX"), "radiograph"),
        (InstanceFacts(ECG, "1.2.840.10008.1.2.1", has_waveforms=True), "waveform"),
    ],
)
def test_kinds(facts: InstanceFacts, kind: str) -> None:
    assert route(facts) == Routes(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(_CLIP, colour_doppler=True), "colour Doppler clip"),
        (replace(_STILL, colour_doppler=True), "colour Doppler still"),
        (replace(_CLIP, spectral=True), "spectral Doppler"),
        (replace(_CLIP, frame_times_known=False), "no frame time"),
        (replace(_CLIP, has_pixels=False), "image without pixel data"),
        (replace(_STILL, exam="OBSTETRICAL"), "not cardiac: obstetric ultrasound"),
        (replace(_CLIP, exam="FETAL HEART"), "not cardiac: fetal heart ultrasound"),
        (
            replace(_CLIP, exam="TEE"),
            "transoesophageal echo: the networks know transthoracic views only",
        ),
        (replace(_CLIP, body_part="KIDNEY"), "not cardiac: ultrasound of KIDNEY"),
        (replace(_STILL, sop_class_uid=DX, body_part="HAND"), "not cardiac: radiograph of HAND"),
    ],
)
def test_reasons(facts: InstanceFacts, reason: str) -> None:
    assert route(facts) == Routes(None, reason)


def test_free_text_never_becomes_a_reason() -> None:
    routes = route(replace(_CLIP, body_part="JOHN DOE", exam="JOHN DOE"))
    assert routes == Routes("clip")


def test_no_taker() -> None:
    assert no_taker("radiograph") == "no enabled finding takes a radiograph"
    assert no_taker("waveform") == "no enabled finding takes an ECG"
