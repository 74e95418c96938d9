"""What is true of the simulated patient beside what the findings said, for the demonstration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.probability import percent_words
from node.commands.outcome_table import joined_outcomes, said
from node.ledger.records import StudyDetail


def truth_rows(
    studies: Sequence[StudyDetail], samples: Path, names: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield instance, truth and what was found.

    Parameters
    ----------
    studies
        Complete ones.
    samples
        Folder with a ``truth.json`` for each simulated patient (train.phantom.record).
    names
        What people call the instances, by SOP Instance UID.
    """
    truths: dict[str, str] = {}
    for path in sorted(samples.rglob("truth.json")):
        truths |= _known(json.loads(path.read_text(encoding="utf-8")))
    joined = joined_outcomes(studies)
    for study in studies:
        for instance in study.instances:
            uid = instance.row.sop_instance_uid
            if uid not in truths:
                continue
            own = [o.outcome for o in study.outcomes if o.instance_id == instance.row.id]
            told = [
                said(joined.get((instance.row.id, outcome.finding), outcome))[0]
                for outcome in own
                if outcome.observation is not None
            ]
            yield names.get(uid, "-"), truths[uid], "; ".join(told) or "nothing"


def _known(truth: Mapping[str, Any]) -> dict[str, str]:
    """One sentence for each instance of a simulated record."""
    valve = f"{truth['grade']} stenosis ({truth['area_cm2']:.1f} cm²)"
    calcium = "calcified" if truth["calcified"] else "not calcified"
    flash = "septal flash" if truth["has_flash"] else "no septal flash"
    ventricle = f"LVEF {truth['ef_percent']:.0f} %"
    by_view = {
        "PLAX": [valve],
        "PSAX": [valve, f"valve {calcium}"],
        "A4C": [ventricle, valve, flash],
        "A2C": [ventricle, valve],
    }
    known = {
        clip["sop_instance_uid"]: ", ".join([clip["view"], *by_view.get(clip["view"], [])])
        for clip in truth["clips"]
    }
    best = f"best possible from ECG and X-ray {percent_words(truth['scores_probability'])}"
    for name, title in (("ecg", "ECG"), ("cxr", "chest X-ray")):
        if name in truth:
            known[truth[name]["sop_instance_uid"]] = f"{title}, {valve}, {best}"
    return known
