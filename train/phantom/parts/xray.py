"""PA chest X-rays."""

from __future__ import annotations

from collections.abc import Mapping

from models.radiograph import SIZE, film_of
from train.phantom.chest_xray.film import render_xray
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.patient import draw_patient


class XrayPart:
    """One PA film for each patient.

    ``xray_films.npy``, uint8 ``(patients, 224, 224)``, as the node hands films to the network; the
    index has the scores, the label, the cardiothoracic ratio and the calcium of the arch.
    """

    name = "xray"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """One film."""
        return {"films": ArraySpec(1, (SIZE, SIZE))}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render one film."""
        film = render_xray(draw_patient(patient_id, plan.seed), plan.seed)
        row = {"patient_id": patient_id, **film.truth}
        return Rendered({"films": film_of(film.pixels).grey[None]}, [row])
