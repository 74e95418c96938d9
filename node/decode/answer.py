"""The answer of a child in JSON: facts and small fields inside, arrays by their place in scratch.

JSON and not pickle: a child reads hostile bytes with native codecs, and what it answers must not
be able to run code in the node.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from models.inputs import (
    Box,
    Clip,
    Decoded,
    Radiograph,
    Recording,
    Still,
    Strip,
    TypedInput,
    Waveform,
)
from node.decode.examined import Examined
from node.decode.scratch import MappedScratch, Scratch
from node.facts import InstanceFacts

_INPUTS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Clip, Still, Strip, Radiograph, Waveform)
}
_FACTS = TypeAdapter(InstanceFacts)
_NOTES = TypeAdapter(tuple[str, ...])
_ARRAY = TypeAdapter(tuple[int, tuple[int, ...], str])
_DTYPES = frozenset({"uint8", "float32", "float64"})
_BOX = TypeAdapter(Box | None)
_FIELDS: dict[str, TypeAdapter[Any]] = {
    "pixel_spacing_mm": TypeAdapter(tuple[float, float] | None),
    "region": _BOX,
    "ecg_strip": _BOX,
    "r_wave_times_ms": TypeAdapter(tuple[float, ...]),
    "heart_rate_bpm": TypeAdapter(float | None),
    "time_step_ms": TypeAdapter(float),
    "depth_step_mm": TypeAdapter(float | None),
    "leads": TypeAdapter(tuple[str, ...]),
    "sampling_hz": TypeAdapter(float),
    "label": TypeAdapter(str),
    "view_position": TypeAdapter(str),
    "body_part": TypeAdapter(str),
}


def encode(examined: Examined, scratch: Scratch) -> dict[str, Any]:
    """Return an answer that JSON can hold; arrays from elsewhere are copied into scratch."""
    decoded = examined.decoded
    answer: dict[str, Any] = {"facts": asdict(examined.instance), "notes": examined.notes}
    if decoded is not None:
        found = decoded.input
        groups = found.groups if isinstance(found, Recording) else (found,)
        answer["inputs"] = [_encode_input(group, scratch) for group in groups]
        answer["recording"] = isinstance(found, Recording)
        answer["decoding_notes"] = decoded.notes
    return answer


def decode(answer: dict[str, Any], scratch: MappedScratch) -> Examined:
    """Return what a child examined.

    Raises
    ------
    ValueError
        The answer is not one that :func:`encode` makes.
    """
    try:
        facts = _FACTS.validate_python(answer["facts"])
        notes = _NOTES.validate_python(answer["notes"])
        if "inputs" not in answer:
            return Examined(facts, None, notes)
        inputs = [_decode_input(item, scratch) for item in answer["inputs"]]
        found: TypedInput = Recording(tuple(inputs)) if answer["recording"] else inputs[0]
        return Examined(
            facts, Decoded(found, _NOTES.validate_python(answer["decoding_notes"])), notes
        )
    except (KeyError, TypeError, IndexError, ValidationError) as exc:
        raise ValueError("not an answer of a decoder") from exc


def _encode_input(found: Any, scratch: Scratch) -> dict[str, Any]:
    coded: dict[str, Any] = {"type": type(found).__name__}
    for field in fields(found):
        value = getattr(found, field.name)
        if isinstance(value, np.ndarray):
            coded[field.name] = [scratch.offset_of(value), value.shape, value.dtype.name]
        else:
            coded[field.name] = asdict(value) if isinstance(value, Box) else value
    return coded


def _decode_input(coded: dict[str, Any], scratch: MappedScratch) -> Any:
    kind = _INPUTS[coded["type"]]
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in _FIELDS:
            values[field.name] = _FIELDS[field.name].validate_python(coded[field.name])
            continue
        offset, shape, dtype = _ARRAY.validate_python(coded[field.name])
        if dtype not in _DTYPES:
            raise TypeError("an array of another type")
        values[field.name] = scratch.array(offset, shape, dtype)
    return kind(**values)


def to_bytes(answer: dict[str, Any]) -> bytes:
    """Return an answer as it goes through the pipe."""
    return json.dumps(answer, allow_nan=False).encode()
