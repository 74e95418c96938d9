"""Which kind of input an instance is for the findings, or why it is none: a pure function."""

from __future__ import annotations

from dataclasses import dataclass

from node.facts import InstanceFacts, Kind

# ImageType value 3 of ultrasound objects (PS3.3 C.8.5.6.1.1), in words.
_OTHER_EXAMS = {
    "ABDOMINAL": "abdominal",
    "BREAST": "breast",
    "ENDOCAVITARY": "endocavitary",
    "ENDORECTAL": "endorectal",
    "ENDOVAGINAL": "endovaginal",
    "FETAL HEART": "fetal heart",
    "GYNECOLOGY": "gynaecological",
    "INTRAVASCULAR": "intravascular",
    "MUSCULOSKELETAL": "musculoskeletal",
    "NEONATAL HEAD": "neonatal head",
    "OBSTETRICAL": "obstetric",
    "OPHTHALMIC": "ophthalmic",
    "PELVIC": "pelvic",
    "RETROPERITONEAL": "retroperitoneal",
    "SCROTAL": "scrotal",
    "SMALL PARTS": "small-parts",
    "THYROID": "thyroid",
    "TRANSCRANIAL": "transcranial",
    "VASCULAR": "vascular",
}
# BodyPartExamined (PS3.16 Annex L) that no echo and no chest X-ray carries.
_OTHER_BODY_PARTS = frozenset(
    {
        "ABDOMEN", "ANKLE", "ARM", "BLADDER", "BRAIN", "BREAST", "CAROTID", "CLAVICLE", "CSPINE",
        "ELBOW", "EXTREMITY", "EYE", "FEMUR", "FETUS", "FINGER", "FOOT", "HAND", "HEAD", "HIP",
        "HUMERUS", "JAW", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "NECK", "OVARY", "PELVIS",
        "PROSTATE", "SHOULDER", "SKULL", "SPINE", "SSPINE", "TESTIS", "THIGH", "THYROID", "TOE",
        "TSPINE", "UTERUS", "WRIST",
    }
)  # fmt: skip
_NAMES: dict[Kind, str] = {
    "clip": "a B-mode clip",
    "still": "a B-mode still",
    "strip": "an M-mode strip",
    "waveform": "an ECG",
    "radiograph": "a radiograph",
}


@dataclass(frozen=True, slots=True)
class Routes:
    """Where an instance goes.

    Attributes
    ----------
    kind
        What findings may ask for; None when no finding can use the instance.
    reason
        Why it is none, for people; empty when ``kind`` is set.
    """

    kind: Kind | None
    reason: str = ""


def route(facts: InstanceFacts) -> Routes:
    """Say which kind of input an instance is.

    What only the image shows (the view, a lung instead of a heart) is left to the view network.

    Parameters
    ----------
    facts
        Of the instance, after decoding: colour Doppler may be seen only in the pixels.

    Returns
    -------
    A kind, or a reason without patient data.
    """
    reason = facts.obstacle or _not_cardiac(facts)
    return Routes(None, reason) if reason else Routes(facts.kind)


def no_taker(kind: Kind) -> str:
    """Return the reason for an instance that routes well but that no enabled finding takes."""
    return f"no enabled finding takes {_NAMES[kind]}"


def _not_cardiac(facts: InstanceFacts) -> str:
    if facts.is_ultrasound:
        if facts.exam in _OTHER_EXAMS:
            return f"not cardiac: {_OTHER_EXAMS[facts.exam]} ultrasound"
        if facts.exam == "TEE":
            return "transoesophageal echo: the networks know transthoracic views only"
    if not facts.is_ecg and facts.body_part in _OTHER_BODY_PARTS:
        form = "ultrasound" if facts.is_ultrasound else "radiograph"
        return f"not cardiac: {form} of {facts.body_part}"
    return ""
