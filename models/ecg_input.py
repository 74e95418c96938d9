"""Makes the network's input of an ECG object: which group, which leads, which windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.ecg import LEADS, RATE_HZ, WINDOW, Signal, complete_limb_leads, condition, cut_windows
from models.inputs import Recording, Waveform


@dataclass(frozen=True, slots=True)
class PreparedEcg:
    """An ECG as the network takes it.

    Attributes
    ----------
    signal
        float32 ``(12, samples)``, mV at 500 Hz, baseline at 0, leads in the order of LEADS.
    windows
        float32 ``(windows, 12, 1000)``, cut from it.
    starts
        First sample of each window.
    """

    signal: Signal
    windows: Signal
    starts: tuple[int, ...]


class IncompleteEcgError(ValueError):
    """The object has no twelve leads of 2 s; the message says what is missing, for people."""


def choose_group(recording: Recording) -> Waveform:
    """Return the group with the most of the twelve leads; of several the longest one.

    A median beat lasts a second and so loses against the rhythm that it was made from.
    """
    return max(
        recording.groups,
        key=lambda g: (
            len(set(LEADS) & set(complete_names(g))),
            g.millivolts.shape[1] / g.sampling_hz,
        ),
    )


def complete_names(group: Waveform) -> tuple[str, ...]:
    """Return the leads that a group has or that follow from those it has."""
    known = complete_limb_leads({name: np.zeros(1, np.float32) for name in group.leads})
    return tuple(known)


def twelve_leads(group: Waveform) -> Signal:
    """Return the twelve leads in their order, as recorded, ``(12, samples)``.

    Raises
    ------
    IncompleteEcgError
        Leads are missing that don't follow from the others.
    """
    known = complete_limb_leads(dict(zip(group.leads, group.millivolts, strict=True)))
    missing = [name for name in LEADS if name not in known]
    if missing:
        many = len(missing) > 1
        raise IncompleteEcgError(f"lead{'s' * many} {', '.join(missing)} {_be(many)} missing")
    return np.stack([known[name] for name in LEADS]).astype(np.float32)


def prepare(recording: Recording, most_windows: int = 9) -> PreparedEcg:
    """Prepare an ECG; see `models.ecg_quality.ecg_problem` for whether it should be read at all.

    Parameters
    ----------
    recording
        As decoders make it.
    most_windows
        Windows at most; they lie a second apart, or are spread evenly over a longer recording.

    Raises
    ------
    IncompleteEcgError
        There are no twelve leads of 2 s.
    """
    group = choose_group(recording)
    signal = condition(twelve_leads(group), group.sampling_hz)
    if signal.shape[1] < WINDOW:
        seconds = signal.shape[1] / RATE_HZ
        raise IncompleteEcgError(f"it lasts {seconds:.1f} s, and {WINDOW / RATE_HZ:.0f} are needed")
    windows, starts = cut_windows(signal, most_windows)
    return PreparedEcg(signal, windows, tuple(starts))


def _be(many: bool) -> str:
    return "are" if many else "is"
