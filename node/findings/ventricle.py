"""What Echo-E3Net says of a clip, asked once for all findings that need the ventricle's border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.preprocess import CLIP_LENGTH, CLIP_PERIOD, clip_starts, window_frames
from node.errors import NotAnalysableError
from node.findings.base import Arrays, Networks, Subject

ECHO_E3NET = "echo_e3net"
#: EchoNet-Dynamic starts a clip at every frame: on the sample cine 58 clips that give 59.84 %;
#: 15 clips, one at every 4th frame, give 59.83 %.
_START_STRIDE = 4


def ventricle_of(subject: Subject, networks: Networks) -> Arrays:
    """Ejection fractions ``ef`` ``(N,)`` and ``borders`` ``(N, 2, 20, 4)`` of N starts.

    Raises
    ------
    NotAnalysableError
        The clip is shorter than the network's.
    """
    known = subject.answers.get(ECHO_E3NET)
    if known is not None:
        return known
    frames = subject.reduced
    needed = (CLIP_LENGTH - 1) * CLIP_PERIOD + 1
    if len(frames) < needed:
        # training saw no padded clip, and on one the network is far off
        raise NotAnalysableError(f"the clip has {len(frames)} frames; the network needs {needed}")
    starts = clip_starts(len(frames), CLIP_LENGTH, CLIP_PERIOD, _START_STRIDE)
    answer = networks.run(ECHO_E3NET, "predict", stacked(frames, starts))
    subject.answers[ECHO_E3NET] = answer
    return answer


def stacked(frames: npt.NDArray[np.uint8], starts: Sequence[int]) -> Arrays:
    """Cut the network's clips: ``clips`` ``(N, 32, 112, 112)`` and ``valid`` ``(N,)``."""
    cut = [window_frames(frames, start, CLIP_LENGTH, CLIP_PERIOD) for start in starts]
    return {
        "clips": np.stack([clip for clip, _ in cut]),
        "valid": np.array([valid for _, valid in cut], dtype=np.int64),
    }
