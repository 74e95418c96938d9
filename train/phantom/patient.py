"""The simulated patient: one set of parameters behind every view, and the truth they imply."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Patient:
    """Parameters of one heart.

    Ranges follow adult echocardiography; where a distribution is a choice of ours it is wide
    rather than realistic, so that a network can't lean on a prior.

    Attributes
    ----------
    patient_id
        Number within the cohort; with the cohort's seed it determines every random draw.
    ejection_fraction
        1 - ESV / EDV, 0.12 to 0.78.
    heart_rate_bpm
        50 to 105.
    length_cm
        Left ventricle at end-diastole, apex to mitral plane, inside.
    width_cm, width_a2c_cm
        Largest inner diameter at end-diastole in the four- and in the two-chamber plane.
    elliptic_share
        Share of the length, from the apex, over which the outline is an ellipse (0.5 to 0.75).
    base_taper
        Narrowing at the mitral plane relative to the largest diameter (0.05 to 0.35).
    wall_cm
        Wall thickness at end-diastole.
    longitudinal_share
        Share of the logarithmic volume change that shortening contributes.
    """

    patient_id: int
    ejection_fraction: float
    heart_rate_bpm: float
    length_cm: float
    width_cm: float
    width_a2c_cm: float
    elliptic_share: float
    base_taper: float
    wall_cm: float
    longitudinal_share: float
    rv_width_cm: float
    atrium_cm: float
    bend_cm: float
    mitral_tilt_deg: float
    septal_bulge_cm: float

    @property
    def edv_ml(self) -> float:
        """End-diastolic volume, ml: the biplane disc sum over both apical planes."""
        u = (np.arange(200) + 0.5) / 200
        half = outline(u, self.elliptic_share, self.base_taper)
        return float(
            np.pi / 4 * self.length_cm * np.mean(half**2) * self.width_cm * self.width_a2c_cm
        )

    @property
    def esv_ml(self) -> float:
        """End-systolic volume, ml."""
        return self.edv_ml * (1.0 - self.ejection_fraction)

    def scales(self, contraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transverse and longitudinal scale of the cavity.

        Parameters
        ----------
        contraction
            0 at end-diastole to 1 at end-systole, any shape.

        Returns
        -------
        Both of the shape of ``contraction``; transverse² x longitudinal is the volume relative to
        end-diastole, which falls linearly with contraction.
        """
        volume = 1.0 - self.ejection_fraction * contraction
        longitudinal = volume**self.longitudinal_share
        return np.sqrt(volume / longitudinal), longitudinal

    def truth(self) -> dict[str, float]:
        """Everything known about the patient, flat, for the cohort's index."""
        return {
            **{name: float(value) for name, value in asdict(self).items()},
            "ef_percent": 100.0 * self.ejection_fraction,
            "edv_ml": self.edv_ml,
            "esv_ml": self.esv_ml,
        }


def outline(u: np.ndarray, elliptic_share: float, base_taper: float) -> np.ndarray:
    """Half width of the cavity relative to its largest, from apex (0) to mitral plane (1).

    Parameters
    ----------
    u
        Position along the long axis, 0 to 1.
    elliptic_share, base_taper
        As in :class:`Patient`.
    """
    apical = np.sqrt(np.clip(1.0 - (1.0 - np.clip(u / elliptic_share, 0.0, 1.0)) ** 2, 0.0, 1.0))
    basal = np.clip((u - elliptic_share) / (1.0 - elliptic_share), 0.0, 1.0)
    return apical * (1.0 - base_taper * basal**2)


def draw_patient(patient_id: int, seed: int) -> Patient:
    """Draw the parameters of one patient.

    Parameters
    ----------
    patient_id
        Number within the cohort.
    seed
        The cohort's seed; the same pair gives the same patient for ever.
    """
    rng = np.random.default_rng([seed, patient_id])
    length = rng.uniform(7.0, 10.2)
    width = length * rng.uniform(0.48, 0.68)
    return Patient(
        patient_id=patient_id,
        ejection_fraction=rng.uniform(0.12, 0.78),
        heart_rate_bpm=rng.uniform(50.0, 105.0),
        length_cm=length,
        width_cm=width,
        width_a2c_cm=width * rng.uniform(0.88, 1.1),
        elliptic_share=rng.uniform(0.5, 0.75),
        base_taper=rng.uniform(0.05, 0.35),
        wall_cm=rng.uniform(0.7, 1.25),
        longitudinal_share=rng.uniform(0.2, 0.38),
        rv_width_cm=rng.uniform(2.2, 4.2),
        atrium_cm=rng.uniform(3.2, 5.4),
        bend_cm=rng.uniform(-0.35, 0.35),
        mitral_tilt_deg=rng.uniform(-10.0, 25.0),
        septal_bulge_cm=rng.uniform(-0.1, 0.3),
    )
