"""From the heart's electric vector to the twelve leads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: mV of the leads I, II, V1 to V6 for 1 mV of the Frank leads X (left), Y (down), Z (back): Dower,
#: Machado, Osborne, "On deriving the electrocardiogram from vectorcardiographic leads", Clin.
#: Cardiol. 1980.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
V1, V5 = 2, 6  # rows of the above


def twelve(independent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make the twelve leads, in their usual order, of I, II and V1 to V6.

    Parameters
    ----------
    independent
        ``(8, samples)``, mV.

    Returns
    -------
    ``(12, samples)``; Einthoven's and Goldberger's equations hold exactly.
    """
    one, two = independent[0], independent[1]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limb), independent[2:]])
