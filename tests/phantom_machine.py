"""A simulated echo machine without any of its faults, for tests that look at one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from train.phantom.ultrasound.machine import Machine, draw_machine

_NONE_DB = -200.0


def clear_machine(**changes: Any) -> Machine:
    """A phased array of 90 degrees and 15 cm: no noise, clutter, shadows or uneven gains."""
    plain: dict[str, Any] = {
        "half_angle_rad": np.deg2rad(45.0),
        "depth_cm": 15.0,
        "curve_cm": 0.0,
        "turn_rad": 0.0,
        "shift": (0.0, 0.0),
        "looks": 1,
        "axial_psf_cm": 0.06,
        "lateral_psf_rad": np.deg2rad(0.8),
        "focus_cm": 7.5,
        "attenuation_db_cm": 0.0,
        "tgc_db": (0.0,) * 8,
        "beam_gain_db": (0.0,) * 16,
        "edge_drop_db": 0.0,
        "shadows": (),
        "dropout_db": 0.0,
        "near_clutter_db": _NONE_DB,
        "haze_db": _NONE_DB,
        "noise_db": _NONE_DB,
        "reverberation_db": _NONE_DB,
        "specular_db": 0.0,
        "mottle_db": (0.0, 0.0),
        "dynamic_range_db": 60.0,
        "gain_db": 0.0,
        "gamma": 1.0,
        "s_curve": 0.0,
    }
    return replace(draw_machine(np.random.default_rng(0), 15.0), **(plain | changes))
