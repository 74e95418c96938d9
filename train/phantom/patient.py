"""The simulated patient: one set of parameters behind every view, and the truth they imply."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from train.phantom.chest import Chest, Person, draw_chest, draw_person
from train.phantom.conduction import Conduction, draw_conduction
from train.phantom.muscle import Muscle, muscle_of
from train.phantom.score import ECG_DIRECTION, XRAY_DIRECTION, Scores, draw_scores, spread
from train.phantom.valve import AorticValve, draw_grade, draw_valve

#: Share of moderate and severe stenosis among drawn patients.
PREVALENCE = 0.45
#: The disease has a stream of its own, so that the heart's shape does not depend on it.
_DISEASE_STREAM = 7919


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
        Wall thickness at end-diastole, hypertrophy included.
    longitudinal_share
        Share of the logarithmic volume change that shortening contributes.
    valve, conduction, muscle, chest, person
        The disease and the person, shared by the echo, the ECG and the chest X-ray.
    scores
        What ECG and X-ray tell of the stenosis.
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
    valve: AorticValve
    conduction: Conduction
    muscle: Muscle
    chest: Chest
    person: Person
    scores: Scores

    @property
    def stenosis_label(self) -> bool:
        """Moderate or severe stenosis: a valve of at most 1.5 cm²."""
        return self.valve.grade in ("moderate", "severe")

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

    def truth(self) -> dict[str, Any]:
        """Everything known about the patient, flat but for the foci, for the cohort's index."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                prefix = f"{name}_" if name == "scores" else ""
                flat |= {prefix + key: inner for key, inner in value.items()}
            else:
                flat[name] = float(value)
        return {
            **flat,
            "stenosis_label": self.stenosis_label,
            "calcified": self.valve.calcified,
            "has_flash": self.conduction.has_flash,
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
    disease = np.random.default_rng([seed, patient_id, _DISEASE_STREAM])
    grade = draw_grade(disease)
    scores = draw_scores(grade in ("moderate", "severe"), PREVALENCE, disease)
    voltage_z, qrs_z, strain_z = spread(scores.ecg, ECG_DIRECTION, disease)
    heart_z, calcium_z = spread(scores.xray, XRAY_DIRECTION, disease)
    muscle = muscle_of(voltage_z, strain_z, disease)
    return Patient(
        patient_id=patient_id,
        ejection_fraction=rng.uniform(0.12, 0.78),
        heart_rate_bpm=rng.uniform(50.0, 105.0),
        length_cm=length,
        width_cm=width,
        width_a2c_cm=width * rng.uniform(0.88, 1.1),
        elliptic_share=rng.uniform(0.5, 0.75),
        base_taper=rng.uniform(0.05, 0.35),
        wall_cm=rng.uniform(0.7, 1.25) + muscle.hypertrophy_cm,
        longitudinal_share=rng.uniform(0.2, 0.38),
        rv_width_cm=rng.uniform(2.2, 4.2),
        atrium_cm=rng.uniform(3.2, 5.4),
        bend_cm=rng.uniform(-0.35, 0.35),
        mitral_tilt_deg=rng.uniform(-10.0, 25.0),
        septal_bulge_cm=rng.uniform(-0.1, 0.3),
        valve=draw_valve(grade, disease),
        conduction=draw_conduction(qrs_z, disease),
        muscle=muscle,
        chest=draw_chest(heart_z, calcium_z, disease),
        person=draw_person(disease),
        scores=scores,
    )
