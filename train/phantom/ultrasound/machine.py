"""The look of one machine and one acquisition, drawn at random per patient.

Randomising the acquisition decides how well phantoms carry over to real frames (.29 of real A4C
frames recognised without it, .82 to .85 with it, in our feasibility study).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Machine:
    """Probe, sector geometry, signal path and display of one acquisition.

    Attributes
    ----------
    half_angle_rad, depth_cm, curve_cm
        Sector: half opening, imaged depth, radius of a curved array (0 for a phased array).
    turn_rad, shift
        Rotation of the sector on the display; offset as a share of the window.
    looks
        Incoherent averages (spatial or frequency compounding), 1 to 3.
    axial_psf_cm, lateral_psf_rad, focus_cm
        Point-spread function (standard deviations); the beam widens away from the focus.
    attenuation_db_cm, tgc_db
        Residual attenuation after time-gain compensation, and the sliders' error at 8 depths.
    beam_gain_db, edge_drop_db
        Gain of each of 16 groups of beams; loss towards the sector's edges.
    shadows
        (centre as share of the sector, width, depth of start as a share, loss in dB).
    dropout_db
        Loss where walls run parallel to the beam.
    near_clutter_db, haze_db, noise_db
        Near-field clutter, haze in the blood, receiver noise: levels.
    reverberation_db
        Level of the first repeat of near structures.
    specular_db
        Gain of interfaces across the beam.
    dynamic_range_db, gain_db, gamma, s_curve
        Display.
    """

    half_angle_rad: float
    depth_cm: float
    curve_cm: float
    turn_rad: float
    shift: tuple[float, float]
    looks: int
    axial_psf_cm: float
    lateral_psf_rad: float
    focus_cm: float
    attenuation_db_cm: float
    tgc_db: tuple[float, ...]
    beam_gain_db: tuple[float, ...]
    edge_drop_db: float
    shadows: tuple[tuple[float, float, float, float], ...]
    dropout_db: float
    near_clutter_db: float
    haze_db: float
    noise_db: float
    reverberation_db: float
    specular_db: float
    mottle_db: tuple[float, float]
    dynamic_range_db: float
    gain_db: float
    gamma: float
    s_curve: float


def draw_machine(rng: np.random.Generator, needed_depth_cm: float) -> Machine:
    """Draw one acquisition.

    Parameters
    ----------
    rng
        The patient's generator.
    needed_depth_cm
        Depth at which the anatomy of interest ends; a sonographer sets the depth beyond it.
    """
    none = -120.0
    shadows = tuple(
        (
            rng.uniform(0.0, 1.0),
            rng.uniform(0.03, 0.12),
            rng.uniform(0.0, 0.3),
            rng.uniform(4.0, 22.0),
        )
        for _ in range(rng.integers(0, 3))
    )
    return Machine(
        half_angle_rad=np.deg2rad(rng.uniform(60.0, 102.0)) / 2,
        depth_cm=float(np.clip(needed_depth_cm * rng.uniform(0.97, 1.3), 11.0, 20.0)),
        curve_cm=rng.uniform(0.5, 1.6) if rng.random() < 0.4 else 0.0,
        turn_rad=np.deg2rad(rng.uniform(-3.0, 3.0)),
        shift=(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)),
        looks=int(rng.integers(1, 4)),
        axial_psf_cm=rng.uniform(0.04, 0.09),
        lateral_psf_rad=np.deg2rad(rng.uniform(0.5, 1.3)),
        focus_cm=rng.uniform(5.0, 11.0),
        attenuation_db_cm=rng.uniform(-0.2, 0.9),
        tgc_db=tuple(rng.normal(0.0, 2.5, 8)),
        beam_gain_db=tuple(rng.normal(0.0, 2.2, 16)),
        edge_drop_db=rng.uniform(0.0, 22.0),
        shadows=shadows,
        dropout_db=rng.uniform(0.0, 16.0),
        near_clutter_db=rng.uniform(-32.0, -8.0) if rng.random() < 0.7 else none,
        haze_db=rng.uniform(-52.0, -34.0) if rng.random() < 0.6 else none,
        noise_db=rng.uniform(-66.0, -42.0),
        reverberation_db=rng.uniform(-26.0, -10.0) if rng.random() < 0.25 else none,
        specular_db=rng.uniform(2.0, 14.0),
        mottle_db=(rng.uniform(1.0, 4.5), rng.uniform(1.0, 4.5)),
        dynamic_range_db=rng.uniform(40.0, 66.0),
        gain_db=rng.uniform(-18.0, 6.0),
        gamma=rng.uniform(0.75, 1.5),
        s_curve=rng.uniform(0.0, 0.7),
    )
